// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

class RefusedVmmsTest {
    private final AtomicLong now = new AtomicLong(5);
    private final RefusedVmms refused = new RefusedVmms("nic0", now::get);

    @Test
    void oneThatComesAgainAndAgainIsToldOfNowAndThen() {
        assertTrue(refused.note(7, "pid 1 is connected"));
        for (int i = 0; i < 1000; i++) {
            assertFalse(refused.note(7, "pid 1 is connected"));
        }
        assertTrue(refused.note(8, "pid 1 is connected"), "another one");
        now.addAndGet(Duration.ofSeconds(9).toNanos());
        assertFalse(refused.note(8, "pid 1 is connected"));
        now.addAndGet(Duration.ofSeconds(2).toNanos());
        assertTrue(refused.note(8, "pid 1 is connected"));
        assertFalse(refused.note(8, "pid 1 is connected"));
    }
}
