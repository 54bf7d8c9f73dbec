// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.vireo.net.api.DropReason;
import org.vireo.net.api.FrameBatch;
import org.vireo.net.api.FrameQueue;
import org.vireo.net.api.NetdevException;

/** Frames in native memory, in three pieces each, at other addresses in each call. Checks what the backend reports. */
final class KitBatch implements FrameBatch {
    private static final int PIECES = 3;
    private static final int CUT = 7;

    private final KitMemory memory = KitMemory.ONE;
    private final byte[][] frames;
    private final int stride;
    private final int header;
    private int size;
    private int next;
    private int drops;
    private DropReason lastDrop;
    private Thread user;
    private AssertionError misuse;
    private long dataAt;
    private long entryAt;
    private long allocated;
    private long longestNanos;

    KitBatch(int capacity, int largest, int header) {
        this.header = header;
        stride = largest + KitMemory.HEADER + KitMemory.UNIT - 1 & -KitMemory.UNIT;
        frames = new byte[capacity][];
    }

    KitBatch add(byte[] frame) {
        frames[size++] = frame;
        return this;
    }

    boolean isFull() {
        return size == frames.length;
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

    /** Bytes that all calls so far have allocated. */
    long allocated() {
        return allocated;
    }

    /** Duration of the longest call. */
    long longestNanos() {
        return longestNanos;
    }

    /** Transmits all frames: how many were taken. */
    int transmit(FrameQueue queue) throws NetdevException {
        return KitWorker.call(() -> onWorker(queue));
    }

    private int onWorker(FrameQueue queue) throws NetdevException {
        next = 0;
        misuse = null;
        place();
        user = Thread.currentThread();
        try {
            long allocatedBefore = KitThreads.allocated();
            long begin = System.nanoTime();
            int n = queue.transmit(this);
            longestNanos = Math.max(longestNanos, System.nanoTime() - begin);
            allocated += KitThreads.allocated() - allocatedBefore;
            if (misuse != null) {
                throw misuse;
            }
            if (n != next || n < 0 || n > size) {
                throw new AssertionError("transmit returned " + n + " of " + size + ", but reported " + next + " as taken or dropped");
            }
            return n;
        } finally {
            user = null;
            memory.spoil(dataAt, (long) size * stride, entryAt, size * PIECES);
        }
    }

    private void place() {
        dataAt = memory.lendData((long) size * stride);
        entryAt = memory.lendEntries(size * PIECES);
        MemorySegment data = memory.data();
        for (int i = 0; i < size; i++) {
            long frameAt = dataAt + (long) i * stride + KitMemory.HEADER;
            long at = frameAt - header;
            data.asSlice(at, header).fill((byte) 0);
            MemorySegment.copy(frames[i], 0, data, ValueLayout.JAVA_BYTE, frameAt, frames[i].length);
            int first = Math.min(header + CUT, bytes(i));
            entry(i, 0, at, header);
            entry(i, 1, at + header, first - header);
            entry(i, 2, at + first, bytes(i) - first);
        }
    }

    private void entry(int frame, int piece, long at, long length) {
        memory.entry(entryAt + ((long) frame * PIECES + piece) * 16, memory.data().address() + at, length);
    }

    /** Forgets the first frames, which were taken. */
    void removeFirst(int n) {
        System.arraycopy(frames, n, frames, 0, size - n);
        size -= n;
    }

    private AssertionError misused(String how) {
        misuse = new AssertionError(how);
        return misuse;
    }

    private int check(int frame) {
        if (Thread.currentThread() != user) {
            throw misused(user == null ? "the batch is used after the call" : "the batch is used on another thread than the call's");
        }
        if (frame < 0 || frame >= size) {
            throw misused("frame " + frame + " of " + size);
        }
        return frame;
    }

    @Override
    public int size() {
        return size;
    }

    @Override
    public int bytes(int frame) {
        return header + frames[frame].length;
    }

    @Override
    public long iovecs(int frame) {
        return memory.iovecs().address() + entryAt + (long) check(frame) * PIECES * 16;
    }

    @Override
    public int iovecCount(int frame) {
        check(frame);
        return PIECES;
    }

    @Override
    public void copyTo(int frame, long from, MemorySegment to, long at, int n) {
        if (from < 0 || n < 0 || from + n > bytes(check(frame))) {
            throw new IndexOutOfBoundsException("bytes " + from + " to " + (from + n) + " of frame " + frame + " with " + bytes(frame));
        }
        MemorySegment.copy(memory.data(), dataAt + (long) frame * stride + KitMemory.HEADER - header + from, to, at, n);
    }

    @Override
    public void taken(int frame) {
        check(frame);
        if (frame < next) {
            throw misused("frame " + frame + " is reported as taken, but frame " + (next - 1) + " was before");
        }
        next = frame + 1;
    }

    @Override
    public void drop(int frame, DropReason why) {
        check(frame);
        if (frame < next || why == null) {
            throw misused("frame " + frame + " is dropped (" + why + "), but frame " + (next - 1) + " was taken before");
        }
        next = frame + 1;
        drops++;
        lastDrop = why;
    }
}
