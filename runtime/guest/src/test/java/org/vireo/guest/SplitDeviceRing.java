// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import static org.vireo.guest.GuestRam.MEMORY;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.util.function.LongUnaryOperator;

/** The device's side of a split virtqueue (virtio 1.2, 2.7). */
final class SplitDeviceRing extends DeviceRing {
    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT;
    private static final VarHandle ORDERED = SHORT.varHandle();

    private final int size;
    private final long descriptors;
    private final long available;
    private final long used;
    private final LongUnaryOperator guest;
    private final boolean eventIndex;
    private int availableNext;
    int usedNext;
    private int usedPublished;

    SplitDeviceRing(int size, long[] addresses, LongUnaryOperator guest, boolean eventIndex, int base) {
        this.size = size;
        descriptors = addresses[0];
        available = addresses[1];
        used = addresses[2];
        this.guest = guest;
        this.eventIndex = eventIndex;
        availableNext = base;
        usedNext = MEMORY.get(SHORT, used + 2) & 0xffff;
        usedPublished = usedNext;
    }

    @Override
    int pending() {
        return ((short) ORDERED.getAcquire(MEMORY, available + 2) & 0xffff) - availableNext & 0xffff;
    }

    @Override
    int pop() {
        if (pending() == 0) {
            return -1;
        }
        int head = MEMORY.get(SHORT, available + 4 + 2L * (availableNext & size - 1)) & 0xffff;
        availableNext = availableNext + 1 & 0xffff;
        return head;
    }

    @Override
    int copy(int head, byte[] bytes, int from, int count, boolean write) {
        long table = descriptors;
        int i = head;
        if ((flags(table, i) & SplitRing.INDIRECT) != 0) {
            table = guest.applyAsLong(MEMORY.get(ValueLayout.JAVA_LONG, table + 16L * i));
            i = 0;
        }
        int done = 0;
        while (true) {
            if ((flags(table, i) & SplitRing.WRITE) != 0 != write) {
                throw new AssertionError("descriptor " + i + " is for the other direction");
            }
            int n = Math.min(count - done, MEMORY.get(ValueLayout.JAVA_INT, table + 16L * i + 8));
            long at = guest.applyAsLong(MEMORY.get(ValueLayout.JAVA_LONG, table + 16L * i));
            if (write) {
                MemorySegment.copy(bytes, from + done, MEMORY, ValueLayout.JAVA_BYTE, at, n);
            } else {
                MemorySegment.copy(MEMORY, ValueLayout.JAVA_BYTE, at, bytes, from + done, n);
            }
            done += n;
            if ((flags(table, i) & SplitRing.NEXT) == 0 || done == count) {
                return done;
            }
            i = MEMORY.get(SHORT, table + 16L * i + 14) & 0xffff;
        }
    }

    @Override
    long addressOf(int head) {
        long table = descriptors;
        int i = head;
        if ((flags(table, i) & SplitRing.INDIRECT) != 0) {
            table = guest.applyAsLong(MEMORY.get(ValueLayout.JAVA_LONG, table + 16L * i));
            i = 0;
        }
        return guest.applyAsLong(MEMORY.get(ValueLayout.JAVA_LONG, table + 16L * i));
    }

    @Override
    int chain(int head) {
        if ((flags(descriptors, head) & SplitRing.INDIRECT) != 0) {
            return MEMORY.get(ValueLayout.JAVA_INT, descriptors + 16L * head + 8) / 16;
        }
        int n = 1;
        for (int i = head; (flags(descriptors, i) & SplitRing.NEXT) != 0; n++) {
            i = MEMORY.get(SHORT, descriptors + 16L * i + 14) & 0xffff;
        }
        return n;
    }

    private static int flags(long table, int i) {
        return MEMORY.get(SHORT, table + 16L * i + 12);
    }

    @Override
    void push(int id, int length) {
        long e = used + 4 + 8L * (usedNext & size - 1);
        MEMORY.set(ValueLayout.JAVA_INT, e, id);
        MEMORY.set(ValueLayout.JAVA_INT, e + 4, length);
        usedNext = usedNext + 1 & 0xffff;
    }

    @Override
    boolean publish() {
        if (usedPublished == usedNext) {
            return false;
        }
        int before = usedPublished;
        ORDERED.setRelease(MEMORY, used + 2, (short) usedNext);
        usedPublished = usedNext;
        VarHandle.fullFence();
        if (eventIndex) {
            return SplitRing.passed((short) ORDERED.getOpaque(MEMORY, available + 4 + 2L * size) & 0xffff, usedNext, before);
        }
        return (MEMORY.get(SHORT, available) & 1) == 0;
    }

    @Override
    boolean armKicks() {
        if (eventIndex) {
            ORDERED.setOpaque(MEMORY, used + 4 + 8L * size, (short) availableNext);
        } else {
            MEMORY.set(SHORT, used, (short) 0);
        }
        VarHandle.fullFence();
        return pending() > 0;
    }

    @Override
    void disarmKicks() {
        if (eventIndex) {
            ORDERED.setOpaque(MEMORY, used + 4 + 8L * size, (short) (availableNext + 0x8000));
        } else {
            MEMORY.set(SHORT, used, (short) 1);
        }
    }

    @Override
    int base() {
        return availableNext;
    }
}
