// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.tap;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.BitSet;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vireo.backend.tap.kit.WireTap;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.DropReason;
import org.vireo.net.api.Fd;
import org.vireo.net.api.FramePort;
import org.vireo.net.api.NetPort;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.PortSettings;
import org.vireo.net.api.StateTransferException;
import org.vireo.posix.Descriptors;
import org.vireo.posix.Posix;
import org.vireo.testsupport.Requirements;
import org.vireo.testsupport.TestNamespace;
import org.vireo.testsupport.TestProcess;
import org.vireo.testsupport.TestTap;

/** What is a TAP's own: kinds of interfaces, passed descriptors, bridges, scripts, an interface that goes. */
class TapInterfaceTest {
    private final String name = TestTap.freshName();
    private FramePort port;

    @BeforeEach
    void needs() {
        Requirements.tap();
    }

    @AfterEach
    void release() {
        if (port != null) {
            port.close(NetPort.Disposal.RELEASE);
        }
    }

    private FramePort open(Map<String, ?> options, int pairs) throws NetdevException {
        port = (FramePort) new TapBackend("net0", options).open(new OneFrame.Context(pairs));
        return port;
    }

    private String refusal(Map<String, ?> options, int pairs) {
        return assertThrows(NetdevException.class, () -> open(options, pairs)).getMessage();
    }

    private static PortSettings settings(FramePort p, int pairs) {
        BitSet b = new BitSet();
        b.set(0, pairs);
        return PortSettings.of(p.profile().headerLengths().contains(12) ? 12 : 0, 0, b);
    }

    private static String show(String ifname) {
        return TestProcess.run("ip", "-d", "-o", "link", "show", "dev", ifname);
    }

    @Test
    void createdInterfaceIsUpAndGoesWithTheLastClose() throws Exception {
        FramePort p = open(Map.of("ifname", name, "mtu", "9000"), 1);
        assertTrue(show(name).contains(",UP"), show(name));
        assertTrue(show(name).contains("vnet_hdr on") && show(name).contains("persist off"), show(name));
        assertEquals(9000, p.profile().mtu());
        assertEquals(java.util.Set.of(10, 12), p.profile().headerLengths());
        assertTrue((p.profile().features() & TapFacts.HOST_TSO4) != 0);
        p.close(NetPort.Disposal.RELEASE);
        assertFalse(TestTap.exists(name));
    }

    @Test
    void nameMayBeChosenByTheKernel() throws Exception {
        FramePort p = open(Map.of("ifname", "vt-q%d"), 1);
        assertEquals(1, TestProcess.run("ip", "-o", "link", "show").lines().filter(l -> l.contains("vt-q")).count());
        p.close(NetPort.Disposal.RELEASE);
    }

    @Test
    void withoutHeaderThereAreNoOffloads() throws Exception {
        FramePort p = open(Map.of("ifname", name, "vnet_hdr", "off"), 1);
        assertTrue(show(name).contains("vnet_hdr off"), show(name));
        assertEquals(java.util.Set.of(0), p.profile().headerLengths());
        assertEquals(0, p.profile().features());
        p.apply(settings(p, 1));
        assertEquals(1, OneFrame.transmit(p, 60).sent());
    }

    @Test
    void persistentInterfaceStaysAsItIs() throws Exception {
        try (TestTap tap = TestTap.tap()) {
            FramePort p = open(Map.of("ifname", tap.name()), 1);
            assertFalse(show(tap.name()).contains(",UP"), "an interface made by others is not brought up");
            p.close(NetPort.Disposal.RELEASE);
            assertTrue(TestTap.exists(tap.name()));
        }
    }

