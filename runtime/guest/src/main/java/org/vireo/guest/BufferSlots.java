// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import java.io.DataInput;
import java.io.DataOutput;
import java.io.IOException;

/**
 * The buffers of a queue: slots, each one piece of guest memory, cut into descriptors as the {@link QueueLayout} says, with an indirect
 * table where those are used. Which slots are free is kept here. One thread; allocates nothing once made.
 */
final class BufferSlots {
    static final int NONE = -1;

    private final int[] pieces;
    private final int bufferBytes;
    private final boolean indirect;
    private final long[] buffers;
    private final long[] bufferGuests;
    private final long[] tables;
    private final long[] tableGuests;
    private final int[] free;
    private int freeCount;

    /**
     * Buffers in fresh memory, as many as fit into the ring.
     *
     * @param ram guest memory
     * @param layout sizes
     * @param indirect whether chains go into indirect tables
     */
    BufferSlots(GuestRam ram, QueueLayout layout, boolean indirect) {
        this.indirect = indirect;
        pieces = layout.pieces();
        bufferBytes = layout.bufferBytes();
        int chain = pieces.length + 1;
        int count = indirect ? layout.ringSize() : layout.ringSize() / chain;
        if (count == 0) {
            throw new IllegalArgumentException("a ring of " + layout.ringSize() + " has no room for chains of " + chain);
        }
        buffers = new long[count];
        bufferGuests = new long[count];
        tables = new long[count];
        tableGuests = new long[count];
        free = new int[count];
        for (int i = count - 1; i >= 0; i--) {
            bufferGuests[i] = ram.allocate(bufferBytes, 64);
            buffers[i] = ram.address(bufferGuests[i]);
            if (indirect) {
                tableGuests[i] = ram.allocate((long) SplitRing.DESCRIPTOR_BYTES * chain, 16);
                tables[i] = ram.address(tableGuests[i]);
            }
            free[freeCount++] = i;
        }
    }

    int count() {
        return free.length;
    }

    int bufferBytes() {
        return bufferBytes;
    }

    boolean indirect() {
        return indirect;
    }

    long buffer(int slot) {
        return buffers[slot];
    }

    long bufferGuest(int slot) {
        return bufferGuests[slot];
    }

    /** Address of an entry of a slot's indirect table. */
    long tableEntry(int slot, int entry) {
        return tables[slot] + (long) SplitRing.DESCRIPTOR_BYTES * entry;
    }

    long tableGuest(int slot) {
        return tableGuests[slot];
    }

    /** Bytes of a chain's descriptor. */
    int pieceBytes(int part, int left) {
        return part < pieces.length ? Math.min(pieces[part], left) : left;
    }

    /** A free slot, or {@link #NONE}. */
    int take() {
        return freeCount == 0 ? NONE : free[--freeCount];
    }

    void give(int slot) {
        free[freeCount++] = slot;
    }

    int freeCount() {
        return freeCount;
    }

    /** Which are free, for a driver that goes on with the same memory elsewhere. */
    void save(DataOutput to) throws IOException {
        DriverState.write(to, free);
        to.writeInt(freeCount);
    }

    void load(DataInput from) throws IOException {
        DriverState.read(from, free);
        freeCount = from.readInt();
    }
}
