// SPDX-License-Identifier: Apache-2.0
package com.example.vireo.tapmeter;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.time.Duration;
import org.vireo.net.api.Fd;
import org.vireo.posix.Descriptors;
import org.vireo.posix.Errno;
import org.vireo.posix.Posix;
import org.vireo.posix.linux.Poll;
import org.vireo.testsupport.TestTap;

/** A TAP of the test itself: its end of a wire. */
final class WireTap implements AutoCloseable {
    private static final int MOST = 2048;

    private final String name = TestTap.freshName();
    private final Fd fd;
    private final MemorySegment buffer = Arena.ofAuto().allocate(MOST);

    WireTap() throws IOException {
        fd = Tun.open(new Descriptors(), name);
        try {
            Tun.attachTo(fd, name, Tun.IFF_TAP | Tun.IFF_NO_PI);
            TestTap.silence(name);
        } catch (IOException | RuntimeException | AssertionError e) {
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
