// SPDX-License-Identifier: Apache-2.0
package org.vireo.posix;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vireo.net.api.Fd;

/** Sockets of a backend: bound and connected by address, messages, options. */
class SocketsTest {
    private static final int SOL_SOCKET = 1;
    private static final int SO_TYPE = 3;
    private static final int SO_RCVBUF = 8;
    private static final int MSG_TRUNC = 0x20;
    private static final int SOCKADDR_UN_BYTES = 110;
    private static final int MSGHDR_BYTES = 56;

    @TempDir
    private Path folder;
    private final Descriptors fds = new Descriptors();

    private Fd socket() throws IOException {
        return fds.adopt(Posix.check(Posix.socket(Posix.AF_UNIX, Posix.SOCK_DGRAM | Posix.SOCK_NONBLOCK, 0), "socket"), "test");
    }

    private static MemorySegment address(Arena a, Path path) {
        MemorySegment m = a.allocate(SOCKADDR_UN_BYTES, 2);
        m.set(ValueLayout.JAVA_SHORT, 0, (short) Posix.AF_UNIX);
        m.setString(2, path.toString());
        return m;
    }

    @Test
    void connectTellsWhyAndTheNextAttemptIsGood() throws Exception {
        try (Arena a = Arena.ofConfined(); Fd one = socket(); Fd other = socket(); Fd third = socket()) {
            MemorySegment address = address(a, folder.resolve("s"));
            assertEquals(-Errno.ENOENT, Posix.connect(one.number(), address));
            assertEquals(-Errno.ENOTCONN, Posix.write(one.number(), address.address(), 1));
            assertEquals(0, Posix.bind(other.number(), address));
            assertEquals(-Errno.EADDRINUSE, Posix.bind(third.number(), address));
            assertEquals(0, Posix.connect(one.number(), address));
            assertEquals(7, Posix.write(one.number(), address.address(), 7));
        }
    }

    @Test
    void recvmsgTellsTheWholeLengthOfWhatItCutOff() throws Exception {
        try (Arena a = Arena.ofConfined(); Fd one = socket(); Fd other = socket()) {
            MemorySegment address = address(a, folder.resolve("s"));
            assertEquals(0, Posix.bind(other.number(), address));
            assertEquals(0, Posix.connect(one.number(), address));
            MemorySegment data = a.allocate(100);
            data.set(ValueLayout.JAVA_BYTE, 5, (byte) 77);
            assertEquals(100, Posix.write(one.number(), data.address(), 100));
            MemorySegment to = a.allocate(8);
            MemorySegment iovec = a.allocate(16, 8);
            iovec.set(ValueLayout.JAVA_LONG, 0, to.address());
            iovec.set(ValueLayout.JAVA_LONG, 8, to.byteSize());
            MemorySegment message = a.allocate(MSGHDR_BYTES, 8);
            message.set(ValueLayout.JAVA_LONG, 16, iovec.address());
            message.set(ValueLayout.JAVA_LONG, 24, 1);
            assertEquals(100, Posix.recvmsg(other.number(), message.address(), MSG_TRUNC));
            assertEquals(77, to.get(ValueLayout.JAVA_BYTE, 5));
            assertEquals(MSG_TRUNC, message.get(ValueLayout.JAVA_INT, 48) & MSG_TRUNC);
            assertEquals(-Errno.EAGAIN, Posix.recvmsg(other.number(), message.address(), 0));
        }
    }

    @Test
    void optionsAreSetAndRead() throws Exception {
        try (Arena a = Arena.ofConfined(); Fd s = socket()) {
            MemorySegment value = a.allocate(4, 4);
            assertEquals(4, Posix.getSocketOption(s.number(), SOL_SOCKET, SO_TYPE, value));
            assertEquals(Posix.SOCK_DGRAM, value.get(ValueLayout.JAVA_INT, 0));
            assertEquals(0, Posix.setSocketOption(s.number(), SOL_SOCKET, SO_RCVBUF, 20_000));
            assertEquals(4, Posix.getSocketOption(s.number(), SOL_SOCKET, SO_RCVBUF, value));
            // socket(7): the kernel doubles it
            assertEquals(40_000, value.get(ValueLayout.JAVA_INT, 0));
            assertEquals(-Errno.ENOPROTOOPT, Posix.setSocketOption(s.number(), SOL_SOCKET, 9999, 1));
            assertEquals(-Errno.ENOPROTOOPT, Posix.getSocketOption(s.number(), SOL_SOCKET, 9999, value));
        }
    }
}
