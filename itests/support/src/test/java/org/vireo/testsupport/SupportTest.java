// SPDX-License-Identifier: Apache-2.0
package org.vireo.testsupport;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.vireo.net.api.Fd;
import org.vireo.posix.Descriptors;
import org.vireo.posix.linux.EventFd;

/** The helpers keep what they promise: bounded waits, nothing left behind. */
final class SupportTest {
    private static final Duration SECONDS = Duration.ofSeconds(10);

    @Test
    void processIsKilledWithItsChildrenOnClose() {
        long child;
        TestProcess p = TestProcess.start("sh", "-c", "sleep 600 & echo child $!; wait");
        try (p) {
            child = Long.parseLong(p.awaitLine("child", SECONDS).substring(6));
            assertTrue(p.isAlive());
        }
        assertFalse(p.isAlive());
        Await.until(SECONDS, "the child's end", () -> ProcessHandle.of(child).filter(ProcessHandle::isAlive).isEmpty());
    }

    @Test
    void outputsAreApartAndAWaitForALineIsBounded() {
        try (TestProcess p = TestProcess.start("sh", "-c", "echo one; echo two >&2; read x; echo got $x; exit 3")) {
            p.awaitLine("one", SECONDS);
            p.awaitLine("two", SECONDS);
            assertThrows(AssertionError.class, () -> p.awaitLine("never", Duration.ofMillis(50)));
            p.write("it\n");
            p.awaitLine("got it", SECONDS);
            assertEquals(3, p.exitCode(SECONDS));
            assertEquals(java.util.List.of("one", "got it"), p.stdout());
            assertEquals(java.util.List.of("two"), p.stderr());
            AssertionError e = assertThrows(AssertionError.class, () -> p.awaitLine("never", SECONDS));
            assertTrue(e.getMessage().startsWith("it ended"), e.getMessage());
        }
    }

    @Test
    void aFailedCommandSaysWhatItPrinted() {
        AssertionError e = assertThrows(AssertionError.class, () -> TestProcess.run("sh", "-c", "echo because >&2; exit 4"));
        assertTrue(e.getMessage().contains("exit code 4") && e.getMessage().contains("because"), e.getMessage());
    }

    @Test
    void awaitLooksUntilItIsTrueOrTheLimitIsOver() {
        AtomicInteger n = new AtomicInteger();
        Await.until(SECONDS, "the fifth look", () -> n.incrementAndGet() == 5);
        assertEquals(5, n.get());
        assertThrows(AssertionError.class, () -> Await.until(Duration.ofMillis(20), "never", () -> false));
    }

    @Test
    void whatIsOpenIsListedWithoutWhatTheJvmOpens() throws Exception {
        try (Fd event = EventFd.create(new Descriptors(), "listed")) {
            assertEquals("anon_inode:[eventfd]", OpenFiles.links().get(event.number()));
            try (InputStream own = Files.newInputStream(Path.of("/proc/self/maps")); Fd other = event.duplicate()) {
                assertTrue(own.read() >= 0);
                assertTrue(OpenFiles.links().containsKey(other.number()));
                assertTrue(OpenFiles.links().values().stream().noneMatch(l -> l.startsWith("/proc") || l.endsWith(".jar")));
                assertTrue(OpenFiles.count() >= 2);
            }
        }
    }

    @Test
    void namespaceAndTapAreGoneAfterClose() {
        Requirements.namespaces();
        String name;
        try (TestNamespace ns = TestNamespace.create(); TestTap tap = TestTap.tap(ns, "multi_queue").up().address("192.0.2.1/24")) {
            name = ns.name();
            assertTrue(ns.run("ip", "-d", "link", "show", tap.name()).contains("multi_queue"));
            assertFalse(TestTap.exists(tap.name()));
        }
        assertFalse(TestProcess.run("ip", "netns", "list").contains(name));
        String bridge;
        try (TestTap b = TestTap.bridge(null).up(); TestTap v = TestTap.veth(null).up().master(b)) {
            bridge = b.name();
            assertTrue(TestTap.exists(bridge) && TestTap.exists(v.peer()));
            assertEquals(0, b.statistic("tx_dropped"));
        }
        assertFalse(TestTap.exists(bridge));
    }
}
