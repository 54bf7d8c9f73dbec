// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.vireo.handover.Fact.CURRENT;
import static org.vireo.handover.Fact.FED;
import static org.vireo.handover.Fact.HOLDER_DEAD;
import static org.vireo.handover.Fact.OWNER_LIVES_ON;
import static org.vireo.handover.Fact.PASSED;
import static org.vireo.handover.Fact.PEER_DEAD;
import static org.vireo.handover.Fact.READING;
import static org.vireo.handover.Fact.SETTLED;
import static org.vireo.handover.Fact.SOURCE;
import static org.vireo.handover.Fact.STILL;
import static org.vireo.handover.Fact.UNABLE;
import static org.vireo.handover.Fact.WITHDRAW;
import static org.vireo.net.api.nic.Ownership.NONE;
import static org.vireo.net.api.nic.Ownership.Phase.CLOSED;
import static org.vireo.net.api.nic.Ownership.Phase.FENCED;
import static org.vireo.net.api.nic.Ownership.Phase.OFFERED;
import static org.vireo.net.api.nic.Ownership.Phase.OWNED;
import static org.vireo.net.api.nic.Ownership.Phase.RUNNING;
import static org.vireo.net.api.nic.Ownership.Phase.TAKEN;

import java.util.EnumSet;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.vireo.handover.WordRules.Act;
import org.vireo.handover.WordRules.Decision;
import org.vireo.net.api.nic.Ownership;
import org.vireo.net.api.nic.Ownership.Phase;

/** Each row of the table of transitions, and what must not happen. S is slot 0, T slot 1, a third X slot 2. */
class WordRulesTest {
    private static final int S = 0;
    private static final int T = 1;
    private static final int X = 2;
    private static final Deadlines D = Deadlines.STANDARD;
    private static final long LONG_AGO = 10_000 * Deadlines.NANOS;

    private static Decision decide(int self, Phase phase, int holder, int peer, long standing, Fact... facts) {
        Set<Fact> f = EnumSet.noneOf(Fact.class);
        f.addAll(Set.of(facts));
        return WordRules.decide(new Ownership(7, phase, holder, peer).encode(), self, f, standing, D);
    }

    private static void changes(Decision d, Act act, Phase phase, int holder, int peer) {
        assertEquals(act, d.act());
        assertTrue(d.changes());
        assertEquals(new Ownership(8, phase, holder, peer), Ownership.decode(d.next()));
    }

    private static void only(Decision d, Act act) {
        assertEquals(act, d.act());
        assertFalse(d.changes(), "the word must not change");
    }

    @Test
    void ownerOffers() {
        assertEquals(new Ownership(8, OFFERED, S, T), Ownership.decode(WordRules.offer(new Ownership(7, OWNED, S, NONE).encode(), T)));
    }

    @Test
    void sourceWaitsThenTakesItsOfferBack() {
        only(decide(S, OFFERED, S, T, 0, SOURCE, CURRENT), Act.WAIT);
        changes(decide(S, OFFERED, S, T, 0, SOURCE, CURRENT, WITHDRAW), Act.RESUME, OWNED, S, NONE);
        only(decide(S, OFFERED, S, T, 199 * Deadlines.NANOS, SOURCE, CURRENT), Act.WAIT);
        changes(decide(S, OFFERED, S, T, 200 * Deadlines.NANOS, SOURCE, CURRENT), Act.RESUME, OWNED, S, NONE);
    }

    @Test
    void waitIsTheRestOfTheDeadline() {
        assertEquals(150 * Deadlines.NANOS, decide(S, OFFERED, S, T, 50 * Deadlines.NANOS, SOURCE, CURRENT).waitNanos());
    }

    @Test
    void targetTakesOnlyIfCurrent() {
        changes(decide(T, OFFERED, S, T, 0, FED, CURRENT), Act.TAKE, TAKEN, T, S);
        only(decide(T, OFFERED, S, T, LONG_AGO, FED), Act.WAIT);
    }

    @Test
    void anotherWatcherTakesAnOfferThatStands() {
        only(decide(X, OFFERED, S, T, 499 * Deadlines.NANOS, FED, CURRENT), Act.WAIT);
        changes(decide(X, OFFERED, S, T, 500 * Deadlines.NANOS, FED, CURRENT), Act.TAKE, TAKEN, X, NONE);
        only(decide(X, OFFERED, S, T, LONG_AGO, FED), Act.WAIT);
    }

