// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.io.IOException;
import org.vireo.net.api.Fd;
import org.vireo.net.api.nic.NicBlock;
import org.vireo.net.api.nic.NicBlock.Holder;
import org.vireo.net.api.nic.Ownership;
import org.vireo.posix.Errno;
import org.vireo.posix.PosixException;
import org.vireo.posix.linux.Processes;

/**
 * The process at the other end, and what can be said of the life of the others that a NIC's word names. Dead means: the pidfd is
 * readable, or the holder table's entry names a start time that no living process of that pid has. Any thread.
 */
final class Peer implements AutoCloseable {
    private final long pid;
    private final Fd process;

    /**
     * A peer.
     *
     * @param pid its pid in our namespace
     * @param process its pidfd, which this owns
     */
    Peer(long pid, Fd process) {
        this.pid = pid;
        this.process = process;
    }

    long pid() {
        return pid;
    }

    /** Number for poll(2): readable when the peer is dead. */
    int number() {
        return process.number();
    }

    boolean isDead() {
        return Processes.isDead(process);
    }

    /**
     * Whether the process of a slot is dead.
     *
     * @param block the NIC's block
     * @param slot of its holder table, as the word names it
     * @return false also for one that cannot be judged
     */
    boolean isDead(NicBlock block, int slot) {
        if (slot == Ownership.NONE || slot == block.self()) {
            return false;
        }
        Holder h = block.holder(slot);
        if (h.pid() == pid) {
            return isDead();
        }
        return h.pid() != 0 && Processes.startTime(h.pid()) != h.startTime();
    }

    /**
     * Ends the process of a slot (SIGKILL).
     *
     * @param block the NIC's block
     * @param slot of its holder table
     * @throws IOException it may not be ended, or is another one
     */
    void kill(NicBlock block, int slot) throws IOException {
        Holder h = block.holder(slot);
        if (h.pid() != pid || pid == ProcessHandle.current().pid()) {
            throw new IOException("process " + h.pid() + " of slot " + slot + " is not the other one of this handover, " + pid
                    + ": it is not killed");
        }
        int n = Processes.signal(process, Processes.KILL);
        if (n < 0 && n != -Errno.ESRCH) {
            throw new PosixException("kill " + pid, -n);
        }
    }

    @Override
    public void close() {
        process.close();
    }

    @Override
    public String toString() {
        return "process " + pid;
    }
}
