// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import org.vireo.net.api.nic.NicBlock;

/**
 * How long a NIC's heartbeat has stood still, by somebody who looks at it now and then. What passes between two looks counts for as
 * long as looks are apart in good times: who stood still himself has not seen the other one stand still. One thread.
 */
final class Heartbeat {
    private static final long BETWEEN_LOOKS_NANOS = 500 * Deadlines.NANOS;

    private final NicBlock block;
    private boolean looked;
    private long last;
    private long lastLook;
    private long still;

    Heartbeat(NicBlock block) {
        this.block = block;
    }

    /**
     * Looks.
     *
     * @param now the time
     * @return nanoseconds for which it has stood still
     */
    long still(long now) {
        long beat = block.heartbeat();
        still = looked && beat == last ? still + Math.min(now - lastLook, BETWEEN_LOOKS_NANOS) : 0;
        looked = true;
        last = beat;
        lastLook = now;
        return still;
    }
}
