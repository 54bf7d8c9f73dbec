// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.io.IOException;
import java.util.HashMap;
import java.util.Map;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
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
    private final Fds fds;
    private final long pid;
    private final Fd process;
    /** Pidfds of others whom a word named. */
    private final Map<Holder, Fd> others = new HashMap<>();

    /**
     * A peer.
     *
     * @param fds opens the others
     * @param pid its pid in our namespace
     * @param process its pidfd, which this owns
     */
    Peer(Fds fds, long pid, Fd process) {
        this.fds = fds;
        this.pid = pid;
        this.process = process;
    }

    /** Nobody in particular: for those whom words name. */
    static Peer self(Fds fds) throws IOException {
        long pid = ProcessHandle.current().pid();
        return new Peer(fds, pid, Processes.open(fds, pid));
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
        if (h.pid() == 0) {
            return false;
        }
        try {
            Fd other = other(h);
            return other == null || Processes.isDead(other);
        } catch (IOException e) {
            // out of descriptors, perhaps: what /proc tells may come late, but is never wrong
            return Processes.startTime(h.pid()) != h.startTime();
        }
    }

    /** The pidfd of a process of the holder table, or null if it is dead. */
    private synchronized Fd other(Holder h) throws IOException {
        Fd known = others.get(h);
        if (known != null) {
            return known;
        }
        Fd fd;
        try {
            fd = Processes.open(fds, h.pid());
        } catch (PosixException e) {
            if (e.errno() == Errno.ESRCH) {
                return null;
            }
            throw e;
        }
        // looked at after it was opened: so the descriptor is of this very process, not of a later one with its pid
        if (Processes.startTime(h.pid()) != h.startTime()) {
            fd.close();
            return null;
        }
        others.put(h, fd);
        return fd;
    }

    /**
     * How the dead process of a slot ended.
     *
     * @param block the NIC's block
     * @param slot of its holder table
     * @return see {@link Processes#endedBy}
     */
    int endedBy(NicBlock block, int slot) {
        Holder h = block.holder(slot);
        try {
            Fd dead = h.pid() == pid ? process : other(h);
            return dead == null ? -1 : Processes.endedBy(dead, h.pid());
        } catch (IOException e) {
            return -1;
        }
    }

    /**
     * Ends the process of a slot (SIGKILL).
     *
     * @param block the NIC's block
     * @param slot of its holder table
     * @throws IOException it may not be ended, or is this one
     */
    void kill(NicBlock block, int slot) throws IOException {
        Holder h = block.holder(slot);
        if (h.pid() == ProcessHandle.current().pid() || h.pid() == 0) {
            throw new IOException("slot " + slot + " belongs to process " + h.pid() + ": it is not killed");
        }
        Fd victim = h.pid() == pid ? process : other(h);
        int n = victim == null ? -Errno.ESRCH : Processes.signal(victim, Processes.KILL);
        if (n < 0 && n != -Errno.ESRCH) {
            throw new PosixException("kill " + h.pid(), -n);
        }
    }

    @Override
    public synchronized void close() {
        process.close();
        others.values().forEach(Fd::close);
        others.clear();
    }

    @Override
    public String toString() {
        return "process " + pid;
    }
}
