// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.vireo.net.api.DropReason;
import org.vireo.net.api.FrameQueue;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.ReceiveWindow;

/** Buffers in native memory, in two pieces each, at other addresses in each call. Checks what the backend delivers. */
final class KitWindow implements ReceiveWindow {
    private static final int PIECES = 2;

    private final KitMemory memory = KitMemory.ONE;
    private final byte[][] frames;
    private final int stride;
    private final int header;
    private final int[] bytes;
    private int next;
    private int lost;
    private Thread user;
    private RuntimeException misuse;
    private long dataAt;
    private long entryAt;
    private long allocated;
    private long longestNanos;

    KitWindow(int capacity, int largest, int header) {
        this.header = header;
        stride = largest + KitMemory.HEADER + KitMemory.UNIT - 1 & -KitMemory.UNIT;
        bytes = new int[capacity];
        frames = new byte[capacity][];
    }

    /** Receives into the empty window: how many frames there are. */
    int receive(FrameQueue queue) throws NetdevException {
        return KitWorker.call(() -> onWorker(queue));
    }

    private int onWorker(FrameQueue queue) throws NetdevException {
        next = 0;
        misuse = null;
        dataAt = memory.lendData((long) capacity() * stride);
        entryAt = memory.lendEntries(PIECES);
        arm();
        user = Thread.currentThread();
        try {
            long allocatedBefore = KitThreads.allocated();
            long begin = System.nanoTime();
            int n = queue.receive(this);
            longestNanos = Math.max(longestNanos, System.nanoTime() - begin);
            allocated += KitThreads.allocated() - allocatedBefore;
            if (misuse != null) {
                throw misuse;
            }
            if (n != next) {
                throw new AssertionError("receive returned " + n + ", but delivered " + next);
            }
            for (int i = 0; i < n; i++) {
                frames[i] = bytes[i] > room(i) ? new byte[0]
                        : memory.data().asSlice(at(i) + header, bytes[i] - header).toArray(ValueLayout.JAVA_BYTE);
            }
            return n;
        } finally {
            user = null;
            memory.spoil(dataAt, (long) capacity() * stride, entryAt, PIECES);
        }
    }

    int capacity() {
        return bytes.length;
    }

    int lost() {
        return lost;
    }

    /** Bytes that all calls so far have allocated. */
    long allocated() {
        return allocated;
    }

    /** Duration of the longest call. */
    long longestNanos() {
        return longestNanos;
    }

    /** A frame of the last call, without header. */
    byte[] frame(int i) {
        return frames[i];
    }

    private long at(int frame) {
        return dataAt + (long) frame * stride + KitMemory.HEADER - header;
    }

    private int room(int frame) {
        return frame < capacity() ? stride - KitMemory.HEADER + header : 0;
    }

    private void arm() {
        if (next < capacity()) {
            long address = memory.data().address() + at(next);
            int first = header + KitFrame.HEAD / 2;
            memory.entry(entryAt, address, first);
            memory.entry(entryAt + 16, address + first, room(next) - first);
        }
    }

    private RuntimeException misused(RuntimeException how) {
        misuse = how;
        return how;
    }

    private void check() {
        if (Thread.currentThread() != user) {
            throw misused(new IllegalStateException(
                    user == null ? "the window is used after the call" : "the window is used on another thread than the call's"));
        }
    }

    @Override
    public long iovecs() {
        check();
        return memory.iovecs().address() + entryAt;
    }

    @Override
    public int iovecCount() {
        check();
        return next < capacity() ? PIECES : 0;
    }

    @Override
    public int room() {
        check();
        return room(next);
    }

    @Override
    public boolean deliver(int n) {
        check();
        if (n < header) {
            throw misused(new IllegalArgumentException("a frame of " + n + " bytes, less than the header's " + header));
        }
        if (next == capacity()) {
            throw misused(new IllegalStateException("a frame is delivered into a full window"));
        }
        bytes[next++] = n;
        arm();
        return next < capacity();
    }

    @Override
    public boolean put(MemorySegment from, long at, int n) {
        check();
        if (next == capacity()) {
            throw misused(new IllegalStateException("a frame is put into a full window"));
        }
        MemorySegment.copy(from, at, memory.data(), at(next), Math.min(n, room(next)));
        return deliver(n);
    }

    @Override
    public void lost(DropReason why) {
        check();
        lost++;
    }
}
