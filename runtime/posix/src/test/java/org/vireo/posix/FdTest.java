// SPDX-License-Identifier: Apache-2.0
package org.vireo.posix;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import java.util.logging.SimpleFormatter;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.vireo.net.api.Fd;
import org.vireo.posix.linux.Epoll;
import org.vireo.posix.linux.EventFd;
import org.vireo.posix.linux.ScarceDescriptors;

/** A descriptor has one owner and is closed exactly once. */
@Timeout(60)
class FdTest {
    private final Descriptors fds = new Descriptors();

    @Test
    void numberAfterCloseIsRefusedByName() throws Exception {
        Fd fd = EventFd.create(fds, "kick of nic0");
        int n = fd.number();
        assertTrue(fd.isOpen());
        assertTrue(Posix.isOpen(n));
        fd.close();
        assertFalse(fd.isOpen());
        assertFalse(Posix.isOpen(n));
        IllegalStateException e = assertThrows(IllegalStateException.class, fd::number);
        assertTrue(e.getMessage().contains("kick of nic0"), e.getMessage());
    }

    @Test
    void secondCloseLeavesAStrangersDescriptorAlone() throws Exception {
        Fd fd = EventFd.create(fds, "first");
        int n = fd.number();
        fd.close();
        // The kernel hands out the lowest free number; take numbers until ours is somebody else's.
        List<Fd> strangers = new java.util.ArrayList<>();
        do {
            strangers.add(EventFd.create(fds, "stranger"));
        } while (strangers.getLast().number() < n);
        boolean reused = strangers.stream().anyMatch(s -> s.number() == n);
        fd.close();
        assertTrue(reused || Posix.isOpen(n), "number " + n + " was not given out again");
        assertTrue(Posix.isOpen(n), "the second close hit a stranger");
        strangers.forEach(Fd::close);
    }

    @Test
    void racingClosersCloseOnce() throws Exception {
        for (int round = 0; round < 200; round++) {
            Fd fd = EventFd.create(fds, "raced");
            Fd neighbour = fd.duplicate();
            CountDownLatch start = new CountDownLatch(1);
            AtomicInteger failures = new AtomicInteger();
            Runnable close = () -> {
                try {
                    start.await();
                    fd.close();
                } catch (InterruptedException | RuntimeException e) {
                    failures.incrementAndGet();
                }
            };
            Thread a = Thread.ofPlatform().start(close);
            Thread b = Thread.ofPlatform().start(close);
            start.countDown();
            a.join();
            b.join();
            assertEquals(0, failures.get());
            assertFalse(fd.isOpen());
            assertEquals(8, EventFd.signal(neighbour.number()));
            neighbour.close();
        }
    }

    @Test
    void duplicateIsAnotherDescriptorOfTheSameOpenFile() throws Exception {
        Fd one = EventFd.create(fds, "shared");
        Fd two = one.duplicate();
        assertNotEquals(one.number(), two.number());
        EventFd.signal(one.number());
        one.close();
        assertEquals(1, EventFd.drain(two.number()));
        two.close();
        assertThrows(IllegalStateException.class, two::duplicate);
    }

    @Test
    void registeredWithEpollItRefusesToClose() throws Exception {
        Fd fd = EventFd.create(fds, "kick");
        try (Epoll epoll = new Epoll(fds, 4); Epoll second = new Epoll(fds, 4)) {
            epoll.add(fd, Epoll.IN, 1);
            second.add(fd, Epoll.IN, 1);
            IllegalStateException e = assertThrows(IllegalStateException.class, fd::close);
            assertTrue(e.getMessage().contains("kick") && e.getMessage().contains("epoll"), e.getMessage());
            epoll.remove(fd);
            assertThrows(IllegalStateException.class, fd::close);
            assertTrue(fd.isOpen());
            second.remove(fd);
            fd.close();
            assertFalse(fd.isOpen());
        }
    }

    @Test
    void failedAddDoesNotCountAsRegistered() throws Exception {
        try (Epoll epoll = new Epoll(fds, 4)) {
            Fd file = fds.adopt(Posix.check(Posix.open("/proc/self/stat", Posix.O_RDONLY), "open"), "a plain file");
            PosixException e = assertThrows(PosixException.class, () -> epoll.add(file, Epoll.IN, 1));
            assertEquals(Errno.EPERM, e.errno());
            file.close();
            assertFalse(file.isOpen());
        }
    }

    @Test
    void adoptingWhatIsNotOpenIsRefused() throws Exception {
        Fd fd = EventFd.create(fds, "gone");
        int n = fd.number();
        fd.close();
        assertThrows(IllegalArgumentException.class, () -> fds.adopt(-1, "nothing"));
        // Some other thread of the JVM may have taken the number meanwhile; a number this large is nobody's.
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> fds.adopt(n + 1_000_000, "tap0 queue 1"));
        assertTrue(e.getMessage().contains("tap0 queue 1"), e.getMessage());
    }

    @Test
    void leakIsClosedAndLoggedWithItsPurpose() throws Exception {
        List<String> warnings = new CopyOnWriteArrayList<>();
        Handler handler = new Handler() {
            @Override
            public void publish(LogRecord record) {
                if (record.getLevel() == Level.WARNING) {
                    warnings.add(new SimpleFormatter().formatMessage(record));
                }
            }

            @Override
            public void flush() {
                // nothing is buffered
            }

            @Override
            public void close() {
                // nothing is open
            }
        };
        Logger logger = Logger.getLogger(Fd.class.getName());
        logger.setUseParentHandlers(false);
        logger.addHandler(handler);
        try {
            EventFd.create(fds, "closed in good order").close();
            Fd witness = leakOne();
            int n = witness.number();
            TestSupport.await("the Cleaner's warning", () -> {
                System.gc();
                return warnings.stream().anyMatch(w -> w.contains("forgotten tap0"));
            });
            // The leaked duplicate is closed, the witness of the same open file is not.
            assertTrue(Posix.isOpen(n));
            witness.close();
            assertFalse(warnings.stream().anyMatch(w -> w.contains("closed in good order")), warnings.toString());
            assertFalse(warnings.stream().anyMatch(w -> w.contains("witness")), warnings.toString());
        } finally {
            logger.removeHandler(handler);
            logger.setUseParentHandlers(true);
        }
    }

    private Fd leakOne() throws Exception {
        Fd witness = EventFd.create(fds, "witness");
        fds.adopt(Posix.check(Posix.duplicate(witness.number()), "duplicate"), "forgotten tap0");
        return witness;
    }

    @Test
    void withoutFreeNumbersDuplicateSaysSoAndWorksAgainLater() throws Exception {
        assertEquals("EMFILE, then open again", TestSupport.runWithFewDescriptors(96, ScarceDescriptors.class, "duplicate"));
    }
}
