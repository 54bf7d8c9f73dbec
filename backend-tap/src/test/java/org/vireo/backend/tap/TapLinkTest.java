// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.tap;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.vireo.backend.tap.kit.WireTap;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.Fd;
import org.vireo.net.api.FramePort;
import org.vireo.net.api.NetPort;
import org.vireo.net.api.PortSettings;
import org.vireo.posix.Descriptors;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.OpenFiles;
import org.vireo.testsupport.Requirements;
import org.vireo.testsupport.TestNamespace;
import org.vireo.testsupport.TestProcess;
import org.vireo.testsupport.TestTap;

/** What a port tells of its interface's link: up and down, carrier, an interface that goes; and what that costs. */
class TapLinkTest {
    private static final Duration LIMIT = Duration.ofSeconds(15);
    private static final String THREAD = "vireo-tap-links";

    private final List<NetPort> ports = new ArrayList<>();

    @BeforeEach
    void needs() {
        Requirements.tap();
        assertNothingRuns();
    }

    @AfterEach
    void nothingIsLeft() {
        ports.forEach(p -> p.close(NetPort.Disposal.RELEASE));
        assertNothingRuns();
    }

    private static void assertNothingRuns() {
        Await.until(LIMIT, "no thread and no socket for links", () -> threads() == 0 && sockets() == 0);
    }

    private static long threads() {
        return Thread.getAllStackTraces().keySet().stream().filter(t -> t.getName().equals(THREAD) && t.isAlive()).count();
    }

    /** Sockets of this process that the kernel lists as NETLINK_ROUTE with a group. */
    private static long sockets() throws IOException {
        List<String> inodes = Files.readAllLines(Path.of("/proc/self/net/netlink")).stream().map(l -> l.strip().split("\\s+"))
                .filter(f -> f[1].equals("0") && f[3].equals("00000001")).map(f -> "socket:[" + f[9] + "]").toList();
        return OpenFiles.links().values().stream().filter(inodes::contains).count();
    }

    private FramePort later(NetPort p) {
        ports.add(p);
        return (FramePort) p;
    }

    private FramePort open(TapBackend b, OneFrame.Context c) throws Exception {
        return later(b.open(c));
    }

    private static TapBackend backend(TestTap tap) {
        return new TapBackend("net0", Map.of("ifname", tap.name()));
    }

    private static PortSettings settings() {
        return PortSettings.of(12, 0, BitSet.valueOf(new long[] {1}));
    }

    private static void awaitNews(OneFrame.Context c, String... expected) {
        Await.until(LIMIT, "news " + List.of(expected) + " (there are " + c.news() + ")", () -> c.news().size() >= expected.length);
        assertEquals(List.of(expected), c.news());
    }

    @Test
    void upAndDownAreTold() throws Exception {
        try (TestTap tap = TestTap.tap()) {
            OneFrame.Context c = new OneFrame.Context(1);
            FramePort p = open(backend(tap), c);
            assertFalse(p.profile().linkUp(), "an interface made by others is not brought up");
            awaitNews(c, "down");
            assertEquals("interface " + tap.name() + " is down, or has no carrier", c.down(), "the profile does not say why");
            tap.up();
            awaitNews(c, "down", "up");
            tap.down();
            awaitNews(c, "down", "up", "down");
            tap.up();
            awaitNews(c, "down", "up", "down", "up");
            p.close(NetPort.Disposal.RELEASE);
            tap.down();
            assertNothingRuns();
            assertEquals(List.of("down", "up", "down", "up"), c.news(), "news after the end");
        }
    }

    @Test
    void theCarrierIsTold() throws Exception {
        try (TestTap tap = TestTap.tap().up()) {
            OneFrame.Context c = new OneFrame.Context(1);
            FramePort p = open(backend(tap), c);
            assertTrue(p.profile().linkUp());
            tap.run("ip", "link", "set", tap.name(), "carrier", "off");
            awaitNews(c, "down");
            tap.run("ip", "link", "set", tap.name(), "carrier", "on");
            awaitNews(c, "down", "up");
        }
    }

