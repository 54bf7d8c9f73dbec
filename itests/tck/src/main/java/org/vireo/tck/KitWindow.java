// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.vireo.net.api.DropReason;
import org.vireo.net.api.FrameQueue;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.ReceiveWindow;

/** Buffers in native memory, in two pieces each. Checks what the backend delivers, and spoils all addresses after each call. */
final class KitWindow implements ReceiveWindow {
    private static final int PIECES = 2;
    private static final long SPOILT = 0x10;

    private final Arena arena = Arena.ofAuto();
    private final MemorySegment data;
    private final MemorySegment iovecs;
    private final int capacity;
    private final int stride;
    private final int header;
    private final int[] bytes;
    private int next;
    private int lost;
    private boolean valid;

    KitWindow(int capacity, int largest, int header) {
        this.capacity = capacity;
        this.header = header;
        stride = (largest + header + 63) & ~63;
        data = arena.allocate((long) capacity * stride, 64);
        iovecs = arena.allocate(PIECES * 16, 16);
        bytes = new int[capacity];
    }

    /** Receives into the empty window: how many frames there are. */
    int receive(FrameQueue queue) throws NetdevException {
        next = 0;
        arm();
        valid = true;
        try {
            int n = queue.receive(this);
            if (n != next) {
                throw new AssertionError("receive returned " + n + ", but delivered " + next);
            }
            return n;
        } finally {
            valid = false;
            iovecs.set(ValueLayout.JAVA_LONG, 0, SPOILT);
            iovecs.set(ValueLayout.JAVA_LONG, 16, SPOILT);
        }
    }

    int capacity() {
        return capacity;
    }

    int lost() {
        return lost;
    }

    byte[] frame(int i) {
        return data.asSlice((long) i * stride + header, bytes[i] - header).toArray(ValueLayout.JAVA_BYTE);
    }

    private void arm() {
        if (next < capacity) {
            long at = data.address() + (long) next * stride;
            int first = header + KitFrame.HEAD / 2;
            entry(0, at, first);
            entry(1, at + first, stride - first);
        }
    }

    private void entry(int piece, long address, long length) {
        iovecs.set(ValueLayout.JAVA_LONG, piece * 16L, address);
        iovecs.set(ValueLayout.JAVA_LONG, piece * 16L + 8, length);
    }

    private void check() {
        if (!valid) {
            throw new AssertionError("the window is used after the call");
        }
    }

    @Override
    public long iovecs() {
        check();
        return iovecs.address();
    }

    @Override
    public int iovecCount() {
        check();
        return next < capacity ? PIECES : 0;
    }

    @Override
    public int room() {
        check();
        return next < capacity ? stride : 0;
    }

    @Override
    public boolean deliver(int n) {
        check();
        if (n < header) {
            throw new IllegalArgumentException("a frame of " + n + " bytes, less than the header's " + header);
        }
        if (next == capacity) {
            throw new IllegalStateException("a frame is delivered into a full window");
        }
        bytes[next++] = n;
        arm();
        return next < capacity;
    }

    @Override
    public boolean put(MemorySegment from, long at, int n) {
        check();
        if (next == capacity) {
            throw new IllegalStateException("a frame is put into a full window");
        }
        MemorySegment.copy(from, at, data, (long) next * stride, Math.min(n, stride));
        return deliver(n);
    }

    @Override
    public void lost(DropReason why) {
        check();
        lost++;
    }
}
