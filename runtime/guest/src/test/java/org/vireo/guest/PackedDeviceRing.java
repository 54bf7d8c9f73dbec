// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import static org.vireo.guest.GuestRam.MEMORY;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.util.function.LongUnaryOperator;

/**
 * The device's side of a packed virtqueue (virtio 1.2, 2.8). Chains may be given back in any order, so what they are is copied when they
 * are taken: used descriptors overwrite available ones.
 */
final class PackedDeviceRing extends DeviceRing {
    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT;
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT;
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG;
    private static final VarHandle ORDERED = SHORT.varHandle();
    private static final int MAX_CHAIN = 16;

    private final int size;
    private final long descriptors;
    private final long driverEvent;
    private final long deviceEvent;
    private final LongUnaryOperator guest;
    private final boolean eventIndex;
    private final long[][] addresses;
    private final int[][] lengths;
    private final int[] pieces;
    private final int[] taken;
    private final boolean[] writable;
    private int available;
    private boolean availableWrap;
    private int used;
    private boolean usedWrap;
    private int unpublished;
    private int unpublishedHead;
    private int unpublishedFlags;

    PackedDeviceRing(int size, long[] at, LongUnaryOperator guest, boolean eventIndex, int base) {
        this.size = size;
        descriptors = at[0];
        driverEvent = at[1];
        deviceEvent = at[2];
        this.guest = guest;
        this.eventIndex = eventIndex;
        addresses = new long[size][MAX_CHAIN];
        lengths = new int[size][MAX_CHAIN];
        pieces = new int[size];
        taken = new int[size];
        writable = new boolean[size];
        available = base & 0x7fff;
        availableWrap = (base & 0x8000) != 0;
        used = base >>> 16 & 0x7fff;
        usedWrap = base < 0;
    }

    private long descriptor(int position) {
        return descriptors + 16L * position;
    }

    private int flags(int position) {
        return (short) ORDERED.getAcquire(MEMORY, descriptor(position) + 14) & 0xffff;
    }

    private static boolean isAvailable(int flags, boolean wrap) {
        return (flags & 0x8080) == (wrap ? 0x80 : 0x8000);
    }

    @Override
    int pending() {
        int n = 0;
        int at = available;
        boolean wrap = availableWrap;
        for (int seen = 0; seen < size && isAvailable(flags(at), wrap); seen++) {
            n += (flags(at) & PackedRing.NEXT) == 0 ? 1 : 0;
            if (++at == size) {
                at = 0;
                wrap = !wrap;
            }
        }
        return n;
    }

    @Override
    int pop() {
        if (!isAvailable(flags(available), availableWrap)) {
            return -1;
        }
        int first = available;
        int last = first;
        int count = 1;
        while ((flags(last) & PackedRing.NEXT) != 0) {
            last = (last + 1) % size;
            count++;
        }
        int id = MEMORY.get(SHORT, descriptor(last) + 12) & 0xffff;
        if ((flags(first) & PackedRing.INDIRECT) != 0) {
            long table = guest.applyAsLong(MEMORY.get(LONG, descriptor(first)));
            read(id, table, MEMORY.get(INT, descriptor(first) + 8) / 16, 0, Integer.MAX_VALUE);
        } else {
            read(id, descriptors, count, first, size);
        }
        taken[id] = count;
        available += count;
        if (available >= size) {
            available -= size;
            availableWrap = !availableWrap;
        }
        return id;
    }

    private void read(int id, long table, int count, int first, int modulus) {
        pieces[id] = count;
        for (int i = 0; i < count; i++) {
            long at = table + 16L * ((first + i) % modulus);
            addresses[id][i] = guest.applyAsLong(MEMORY.get(LONG, at));
            lengths[id][i] = MEMORY.get(INT, at + 8);
            boolean write = (MEMORY.get(SHORT, at + 14) & PackedRing.WRITE) != 0;
            if (i > 0 && write != writable[id]) {
                throw new AssertionError("chain " + id + " is for both directions");
            }
            writable[id] = write;
        }
    }

    @Override
    int copy(int chain, byte[] bytes, int from, int count, boolean write) {
        if (writable[chain] != write) {
            throw new AssertionError("chain " + chain + " is for the other direction");
        }
        int done = 0;
        for (int i = 0; i < pieces[chain] && done < count; i++) {
            int n = Math.min(count - done, lengths[chain][i]);
            if (write) {
                MemorySegment.copy(bytes, from + done, MEMORY, ValueLayout.JAVA_BYTE, addresses[chain][i], n);
            } else {
                MemorySegment.copy(MEMORY, ValueLayout.JAVA_BYTE, addresses[chain][i], bytes, from + done, n);
            }
            done += n;
        }
        return done;
    }

    @Override
    long addressOf(int chain) {
        return addresses[chain][0];
    }

    @Override
    int chain(int chain) {
        return pieces[chain];
    }

    @Override
    void push(int chain, int length) {
        if (taken[chain] == 0) {
            throw new AssertionError("chain " + chain + " is not the device's");
        }
        int count = taken[chain];
        taken[chain] = 0;
        push(chain, length, writable[chain] && length != 0 ? PackedRing.WRITE : 0, count);
    }

    /** Writes a used descriptor with any values. */
    void push(int id, int length, int flags, int count) {
        MEMORY.set(INT, descriptor(used) + 8, length);
        MEMORY.set(SHORT, descriptor(used) + 12, (short) id);
        int f = flags | (usedWrap ? 0x8080 : 0);
        if (unpublished == 0) {
            unpublishedHead = used;
            unpublishedFlags = f;
        } else {
            MEMORY.set(SHORT, descriptor(used) + 14, (short) f);
        }
        unpublished += count;
        used += count;
        if (used >= size) {
            used -= size;
            usedWrap = !usedWrap;
        }
    }

    @Override
    boolean publish() {
        int moved = unpublished;
        if (moved == 0) {
            return false;
        }
        ORDERED.setRelease(MEMORY, descriptor(unpublishedHead) + 14, (short) unpublishedFlags);
        unpublished = 0;
        VarHandle.fullFence();
        int event = MEMORY.get(SHORT, driverEvent) & 0xffff;
        int flags = MEMORY.get(SHORT, driverEvent + 2);
        if (flags == PackedRing.AT_POSITION) {
            if (!eventIndex) {
                throw new AssertionError("the driver asks for a position without EVENT_IDX");
            }
            return PackedRing.passed(event, PackedRing.position(used, usedWrap), moved, size);
        }
        return flags == PackedRing.ENABLE;
    }

    @Override
    boolean armKicks() {
        if (eventIndex) {
            MEMORY.set(SHORT, deviceEvent, (short) PackedRing.position(available, availableWrap));
        }
        ORDERED.setRelease(MEMORY, deviceEvent + 2, (short) (eventIndex ? PackedRing.AT_POSITION : PackedRing.ENABLE));
        VarHandle.fullFence();
        return isAvailable(flags(available), availableWrap);
    }

    @Override
    void disarmKicks() {
        ORDERED.setOpaque(MEMORY, deviceEvent + 2, (short) PackedRing.DISABLE);
    }

    @Override
    int base() {
        return PackedRing.position(used, usedWrap) << 16 | PackedRing.position(available, availableWrap);
    }
}
