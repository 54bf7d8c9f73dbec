// SPDX-License-Identifier: Apache-2.0
package org.vireo.posix.linux;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.vireo.net.api.Fd;
import org.vireo.posix.Descriptors;
import org.vireo.posix.Errno;
import org.vireo.posix.PosixException;

/** pidfds, start times, the boot's identity. */
@Timeout(60)
class ProcessesTest {
    private final Descriptors fds = new Descriptors();

    @Test
    void pidfdBecomesReadableWhenTheProcessDies() throws Exception {
        Process child = new ProcessBuilder("sleep", "1000").start();
        try (Fd fd = Processes.open(fds, child.pid())) {
            assertFalse(Processes.isDead(fd));
            assertEquals(child.pid(), Processes.pid(fd));
            assertEquals(0, Processes.signal(fd, 0));
            assertEquals(0, Processes.signal(fd, Processes.KILL));
            assertEquals(1, Poll.readable(10_000, fd.number()));
            assertTrue(Processes.isDead(fd));
            assertTrue(child.waitFor(10, TimeUnit.SECONDS));
            assertEquals(-Errno.ESRCH, Processes.signal(fd, 0));
            assertEquals(-1, Processes.pid(fd));
            assertEquals(-1, Processes.startTime(child.pid()));
        } finally {
            child.destroyForcibly();
        }
    }

    @Test
    void thereIsNoSuchProcess() throws Exception {
        Process child = new ProcessBuilder("true").start();
        assertTrue(child.waitFor(10, TimeUnit.SECONDS));
        PosixException e = assertThrows(PosixException.class, () -> Processes.open(fds, child.pid()));
        assertEquals(Errno.ESRCH, e.errno());
        assertEquals(-1, Processes.startTime(child.pid()));
    }

    @Test
    void pidOfSomethingElseIsNone() throws Exception {
        try (Fd e = EventFd.create(fds, "no pidfd")) {
            assertEquals(-1, Processes.pid(e));
            assertEquals(-Errno.EBADF, Processes.signal(e, 0));
        }
    }

    /** A shell does not ask at once how its child ended: so it is a zombie, of which /proc tells. */
    @Test
    void howAZombieEnded() throws Exception {
        Process shell = new ProcessBuilder("sh", "-c", "sleep 1000 & echo $!; exec sleep 1000").start();
        try {
            long pid = Long.parseLong(shell.inputReader().readLine());
            try (Fd fd = Processes.open(fds, pid)) {
                assertEquals(0, Processes.signal(fd, Processes.KILL));
                assertEquals(1, Poll.readable(10_000, fd.number()));
                assertEquals(Processes.KILL, Processes.endedBy(fd, pid));
            }
        } finally {
            shell.destroyForcibly().waitFor(10, TimeUnit.SECONDS);
        }
    }

    /** One whose parent has asked: Linux 6.15 still knows, before that it cannot be told. */
    @Test
    void howAReapedProcessEnded() throws Exception {
        Process killed = new ProcessBuilder("sleep", "1000").start();
        Process exited = new ProcessBuilder("sh", "-c", "read x; exit 3").start();
        try (Fd first = Processes.open(fds, killed.pid()); Fd second = Processes.open(fds, exited.pid())) {
            killed.destroyForcibly().waitFor(10, TimeUnit.SECONDS);
            exited.getOutputStream().close();
            assertEquals(3, exited.waitFor());
            assertTrue(java.util.Set.of(Processes.KILL, -1).contains(Processes.endedBy(first, killed.pid())));
            assertTrue(java.util.Set.of(0, -1).contains(Processes.endedBy(second, exited.pid())));
        } finally {
            exited.destroyForcibly();
        }
    }

    @Test
    void startTimeTellsTwoProcessesApartAndStays() throws Exception {
        long own = Processes.startTime(ProcessHandle.current().pid());
        assertTrue(own > 0);
        Process child = new ProcessBuilder("sleep", "1000").start();
        try {
            long childs = Processes.startTime(child.pid());
            assertTrue(childs > own, childs + " is not after " + own);
            assertEquals(childs, Processes.startTime(child.pid()));
        } finally {
            child.destroyForcibly();
        }
    }

    @Test
    void startTimeWithAHostileCommandName(@TempDir Path folder) throws Exception {
        Path odd = folder.resolve("a) S 1 (b");
        Files.createSymbolicLink(odd, Path.of("/bin/sleep").toRealPath());
        Process plain = new ProcessBuilder("sleep", "1000").start();
        Process child = new ProcessBuilder(odd.toString(), "1000").start();
        try {
            org.vireo.posix.TestSupport.await("the new name", () -> {
                try {
                    return Files.readString(Path.of("/proc/" + child.pid() + "/comm")).contains("a) S 1 (b");
                } catch (java.io.IOException e) {
                    throw new java.io.UncheckedIOException(e);
                }
            });
            long difference = Processes.startTime(child.pid()) - Processes.startTime(plain.pid());
            assertTrue(difference >= 0 && difference < 6_000, "started " + difference + " ticks after its neighbour");
        } finally {
            plain.destroyForcibly();
            child.destroyForcibly();
        }
    }

    @Test
    void bootIdIsOne() throws Exception {
        assertNotEquals(0, Processes.bootId());
        assertEquals(Processes.bootId(), Processes.bootId());
    }
}
