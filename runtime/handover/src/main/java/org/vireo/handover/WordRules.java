// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.util.Set;
import org.vireo.net.api.nic.Ownership;
import org.vireo.net.api.nic.Ownership.Phase;

/**
 * The rules of the ownership word: what a process does, given the word, what it knows, and how long the word has had this value.
 * One set of rules for all who hold a set of a NIC: source after its offer, prepared target, standby, fencer. Pure.
 *
 * <p>These are the transitions of the model in docs/model; who changes them changes the model first.
 */
final class WordRules {
    private WordRules() {
    }

    /** What is to be done, after the word was changed if the decision says so. */
    enum Act {
        /** Look again after a while, or when something happens. */
        WAIT,
        /** The word says TAKEN by this process: read port and rings. */
        TAKE,
        /** The word says RUNNING by this process: tell the source. */
        RUN,
        /** The word says OWNED by this process, after TAKE: use connection and listener too. */
        OWN,
        /** The word says OWNED by this process, which took its offer back: go on. */
        RESUME,
        /** The word says OWNED by the target: tell it; keep the own copies until it has settled in. */
        DROP,
        /** The word does not let this process read any more: let go of port and rings, then look again. */
        STOP_READING,
        /** What was taken is given back, since this process cannot run it: close the own copies. */
        GIVE_BACK,
        /** What was fenced away is given to who fenced: watch on, like anybody who holds a set. */
        YIELD,
        /** The word says FENCED by this process: the peer has to let go. */
        FENCE,
        /** The fenced peer did not let go: end it. */
        KILL,
        /** Nothing of this NIC is of use here any more: close the own copies without any other effect. */
        LET_GO
    }

    /**
     * A decision.
     *
     * @param act what to do
     * @param changes whether the word must be changed to {@code next} first, from the value that the decision was made on
     * @param next the new word
     * @param waitNanos after which time to look again at the latest
     */
    record Decision(Act act, boolean changes, long next, long waitNanos) { }

    /**
     * Decides.
     *
     * @param word the ownership word, read before all the facts
     * @param self this process's slot
     * @param facts what is known
     * @param standing nanoseconds for which this process has seen this value
     * @param d deadlines
     * @return what to do
     */
    static Decision decide(long word, int self, Set<Fact> facts, long standing, Deadlines d) {
        Look l = new Look(Ownership.decode(word), self, facts, standing, d);
        return facts.contains(Fact.READING) ? l.reader() : l.watcher();
    }

    /** The offer of an owner: the only change that no rule below makes. */
    static long offer(long word, int target) {
        Ownership w = Ownership.decode(word);
        return w.next(Phase.OFFERED, w.holder(), target).encode();
    }

    private record Look(Ownership w, int self, Set<Fact> facts, long standing, Deadlines d) {
        private boolean is(Fact f) {
            return facts.contains(f);
        }

        /** Who took: it changes the word only while it names this process as holder. */
        Decision reader() {
            if (w.holder() != self) {
                return act(Act.STOP_READING);
            }
            return switch (w.phase()) {
                case TAKEN -> {
                    if (is(Fact.UNABLE)) {
                        yield w.peer() == Ownership.NONE ? act(Act.LET_GO) : change(Phase.TAKEN, w.peer(), self, Act.GIVE_BACK);
                    }
                    yield is(Fact.PASSED) ? change(Phase.RUNNING, self, w.peer(), Act.RUN) : look(d.taken());
                }
                case RUNNING -> w.peer() == Ownership.NONE || is(Fact.PEER_DEAD) || over(d.running())
                        ? change(Phase.OWNED, self, Ownership.NONE, Act.OWN) : look(d.running());
                case OWNED -> act(Act.OWN);
                default -> act(Act.STOP_READING);
            };
        }

        Decision watcher() {
            return switch (w.phase()) {
                case OWNED -> owned();
                case OFFERED -> offered();
                case TAKEN -> taken();
                case RUNNING -> running();
                case FENCED -> fenced();
                case CLOSED -> act(Act.LET_GO);
            };
        }