    @Test
    void onePairTakesEitherKindOfInterface() throws Exception {
        try (TestTap tap = TestTap.tap("multi_queue")) {
            open(Map.of("ifname", tap.name()), 1).close(NetPort.Disposal.RELEASE);
        }
        try (TestTap tap = TestTap.tap()) {
            String message = refusal(Map.of("ifname", tap.name(), "queues", "2"), 2);
            assertTrue(message.contains(tap.name() + " has a single queue") && message.contains("multi_queue"), message);
        }
        try (TestTap veth = TestTap.veth(null)) {
            String message = refusal(Map.of("ifname", veth.name()), 1);
            assertTrue(message.contains(veth.name() + " exists and is no TAP"), message);
        }
    }

    @Test
    void busyInterfaceIsNamed() throws Exception {
        open(Map.of("ifname", name), 1);
        String message = assertThrows(NetdevException.class, () -> new TapBackend("net1", Map.of("ifname",
                name)).open(new OneFrame.Context(1)))
                .getMessage();
        assertTrue(message.contains(name) && message.contains("EBUSY") && message.contains("another process has it open"), message);
    }

    @Test
    void openingBesideTheOwnerChangesNothingForIt() throws Exception {
        try (TestTap tap = TestTap.tap("multi_queue").up()) {
            FramePort owner = open(Map.of("ifname", tap.name(), "queues", "2"), 2);
            owner.apply(PortSettings.of(10, TapFacts.GUEST_CSUM | TapFacts.GUEST_TSO4, new BitSet()));
            owner.apply(settings(owner, 1));
            owner.apply(PortSettings.of(10, TapFacts.GUEST_CSUM | TapFacts.GUEST_TSO4, BitSet.valueOf(new long[] {1})));
            String before = features(tap);
            assertTrue(before.contains("tcp-segmentation-offload: on"), before);
            NetPort second = new TapBackend("net1", Map.of("ifname", tap.name(), "queues", "2")).open(new OneFrame.Context(2));
            try {
                assertEquals(before, features(tap));
                assertEquals(owner.profile().toString(), second.profile().toString());
                assertEquals(10, TapIoctl.headerLength(owner.queue(0).events().number()));
            } finally {
                second.close(NetPort.Disposal.RELEASE);
            }
        }
    }

    private static String features(TestTap tap) {
        Requirements.command("ethtool");
        return tap.run("ethtool", "-k", tap.name());
    }

    @Test
    void applyReachesTheDevice() throws Exception {
        try (TestTap tap = TestTap.tap("multi_queue").up()) {
            FramePort p = open(Map.of("ifname", tap.name(), "queues", "3"), 3);
            int fd = p.queue(0).events().number();
            p.apply(PortSettings.of(10, 0, BitSet.valueOf(new long[] {5})));
            assertEquals(10, TapIoctl.headerLength(fd));
            assertTrue(features(tap).contains("tcp-segmentation-offload: off"));
            assertEquals(Map.of(0, true, 1, false, 2, true), attached(p, 3));
            p.apply(PortSettings.of(12, TapFacts.GUEST_CSUM | TapFacts.GUEST_TSO4 | TapFacts.GUEST_TSO6, BitSet.valueOf(new long[] {7})));
            assertEquals(12, TapIoctl.headerLength(fd));
            assertTrue(features(tap).contains("tcp-segmentation-offload: on"));
            p.apply(PortSettings.of(10, 0, new BitSet()));
            assertEquals(Map.of(0, false, 1, false, 2, false), attached(p, 3));
            p.apply(PortSettings.of(12, 0, new BitSet())); // with no queue attached
            p.apply(PortSettings.of(12, 0, BitSet.valueOf(new long[] {1})));
            assertEquals(12, TapIoctl.headerLength(fd));
            assertEquals(DropReason.DISABLED, OneFrame.transmit(p.queue(2), 12, 60).dropped());
        }
    }

    private static Map<Integer, Boolean> attached(FramePort p, int pairs) throws java.io.IOException {
        Map<Integer, Boolean> m = new HashMap<>();
        for (int i = 0; i < pairs; i++) {
            m.put(i, !TapIoctl.attachment(p.queue(i).events().number()).has(TapIoctl.IFF_DETACH_QUEUE));
        }
        return m;
    }

