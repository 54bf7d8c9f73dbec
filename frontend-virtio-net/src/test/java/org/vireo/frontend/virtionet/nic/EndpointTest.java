// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.vireo.guest.FrontEnd;
import org.vireo.guest.GuestNic;
import org.vireo.net.api.Fd;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.NicState;
import org.vireo.posix.linux.UnixSockets;
import org.vireo.testsupport.Await;

/** Where VMMs come from: sockets that listen, and connections that are made. */
class EndpointTest {
    private Harness h;
    private FakeNetwork net;

    @BeforeEach
    void start() throws Exception {
        h = new Harness(1);
        net = h.network(1);
        h.backend("neta", net);
    }

    @AfterEach
    void stop() {
        h.close();
    }

    @Test
    void onlyADeadSocketIsRemoved() throws Exception {
        Path s = h.socket("a");
        Files.writeString(s, "precious");
        NicException e = assertThrows(NicException.class, () -> h.nic("a"));
        assertTrue(e.getMessage().contains(s.toString()), e.getMessage());
        assertEquals("precious", Files.readString(s));
        Files.delete(s);
        Files.createDirectory(s);
        assertThrows(NicException.class, () -> h.nic("a"));
        assertTrue(Files.isDirectory(s));
        Files.delete(s);
        Path target = h.folder.resolve("target");
        Files.writeString(target, "precious");
        Files.createSymbolicLink(s, target);
        assertThrows(NicException.class, () -> h.nic("a"));
        assertTrue(Files.isSymbolicLink(s));
        assertEquals("precious", Files.readString(target));
        Files.delete(s);
        Files.delete(target);
        try (Fd alive = UnixSockets.listen(h.fds, s, 0600, "somebody else")) {
            assertTrue(alive.isOpen());
            e = assertThrows(NicException.class, () -> h.nic("a"));
            assertTrue(e.getMessage().contains(s.toString()), e.getMessage());
            assertTrue(Files.exists(s));
        }
        // its owner is dead now, the file is still there
        assertTrue(Files.exists(s, LinkOption.NOFOLLOW_LINKS));
        h.nic("a", "socket-mode", "0660");
        assertEquals("rw-rw----", PosixFilePermissions.toString(Files.getPosixFilePermissions(s)));
        h.registry.remove("a");
        assertFalse(Files.exists(s));
    }

    /**
     * The listener goes away and comes back, as an interface does that is detached and attached: each time the first frame passes within a
     * second, and no thread is busy trying.
     */
    @Test
    void aNicConnectsToAVmmThatListensAndComesBack() throws Exception {
        h.nic("a", "server", "off");
        long began = System.nanoTime();
        long cpuBefore = cpuNanosOfOthers();
        long longest = 0;
        for (int round = 0; round < 50; round++) {
            long listens = System.nanoTime();
            try (FrontEnd f = FrontEnd.listen(h.fds, h.socket("a"), Harness.LIMIT); GuestNic g = GuestNic.options().start(h.fds, f)) {
                assertTrue(g.transmit(0).send(FakeBackend.frame(0, 60, round), Harness.soon()));
                assertEquals(round, FakeBackend.number(net.take(0), 12));
                longest = Math.max(longest, System.nanoTime() - listens);
            }
            Await.until(Harness.LIMIT, "the session to end", () -> h.status("a").vmmPid() == 0);
        }
        long millis = longest / 1_000_000;
        assertTrue(millis < 5000, "from listening to the first frame it took " + millis + " ms");
        long busy = 100 * (cpuNanosOfOthers() - cpuBefore) / (System.nanoTime() - began);
        assertTrue(busy < 50, "the other threads were busy for " + busy + " % of the time");
        h.registry.remove("a");
    }

    /** Processor time of all threads but this one. */
    private static long cpuNanosOfOthers() {
        ThreadMXBean threads = ManagementFactory.getThreadMXBean();
        long sum = 0;
        for (long id : threads.getAllThreadIds()) {
            sum += id == Thread.currentThread().threadId() ? 0 : Math.max(0, threads.getThreadCpuTime(id));
        }
        return sum;
    }

    /** A listener that hangs up at once is called again with pauses, not in a loop. */
    @Test
    void noBusyLoopWithAListenerThatHangsUp() throws Exception {
        try (Fd listener = UnixSockets.listen(h.fds, h.socket("a"), 0600, "hangs up")) {
            long t = System.nanoTime();
            h.nic("a", "server", "off", "reconnect-ms", "100");
            int n = 0;
            while (System.nanoTime() - t < 1_000_000_000L) {
                org.vireo.posix.linux.Poll.readable(20, listener.number());
                Fd s = UnixSockets.accept(listener, h.fds, true, "test");
                if (s != null) {
                    s.close();
                    n++;
                }
            }
            long seconds = 1 + (System.nanoTime() - t) / 1_000_000_000L;
            assertTrue(n >= 2 && n <= 11 * seconds, n + " connections in " + seconds + " s");
        }
        Files.delete(h.socket("a"));
    }

    /** Whatever state it is in: deleting frees id, socket and port; the second time there is none. */
    @Test
    void aNicCanBeDeletedInAnyState() throws Exception {
        for (int round = 0; round < 5; round++) {
            h.nic("a");
            h.registry.remove("a");
            h.nic("a");
            try (FrontEnd f = h.vmm("a")) {
                f.getFeatures();
                h.registry.remove("a");
                assertTrue(f.awaitClosed(Harness.soon()));
            }
            h.nic("a");
            GuestNic g = GuestNic.options().start(h.fds, FrontEnd.connect(h.fds, h.socket("a"), Harness.LIMIT));
            h.awaitState("a", NicState.RUNNING);
            g.close();
            h.registry.remove("a");
            NicException e = assertThrows(NicException.class, () -> h.registry.remove("a"));
            assertEquals("NIC a: there is none of this id", e.getMessage());
            h.registry.add(h.options("a"), true);
            assertEquals(NicState.AWAITING, h.status("a").state());
            assertFalse(Files.exists(h.socket("a")), "a waiting NIC touches nothing");
            NicException taken = assertThrows(NicException.class, () -> h.nic("a"));
            assertEquals("NIC a: this id is taken", taken.getMessage());
            h.registry.remove("a");
        }
        assertTrue(h.registry.list().isEmpty());
    }
}
