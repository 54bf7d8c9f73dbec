// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.rehearsal;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.VarHandle;
import java.util.List;
import org.vireo.frontend.virtionet.memory.InvalidMemoryException;
import org.vireo.frontend.virtionet.memory.MappedRegion;
import org.vireo.frontend.virtionet.memory.MemoryTable;
import org.vireo.frontend.virtionet.ring.SplitRingLayout;
import org.vireo.frontend.virtionet.session.RingState;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.Posix;
import org.vireo.posix.linux.EventFd;
import org.vireo.posix.linux.SharedMemory;
import org.vireo.vhostuser.VirtioNet;

/**
 * A driver of one queue pair in memory of its own, just enough to keep the device busy: all buffers are always posted, frames are 64 bytes.
 * What it transmits has all the layouts that a guest may use, so that none of them is met first by compiled code that rules it out.
 */
public final class RehearsalDriver implements AutoCloseable {
    static final int SIZE = 256;

    private static final MemorySegment MEMORY = SharedMemory.addressSpace();
    private static final VarHandle SHORT = JAVA_SHORT.varHandle();
    private static final int FRAME = 64 + 12;
    private static final long RX = 0x10000;
    private static final long TX = 0x20000;
    private static final long TABLES = 0x30000;
    private static final long AVAILABLE = 0x4000;
    private static final long USED = 0x8000;
    private static final long BUFFERS = 0x100000;
    private static final long BUFFER = 0x11000;
    private static final long BYTES = BUFFERS + SIZE * BUFFER + 0x100000;

    private final long features;
    private final PackedPosts packed;
    private final MemoryTable table;
    private final long base;
    private final Fd[] kicks = new Fd[2];
    private final Fd[] calls = new Fd[2];
    private final int[] available = new int[2];
    private final int[] used = new int[2];
    private final long iovec;

    /**
     * A driver with its memory.
     *
     * @param fds makes descriptors
     * @param features acknowledged virtio features
     * @throws IOException no descriptor or memory left
     * @throws InvalidMemoryException no memory left
     */
    public RehearsalDriver(Fds fds, long features) throws IOException, InvalidMemoryException {
        this.features = features;
        Fd file = SharedMemory.create(fds, "vireo-rehearsal", BYTES, false);
        table = MemoryTable.of(List.of(MappedRegion.map(new MappedRegion.Spec(0, BYTES, 0, 0), file, false)));
        base = table.regions().getFirst().host();
        packed = (features & VirtioNet.RING_PACKED) == 0 ? null
                : new PackedPosts((features & VirtioNet.INDIRECT_DESC) != 0, BUFFERS + SIZE * BUFFER, base, TABLES);
        for (int q = 0; q < 2; q++) {
            kicks[q] = EventFd.create(fds, "rehearsal kick");
            calls[q] = EventFd.create(fds, "rehearsal call");
            for (int i = 0; i < SIZE && packed == null; i++) {
                long d = base + at(q) + (long) i * SplitRingLayout.DESCRIPTOR;
                MEMORY.set(JAVA_LONG, d, q == 0 ? BUFFERS + i * BUFFER : BUFFERS + SIZE * BUFFER);
                MEMORY.set(JAVA_INT, d + SplitRingLayout.DESCRIPTOR_LENGTH, q == 0 ? receiveBytes() : FRAME);
                MEMORY.set(JAVA_SHORT, d + SplitRingLayout.DESCRIPTOR_FLAGS, (short) (q == 0 ? SplitRingLayout.WRITE : 0));
                MEMORY.set(JAVA_SHORT, base + at(q) + AVAILABLE + SplitRingLayout.RING + 2L * i, (short) i);
            }
        }
        for (int i = 0; i < SIZE && packed == null; i += 4) {
            layOut(i);
        }
        iovec = base + BUFFERS + SIZE * BUFFER + 0x80000;
        MEMORY.set(JAVA_LONG, iovec, base + BUFFERS + SIZE * BUFFER);
        MEMORY.set(JAVA_LONG, iovec + 8, (long) FRAME);
    }

