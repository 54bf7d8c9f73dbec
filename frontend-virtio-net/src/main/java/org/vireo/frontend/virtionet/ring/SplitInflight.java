// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.ring;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;
import static org.vireo.vhostuser.SplitInflightLayout.COUNTER;
import static org.vireo.vhostuser.SplitInflightLayout.ENTRY;
import static org.vireo.vhostuser.SplitInflightLayout.HEADER;
import static org.vireo.vhostuser.SplitInflightLayout.INFLIGHT;
import static org.vireo.vhostuser.SplitInflightLayout.LAST_BATCH_HEAD;
import static org.vireo.vhostuser.SplitInflightLayout.NEXT;
import static org.vireo.vhostuser.SplitInflightLayout.USED_INDEX;

import java.lang.foreign.MemorySegment;
import java.lang.invoke.VarHandle;
import java.util.Comparator;
import java.util.stream.IntStream;
import org.vireo.posix.linux.SharedMemory;
import org.vireo.vhostuser.SplitInflightLayout;

/**
 * What a split ring has taken and not given back, in memory that the VMM keeps (vhost-user, "Inflight I/O tracking"). Each step is a
 * store, in the specification's order, so that whoever is killed between any two of them leaves what a successor can go on from.
 *
 * <p>Positions are those of the available ring. Chains that a predecessor had taken, in an order of its own perhaps, stand at the first
 * positions from the used ring's index on: they are taken again before the available ring is looked at.
 */
final class SplitInflight {
    private static final MemorySegment MEMORY = SharedMemory.addressSpace();
    private static final VarHandle SHORT = JAVA_SHORT.varHandle();
    private static final VarHandle BYTE = JAVA_BYTE.varHandle();

    private final long at;
    private final int mask;
    /** Heads by position, as far as they are marked. */
    private final char[] heads;
    /** Next position to be marked. */
    private int marked;
    /** Of the chains that a predecessor had taken, those that are not given back; they come first. */
    private int inherited;
    private int last;
    private long counter;

    /**
     * Reads what a predecessor has left, and puts it right.
     *
     * @param name for messages
     * @param slot where it lies
     * @param size the ring's entries
     * @param used the used ring's index, which the driver sees
     */
    SplitInflight(String name, InflightSlot slot, int size, int used) throws MalformedRingException {
        at = slot.at();
        mask = size - 1;
        heads = new char[size];
        int entries = slot.written(name, size, SplitInflightLayout.bytes(slot.entries()));
        if (entries == 0) {
            for (int i = 0; i < slot.entries(); i++) {
                MEMORY.set(JAVA_LONG, entry(i), 0L);
                MEMORY.set(JAVA_LONG, entry(i) + COUNTER, 0L);
            }
            MEMORY.set(JAVA_SHORT, at + LAST_BATCH_HEAD, (short) 0);
            MEMORY.set(JAVA_SHORT, at + USED_INDEX, (short) used);
            slot.initialized();
        } else {
            finishBatch(name, entries, size, used);
            inherit(name, entries, size, used);
        }
        last = MEMORY.get(JAVA_SHORT, at + LAST_BATCH_HEAD) & 0xffff;
        marked = used + inherited & 0xffff;
    }

    private long entry(int i) {
        return at + HEADER + (long) ENTRY * i;
    }

    private boolean isMarked(int head) {
        return (byte) BYTE.getAcquire(MEMORY, entry(head) + INFLIGHT) == 1;
    }

    private void mark(int head, int value) {
        BYTE.setRelease(MEMORY, entry(head) + INFLIGHT, (byte) value);
    }

    private boolean anyMarked(int entries) {
        return IntStream.range(0, entries).anyMatch(this::isMarked);
    }

    /** The driver has seen the last batch, but its chains may still be marked. */
    private void finishBatch(String name, int entries, int size, int used) throws MalformedRingException {
        int then = MEMORY.get(JAVA_SHORT, at + USED_INDEX) & 0xffff;
        int batch = used - then & 0xffff;
        if (batch > size && anyMarked(entries)) {
            throw InflightSlot.wrong(name, "was written at used index " + then + ", which is not that of this ring: it is at " + used);
        }
        int head = MEMORY.get(JAVA_SHORT, at + LAST_BATCH_HEAD) & 0xffff;
        for (int i = 0; i < batch && batch <= size; i++) {
            if (head >= size) {
                throw InflightSlot.wrong(name, "says that descriptor " + head + " of " + size + " was given back");
            }
            mark(head, 0);
            head = MEMORY.get(JAVA_SHORT, entry(head) + NEXT) & 0xffff;
        }
        SHORT.setRelease(MEMORY, at + USED_INDEX, (short) used);
    }

    private void inherit(String name, int entries, int size, int used) throws MalformedRingException {
        int[] taken = IntStream.range(0, entries).filter(this::isMarked).toArray();
        if (taken.length == 0) {
            return;
        }
        if (taken[taken.length - 1] >= size) {
            throw InflightSlot.wrong(name, "says that descriptor " + taken[taken.length - 1] + " of " + size + " was taken");
        }
        long[] order = new long[entries];
        for (int head : taken) {
            order[head] = MEMORY.get(JAVA_LONG, entry(head) + COUNTER);
        }
        int[] sorted = IntStream.of(taken).boxed().sorted(Comparator.comparing(i -> order[i], Long::compareUnsigned))
                .mapToInt(Integer::intValue).toArray();
        for (int i = 0; i < sorted.length; i++) {
            heads[used + i & mask] = (char) sorted[i];
        }
        inherited = sorted.length;
        counter = order[sorted[sorted.length - 1]] + 1;
    }

    /** Chains that a predecessor had taken and that were not given back since. */
    int inherited() {
        return inherited;
    }

    /**
     * Takes a chain.
     *
     * @param position in order, or one that was taken before
     * @param next what the available ring has there
     * @return its head, marked if it is one
     */
    int take(int position, int next) {
        if (position != marked) {
            return heads[position & mask];
        }
        if (next <= mask) {
            heads[position & mask] = (char) next;
            MEMORY.set(JAVA_LONG, entry(next) + COUNTER, counter++);
            mark(next, 1);
            marked = position + 1 & 0xffff;
        }
        return next;
    }

    /**
     * Gives chains back, and shows the driver that.
     *
     * @param from position of the first
     * @param n how many
     * @param usedRing where the used elements are written already
     * @param used the used ring's index with them
     */
    void give(int from, int n, long usedRing, int used) {
        for (int i = 0; i < n; i++) {
            int head = heads[from + i & mask];
            MEMORY.set(JAVA_SHORT, entry(head) + NEXT, (short) last);
            SHORT.setRelease(MEMORY, at + LAST_BATCH_HEAD, (short) head);
            last = head;
        }
        SHORT.setRelease(MEMORY, usedRing + SplitRingLayout.INDEX, (short) used);
        for (int i = 0; i < n; i++) {
            mark(heads[from + i & mask], 0);
        }
        SHORT.setRelease(MEMORY, at + USED_INDEX, (short) used);
        inherited = Math.max(0, inherited - n);
    }

    /**
     * Undoes the taking of what was not given back. The last one first: a successor counts from the used ring's index. What was inherited
     * stays with the device, since the available ring does not say it any more.
     *
     * @param done the first position that was not given back
     */
    void rewind(int done) {
        int keep = done + inherited & 0xffff;
        while (marked != keep) {
            marked = marked - 1 & 0xffff;
            mark(heads[marked & mask], 0);
        }
    }
}
