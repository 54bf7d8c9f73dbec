// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

/** The clock is the test's, and one of its ticks the first pause. It begins where System.nanoTime() may: just before it overflows. */
class RefusalsTest {
    private static final long FIRST = 100;
    private final Refusals refusals = new Refusals(FIRST);
    private long now = Long.MAX_VALUE - 250;

    @Test
    void thePauseGrowsUpToTenTimes() {
        for (long pause : new long[] {100, 200, 400, 800, 1000, 1000}) {
            refusals.refused("no room", now);
            assertEquals(pause, refusals.leftNanos(now));
            now += pause;
            assertEquals(0, refusals.leftNanos(now));
        }
    }

    @Test
    void aReasonIsNewsOnce() {
        assertTrue(refusals.refused("no room", now));
        assertFalse(refusals.refused("no room", now));
        assertTrue(refusals.refused("no backend", now));
        assertEquals("no backend", refusals.why());
    }

    @Test
    void whatIsHadForAWhileHasACleanSheet() {
        refusals.refused("no room", now);
        refusals.refused("no room", now);
        refusals.prepared(now);
        assertFalse(refusals.overcome(now + 499));
        assertTrue(refusals.overcome(now + 500));
        assertFalse(refusals.overcome(now + 501), "told once");
        assertEquals("", refusals.why());
        assertTrue(refusals.refused("no room", now));
        assertEquals(FIRST, refusals.leftNanos(now));
    }

    /** As with a back-end that flaps: the pause goes on growing, and nothing is told again. */
    @Test
    void whatComesAndGoesIsNoNews() {
        refusals.refused("no room", now);
        refusals.prepared(now);
        assertFalse(refusals.refused("no room", now + 499));
        assertEquals(2 * FIRST, refusals.leftNanos(now + 499));
        assertFalse(refusals.overcome(now + 10_000), "it is refused");
    }

    @Test
    void whatWasNeverRefusedIsNoNews() {
        refusals.prepared(now);
        assertFalse(refusals.overcome(now + 10_000));
    }
}