    @Test
    void whatIsNotTheLinkIsNotTold() throws Exception {
        try (TestTap bridge = TestTap.bridge(null).up(); TestTap tap = TestTap.tap().up()) {
            OneFrame.Context c = new OneFrame.Context(1);
            open(backend(tap), c);
            tap.master(bridge);
            tap.run("ip", "link", "set", tap.name(), "mtu", "1400");
            tap.run("ip", "link", "set", tap.name(), "nomaster");
            tap.down();
            // in the kernel's order: nothing came before it
            awaitNews(c, "down");
        }
    }

    @Test
    void oneThreadAndOneSocketServeAllPorts() throws Exception {
        try (TestTap one = TestTap.tap("multi_queue").up(); TestTap two = TestTap.tap().up()) {
            OneFrame.Context first = new OneFrame.Context(1);
            OneFrame.Context second = new OneFrame.Context(1);
            OneFrame.Context other = new OneFrame.Context(1);
            FramePort p = open(backend(one), first);
            open(backend(one), second);
            open(backend(two), other);
            assertEquals(1, threads());
            assertEquals(1, sockets());
            one.down();
            awaitNews(first, "down");
            assertEquals("interface " + one.name() + " is down, or has no carrier", first.down());
            awaitNews(second, "down");
            p.close(NetPort.Disposal.LEAVE);
            one.up();
            awaitNews(second, "down", "up");
            assertEquals(List.of("down"), first.news());
            assertEquals(List.of(), other.news());
            assertEquals(1, threads());
        }
    }

    /** A loaded port takes for true what travelled, and looks when it is told that it is the owner. */
    @Test
    void aLoadedPortBeginsWithItsFirstSettings() throws Exception {
        try (TestTap tap = TestTap.tap()) {
            TapBackend source = backend(tap);
            OneFrame.Context a = new OneFrame.Context(1);
            FramePort p = open(source, a);
            p.apply(settings());
            BackendState s = source.save(p, 1);
            p.close(NetPort.Disposal.LEAVE);
            assertNothingRuns();
            tap.up();
            try (s) {
                NetPort rehearsed = later(backend(tap).load(s, new OneFrame.Context(1, Long.MAX_VALUE, true)));
                rehearsed.apply(settings());
                OneFrame.Context b = new OneFrame.Context(1);
                NetPort loaded = later(backend(tap).load(s, b));
                assertFalse(loaded.profile().linkUp(), "what the source knew");
                assertNothingRuns();
                loaded.apply(settings());
                Await.until(LIMIT, "up", () -> b.news().getLast().equals("up"));
                tap.down();
                Await.until(LIMIT, "down", () -> b.news().getLast().equals("down"));
            }
        }
    }

    @Test
    void aDeletedInterfaceIsAFailureThatNamesIt() throws Exception {
        try (TestTap tap = TestTap.tap().up()) {
            OneFrame.Context c = new OneFrame.Context(1);
            open(backend(tap), c);
            TestProcess.run("ip", "link", "del", tap.name());
            Await.until(LIMIT, "a failure", () -> c.news().stream().anyMatch(n -> n.startsWith("failed")));
            assertEquals(List.of("down", "down", "failed: netdev net0: interface " + tap.name()
                    + " was deleted; make it again and reopen the netdev"), c.news());
            assertNothingRuns();
        }
    }

    @Test
    void anInterfaceInAnotherNamespaceIsTakenForUp() throws Exception {
        Requirements.namespaces();
        String name = TestTap.freshName();
        try (TestNamespace ns = TestNamespace.create()) {
            Fd fd = WireTap.open(new Descriptors(), name, WireTap.TAP | WireTap.VNET_HDR, 0);
            try {
                OneFrame.Context here = new OneFrame.Context(1);
                TapBackend b = new TapBackend("net0", Map.of("fd", fd.number()));
                FramePort p = open(b, here);
                assertFalse(p.profile().linkUp());
                TestProcess.run("ip", "link", "set", name, "netns", ns.name());
                awaitNews(here, "down", "up");
                assertNothingRuns();
                p.close(NetPort.Disposal.LEAVE);
                OneFrame.Context there = new OneFrame.Context(1);
                assertTrue(open(b, there).profile().linkUp());
                assertEquals(0, threads());
                assertEquals(List.of(), there.news());
            } finally {
                fd.close();
            }
        }
    }
}