    /**
     * Of four transmitted frames one stays in one buffer, one has a buffer for its header, and two are in tables, with one buffer and
     * with two; without tables they are like the first.
     */
    private void layOut(int i) {
        long first = base + TX + (long) i * SplitRingLayout.DESCRIPTOR;
        // the second one's chain ends in the first one's buffer
        MEMORY.set(JAVA_INT, first + SplitRingLayout.DESCRIPTOR + SplitRingLayout.DESCRIPTOR_LENGTH, 12);
        MEMORY.set(JAVA_SHORT, first + SplitRingLayout.DESCRIPTOR + SplitRingLayout.DESCRIPTOR_FLAGS, (short) SplitRingLayout.NEXT);
        MEMORY.set(JAVA_SHORT, first + SplitRingLayout.DESCRIPTOR + SplitRingLayout.DESCRIPTOR_NEXT, (short) i);
        if ((features & VirtioNet.INDIRECT_DESC) == 0) {
            return;
        }
        for (int n = 1; n <= 2; n++) {
            long table = TABLES + 32L * (i + n);
            long d = first + (1L + n) * SplitRingLayout.DESCRIPTOR;
            MEMORY.set(JAVA_LONG, d, table);
            MEMORY.set(JAVA_INT, d + SplitRingLayout.DESCRIPTOR_LENGTH, n * SplitRingLayout.DESCRIPTOR);
            MEMORY.set(JAVA_SHORT, d + SplitRingLayout.DESCRIPTOR_FLAGS, (short) SplitRingLayout.INDIRECT);
            for (int k = 0; k < n; k++) {
                long e = base + table + (long) k * SplitRingLayout.DESCRIPTOR;
                MEMORY.set(JAVA_LONG, e, BUFFERS + SIZE * BUFFER);
                MEMORY.set(JAVA_INT, e + SplitRingLayout.DESCRIPTOR_LENGTH, k == 0 && n == 2 ? 12 : FRAME);
                MEMORY.set(JAVA_SHORT, e + SplitRingLayout.DESCRIPTOR_FLAGS, (short) (k + 1 < n ? SplitRingLayout.NEXT : 0));
                MEMORY.set(JAVA_SHORT, e + SplitRingLayout.DESCRIPTOR_NEXT, (short) (k + 1));
            }
        }
    }

    private int receiveBytes() {
        boolean big = (features & (VirtioNet.GUEST_TSO4 | VirtioNet.GUEST_TSO6 | VirtioNet.GUEST_UFO | VirtioNet.GUEST_USO4)) != 0;
        return (features & VirtioNet.MRG_RXBUF) != 0 ? 1536 : big ? 65562 : 1536;
    }

    private static long at(int q) {
        return q == 0 ? RX : TX;
    }

    /**
     * The memory.
     *
     * @return owned by the driver
     */
    public MemoryTable memory() {
        return table;
    }

    /**
     * A ring that goes on where its journal says.
     *
     * @param q 0: receive, 1: transmit
     * @return started and enabled; its descriptors are the driver's
     */
    public RingState ring(int q) {
        return new RingState(SIZE, at(q), at(q) + AVAILABLE, at(q) + USED, 0, 0, RingState.JOURNAL, true, true, kicks[q],
                calls[q], null);
    }

    /** Makes entries available and kicks. */
    void post(int q, int n) {
        if (packed != null) {
            for (int i = 0; i < n; i++) {
                if (q == 0) {
                    packed.receive(base + at(0), BUFFERS, BUFFER, receiveBytes());
                } else {
                    packed.transmit(base + at(1), FRAME);
                }
            }
            EventFd.signal(kicks[q].number());
            return;
        }
        available[q] = available[q] + n & 0xffff;
        SHORT.setRelease(MEMORY, base + at(q) + AVAILABLE + SplitRingLayout.INDEX, (short) available[q]);
        EventFd.signal(kicks[q].number());
    }

    /** Entries that came back since the last look; they may be posted again in the same order. */
    int reclaim(int q) {
        if (packed != null) {
            return packed.reclaim(q, base + at(q));
        }
        int index = (short) SHORT.getAcquire(MEMORY, base + at(q) + USED + SplitRingLayout.INDEX) & 0xffff;
        int n = index - used[q] & 0xffff;
        used[q] = index;
        return n;
    }

    int free(int q) {
        if (packed != null) {
            return packed.free(q);
        }
        return SIZE - (available[q] - used[q] & 0xffff);
    }

    /** Puts frames into a stand-in, as if they came from the network. */
    int feed(int farEnd, int n) {
        int sent = 0;
        while (sent < n && Posix.writev(farEnd, iovec, 1) > 0) {
            sent++;
        }
        return sent;
    }

    /** Takes frames out of a stand-in. */
    void drain(int farEnd) {
        long n = 1;
        while (n > 0) {
            n = Posix.read(farEnd, base + BUFFERS + SIZE * BUFFER + 0x1000, 0x10000);
        }
    }

    @Override
    public void close() {
        table.release();
        for (int q = 0; q < 2; q++) {
            kicks[q].close();
            calls[q].close();
        }
    }
}
