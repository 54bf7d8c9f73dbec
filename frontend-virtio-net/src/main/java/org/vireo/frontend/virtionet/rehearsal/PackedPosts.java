// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.rehearsal;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.lang.foreign.MemorySegment;
import java.lang.invoke.VarHandle;
import org.vireo.frontend.virtionet.ring.PackedRingLayout;
import org.vireo.posix.linux.SharedMemory;

/**
 * What a {@link RehearsalDriver} writes into packed rings. It begins where an empty journal says, with a wrap counter of 0. Of four
 * descriptors to transmit two are a chain, and two are tables with one and with two buffers; without tables they are buffers.
 */
final class PackedPosts {
    private static final int SIZE = RehearsalDriver.SIZE;
    private static final MemorySegment MEMORY = SharedMemory.addressSpace();
    private static final VarHandle SHORT = JAVA_SHORT.varHandle();

    private final boolean indirect;
    private final long frame;
    private final long base;
    private final long tables;
    private final int[] next = new int[2];
    private final int[] used = new int[2];
    private final int[] outstanding = new int[2];

    /**
     * Posts into memory whose guest addresses begin with 0.
     *
     * @param indirect whether tables may be used
     * @param frame guest address of what is transmitted
     * @param base where guest address 0 is mapped
     * @param tables guest address of room for tables, 32 bytes a descriptor
     */
    PackedPosts(boolean indirect, long frame, long base, long tables) {
        this.indirect = indirect;
        this.frame = frame;
        this.base = base;
        this.tables = tables;
    }

    void receive(long ring, long buffers, long bufferBytes, int bytes) {
        int i = next[0] & PackedRingLayout.INDEX;
        flags(ring, descriptor(0, ring, buffers + i * bufferBytes, bytes, i), PackedRingLayout.WRITE);
    }

    void transmit(long ring, int bytes) {
        int i = next[1] & PackedRingLayout.INDEX;
        if (i % 4 == 0) {
            int head = descriptor(1, ring, frame, 12, i);
            descriptor(1, ring, frame, bytes, i);
            // the second one's flags first, since the head shows both
            flags(ring, PackedRingLayout.advance(head, 1, SIZE), 0);
            flags(ring, head, PackedRingLayout.NEXT);
        } else if (indirect) {
            int entries = i % 4 - 1;
            long table = tables + 32L * i;
            for (int k = 0; k < entries; k++) {
                long e = base + table + (long) k * PackedRingLayout.DESCRIPTOR;
                MEMORY.set(JAVA_LONG, e, frame);
                MEMORY.set(JAVA_LONG, e + PackedRingLayout.DESCRIPTOR_WORD, k == 0 && entries == 2 ? 12L : bytes);
            }
            flags(ring, descriptor(1, ring, table, entries * PackedRingLayout.DESCRIPTOR, i), PackedRingLayout.INDIRECT);
        } else {
            flags(ring, descriptor(1, ring, frame, bytes, i), 0);
        }
    }

    /** Writes a descriptor but for its flags; its position. */
    private int descriptor(int q, long ring, long address, int bytes, int id) {
        int position = next[q];
        long d = at(ring, position);
        MEMORY.set(JAVA_LONG, d, address);
        MEMORY.set(JAVA_INT, d + PackedRingLayout.DESCRIPTOR_WORD, bytes);
        MEMORY.set(JAVA_SHORT, d + PackedRingLayout.DESCRIPTOR_WORD + 4, (short) id);
        next[q] = PackedRingLayout.advance(position, 1, SIZE);
        outstanding[q]++;
        return position;
    }

    private static void flags(long ring, int position, int flags) {
        boolean wrap = (position & PackedRingLayout.WRAP) != 0;
        SHORT.setRelease(MEMORY, at(ring, position) + PackedRingLayout.DESCRIPTOR_FLAGS,
                (short) (flags | (wrap ? PackedRingLayout.AVAILABLE : PackedRingLayout.USED)));
    }

    private static long at(long ring, int position) {
        return ring + (long) PackedRingLayout.DESCRIPTOR * (position & PackedRingLayout.INDEX);
    }

    /** Chains that came back since the last look. */
    int reclaim(int q, long ring) {
        int n = 0;
        while (outstanding[q] > 0 && PackedRingLayout.isUsed(
                (short) SHORT.getAcquire(MEMORY, at(ring, used[q]) + PackedRingLayout.DESCRIPTOR_FLAGS), used[q])) {
            int descriptors = q == 1 && used[q] % 4 == 0 ? 2 : 1;
            used[q] = PackedRingLayout.advance(used[q], descriptors, SIZE);
            outstanding[q] -= descriptors;
            n++;
        }
        return n;
    }

    /** Chains that may be posted, at least. */
    int free(int q) {
        return (SIZE - outstanding[q]) / 2;
    }
}
