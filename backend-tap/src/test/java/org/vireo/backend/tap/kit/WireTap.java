// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.tap.kit;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.time.Duration;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.Errno;
import org.vireo.posix.Posix;
import org.vireo.posix.linux.Poll;
import org.vireo.testsupport.TestTap;

/** A TAP of the test itself, by plain system calls: the test's end of a wire. Also makes descriptors for fd= and fds=. */
public final class WireTap implements AutoCloseable {
    /** TUNSETIFF: Ethernet, no packet information. */
    public static final int TAP = 0x1002;
    /** TUNSETIFF: with virtio-net header. */
    public static final int VNET_HDR = 0x4000;
    /** TUNSETIFF: several queues. */
    public static final int MULTI_QUEUE = 0x0100;

    private static final long TUNSETIFF = 0x400454caL;
    private static final int MOST = 2048;

    private final String name;
    private final Fd fd;
    private final MemorySegment buffer = Arena.ofAuto().allocate(MOST);

    WireTap(Fds fds) throws IOException {
        name = TestTap.freshName();
        fd = open(fds, name, TAP, Posix.O_NONBLOCK);
        TestTap.silence(name);
    }

    /**
     * Opens a queue of a TAP, which is made if there is none.
     *
     * @param fds makes the descriptor
     * @param name the interface
     * @param flags of TUNSETIFF
     * @param openFlags O_NONBLOCK or 0
     * @return the descriptor
     * @throws IOException it cannot be opened
     */
    public static Fd open(Fds fds, String name, int flags, int openFlags) throws IOException {
        Fd fd = fds.adopt(Posix.check(Posix.open("/dev/net/tun", Posix.O_RDWR | openFlags), "open /dev/net/tun"), name);
        try (Arena a = Arena.ofConfined()) {
            MemorySegment r = a.allocate(40, 8);
            r.setString(0, name);
            r.set(ValueLayout.JAVA_SHORT, 16, (short) flags);
            Posix.check(Posix.ioctl(fd.number(), TUNSETIFF, r), "TUNSETIFF " + name);
            return fd;
        } catch (IOException e) {
            fd.close();
            throw e;
        }
    }

    String name() {
        return name;
    }

    void send(byte[] frame) {
        MemorySegment.copy(frame, 0, buffer, ValueLayout.JAVA_BYTE, 0, frame.length);
        long n = Posix.write(fd.number(), buffer.address(), frame.length);
        if (n != frame.length) {
            throw new AssertionError("write to " + name + ": " + Errno.text((int) -n));
        }
    }

    byte[] take(Duration limit) {
        long n = Posix.read(fd.number(), buffer.address(), MOST);
        if (n == -Errno.EAGAIN && Poll.readable((int) limit.toMillis(), fd.number()) != 0) {
            n = Posix.read(fd.number(), buffer.address(), MOST);
        }
        if (n < 0 && n != -Errno.EAGAIN) {
            throw new AssertionError("read from " + name + ": " + Errno.text((int) -n));
        }
        return n < 0 ? null : buffer.asSlice(0, n).toArray(ValueLayout.JAVA_BYTE);
    }

    /** Closes the descriptor, so the interface is gone. */
    @Override
    public void close() {
        fd.close();
    }
}