    @Test
    void failedChangeIsUndone() throws Exception {
        try (TestTap tap = TestTap.tap("multi_queue").up()) {
            FramePort p = open(Map.of("ifname", tap.name(), "queues", "2"), 2);
            p.apply(PortSettings.of(10, 0, BitSet.valueOf(new long[] {1})));
            // a kernel without USO: pretend that it was found, so that the last request of the change is refused by the kernel
            TapControl c = new TapControl(java.util.List.of(p.queue(0).events(), p.queue(1).events()), BitSet.valueOf(new long[] {1}), 10,
                    0, true);
            assertThrows(java.io.IOException.class, () -> c.change(BitSet.valueOf(new long[] {3}), 12, 0x40000000));
            assertEquals(10, TapIoctl.headerLength(p.queue(0).events().number()));
            assertEquals(10, c.headerLength());
            assertEquals(Map.of(0, true, 1, false), attached(p, 2));
        }
    }

    @Test
    void passedDescriptorsStayWithWhoPassedThem() throws Exception {
        Descriptors fds = new Descriptors();
        Fd one = WireTap.open(fds, name, WireTap.TAP | WireTap.VNET_HDR | WireTap.MULTI_QUEUE, 0);
        Fd two = WireTap.open(fds, name, WireTap.TAP | WireTap.VNET_HDR | WireTap.MULTI_QUEUE, 0);
        try {
            TestProcess.run("ip", "link", "set", name, "up");
            FramePort p = open(Map.of("fds", one.number() + ":" + two.number()), 2);
            assertTrue((Posix.statusFlags(one.number()) & Posix.O_NONBLOCK) != 0, "made non-blocking");
            p.apply(settings(p, 2));
            assertEquals(1, OneFrame.transmit(p.queue(1), 12, 60).sent());
            p.close(NetPort.Disposal.RELEASE);
            // the second one is detached now
            FramePort again = open(Map.of("fds", two.number() + ":" + one.number()), 2);
            assertEquals(Map.of(0, true, 1, false), attached(again, 2));
            again.close(NetPort.Disposal.RELEASE);
            assertTrue(Posix.isOpen(one.number()) && TestTap.exists(name));
        } finally {
            one.close();
            two.close();
        }
        assertTrue(refusal(Map.of("fd", "999"), 1).contains("descriptor 999 is not open"));
        assertTrue(refusal(Map.of("fd", "0"), 1).contains("descriptor 0 is not an open TAP"));
        try (Fd tun = WireTap.open(fds, TestTap.freshName(), 0x1001, 0)) {
            assertTrue(refusal(Map.of("fd", tun.number()), 1).contains("is a TUN"));
        }
    }

    @Test
    void interfaceInAnotherNamespaceIsNotMistakenForOneHere() throws Exception {
        Requirements.namespaces();
        try (TestNamespace ns = TestNamespace.create(); TestTap here = TestTap.veth(null)) {
            Fd fd = WireTap.open(new Descriptors(), name, WireTap.TAP | WireTap.VNET_HDR, 0);
            try {
                ns.run("true");
                TestProcess.run("ip", "link", "set", name, "netns", ns.name());
                ns.run("ip", "link", "set", name, "mtu", "2000", "up");
                // the same name here means another interface
                here.run("ip", "link", "set", here.name(), "name", name);
                FramePort p = open(Map.of("fd", fd.number()), 1);
                assertEquals(0, p.profile().mtu(), "the other interface's MTU");
                p.apply(settings(p, 1));
                assertEquals(1, OneFrame.transmit(p, 60).sent());
                Map<String, Long> counters = new HashMap<>();
                p.statistics(counters::put);
                assertEquals(Map.of(), counters, "counters of the other interface");
                assertTrue(ns.run("ip", "-s", "-o", "link", "show", name).matches("(?s).*RX:[^\\\\]*\\\\ +\\d+ +1 .*"),
                        ns.run("ip", "-s", "-o", "link", "show", name));
            } finally {
                fd.close();
                TestProcess.run("sh", "-c", "! ip link show " + name + " >/dev/null 2>&1 || ip link del " + name);
            }
        }
    }

