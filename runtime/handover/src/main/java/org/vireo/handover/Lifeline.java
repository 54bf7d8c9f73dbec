// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.util.Set;
import org.vireo.net.api.nic.NicBlock;

/**
 * What is known of the life of who is at the other end of a channel, and works with a NIC. A killed process closes its files before
 * its death can be seen, so a channel's end says nothing by itself: only a heartbeat that goes on after it does. One thread.
 */
final class Lifeline {
    private final NicBlock block;
    private final int millis;
    private boolean cut;
    private long since;
    private long heartbeat;

    /**
     * A lifeline of an open channel.
     *
     * @param block has the heartbeat
     * @param millis after a channel's end within which a death would have been seen
     */
    Lifeline(NicBlock block, int millis) {
        this.block = block;
        this.millis = millis;
    }

    /** The channel is at its end. */
    void cut() {
        if (!cut) {
            cut = true;
            since = System.nanoTime();
            heartbeat = block.heartbeat();
        }
    }

    boolean isCut() {
        return cut;
    }

    /** Adds what is known now. */
    void tell(Set<Fact> facts) {
        if (!cut) {
            facts.add(Fact.FED);
        } else if (block.heartbeat() != heartbeat || System.nanoTime() - since > millis * Deadlines.NANOS) {
            facts.add(Fact.OWNER_LIVES_ON);
        }
    }
}
