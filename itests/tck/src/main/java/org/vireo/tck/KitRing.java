// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.util.Arrays;
import java.util.concurrent.TimeUnit;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.net.api.RingPosition;
import org.vireo.net.api.VringSpec;
import org.vireo.posix.linux.EventFd;
import org.vireo.posix.linux.Poll;
import org.vireo.posix.linux.SharedMemory;

/**
 * The driver's side of a split virtqueue (virtio 1.2, 2.7), which trusts nothing that comes back. Each buffer has two descriptors, one for
 * the header and one for the frame, in the ring's table or in an indirect one.
 *
 * <pre>
 *  page of the ring:  | 0 descriptors (16 bytes each) | 1024 available ring | 2048 used ring |
 *  64 KiB of buffers: | slot: 0 indirect table | 32 header | 64 frame                 | next slot ...
 * </pre>
 */
final class KitRing implements AutoCloseable {
    static final int SIZE = 32;
    static final int SLOTS = SIZE / 2;
    /** Bytes of a frame's descriptor. */
    static final int ROOM = 2000;

    private static final MemorySegment MEMORY = SharedMemory.addressSpace();
    private static final VarHandle SHORT = ValueLayout.JAVA_SHORT.varHandle();
    private static final long AVAILABLE = 1024;
    private static final long USED = 2048;
    private static final int INDEX = 2;
    private static final int FIRST = 4;
    private static final int USED_ENTRY = 8;
    private static final int DESCRIPTOR = 16;
    private static final int SLOT_BYTES = 2176;
    private static final int HEADER_AT = 32;
    private static final int FRAME_AT = 64;
    private static final int NEXT = 1;
    private static final int WRITE = 2;
    private static final int INDIRECT = 4;
    private static final long INDIRECT_FEATURE = 1L << 28;
    private static final long EVENT_FEATURE = 1L << 29;

    private final KitRam ram;
    private final int index;
    private final int header;
    private final boolean indirect;
    private final boolean eventIndex;
    private final long guest;
    private final Fd kick;
    private Fd call;
    private final boolean[] out = new boolean[SLOTS];
    private long buffers;
    private int available;
    private int seen;
    private long calls;

    /**
     * A ring of which nothing has been used, at any place of its way.
     *
     * @param begin its indices, 16 bits
     */
    KitRing(KitRam ram, Fds fds, int index, long features, int begin) throws IOException {
        this.ram = ram;
        this.index = index;
        header = KitDriver.header(features);
        indirect = (features & INDIRECT_FEATURE) != 0;
        eventIndex = (features & EVENT_FEATURE) != 0;
        guest = KitRam.RINGS + (long) index * KitRam.RING_BYTES;
        buffers = KitRam.BUFFERS + (long) index * KitRam.BUFFER_BYTES;
        kick = EventFd.create(fds, "the kit's kick " + index);
        call = EventFd.create(fds, "the kit's call " + index);
        available = begin & 0xffff;
        seen = available;
        publish(AVAILABLE + INDEX, available);
        publish(USED + INDEX, available);
        wish();
    }

    private void publish(long offset, int value) {
        SHORT.setRelease(MEMORY, ram.at(guest) + offset, (short) value);
    }

    private int u16(long offset) {
        return (short) SHORT.getAcquire(MEMORY, ram.at(guest) + offset) & 0xffff;
    }

    Fd call() {
        return call;
    }

    Fd kick() {
        return kick;
    }

    /** Is called through another descriptor from now on, its own: the former one, the caller's. */
    Fd replaceCall(Fd now) {
        Fd before = call;
        call = now;
        return before;
    }

    /** Where it is, as it is told. */
    VringSpec spec(RingPosition at, boolean mayRun, Fd kickFd, Fd callFd) {
        return new Spec(SIZE, ram.user(guest), ram.user(guest + AVAILABLE), ram.user(guest + USED), guest + USED, at, mayRun, kickFd,
                callFd);
    }

    private record Spec(int size, long descriptors, long driver, long device, long log, RingPosition position, boolean mayRun, Fd kick,
            Fd call) implements VringSpec { }

    /** New buffers lie in another place from now on. None is out. */
    void buffersAt(long place) {
        buffers = place;
    }

    long usedGuest() {
        return guest + USED;
    }

    long headerGuest(int slot) {
        return buffers + (long) slot * SLOT_BYTES + HEADER_AT;
    }

    long frameGuest(int slot) {
        return buffers + (long) slot * SLOT_BYTES + FRAME_AT;
    }

    /** A slot that is not out, or -1. */
    int free() {
        for (int i = 0; i < SLOTS; i++) {
            if (!out[i]) {
                return i;
            }
        }
        return -1;
    }

    boolean isAnyOut() {
        for (boolean o : out) {
            if (o) {
                return true;
            }
        }
        return false;
    }

    /** Makes a frame available; {@link #show} shows it. */
    void add(int slot, byte[] frame) {
        long at = ram.at(buffers + (long) slot * SLOT_BYTES);
        MEMORY.asSlice(at + HEADER_AT, header).fill((byte) 0);
        MemorySegment.copy(frame, 0, MEMORY, ValueLayout.JAVA_BYTE, at + FRAME_AT, frame.length);
        lay(slot, frame.length, 0);
    }

