// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The pause before the next back-end is tried: near what was asked for, and long where that would be a loop. */
final class BackoffTest {
    private static final int MOST = Backoff.MOST_MILLIS;

    /** Such a clock may begin anywhere. */
    private long now = Long.MAX_VALUE - TimeUnit.MILLISECONDS.toNanos(500);

    private Backoff asked(int millis) {
        return new Backoff(millis, MOST, () -> now);
    }

    private void pass(long millis) {
        now += TimeUnit.MILLISECONDS.toNanos(millis);
    }

    private static long millis(long nanos) {
        return TimeUnit.NANOSECONDS.toMillis(nanos);
    }

    /** A connection that lasts so long; the pause after it, which passes. */
    private long live(Backoff b, long lifeMillis) {
        b.connected();
        pass(lifeMillis);
        long pause = millis(b.lost());
        pass(pause);
        return pause;
    }

    private long absent(Backoff b) {
        long pause = millis(b.absent());
        pass(pause);
        return pause;
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 200, 5_000})
    void oneThatGoesOnceIsWaitedForAsLongAsAsked(int asked) {
        Backoff b = asked(asked);
        for (int i = 0; i < 3; i++) {
            assertEquals(asked, live(b, 1_000));
        }
        assertEquals(asked, live(b, 0));
        assertFalse(b.isFlapping());
    }

    @ParameterizedTest
    @CsvSource({"1, 2000", "200, 2000", "5000, 5000"})
    void oneThatGoesAtOnceOverAndOverIsTriedMoreSeldom(int asked, int most) {
        Backoff b = asked(asked);
        List<Long> pauses = new ArrayList<>();
        for (int i = 0; i < 70; i++) {
            pauses.add(live(b, 999));
        }
        assertTrue(b.isFlapping());
        assertEquals(asked, pauses.getFirst());
        assertEquals(most, pauses.getLast());
        for (int i = 1; i < pauses.size(); i++) {
            assertEquals(Math.max(asked, Math.min(most, 2 * pauses.get(i - 1))), pauses.get(i));
        }
        assertEquals(asked, live(b, 1_000), "one that lasts makes up for all");
        assertFalse(b.isFlapping());
    }

    /** From its restart to the first frame a back-end that was away for a minute has a second, also where it flapped before. */
    @ParameterizedTest
    @ValueSource(ints = {1, 10, 200})
    void oneThatWasAwayIsTriedSoon(int asked) {
        Backoff b = asked(asked);
        for (int i = 0; i < 30; i++) {
            live(b, 0);
        }
        long began = now;
        int tries = 0;
        while (now - began < TimeUnit.MINUTES.toNanos(1)) {
            absent(b);
            tries++;
        }
        assertEquals(Math.max(asked, Backoff.ABSENT_MILLIS), absent(b));
        assertTrue(tries < 700, tries + " tries in a minute");
        assertEquals(asked, live(b, 0), "it begins anew");
    }

    /** Who listens is not called while nobody is there. */
    @Test
    void whoListensBeginsAnewWithTheFirstThatComesAfterLong() {
        Backoff b = asked(10);
        for (int i = 0; i < 30; i++) {
            live(b, 0);
        }
        pass(MOST - 1);
        assertEquals(MOST, live(b, 0));
        pass(MOST);
        assertEquals(10, live(b, 0));
        assertFalse(b.isFlapping());
    }

    @Test
    void whatThisSideEndsIsNoFlap() {
        Backoff b = asked(10);
        live(b, 0);
        for (int i = 0; i < 5; i++) {
            b.connected();
            assertEquals(10, millis(b.aborted()));
        }
        assertFalse(b.isFlapping());
        assertEquals(20, live(b, 0), "nor does it make up for one");
    }

    @Test
    void momentsInWhichNobodyIsThereAreNoAbsence() {
        Backoff b = asked(1);
        for (int i = 0; i < 30; i++) {
            live(b, 0);
            if (i > 12) {
                assertEquals(MOST, absent(b), "it does not stay away");
            }
        }
        assertTrue(b.isFlapping());
        assertEquals(2, absent(b), "now it was not there the second time, two seconds later");
    }
}
