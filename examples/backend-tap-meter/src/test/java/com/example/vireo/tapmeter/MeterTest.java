// SPDX-License-Identifier: Apache-2.0
package com.example.vireo.tapmeter;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.net.api.NetPort;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.OpenContext;
import org.vireo.net.api.PortListener;
import org.vireo.net.api.Section;
import org.vireo.net.api.StateTransferException;
import org.vireo.posix.Descriptors;
import org.vireo.posix.Posix;

/** What the meter counts, and what it hands back. */
class MeterTest {
    private static Map<String, Long> counted(Meter m) {
        Map<String, Long> all = new TreeMap<>();
        Meter.report("x", List.of(m), all::put);
        all.values().removeIf(v -> v == 0);
        return all;
    }

    private static void count(Meter m, String to, int type, int bytes) {
        MemorySegment e = Arena.ofAuto().allocate(Meter.HEADER_ROOM, 8);
        for (int i = 0; i < 6; i++) {
            e.set(ValueLayout.JAVA_BYTE, i, (byte) Integer.parseInt(to.substring(2 * i, 2 * i + 2), 16));
        }
        e.set(ValueLayout.JAVA_BYTE, 12, (byte) (type >> 8));
        e.set(ValueLayout.JAVA_BYTE, 13, (byte) type);
        m.count(e, Meter.HEADER_BYTES, bytes);
    }

    @Test
    void eachFrameCountsByReceiverAndByProtocol() {
        Meter m = new Meter();
        count(m, "ffffffffffff", 0x0806, 42);
        count(m, "ffffffffffff", 0x0800, 300);
        count(m, "01005e000001", 0x0800, 60);
        count(m, "3333000000fb", 0x86dd, 90);
        count(m, "025400000001", 0x0800, 1514);
        count(m, "025400000001", 0x88b5, 64);
        m.count(Arena.ofAuto().allocate(Meter.HEADER_ROOM), 5, 5);
        assertEquals(new TreeMap<>(Map.ofEntries(Map.entry("x-broadcast-frames", 2L), Map.entry("x-broadcast-bytes", 342L),
                Map.entry("x-multicast-frames", 2L), Map.entry("x-multicast-bytes", 150L), Map.entry("x-unicast-frames", 2L),
                Map.entry("x-unicast-bytes", 1578L), Map.entry("x-arp-frames", 1L), Map.entry("x-arp-bytes", 42L),
                Map.entry("x-ipv4-frames", 3L), Map.entry("x-ipv4-bytes", 1874L), Map.entry("x-ipv6-frames", 1L),
                Map.entry("x-ipv6-bytes", 90L), Map.entry("x-other-frames", 2L), Map.entry("x-other-bytes", 69L))), counted(m));
    }

    private record Context(Fds fds, int pairs) implements OpenContext {
        @Override
        public PortListener listener() {
            throw new AssertionError("nothing is to be told");
        }

        @Override
        public long deadlineNanos() {
            return System.nanoTime() + 10_000_000_000L;
        }

        @Override
        public boolean rehearsal() {
            return false;
        }
    }

    private static Fd file(Fds fds) throws IOException {
        return fds.adopt(Posix.check(Posix.open("/dev/null", Posix.O_RDWR), "open"), "stands for a queue");
    }

    /** Who changes them goes back to tap first. */
    @Test
    void optionsThatOnlyTapCanChangeAreRefusedByName() throws Exception {
        Fds fds = new Descriptors();
        Section q = Section.builder("queue 0").descriptor("fd", file(fds)).flag("using_vnet_hdr", true).flag("has_ufo", true)
                .flag("has_uso", true).flag("has_tunnel", true).flag("enabled", true).number("host_vnet_hdr_len", 12).build();
        Section p = Section.builder("port").number("configured_sndbuf", 1000).optional("configured_sndbuf").number("configured_mtu", 9000)
                .optional("configured_mtu").text("configured_br", "br0").optional("configured_br").build();
        try (BackendState came = BackendState.of("tap", 1, p, List.of(q))) {
            for (Map<String, String> changed : List.of(Map.of("sndbuf", "2000", "br", "br0"), Map.of("sndbuf", "1000", "br", "br1"),
                    Map.of("sndbuf", "1000", "br", "br0", "mtu", "1500"), Map.of("sndbuf", "1000"), Map.of("br", "br0"))) {
                StateTransferException e = assertThrows(StateTransferException.class,
                        () -> new MeterBackend("net0", changed).load(came, new Context(fds, 1)), changed.toString());
                assertTrue(e.getMessage().contains("tap-meter cannot change it: first vireo backend swap net0 --to tap"), e.getMessage());
            }
            new MeterBackend("net0", Map.of("sndbuf", "1000", "br", "br0")).load(came, new Context(fds, 1)).close(NetPort.Disposal.LEAVE);
        }
    }

    @Test
    void whatTheMeterDoesNotKnowGoesBackAsItCame() throws Exception {
        Fds fds = new Descriptors();
        Section p = Section.builder("port").text("ifname", "tap7").optional("ifname").number("mtu", 9000).optional("mtu")
                .flag("link_up", false).optional("link_up").text("owner", "libvirt").optional("owner").descriptor("lock", file(fds))
                .optional("lock").text("configured_br", "br0").optional("configured_br").build();
        Section q = Section.builder("queue 0").descriptor("fd", file(fds)).flag("using_vnet_hdr", true).flag("has_ufo", true)
                .flag("has_uso", true).flag("has_tunnel", true).flag("enabled", true).number("host_vnet_hdr_len", 10)
                .number("numa", 3).optional("numa").build();
        MeterBackend meter = new MeterBackend("net0", Map.of("ifname", "tap7", "downscript", "no", "br", "br0"));
        NetPort port;
        try (BackendState came = BackendState.of("tap", 1, p, List.of(q))) {
            port = meter.load(came, new Context(fds, 1));
        }
        try (BackendState back = meter.save(port, 1)) {
            assertEquals("tap", back.type());
            assertEquals(1, back.version());
            assertEquals(List.copyOf(p.names()), List.copyOf(back.port().names()));
            assertEquals(List.copyOf(q.names()), List.copyOf(back.queues().getFirst().names()));
            assertEquals("libvirt", back.port().text("owner"));
            assertTrue(back.port().optional("owner") && back.port().descriptor("lock").isOpen());
            assertEquals(9000, back.port().number("mtu"));
            assertEquals(false, back.port().flag("link_up"));
            assertEquals(3, back.queues().getFirst().number("numa"));
            assertEquals(10, back.queues().getFirst().number("host_vnet_hdr_len"));
        }
        port.close(NetPort.Disposal.LEAVE);
        assertThrows(IllegalStateException.class, () -> ((MeterPort) port).state().port().descriptor("lock").number());
    }

    @Test
    void anInterfaceThatOnlyTapCanOpenIsRefusedWithTheWay() {
        for (Map<String, String> options : List.of(Map.of("fds", "7:8"), Map.of("ifname", "tap7", "br", "br0"),
                Map.of("ifname", "tap%d"))) {
            NetdevException e = assertThrows(NetdevException.class, () -> new MeterBackend("net0", options)
                    .open(new Context(new Descriptors(), 1)));
            assertTrue(e.getMessage().contains("vireo backend swap net0 --to tap-meter"), e.getMessage());
        }
    }
}