    /** Makes room for a frame available; {@link #show} shows it. */
    void add(int slot) {
        lay(slot, ROOM, WRITE);
    }

    private void lay(int slot, int bytes, int flags) {
        long base = buffers + (long) slot * SLOT_BYTES;
        int head = 2 * slot;
        long own = ram.at(guest) + (long) DESCRIPTOR * head;
        if (indirect) {
            descriptor(own, base, 2 * DESCRIPTOR, INDIRECT, 0);
        }
        long table = indirect ? ram.at(base) : own;
        descriptor(table, base + HEADER_AT, header, flags | NEXT, indirect ? 1 : head + 1);
        descriptor(table + DESCRIPTOR, base + FRAME_AT, bytes, flags, 0);
        MEMORY.set(ValueLayout.JAVA_SHORT, ram.at(guest) + AVAILABLE + FIRST + 2L * (available & SIZE - 1), (short) head);
        available = available + 1 & 0xffff;
        out[slot] = true;
    }

    private static void descriptor(long at, long address, int bytes, int flags, int next) {
        MEMORY.set(ValueLayout.JAVA_LONG, at, address);
        MEMORY.set(ValueLayout.JAVA_INT, at + 8, bytes);
        MEMORY.set(ValueLayout.JAVA_SHORT, at + 12, (short) flags);
        MEMORY.set(ValueLayout.JAVA_SHORT, at + 14, (short) next);
    }

    /** Shows what was added. */
    void show() {
        publish(AVAILABLE + INDEX, available);
    }

    /** Shows what was added, and kicks if the device wants that. */
    void kicked() {
        int before = u16(AVAILABLE + INDEX);
        show();
        VarHandle.fullFence();
        boolean wanted = eventIndex
                ? (available - u16(USED + FIRST + (long) USED_ENTRY * SIZE) - 1 & 0xffff) < (available - before & 0xffff)
                : (u16(USED) & 1) == 0;
        if (wanted) {
            EventFd.signal(kick.number());
        }
    }

    int availableIndex() {
        return available;
    }

    int usedIndex() {
        return u16(USED + INDEX);
    }

    /** Wants to be called with the next entry that comes back. */
    private void wish() {
        if (eventIndex) {
            publish(AVAILABLE + FIRST + 2L * SIZE, seen);
        }
        VarHandle.fullFence();
    }

    /** How often it was called since it was last asked. */
    long takeCalls() {
        long n = calls + EventFd.drain(call.number());
        calls = 0;
        return n;
    }

    /** Entries that came back and were not taken. */
    int back() {
        int n = usedIndex() - seen & 0xffff;
        int most = available - seen & 0xffff;
        if (n > most) {
            throw new AssertionError("ring " + index + ": the used index went from " + seen + " to " + usedIndex() + ", though only " + most
                    + " buffers were available");
        }
        return n;
    }

    /** Takes what has come back next: its slot. */
    int take() {
        long entry = USED + FIRST + (long) USED_ENTRY * (seen & SIZE - 1);
        int id = MEMORY.get(ValueLayout.JAVA_INT, ram.at(guest) + entry);
        if (id < 0 || id >= SIZE || id % 2 != 0 || !out[id / 2]) {
            throw new AssertionError("ring " + index + ": buffer " + Integer.toUnsignedString(id) + " came back, which was not available");
        }
        out[id / 2] = false;
        seen = seen + 1 & 0xffff;
        return id / 2;
    }

    /** The frame in a buffer that {@link #take} took last. */
    byte[] frame(int slot) {
        int length = MEMORY.get(ValueLayout.JAVA_INT, ram.at(guest) + USED + FIRST + (long) USED_ENTRY * (seen - 1 & SIZE - 1) + 4);
        int bytes = length - header;
        if (bytes < 0 || bytes > ROOM) {
            throw new AssertionError("ring " + index + ": " + length + " bytes are said to have been written into a buffer of "
                    + (header + ROOM));
        }
        byte[] frame = new byte[bytes];
        MemorySegment.copy(MEMORY, ValueLayout.JAVA_BYTE, ram.at(frameGuest(slot)), frame, 0, bytes);
        return frame;
    }

    /** Waits as a driver does, for a call: whether something has come back. Calls for nothing are allowed. */
    boolean await(long limitMillis) {
        long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(limitMillis);
        wish();
        while (back() == 0) {
            long left = TimeUnit.NANOSECONDS.toMillis(end - System.nanoTime());
            boolean called = left > 0 && Poll.readable((int) left + 1, call.number()) != 0;
            calls += EventFd.drain(call.number());
            if (!called) {
                if (back() > 0) {
                    throw new AssertionError("ring " + index + ": buffers came back without a call");
                }
                return false;
            }
        }
        return true;
    }

    /** Looks once, for rings without calls. */
    boolean look() {
        return back() > 0;
    }

    /** The state of the driver's side, for messages. */
    @Override
    public String toString() {
        return "ring " + index + ": available " + available + ", used " + usedIndex() + ", taken " + seen + ", out " + Arrays.toString(out);
    }

    @Override
    public void close() {
        kick.close();
        call.close();
    }
}
