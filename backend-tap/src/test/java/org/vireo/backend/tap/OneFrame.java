// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.tap;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.vireo.net.api.DropReason;
import org.vireo.net.api.Fds;
import org.vireo.net.api.FrameBatch;
import org.vireo.net.api.FramePort;
import org.vireo.net.api.FrameQueue;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.OpenContext;
import org.vireo.net.api.PortListener;
import org.vireo.net.api.PortProfile;
import org.vireo.net.api.ReceiveWindow;
import org.vireo.posix.Descriptors;

/** Moves one frame, for tests about what becomes of it. */
final class OneFrame implements FrameBatch, ReceiveWindow {
    private static final int ROOM = 2048;

    private final MemorySegment data = Arena.ofAuto().allocate(ROOM + 16, 16);
    private final int bytes;
    private int sent;
    private DropReason dropped;
    private boolean full;

    private OneFrame(int bytes) {
        this.bytes = bytes;
        data.set(ValueLayout.JAVA_LONG, ROOM, data.address());
        data.set(ValueLayout.JAVA_LONG, ROOM + 8, bytes);
    }

    static OneFrame transmit(FramePort p, int frameBytes) throws NetdevException {
        return transmit(p.queue(0), p.profile().headerLengths().contains(12) ? 12 : 0, frameBytes);
    }

    static OneFrame transmit(FrameQueue q, int header, int frameBytes) throws NetdevException {
        OneFrame f = new OneFrame(header + frameBytes);
        f.data.asSlice(header, frameBytes).fill((byte) 2);
        q.transmit(f);
        return f;
    }

    static OneFrame receive(FramePort p) throws NetdevException {
        OneFrame f = new OneFrame(ROOM);
        p.queue(0).receive(f);
        return f;
    }

    int sent() {
        return sent;
    }

    DropReason dropped() {
        return dropped;
    }

    @Override
    public int size() {
        return 1;
    }

    @Override
    public int bytes(int frame) {
        return bytes;
    }

    @Override
    public long iovecs(int frame) {
        return data.address() + ROOM;
    }

    @Override
    public int iovecCount(int frame) {
        return 1;
    }

    @Override
    public void copyTo(int frame, long from, MemorySegment to, long at, int n) {
        MemorySegment.copy(data, from, to, at, n);
    }

    @Override
    public void taken(int frame) {
        sent++;
    }

    @Override
    public void drop(int frame, DropReason why) {
        dropped = why;
    }

    @Override
    public long iovecs() {
        return iovecs(0);
    }

    @Override
    public int iovecCount() {
        return full ? 0 : 1;
    }

    @Override
    public int room() {
        return full ? 0 : ROOM;
    }

    @Override
    public boolean deliver(int n) {
        full = true;
        return false;
    }

    @Override
    public boolean put(MemorySegment from, long at, int n) {
        return deliver(n);
    }

    @Override
    public void lost(DropReason why) {
        dropped = why;
    }

    /** Lends a port what it needs. */
    record Context(int pairs, long deadlineNanos, boolean rehearsal, List<String> news,
            List<String> reasons) implements OpenContext, PortListener {
        private static final Fds FDS = new Descriptors();

        Context(int pairs) {
            this(pairs, System.nanoTime() + 20_000_000_000L, false);
        }

        Context(int pairs, long deadlineNanos, boolean rehearsal) {
            this(pairs, deadlineNanos, rehearsal, new CopyOnWriteArrayList<>(), new CopyOnWriteArrayList<>());
        }

        @Override
        public Fds fds() {
            return FDS;
        }

        @Override
        public PortListener listener() {
            return this;
        }

        @Override
        public void link(boolean up) {
            news.add(up ? "up" : "down");
        }

        @Override
        public void linkDown(String why) {
            reasons.add(why);
            link(false);
        }

        /** Why the link went down last. */
        String down() {
            return reasons.getLast();
        }

        @Override
        public void profile(PortProfile now) {
            // a TAP stays what it is
        }

        @Override
        public void stateChanged() {
            throw new AssertionError("a TAP's state changes by apply only");
        }

        @Override
        public void failed(Exception why) {
            news.add("failed: " + why.getMessage());
        }
    }
}