    @Test
    void targetRunsAfterItsFirstPass() {
        only(decide(T, TAKEN, T, S, 0, READING, CURRENT), Act.WAIT);
        changes(decide(T, TAKEN, T, S, 0, READING, PASSED, CURRENT), Act.RUN, RUNNING, T, S);
    }

    @Test
    void targetThatCannotGivesBack() {
        changes(decide(T, TAKEN, T, S, 0, READING, UNABLE, CURRENT), Act.GIVE_BACK, TAKEN, S, T);
        only(decide(T, TAKEN, T, NONE, 0, READING, UNABLE, CURRENT), Act.LET_GO);
    }

    @Test
    void whatWasGivenBackIsTakenRunAndOwned() {
        only(decide(S, TAKEN, S, T, 0, SOURCE, CURRENT), Act.TAKE);
        only(decide(S, TAKEN, S, T, 0, SOURCE), Act.LET_GO);
        changes(decide(S, TAKEN, S, T, 0, SOURCE, READING, PASSED, CURRENT), Act.RUN, RUNNING, S, T);
        changes(decide(S, RUNNING, S, T, 0, SOURCE, READING, PASSED, CURRENT, PEER_DEAD), Act.OWN, OWNED, S, NONE);
    }

    @Test
    void sourceDropsAndKeepsItsCopiesUntilItsTargetHasSettled() {
        changes(decide(S, RUNNING, T, S, 0, SOURCE, FED, CURRENT), Act.DROP, OWNED, T, NONE);
        // it wakes late: the word has gone on
        changes(decide(S, RUNNING, X, NONE, 0, SOURCE, FED, CURRENT), Act.DROP, OWNED, X, NONE);
        only(decide(S, OWNED, T, NONE, 0, SOURCE, FED, CURRENT), Act.WAIT);
        only(decide(S, OWNED, T, NONE, 0, SOURCE, FED, SETTLED, CURRENT), Act.LET_GO);
        // of no use any more
        only(decide(S, OWNED, T, NONE, 0, SOURCE, FED), Act.LET_GO);
        only(decide(S, OFFERED, T, X, LONG_AGO, SOURCE, FED, CURRENT), Act.LET_GO);
        // it is offered the NIC again before it has dropped the old copies
        only(decide(S, OFFERED, T, S, 0, SOURCE, FED, CURRENT), Act.LET_GO);
    }

    @Test
    void sourceKeepsItsCopiesWhileItsTargetMayBeDying() {
        only(decide(S, RUNNING, T, S, 0, SOURCE, CURRENT), Act.WAIT);
        only(decide(S, OWNED, T, NONE, 0, SOURCE, CURRENT, SETTLED), Act.WAIT);
        only(decide(S, OFFERED, T, X, 0, SOURCE, CURRENT), Act.WAIT);
        changes(decide(S, RUNNING, T, S, 0, SOURCE, CURRENT, OWNER_LIVES_ON), Act.DROP, OWNED, T, NONE);
        only(decide(S, OWNED, T, NONE, 0, SOURCE, CURRENT, OWNER_LIVES_ON), Act.LET_GO);
        changes(decide(S, RUNNING, T, S, 0, SOURCE, CURRENT, HOLDER_DEAD), Act.TAKE, TAKEN, S, NONE);
        changes(decide(S, OWNED, T, NONE, 0, SOURCE, CURRENT, HOLDER_DEAD), Act.TAKE, TAKEN, S, NONE);
    }

    @Test
    void targetOwnsWithoutItsSourcesWord() {
        only(decide(T, RUNNING, T, S, 0, READING, PASSED), Act.WAIT);
        changes(decide(T, RUNNING, T, S, 0, READING, PASSED, PEER_DEAD), Act.OWN, OWNED, T, NONE);
        changes(decide(T, RUNNING, T, NONE, 0, READING, PASSED), Act.OWN, OWNED, T, NONE);
        changes(decide(T, RUNNING, T, S, 200 * Deadlines.NANOS, READING, PASSED), Act.OWN, OWNED, T, NONE);
        only(decide(T, OWNED, T, NONE, 0, READING, PASSED), Act.OWN);
    }

    @Test
    void whoTookAndDoesNotRunIsFenced() {
        only(decide(S, TAKEN, T, S, 499 * Deadlines.NANOS, SOURCE, CURRENT), Act.WAIT);
        changes(decide(S, TAKEN, T, S, 500 * Deadlines.NANOS, SOURCE, CURRENT), Act.FENCE, FENCED, S, T);
        changes(decide(X, TAKEN, T, S, 500 * Deadlines.NANOS, FED, CURRENT), Act.FENCE, FENCED, X, T);
        only(decide(X, TAKEN, T, S, LONG_AGO, FED), Act.WAIT);
    }