    @Test
    void countersAreTheKernels() throws Exception {
        FramePort p = open(Map.of("ifname", name), 1);
        p.apply(settings(p, 1));
        OneFrame.transmit(p, 60);
        Map<String, Long> counters = new HashMap<>();
        p.statistics(counters::put);
        assertEquals(1L, counters.get("rx-packets"), counters.toString());
        assertTrue(counters.keySet().containsAll(java.util.Set.of("tx-dropped", "rx-dropped", "tx-packets", "rx-bytes")),
                counters.toString());
    }

    @Test
    void bridgeTakesTheInterface() throws Exception {
        try (TestTap bridge = TestTap.bridge(null).up(); TestTap tap = TestTap.tap()) {
            FramePort p = open(Map.of("ifname", tap.name(), "br", bridge.name()), 1);
            assertTrue(show(tap.name()).contains("master " + bridge.name()), show(tap.name()));
            p.close(NetPort.Disposal.RELEASE);
            open(Map.of("ifname", tap.name(), "br", bridge.name()), 1).close(NetPort.Disposal.RELEASE);
            assertTrue(show(tap.name()).contains("master " + bridge.name()), "closing takes it out of no bridge");
            try (TestTap other = TestTap.bridge(null)) {
                assertTrue(refusal(Map.of("ifname", tap.name(), "br", other.name()), 1).contains("in another bridge"));
            }
            String message = refusal(Map.of("ifname", name, "br", "nosuchbridge"), 1);
            assertTrue(message.contains("br=nosuchbridge") && message.contains("ip link add"), message);
            assertFalse(TestTap.exists(name), "a refused open left its interface");
        }
    }

    @Test
    void scriptsRunAtBothEnds(@TempDir Path dir) throws Exception {
        Path up = script(dir, "up", "ip link set $1 up && echo up $1 >> " + dir + "/log");
        Path down = script(dir, "down", "ip -o link show $1 && echo down $1 >> " + dir + "/log");
        Map<String, String> options = Map.of("ifname", name, "script", up.toString(), "downscript", down.toString());
        FramePort p = open(options, 1);
        assertTrue(show(name).contains(",UP"));
        assertEquals("up " + name + "\n", Files.readString(dir.resolve("log")));
        p.close(NetPort.Disposal.RELEASE);
        p.close(NetPort.Disposal.RELEASE);
        assertEquals("up " + name + "\ndown " + name + "\n", Files.readString(dir.resolve("log")));
        open(options, 1).close(NetPort.Disposal.LEAVE);
        assertEquals("up " + name + "\ndown " + name + "\nup " + name + "\n", Files.readString(dir.resolve("log")));
    }

    @Test
    void failedScriptTellsItsOutputAndLeavesNothing(@TempDir Path dir) throws Exception {
        Path bad = script(dir, "bad", "echo no bridge today >&2; exit 3");
        String message = refusal(Map.of("ifname", name, "script", bad.toString()), 1);
        assertTrue(message.contains("exit code 3") && message.contains("no bridge today") && message.contains(bad.toString()), message);
        assertFalse(TestTap.exists(name));
        assertTrue(refusal(Map.of("ifname", name, "script", dir + "/none"), 1).contains("cannot be run"));
        Path slow = script(dir, "slow", "sleep 600");
        OneFrame.Context soon = new OneFrame.Context(1, System.nanoTime() + 200_000_000L, false);
        message = assertThrows(NetdevException.class, () -> new TapBackend("net0", Map.of("ifname", name, "script",
                slow.toString())).open(soon))
                .getMessage();
        assertTrue(message.contains("did not end in time"), message);
        assertFalse(TestTap.exists(name));
    }

