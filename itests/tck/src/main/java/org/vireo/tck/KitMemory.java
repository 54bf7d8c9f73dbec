// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * The memory that backends are shown. Each call gets another piece of it, and when the call has ended the piece is spoilt: its
 * {@code struct iovec}s point nowhere (a system call that is given one fails with EFAULT), and in the place of each frame there is one that
 * {@link KitFrame#isSpoilt} knows. So an address that a backend keeps and reads through later brings such a frame to the network, and one
 * that it writes through later changes what was spoilt. Nothing is ever unmapped: a backend that breaks the rule must not take the kit's
 * process with it. Used by the kit's worker only, except for {@link #isTouched} and {@link #forget}, which are called while it is idle.
 */
final class KitMemory {
    static final KitMemory ONE = new KitMemory();
    /** A frame begins at a multiple of this, plus {@link #HEADER}. */
    static final int UNIT = 64;
    /** Room for the longest header in front of a frame. */
    static final int HEADER = 12;
    private static final int ENTRY = 16;
    private static final long BYTES = 16 << 20;
    private static final long ENTRY_BYTES = 1 << 20;
    private static final long NOWHERE = 0x10;

    private final MemorySegment data = Arena.global().allocate(BYTES, 4096);
    private final MemorySegment spoiltData = Arena.global().allocate(BYTES, 4096);
    private final MemorySegment iovecs = Arena.global().allocate(ENTRY_BYTES, 4096);
    private final MemorySegment spoiltIovecs = Arena.global().allocate(ENTRY_BYTES, 4096);
    private long nextData;
    private long nextEntry;
    private boolean touched;

    private KitMemory() {
        byte[] unit = new byte[UNIT];
        System.arraycopy(KitFrame.spoilt(UNIT - HEADER), 0, unit, HEADER, UNIT - HEADER);
        for (long at = 0; at < BYTES; at += UNIT) {
            MemorySegment.copy(unit, 0, spoiltData, ValueLayout.JAVA_BYTE, at, UNIT);
        }
        for (long at = 0; at < ENTRY_BYTES; at += ENTRY) {
            spoiltIovecs.set(ValueLayout.JAVA_LONG, at, NOWHERE);
            spoiltIovecs.set(ValueLayout.JAVA_LONG, at + 8, UNIT);
        }
        forget();
    }

    MemorySegment data() {
        return data;
    }

    MemorySegment iovecs() {
        return iovecs;
    }

    /** Lends a piece for frames: its offset. */
    long lendData(long bytes) {
        long rounded = bytes + UNIT - 1 & -UNIT;
        if (rounded > BYTES / 2) {
            throw new IllegalArgumentException(bytes + " bytes of frames in one call");
        }
        long at = nextData + rounded > BYTES ? 0 : nextData;
        nextData = at + rounded;
        touched |= MemorySegment.mismatch(data, at, at + rounded, spoiltData, at, at + rounded) >= 0;
        return at;
    }

    /** Lends a piece for {@code struct iovec}s: its offset. */
    long lendEntries(int n) {
        long bytes = (long) n * ENTRY;
        long at = nextEntry + bytes > ENTRY_BYTES ? 0 : nextEntry;
        nextEntry = at + bytes;
        touched |= MemorySegment.mismatch(iovecs, at, at + bytes, spoiltIovecs, at, at + bytes) >= 0;
        return at;
    }

    void entry(long at, long address, long length) {
        iovecs.set(ValueLayout.JAVA_LONG, at, address);
        iovecs.set(ValueLayout.JAVA_LONG, at + 8, length);
    }

    /** The call has ended. */
    void spoil(long dataAt, long bytes, long entryAt, int entries) {
        long rounded = bytes + UNIT - 1 & -UNIT;
        MemorySegment.copy(spoiltData, dataAt, data, dataAt, rounded);
        MemorySegment.copy(spoiltIovecs, entryAt, iovecs, entryAt, (long) entries * ENTRY);
    }

    /** Whether somebody wrote to a piece after its call had ended. */
    boolean isTouched() {
        return touched || data.mismatch(spoiltData) >= 0 || iovecs.mismatch(spoiltIovecs) >= 0;
    }

    /** Begins anew: what an earlier backend did is forgotten. */
    void forget() {
        data.copyFrom(spoiltData);
        iovecs.copyFrom(spoiltIovecs);
        touched = false;
    }
}
