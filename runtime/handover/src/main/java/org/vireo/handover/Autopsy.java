// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.util.Set;
import org.vireo.net.api.nic.NicBlock;
import org.vireo.net.api.nic.Ownership;
import org.vireo.posix.linux.Processes;

/** Who of those that a NIC's word names is dead, and what the NIC had to do with it. One thread. */
final class Autopsy {
    /** Two deaths within this time are the NIC's doing. */
    static final int POISON_SECONDS = 60;

    private static final long POISON_NANOS = POISON_SECONDS * 1_000 * Deadlines.NANOS;

    private final NicBlock block;
    private final Peer peer;
    private int judged = Ownership.NONE;
    private boolean suspected;
    private boolean again;

    /** Of nobody yet. */
    Autopsy(NicBlock block, Peer peer) {
        this.block = block;
        this.peer = peer;
    }

    /**
     * Adds who is dead, and looks at the death of who could read port and rings, once. A process that somebody killed did not die of a NIC,
     * unless it was killed because it did not let go though it lived; where it cannot be told how it died, it may have.
     *
     * @param w the word
     * @param facts whether that process stood still, if it is known; takes who is dead
     */
    void look(Ownership w, Set<Fact> facts) {
        if (peer.isDead(block, w.holder())) {
            facts.add(Fact.HOLDER_DEAD);
        }
        if (peer.isDead(block, w.peer())) {
            facts.add(Fact.PEER_DEAD);
        }
        boolean fenced = w.phase() == Ownership.Phase.FENCED;
        int slot = fenced ? w.peer() : w.holder();
        if (judged == slot || !facts.contains(fenced ? Fact.PEER_DEAD : Fact.HOLDER_DEAD)) {
            return;
        }
        judged = slot;
        boolean stoodStill = fenced && facts.contains(Fact.STILL);
        if (!block.entered() || stoodStill || !fenced && peer.endedBy(block, slot) == Processes.KILL) {
            return;
        }
        suspected = true;
        long before = block.death();
        again = before != 0 && System.nanoTime() - before < POISON_NANOS;
    }

    /** Whether two processes died in it, one shortly after the other: then nobody takes it. */
    boolean isPoison() {
        return again;
    }

    /** The NIC is taken from a dead process, if there is one: what was found stands in its block from now on. */
    void succeed() {
        if (judged != Ownership.NONE) {
            block.succeed(suspected ? System.nanoTime() : block.death());
        }
    }
}