        private Decision owned() {
            if (w.holder() == self) {
                return act(Act.RESUME);
            }
            if (is(Fact.HOLDER_DEAD)) {
                return succeed();
            }
            if (is(Fact.STILL) && is(Fact.CURRENT) && is(Fact.FED)) {
                return change(Phase.FENCED, self, w.holder(), Act.FENCE);
            }
            // a source whose target lives and has all in use, or who was offered nothing and whose source goes on without it
            if (is(Fact.OWNER_LIVES_ON) || is(Fact.SOURCE) && is(Fact.FED) && is(Fact.SETTLED)) {
                return act(Act.LET_GO);
            }
            return unfitOrWait(d.running());
        }

        private Decision offered() {
            if (w.holder() == self) {
                return is(Fact.WITHDRAW) || over(d.offered()) ? change(Phase.OWNED, self, Ownership.NONE, Act.RESUME) : look(d.offered());
            }
            if (is(Fact.CURRENT)) {
                // a source that has not dropped is no target: its copies are of before
                if (w.peer() == self && !is(Fact.SOURCE)) {
                    return change(Phase.TAKEN, self, w.holder(), Act.TAKE);
                }
                if (is(Fact.HOLDER_DEAD) || over(d.othersOffer()) && !is(Fact.SOURCE)) {
                    return change(Phase.TAKEN, self, Ownership.NONE, Act.TAKE);
                }
            }
            if (is(Fact.SOURCE) && !is(Fact.HOLDER_DEAD) && hears()) {
                return act(Act.LET_GO);
            }
            return unfitOrWait(d.othersOffer());
        }

        private Decision taken() {
            if (w.holder() == self) {
                return is(Fact.CURRENT) ? act(Act.TAKE) : unfitOrWait(d.taken());
            }
            if (is(Fact.HOLDER_DEAD)) {
                return succeed();
            }
            if (over(d.taken()) && is(Fact.CURRENT)) {
                return change(Phase.FENCED, self, w.holder(), Act.FENCE);
            }
            return unfitOrWait(d.taken());
        }

        private Decision running() {
            if (w.holder() == self) {
                return act(Act.TAKE);
            }
            if (is(Fact.HOLDER_DEAD)) {
                return succeed();
            }
            if (is(Fact.STILL) && is(Fact.CURRENT)) {
                return change(Phase.FENCED, self, w.holder(), Act.FENCE);
            }
            return is(Fact.SOURCE) && hears() ? change(Phase.OWNED, w.holder(), Ownership.NONE, Act.DROP) : unfitOrWait(d.running());
        }

        private Decision fenced() {
            if (w.peer() == self) {
                return change(Phase.TAKEN, w.holder(), self, Act.YIELD);
            }
            if (w.holder() == self) {
                if (is(Fact.PEER_DEAD)) {
                    return succeed();
                }
                return over(d.fenced()) ? act(Act.KILL) : look(d.fenced());
            }
            if (is(Fact.HOLDER_DEAD) && is(Fact.CURRENT)) {
                return change(Phase.FENCED, self, w.peer(), Act.FENCE);
            }
            return unfitOrWait(d.fenced());
        }

        /** The channel's end comes before a death can be seen: until then a source does not count on its target. */
        private boolean hears() {
            return is(Fact.FED) || is(Fact.OWNER_LIVES_ON);
        }

        /** Who could read is dead. */
        private Decision succeed() {
            return is(Fact.CURRENT) ? change(Phase.TAKEN, self, Ownership.NONE, Act.TAKE) : unfitOrWait(d.taken());
        }

        /** Behind, and nothing more comes: of no use. */
        private Decision unfitOrWait(int millis) {
            boolean unfit = !is(Fact.CURRENT) && (is(Fact.SOURCE) || !is(Fact.FED));
            return unfit ? act(Act.LET_GO) : look(millis);
        }

        private boolean over(int millis) {
            return standing >= millis * Deadlines.NANOS;
        }

        private Decision change(Phase phase, int holder, int peer, Act act) {
            return new Decision(act, true, w.next(phase, holder, peer).encode(), 0);
        }

        private Decision act(Act act) {
            return new Decision(act, false, 0, 0);
        }

        private Decision look(int millis) {
            long left = millis * Deadlines.NANOS - standing;
            return new Decision(Act.WAIT, false, 0, left > 0 ? left : millis * Deadlines.NANOS);
        }
    }
}
