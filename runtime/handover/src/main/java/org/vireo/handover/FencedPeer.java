// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.io.IOException;
import java.util.function.Consumer;
import org.vireo.net.api.nic.NicBlock;
import org.vireo.net.api.nic.Ownership;

/** Who is fenced at a NIC by this process, and may have to be ended for it. One thread. */
final class FencedPeer {
    private final String nic;
    private final NicBlock block;
    private final Peer peer;
    private final Consumer<String> warn;
    private boolean failed;

    /**
     * Of nobody yet: the word names it.
     *
     * @param nic the NIC's id
     * @param block the NIC's block
     * @param peer reaches the processes of the block
     * @param warn told once if it cannot be ended
     */
    FencedPeer(String nic, NicBlock block, Peer peer, Consumer<String> warn) {
        this.nic = nic;
        this.block = block;
        this.peer = peer;
        this.warn = warn;
    }

    /** Ends it, since it does not let go. */
    void kill() {
        try {
            peer.kill(block, Ownership.decode(block.word()).peer());
        } catch (IOException e) {
            if (!failed) {
                failed = true;
                warn.accept("NIC " + nic + " is fenced, and who has it does not let go: " + e.getMessage());
            }
        }
    }
}