    @Test
    void whoIsFencedLetsGoAndGivesBack() {
        only(decide(T, FENCED, S, T, 0, READING, PASSED, CURRENT), Act.STOP_READING);
        changes(decide(T, FENCED, S, T, 0, FED, CURRENT), Act.YIELD, TAKEN, S, T);
        changes(decide(T, FENCED, S, T, 0), Act.YIELD, TAKEN, S, T);
    }

    @Test
    void whoFencesKillsAndWaitsForTheEnd() {
        only(decide(S, FENCED, S, T, 0, SOURCE, CURRENT), Act.WAIT);
        only(decide(S, FENCED, S, T, 500 * Deadlines.NANOS, SOURCE, CURRENT), Act.KILL);
        changes(decide(S, FENCED, S, T, 0, SOURCE, CURRENT, PEER_DEAD), Act.TAKE, TAKEN, S, NONE);
    }

    @Test
    void aFencerIsSucceededOnlyWhenItIsDead() {
        only(decide(X, FENCED, S, T, LONG_AGO, FED, CURRENT), Act.WAIT);
        changes(decide(X, FENCED, S, T, 0, FED, CURRENT, HOLDER_DEAD), Act.FENCE, FENCED, X, T);
    }

    @Test
    void aDeadHolderIsSucceeded() {
        for (Phase p : new Phase[] {OWNED, OFFERED, TAKEN, RUNNING}) {
            changes(decide(X, p, S, T, 0, CURRENT, HOLDER_DEAD), Act.TAKE, TAKEN, X, NONE);
            assertFalse(decide(X, p, S, T, LONG_AGO, FED, HOLDER_DEAD).changes(), p + ": whose set is behind does not take");
        }
        changes(decide(S, RUNNING, T, S, 0, SOURCE, CURRENT, HOLDER_DEAD), Act.TAKE, TAKEN, S, NONE);
        changes(decide(T, OFFERED, S, T, 0, CURRENT, HOLDER_DEAD), Act.TAKE, TAKEN, T, S);
    }

    @Test
    void nobodyTakesFromALivingOwner() {
        for (long standing : new long[] {0, LONG_AGO}) {
            only(decide(T, OWNED, S, NONE, standing, FED, CURRENT), Act.WAIT);
            only(decide(T, RUNNING, X, S, standing, FED, CURRENT), Act.WAIT);
        }
    }

    @Test
    void whoStandsStillIsFencedByWhomItFeeds() {
        changes(decide(X, OWNED, S, NONE, 0, FED, CURRENT, STILL), Act.FENCE, FENCED, X, S);
        changes(decide(X, RUNNING, T, S, 0, FED, CURRENT, STILL), Act.FENCE, FENCED, X, T);
        only(decide(X, OWNED, S, NONE, LONG_AGO, FED, STILL), Act.WAIT);
        only(decide(X, OWNED, S, NONE, LONG_AGO, CURRENT, STILL), Act.WAIT);
        changes(decide(X, OWNED, S, NONE, 0, FED, CURRENT, STILL, HOLDER_DEAD), Act.TAKE, TAKEN, X, NONE);
    }

    @Test
    void anEndedChannelAloneClosesNothing() {
        only(decide(T, OWNED, S, NONE, LONG_AGO, CURRENT), Act.WAIT);
        only(decide(T, OWNED, S, NONE, 0, CURRENT, OWNER_LIVES_ON), Act.LET_GO);
        changes(decide(T, OWNED, S, NONE, 0, CURRENT, OWNER_LIVES_ON, HOLDER_DEAD), Act.TAKE, TAKEN, T, NONE);
    }

    @Test
    void whoIsBehindForGoodLetsGoWithoutTheWord() {
        only(decide(T, OWNED, S, NONE, 0), Act.LET_GO);
        only(decide(T, OWNED, S, NONE, 0, HOLDER_DEAD), Act.LET_GO);
        only(decide(S, TAKEN, T, S, LONG_AGO, SOURCE), Act.LET_GO);
    }

    @Test
    void closedIsTheEnd() {
        only(decide(S, CLOSED, S, NONE, 0, SOURCE, CURRENT), Act.LET_GO);
        only(decide(T, CLOSED, S, NONE, 0, FED, CURRENT), Act.LET_GO);
    }

    @Test
    void whoLostTheWordStopsReading() {
        for (Phase p : Phase.values()) {
            only(decide(T, p, X, NONE, 0, READING, PASSED, CURRENT), Act.STOP_READING);
        }
    }
}
