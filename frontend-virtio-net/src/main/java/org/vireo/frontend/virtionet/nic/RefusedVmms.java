// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Says which VMMs were refused: each at once, and how often it has come since every ten seconds. Of the NIC's actor. */
final class RefusedVmms {
    private static final Logger LOG = LoggerFactory.getLogger(RefusedVmms.class);
    private static final long QUIET_NANOS = TimeUnit.SECONDS.toNanos(10);

    private final String nic;
    private final LongSupplier clock;
    private long pid = -1;
    private long told;
    private long times;

    /**
     * None yet.
     *
     * @param nic the NIC's id
     * @param clock nanoseconds
     */
    RefusedVmms(String nic, LongSupplier clock) {
        this.nic = nic;
        this.clock = clock;
    }

    /** One was refused; returns whether that was said. */
    boolean note(long who, String why) {
        long now = clock.getAsLong();
        times++;
        if (who == pid && now - told < QUIET_NANOS) {
            return false;
        }
        String often = who == pid ? ", " + times + " times since the last message" : "";
        LOG.warn("NIC {}: refused a second VMM (pid {}){}: {}; a NIC has one VMM", nic, who, often, why);
        pid = who;
        told = now;
        times = 0;
        return true;
    }
}