    @Test
    void downscriptGoesWithTheOwner(@TempDir Path dir) throws Exception {
        Path down = script(dir, "down", "echo down $1 >> " + dir + "/log");
        Map<String, String> options = Map.of("ifname", name, "downscript", down.toString());
        TapBackend source = new TapBackend("net0", options);
        TapBackend target = new TapBackend("net0", options);
        NetPort a = source.open(new OneFrame.Context(1));
        try (BackendState s = source.save(a, 1)) {
            assertEquals(java.util.Set.of("fd", "using_vnet_hdr", "has_ufo", "has_uso", "has_tunnel", "enabled", "host_vnet_hdr_len"),
                    s.queues().getFirst().names());
            target.load(s, new OneFrame.Context(1, Long.MAX_VALUE, true)).close(NetPort.Disposal.RELEASE);
            assertFalse(Files.exists(dir.resolve("log")), "a rehearsal ran the downscript");
            port = (FramePort) target.load(s, new OneFrame.Context(1));
        }
        a.close(NetPort.Disposal.LEAVE);
        assertFalse(Files.exists(dir.resolve("log")), "who leaves has no duty");
        assertTrue(TestTap.exists(name));
        port.close(NetPort.Disposal.RELEASE);
        assertEquals("down " + name + "\n", Files.readString(dir.resolve("log")));
        assertFalse(TestTap.exists(name));
    }

    private static Path script(Path dir, String file, String body) throws Exception {
        Path p = dir.resolve(file);
        Files.writeString(p, "#!/bin/sh\n" + body + "\n");
        Files.setPosixFilePermissions(p, PosixFilePermissions.fromString("rwxr-xr-x"));
        return p;
    }

    @Test
    void stateThatContradictsTheConfigurationIsRefused() throws Exception {
        TapBackend source = new TapBackend("net0", Map.of("ifname", name));
        port = (FramePort) source.open(new OneFrame.Context(1));
        try (BackendState s = source.save(port, 1)) {
            for (Map<String, String> options : java.util.List.of(Map.of("ifname", name, "queues", "2"), Map.of("ifname", "other"),
                    Map.of("ifname", name, "vnet_hdr", "off"), Map.of("helper", "/x"))) {
                assertThrows(StateTransferException.class, () -> new TapBackend("net0", options).load(s, new OneFrame.Context(1)),
                        options.toString());
            }
        }
    }

    @Test
    void downLinkDropsAndComesBack() throws Exception {
        try (TestTap tap = TestTap.tap()) {
            FramePort p = open(Map.of("ifname", tap.name()), 1);
            p.apply(settings(p, 1));
            assertEquals(DropReason.LINK_DOWN, OneFrame.transmit(p, 60).dropped());
            tap.up();
            assertEquals(1, OneFrame.transmit(p, 60).sent());
            tap.down();
            assertEquals(DropReason.LINK_DOWN, OneFrame.transmit(p, 60).dropped());
            assertEquals(DropReason.INVALID, OneFrame.transmit(p.queue(0), 12, 1).dropped());
        }
    }

    @Test
    void deletedInterfaceIsNamedByEveryCall() throws Exception {
        TapBackend b = new TapBackend("net0", Map.of("ifname", name));
        port = (FramePort) b.open(new OneFrame.Context(1));
        port.apply(settings(port, 1));
        TestProcess.run("ip", "link", "del", name);
        String sending = assertThrows(NetdevException.class, () -> OneFrame.transmit(port, 60)).getMessage();
        assertTrue(sending.contains(name) && sending.contains("was deleted"), sending);
        String receiving = assertThrows(NetdevException.class, () -> OneFrame.receive(port)).getMessage();
        assertTrue(receiving.contains(name) && receiving.contains("was deleted"), receiving);
        assertThrows(StateTransferException.class, () -> b.check(port));
        assertThrows(NetdevException.class, () -> port.apply(PortSettings.of(10, 0, BitSet.valueOf(new long[] {1}))));
        Map<String, Long> none = new HashMap<>();
        port.statistics(none::put);
        assertEquals(Map.of(), none);
        port.close(NetPort.Disposal.RELEASE);
        assertFalse(TestTap.exists(name));
    }
}
