// SPDX-License-Identifier: Apache-2.0
package com.example.vireo.packet;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.time.Duration;
import java.util.Map;
import org.vireo.net.api.Fd;
import org.vireo.net.api.NetdevException;
import org.vireo.posix.Descriptors;
import org.vireo.posix.Errno;
import org.vireo.posix.Posix;
import org.vireo.posix.linux.Poll;

/** A packet socket of a test, for whole frames with the kernel's header before them. */
final class RawSocket implements AutoCloseable {
    private static final int HEADER = 10;
    private static final int MOST = 70_000;

    private final Fd fd;
    private final String name;
    private final MemorySegment buffer = Arena.ofAuto().allocate(MOST);

    RawSocket(String ifname) throws IOException {
        name = ifname;
        try {
            PacketOptions o = PacketOptions.parse("test", Map.of("ifname", ifname, "rcvbuf", "33554432"));
            fd = PacketSocket.create(o, new Descriptors(), 0);
            PacketSocket.prepare(fd, o);
            PacketSocket.bind(fd, PacketSocket.look(fd, o).index());
        } catch (NetdevException e) {
            throw new IOException(e);
        }
    }

    void send(byte[] frame) {
        send(new byte[HEADER], frame);
    }

    /** Sends a frame with a virtio-net header. */
    void send(byte[] header, byte[] frame) {
        MemorySegment.copy(header, 0, buffer, ValueLayout.JAVA_BYTE, 0, HEADER);
        MemorySegment.copy(frame, 0, buffer, ValueLayout.JAVA_BYTE, HEADER, frame.length);
        long n;
        do {
            n = Posix.write(fd.number(), buffer.address(), HEADER + frame.length);
        } while (n == -Errno.EAGAIN && Poll.writable(10_000, fd.number()) != 0);
        if (n != HEADER + frame.length) {
            throw new AssertionError("send to " + name + ": " + Errno.text((int) -n));
        }
    }

    /** A frame without header; null: none came. */
    byte[] take(Duration limit) {
        long n = Posix.read(fd.number(), buffer.address(), MOST);
        if (n == -Errno.EAGAIN && Poll.readable((int) limit.toMillis(), fd.number()) != 0) {
            n = Posix.read(fd.number(), buffer.address(), MOST);
        }
        if (n < 0 && n != -Errno.EAGAIN) {
            throw new AssertionError("read from " + name + ": " + Errno.text((int) -n));
        }
        return n < 0 ? null : buffer.asSlice(HEADER, n - HEADER).toArray(ValueLayout.JAVA_BYTE);
    }

    @Override
    public void close() {
        fd.close();
    }
}
