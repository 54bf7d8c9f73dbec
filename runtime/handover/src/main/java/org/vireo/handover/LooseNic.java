// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.util.Set;
import java.util.function.Consumer;
import org.vireo.net.api.nic.NicBlock;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.Ownership;
import org.vireo.net.api.nic.TransferableNic;

/**
 * A NIC of this process whose port and rings it has let go of, and of which it has its copies still: because it offers the NIC, or
 * because it was fenced. One thread.
 */
final class LooseNic {
    private final TransferableNic nic;
    private final NicBlock block;
    private final Deadlines deadlines;
    private final Consumer<String> warn;
    private final Lifeline lifeline;
    private final Autopsy autopsy;
    private final FencedPeer fenced;
    private final long seq;
    private boolean reading;

    /**
     * A NIC that has been frozen.
     *
     * @param nic the NIC
     * @param peer judges who lives
     * @param deadlines how long
     * @param warn told what an operator should know
     */
    LooseNic(TransferableNic nic, Peer peer, Deadlines deadlines, Consumer<String> warn) {
        this.nic = nic;
        this.deadlines = deadlines;
        this.warn = warn;
        block = nic.block();
        seq = block.seq();
        lifeline = new Lifeline(block, deadlines.orphaned());
        autopsy = new Autopsy(block, peer);
        fenced = new FencedPeer(nic.id(), block, peer, warn);
    }

    /** The number of the state that this process has. */
    long seq() {
        return seq;
    }

    /** Nobody tells this process of changes, or of its successor's life. */
    void cutOff() {
        lifeline.cut();
    }

    /** Adds what is known now, beside the reasons of the owner. */
    void gather(Ownership w, Set<Fact> facts) {
        autopsy.look(w, facts);
        // poison or not: this process has served it, and lives
        if (Long.compareUnsigned(seq, block.seq()) >= 0) {
            facts.add(Fact.CURRENT);
        }
        if (reading) {
            facts.add(Fact.READING);
            facts.add(Fact.PASSED);
        }
        lifeline.tell(facts);
    }

    /**
     * The word says TAKEN by this process: it was given back, or its taker is dead. Port and rings run from here on; the rest of
     * the way to OWNED may take the deadline of RUNNING, since who gave back has let go and drops nothing.
     */
    void takeBack() {
        autopsy.succeed();
        nic.resume();
        reading = true;
    }

    /** Another process fences this one, which held the NIC again. */
    void stopReading() {
        try {
            nic.freeze(Deadlines.in(deadlines.freeze()));
            reading = false;
        } catch (NicException e) {
            warn.accept("NIC " + nic.id() + " is fenced by another process, and does not stop: " + e.getMessage());
        }
    }

    /** The word says OWNED by this process. */
    void resume() {
        if (!reading) {
            nic.resume();
        }
        reading = false;
    }

    /** Ends who is fenced and does not let go. */
    void kill() {
        fenced.kill();
    }
}
