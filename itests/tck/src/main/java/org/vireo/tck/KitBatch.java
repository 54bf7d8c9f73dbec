// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.vireo.net.api.DropReason;
import org.vireo.net.api.FrameBatch;
import org.vireo.net.api.FrameQueue;
import org.vireo.net.api.NetdevException;

/** Frames in native memory, in three pieces each. Checks what the backend reports, and spoils all addresses after each call. */
final class KitBatch implements FrameBatch {
    private static final int PIECES = 3;
    private static final int CUT = 7;
    private static final long SPOILT = 0x10;

    private final Arena arena = Arena.ofAuto();
    private final MemorySegment data;
    private final MemorySegment iovecs;
    private final int capacity;
    private final int stride;
    private final int header;
    private final int[] bytes;
    private int size;
    private int next;
    private int drops;
    private DropReason lastDrop;
    private boolean valid;

    KitBatch(int capacity, int largest, int header) {
        this.capacity = capacity;
        this.header = header;
        stride = (largest + header + 63) & ~63;
        data = arena.allocate((long) capacity * stride, 64);
        iovecs = arena.allocate((long) capacity * PIECES * 16, 16);
        bytes = new int[capacity];
    }

    KitBatch add(byte[] frame) {
        long at = (long) size * stride;
        data.asSlice(at, stride).fill((byte) 0);
        MemorySegment.copy(frame, 0, data, ValueLayout.JAVA_BYTE, at + header, frame.length);
        bytes[size++] = header + frame.length;
        return this;
    }

    boolean isFull() {
        return size == capacity;
    }

    void clear() {
        size = 0;
        next = 0;
    }

    int drops() {
        return drops;
    }

    DropReason lastDrop() {
        return lastDrop;
    }

    /** Transmits from a frame on: how many were taken. */
    int transmit(FrameQueue queue) throws NetdevException {
        next = 0;
        arm();
        try {
            int n = queue.transmit(this);
            if (n != next || n < 0 || n > size) {
                throw new AssertionError("transmit returned " + n + " of " + size + ", but reported " + next + " as taken or dropped");
            }
            return n;
        } finally {
            valid = false;
            for (int i = 0; i < size * PIECES; i++) {
                iovecs.set(ValueLayout.JAVA_LONG, i * 16L, SPOILT);
            }
        }
    }

    /** Forgets the first frames, which were taken. */
    void removeFirst(int n) {
        int rest = size - n;
        MemorySegment.copy(data, (long) n * stride, data, 0, (long) rest * stride);
        System.arraycopy(bytes, n, bytes, 0, rest);
        size = rest;
    }

    private void arm() {
        for (int i = 0; i < size; i++) {
            long at = data.address() + (long) i * stride;
            int first = Math.min(header + CUT, bytes[i]);
            entry(i, 0, at, header);
            entry(i, 1, at + header, first - header);
            entry(i, 2, at + first, bytes[i] - first);
        }
        valid = true;
    }

    private void entry(int frame, int piece, long address, long length) {
        long at = ((long) frame * PIECES + piece) * 16;
        iovecs.set(ValueLayout.JAVA_LONG, at, address);
        iovecs.set(ValueLayout.JAVA_LONG, at + 8, length);
    }

    private int check(int frame) {
        if (!valid || frame < 0 || frame >= size) {
            throw new AssertionError(valid ? "frame " + frame + " of " + size : "the batch is used after the call");
        }
        return frame;
    }

    @Override
    public int size() {
        return size;
    }

    @Override
    public int bytes(int frame) {
        return bytes[check(frame)];
    }

    @Override
    public long iovecs(int frame) {
        return iovecs.address() + (long) check(frame) * PIECES * 16;
    }

    @Override
    public int iovecCount(int frame) {
        check(frame);
        return PIECES;
    }

    @Override
    public void copyTo(int frame, long from, MemorySegment to, long at, int n) {
        if (from < 0 || n < 0 || from + n > bytes(frame)) {
            throw new IndexOutOfBoundsException("bytes " + from + " to " + (from + n) + " of frame " + frame + " with " + bytes[frame]);
        }
        MemorySegment.copy(data, (long) frame * stride + from, to, at, n);
    }

    @Override
    public void taken(int frame) {
        check(frame);
        if (frame < next) {
            throw new AssertionError("frame " + frame + " is reported as taken, but frame " + (next - 1) + " was before");
        }
        next = frame + 1;
    }

    @Override
    public void drop(int frame, DropReason why) {
        check(frame);
        if (frame < next || why == null) {
            throw new AssertionError("frame " + frame + " is dropped (" + why + "), but frame " + (next - 1) + " was taken before");
        }
        next = frame + 1;
        drops++;
        lastDrop = why;
    }
}
