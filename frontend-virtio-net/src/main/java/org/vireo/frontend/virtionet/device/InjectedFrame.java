// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.device;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Objects;
import org.vireo.net.api.DropReason;
import org.vireo.net.api.FrameBatch;

/** One frame of our own, for an announcement (RARP). */
final class InjectedFrame implements FrameBatch, AutoCloseable {
    private final Arena arena = Arena.ofConfined();
    private final MemorySegment iovec = arena.allocate(16, 8);
    private final MemorySegment bytes;

    InjectedFrame(byte[] frame, int headerLength) {
        bytes = arena.allocate(headerLength + frame.length, 8);
        MemorySegment.copy(frame, 0, bytes, JAVA_BYTE, headerLength, frame.length);
        iovec.set(JAVA_LONG, 0, bytes.address());
        iovec.set(JAVA_LONG, 8, bytes.byteSize());
    }

    @Override
    public int size() {
        return 1;
    }

    @Override
    public int bytes(int frame) {
        Objects.checkIndex(frame, 1);
        return (int) bytes.byteSize();
    }

    @Override
    public long iovecs(int frame) {
        Objects.checkIndex(frame, 1);
        return iovec.address();
    }

    @Override
    public int iovecCount(int frame) {
        Objects.checkIndex(frame, 1);
        return 1;
    }

    @Override
    public void copyTo(int frame, long from, MemorySegment to, long at, int n) {
        MemorySegment.copy(bytes, from, to, at, n);
    }

    @Override
    public void taken(int frame) {
        Objects.checkIndex(frame, 1);
    }

    @Override
    public void drop(int frame, DropReason why) {
        Objects.checkIndex(frame, 1);
    }

    @Override
    public void close() {
        arena.close();
    }
}
