// SPDX-License-Identifier: Apache-2.0
package org.vireo.vhostuser;

import java.io.File;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.Descriptors;
import org.vireo.posix.linux.EventFd;
import org.vireo.posix.linux.MessageSocket;
import org.vireo.posix.linux.UnixSockets;

/** Two connected sockets and a few descriptors to send. */
final class Pair implements AutoCloseable {
    static final Fds FDS = new Descriptors();

    final Fd near;
    final Fd far;
    final MessageChannel channel;
    private final MessageSocket raw;
    private final List<Fd> spare = new ArrayList<>();

    Pair(int descriptors) throws IOException {
        Fd[] two = UnixSockets.pair(FDS, 1, true, "test");
        near = two[0];
        far = two[1];
        channel = MessageChannel.of(near, FDS, "test");
        raw = new MessageSocket(far, FDS, "test");
        for (int i = 0; i < descriptors; i++) {
            spare.add(EventFd.create(FDS, "spare " + i));
        }
    }

    List<Fd> spare(int n) {
        return spare.subList(0, n);
    }

    /** Sends bytes as they are, in one go. */
    void write(MemorySegment bytes, long at, long count, int descriptors) throws IOException {
        try (Arena a = Arena.ofConfined()) {
            MemorySegment m = a.allocate(count, 8);
            MemorySegment.copy(bytes, at, m, 0, count);
            raw.sendAll(m, count, spare(descriptors));
        }
    }

    static MemorySegment message(int request, int flags, MemorySegment payload) {
        MemorySegment m = Wire.bytes(MessageHeader.BYTES + (int) payload.byteSize());
        MessageHeader.write(m, 0, request, flags, (int) payload.byteSize());
        MemorySegment.copy(payload, 0, m, MessageHeader.BYTES, payload.byteSize());
        return m;
    }

    void write(int request, MemorySegment payload, int descriptors) throws IOException {
        MemorySegment m = message(request, MessageHeader.VERSION, payload);
        write(m, 0, m.byteSize(), descriptors);
    }

    static int openDescriptors() {
        return new File("/proc/self/fd").list().length;
    }

    @Override
    public void close() {
        spare.forEach(Fd::close);
        near.close();
        far.close();
    }
}
