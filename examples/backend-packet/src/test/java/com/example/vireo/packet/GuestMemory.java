// SPDX-License-Identifier: Apache-2.0
package com.example.vireo.packet;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.vireo.net.api.DropReason;
import org.vireo.net.api.FrameBatch;
import org.vireo.net.api.ReceiveWindow;

/** One frame's memory of a guest, in pieces of a few bytes: to transmit from, or to receive into. */
final class GuestMemory implements FrameBatch, ReceiveWindow {
    private final MemorySegment data;
    private final MemorySegment iovecs;
    private final int pieces;
    private int bytes;
    private final List<DropReason> dropped = new ArrayList<>();
    private byte[] received;

    /** Memory of so many bytes, each piece as long as said, the last one longer. */
    GuestMemory(int room, int pieces, int pieceBytes) {
        data = Arena.ofAuto().allocate(room, 8);
        iovecs = Arena.ofAuto().allocate(16L * pieces, 8);
        this.pieces = pieces;
        for (int i = 0; i < pieces; i++) {
            iovecs.set(ValueLayout.JAVA_LONG, 16L * i, data.address() + (long) i * pieceBytes);
            iovecs.set(ValueLayout.JAVA_LONG, 16L * i + 8, i < pieces - 1 ? pieceBytes : room - (pieces - 1L) * pieceBytes);
        }
    }

    /** A frame to transmit that fills the memory. */
    GuestMemory holding(byte[] header, byte[] frame) {
        MemorySegment.copy(header, 0, data, ValueLayout.JAVA_BYTE, 0, header.length);
        MemorySegment.copy(frame, 0, data, ValueLayout.JAVA_BYTE, header.length, frame.length);
        bytes = header.length + frame.length;
        return this;
    }

    List<DropReason> dropped() {
        return dropped;
    }

    /** The frame that was received, with its header, or null. */
    byte[] received() {
        return received;
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
        return iovecs.address();
    }

    @Override
    public int iovecCount(int frame) {
        return pieces;
    }

    @Override
    public void copyTo(int frame, long from, MemorySegment to, long at, int n) {
        MemorySegment.copy(data, from, to, at, n);
    }

    @Override
    public void taken(int frame) {
        // counted by nobody here
    }

    @Override
    public void drop(int frame, DropReason why) {
        dropped.add(why);
    }

    @Override
    public long iovecs() {
        return iovecs.address();
    }

    @Override
    public int iovecCount() {
        return received == null ? pieces : 0;
    }

    @Override
    public int room() {
        return (int) data.byteSize();
    }

    @Override
    public boolean deliver(int n) {
        if (n > room()) {
            lost(DropReason.TOO_LONG);
            return true;
        }
        received = Arrays.copyOf(data.toArray(ValueLayout.JAVA_BYTE), n);
        return false;
    }

    @Override
    public boolean put(MemorySegment from, long at, int n) {
        MemorySegment.copy(from, at, data, 0, Math.min(n, room()));
        return deliver(n);
    }

    @Override
    public void lost(DropReason why) {
        dropped.add(why);
    }
}
