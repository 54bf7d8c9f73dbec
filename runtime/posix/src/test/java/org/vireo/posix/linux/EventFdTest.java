// SPDX-License-Identifier: Apache-2.0
package org.vireo.posix.linux;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.vireo.net.api.Fd;
import org.vireo.posix.Descriptors;
import org.vireo.posix.Errno;
import org.vireo.posix.Posix;

/** eventfd(2), and poll(2) on it. */
@Timeout(60)
class EventFdTest {
    private final Descriptors fds = new Descriptors();

    @Test
    void countsUntilDrained() throws Exception {
        try (Fd e = EventFd.create(fds, "e")) {
            assertEquals(0, EventFd.drain(e.number()));
            for (int i = 0; i < 5; i++) {
                assertEquals(8, EventFd.signal(e.number()));
            }
            assertEquals(5, EventFd.drain(e.number()));
            assertEquals(0, EventFd.drain(e.number()));
        }
    }

    @Test
    void fullItSaysTryAgainInsteadOfBlocking() throws Exception {
        try (Fd e = EventFd.create(fds, "e"); Arena a = Arena.ofConfined()) {
            MemorySegment most = a.allocateFrom(ValueLayout.JAVA_LONG, 0xffff_ffff_ffff_fffeL);
            assertEquals(8, Posix.write(e.number(), most.address(), 8));
            assertEquals(-Errno.EAGAIN, EventFd.signal(e.number()));
            assertEquals(0, Poll.writable(0, e.number()));
            assertEquals(1, Poll.readable(0, e.number()));
        }
    }

    @Test
    void isToldFromOtherDescriptors() throws Exception {
        Fd[] pair = UnixSockets.pair(fds, 1, true, "pair");
        try (Fd e = EventFd.create(fds, "e"); Fd memory = SharedMemory.create(fds, "m", 4096, false)) {
            assertTrue(EventFd.isEventFd(e.number()));
            assertFalse(EventFd.isEventFd(pair[0].number()));
            assertFalse(EventFd.isEventFd(memory.number()));
            assertTrue(EventFd.describe(pair[0].number()).startsWith("socket:"), EventFd.describe(pair[0].number()));
            assertTrue(EventFd.describe(memory.number()).startsWith("/memfd:m"), EventFd.describe(memory.number()));
        } finally {
            pair[0].close();
            pair[1].close();
        }
        assertFalse(EventFd.isEventFd(1_000_000));
    }

    @Test
    void isNonBlockingAndClosedOnExec() throws Exception {
        try (Fd e = EventFd.create(fds, "e")) {
            assertNotEquals(0, Posix.statusFlags(e.number()) & Posix.O_NONBLOCK);
            String info = java.nio.file.Files.readString(java.nio.file.Path.of("/proc/self/fdinfo/" + e.number()));
            String octal = info.lines().filter(l -> l.startsWith("flags:")).findFirst().orElseThrow().substring(6).strip();
            int flags = Integer.parseInt(octal, 8);
            assertNotEquals(0, flags & Posix.O_CLOEXEC);
        }
    }

    @Test
    void pollTellsWhichOfSeveral() throws Exception {
        try (Fd a = EventFd.create(fds, "a"); Fd b = EventFd.create(fds, "b"); Fd c = EventFd.create(fds, "c")) {
            assertEquals(0, Poll.readable(0, a.number(), b.number(), c.number()));
            EventFd.signal(a.number());
            EventFd.signal(c.number());
            assertEquals(0b101, Poll.readable(1_000, a.number(), b.number(), c.number()));
            assertEquals(0b100, Poll.readable(1_000, -1, b.number(), c.number()));
            assertEquals(0b111, Poll.writable(1_000, a.number(), b.number(), c.number()));
        }
    }
}
