// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.vireo.guest.FrontEnd;
import org.vireo.guest.GuestNic;
import org.vireo.guest.RefusedException;
import org.vireo.net.api.Fd;
import org.vireo.net.api.nic.NicState;
import org.vireo.posix.Posix;
import org.vireo.posix.linux.EventFd;
import org.vireo.posix.linux.SharedMemory;
import org.vireo.posix.linux.UnixSockets;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.OpenFiles;
import org.vireo.vhostuser.MemoryRegionSpec;
import org.vireo.vhostuser.Message;
import org.vireo.vhostuser.MessageChannel;
import org.vireo.vhostuser.MessageHeader;
import org.vireo.vhostuser.ProtocolFeatures;
import org.vireo.vhostuser.Request;
import org.vireo.vhostuser.VirtioNet;

/** What a VMM may say, and what becomes of one that says anything else. */
class SessionRulesTest {
    private static final byte[] NOTHING = {};

    private Harness h;
    private FakeNetwork net;
    private FakeBackend backend;

    @BeforeEach
    void start() throws Exception {
        h = new Harness(1);
        net = h.network(1);
        backend = h.backend("neta", net);
        h.nic("a", "mac", "52:54:00:12:34:56", "mtu", "1400");
    }

    @AfterEach
    void stop() {
        h.close();
    }

    private void nextVmmIsServed() throws IOException {
        GuestNic g = GuestNic.options().start(h.fds, FrontEnd.connect(h.fds, h.socket("a"), Harness.LIMIT));
        while (net.poll(0) != null) {
            h.status("a");
        }
        assertTrue(g.transmit(0).send(FakeBackend.frame(0, 60, 42), Harness.soon()));
        assertEquals(42, FakeBackend.number(net.take(0), 12));
        g.close();
        h.awaitState("a", NicState.LISTENING);
    }

    record Bad(String name, byte[] bytes) {
        @Override
        public String toString() {
            return name;
        }
    }

    static Stream<Bad> malformed() {
        List<Bad> all = new ArrayList<>();
        for (Request r : Request.values()) {
            all.add(new Bad(r + " as a reply", FrontEnd.bytes(r.id(), 1 | MessageHeader.REPLY, 0, NOTHING)));
            all.add(new Bad(r + " of version 2", FrontEnd.bytes(r.id(), 2, 0, NOTHING)));
        }
        for (Request r : List.of(Request.SET_FEATURES, Request.SET_PROTOCOL_FEATURES, Request.SET_VRING_NUM, Request.SET_VRING_ADDR,
                Request.SET_VRING_BASE, Request.GET_VRING_BASE, Request.SET_VRING_KICK, Request.SET_VRING_CALL, Request.SET_VRING_ERR,
                Request.SET_VRING_ENABLE, Request.SEND_RARP, Request.NET_SET_MTU, Request.GET_CONFIG, Request.ADD_MEM_REG,
                Request.REM_MEM_REG, Request.SET_STATUS, Request.SET_MEM_TABLE)) {
            all.add(new Bad(r + " without payload", FrontEnd.bytes(r.id(), 1, 0, NOTHING)));
            all.add(new Bad(r + " of 7 bytes", FrontEnd.bytes(r.id(), 1, 7, new byte[7])));
            all.add(new Bad(r + " of 300 bytes", FrontEnd.bytes(r.id(), 1, 300, new byte[300])));
        }
        all.add(new Bad("unknown request", FrontEnd.bytes(99, 1, 0, NOTHING)));
        all.add(new Bad("request 0xffffffff", FrontEnd.bytes(-1, 1, 0, NOTHING)));
        all.add(new Bad("request 0", FrontEnd.bytes(0, 1, 0, NOTHING)));
        all.add(new Bad("payload of 4 GiB", FrontEnd.bytes(2, 1, -1, NOTHING)));
        all.add(new Bad("kick without descriptor", FrontEnd.bytes(12, 1, 8, new byte[8])));
        all.add(new Bad("region without descriptor", FrontEnd.bytes(37, 1, 40, new byte[40])));
        return all.stream();
    }

    @Test
    void eachMalformedMessageEndsItsSessionAndNoMore() throws Exception {
        long before = -1;
        List<Bad> all = malformed().toList();
        for (Bad bad : all) {
            try (FrontEnd f = FrontEnd.connect(h.fds, h.socket("a"), Harness.LIMIT)) {
                f.raw(bad.bytes(), List.of());
                assertTrue(f.awaitClosed(Harness.soon()), bad.name());
            }
            if (before < 0) {
                before = OpenFiles.count();
            }
        }
        nextVmmIsServed();
        long most = before + 2;
        Await.until(Harness.LIMIT, "no more than " + most + " descriptors", () -> OpenFiles.count() <= most);
    }

    @Test
    void halfAHeaderAndSilenceEndsTheSession() throws Exception {
        long t = System.nanoTime();
        try (FrontEnd f = h.vmm("a")) {
            f.raw(new byte[] {1, 0, 0, 0, 1}, List.of());
            assertTrue(f.awaitClosed(System.nanoTime() + Duration.ofSeconds(10).toNanos()), "it waits for ever");
        }
        long millis = (System.nanoTime() - t) / 1_000_000;
        assertTrue(millis >= 1500 && millis < 6000, "after " + millis + " ms");
        nextVmmIsServed();
    }

    @Test
    void aMessageMayComeInPieces() throws Exception {
        try (FrontEnd f = h.vmm("a")) {
            byte[] m = FrontEnd.bytes(1, 1, 0, NOTHING);
            for (byte b : m) {
                f.raw(new byte[] {b}, List.of());
            }
            try (Message r = f.channel().receive(Harness.soon()).orElseThrow()) {
                assertTrue(r.u64() != 0);
            }
        }
    }

    /** A front-end that knows the device from before does not ask for what it acknowledges. Each need_reply gets exactly one answer. */
    @Test
    void everyRequestIsAnsweredOnce() throws Exception {
        try (FrontEnd f = h.vmm("a"); Fd event = EventFd.create(h.fds, "test")) {
            f.send(Request.SET_PROTOCOL_FEATURES, 0, MessageChannel.u64(ProtocolFeatures.REPLY_ACK | ProtocolFeatures.CONFIG), List.of());
            for (Request r : Request.values()) {
                byte[] payload = payload(r);
                List<Fd> with = switch (r.descriptors()) {
                    case ONE, UNLESS_BIT_8 -> List.of(event);
                    default -> List.of();
                };
                f.send(r, MessageHeader.NEED_REPLY, MemorySegment.ofArray(payload), with);
                try (Message m = f.channel().receive(Harness.soon()).orElseThrow(() -> new AssertionError("no answer to " + r))) {
                    assertEquals(r.id(), m.id(), "answer to " + r);
                    assertTrue(m.isReply());
                }
                // the next answer is that of the next message: no second one came
                f.send(Request.GET_FEATURES, 0, MemorySegment.ofArray(NOTHING), List.of());
                try (Message m = f.channel().receive(Harness.soon()).orElseThrow()) {
                    assertEquals(Request.GET_FEATURES.id(), m.id(), r + " was answered twice");
                }
                if (r == Request.SET_PROTOCOL_FEATURES) {
                    f.send(Request.SET_PROTOCOL_FEATURES, 0, MessageChannel.u64(ProtocolFeatures.REPLY_ACK), List.of());
                }
            }
        }
        nextVmmIsServed();
    }

    private static byte[] payload(Request r) {
        return switch (r.shape()) {
            case EMPTY, ANY -> NOTHING;
            case U64, VRING_STATE, LOG, DEVICE_STATE -> r == Request.SET_PROTOCOL_FEATURES ? new byte[] {8, 0, 0, 0, 0, 0, 0, 0}
                    : new byte[8];
            case MEMORY_TABLE -> new byte[8];
            case VRING_ADDRESS, MEMORY_REGION -> new byte[40];
            case CONFIG -> new byte[] {0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
            case INFLIGHT -> new byte[24];
            case IOTLB -> new byte[32];
            case VRING_AREA -> new byte[24];
            case UUID -> new byte[16];
        };
    }

    @Test
    void configurationSpaceBeginsAtZero() throws Exception {
        try (FrontEnd f = h.vmm("a")) {
            f.negotiate(GuestNic.RING_FEATURES, GuestNic.PROTOCOL);
            byte[] mac = {0x52, 0x54, 0, 0x12, 0x34, 0x56};
            assertArrayEquals(mac, f.config(0, 6));
            assertArrayEquals(new byte[] {1, 0}, f.config(8, 2), "pairs");
            assertArrayEquals(new byte[] {0x78, 5}, f.config(10, 2), "mtu 1400");
            assertArrayEquals(new byte[] {0x78, 5, -1, -1}, f.config(10, 4));
            assertEquals(24, f.config(0, 24).length);
            assertEquals(256, f.config(0, 256).length);
            assertEquals(1, f.config(255, 1).length);
            for (int[] bad : new int[][] {{256, 1}, {0, 0}, {255, 2}, {-1, 1}, {Integer.MAX_VALUE, 4}}) {
                MemorySegment asked = new org.vireo.vhostuser.DeviceConfig(bad[0], 0, MemorySegment.ofArray(new byte[bad[1]])).payload();
                f.send(Request.GET_CONFIG, 0, asked, List.of());
                try (Message m = f.channel().receive(Harness.soon()).orElseThrow()) {
                    assertEquals(0, m.payload().byteSize(), "an error is an answer without payload");
                }
            }
            assertArrayEquals(mac, f.config(0, 6), "the session lives");
        }
    }

    @Test
    void memorySlotsUpToTheNumberThatIsTold() throws Exception {
        long before;
        try (FrontEnd f = h.vmm("a"); Fd file = SharedMemory.create(h.fds, "slots", 4096, false)) {
            f.negotiate(GuestNic.RING_FEATURES, GuestNic.PROTOCOL);
            before = OpenFiles.count();
            int slots = (int) f.memorySlots();
            assertEquals(509, slots);
            List<MemoryRegionSpec> specs = new ArrayList<>();
            for (int i = 0; i <= slots; i++) {
                specs.add(new MemoryRegionSpec(0x10000L * i, 4096, 0x5000_0000L + 0x10000L * i, 0));
            }
            for (int i = 0; i < slots; i++) {
                f.tell(Request.ADD_MEM_REG, specs.get(i).payload(), List.of(file));
            }
            assertThrows(RefusedException.class, () -> f.tell(Request.ADD_MEM_REG, specs.get(slots).payload(), List.of(file)));
            Collections.shuffle(specs.subList(0, slots), new java.util.Random(7));
            for (int i = 0; i < slots; i++) {
                // some front-ends send the descriptor along here too
                f.tell(Request.REM_MEM_REG, specs.get(i).payload(), i % 2 == 0 ? List.of() : List.of(file));
            }
            assertTrue(OpenFiles.count() <= before + 1, "descriptors of removed regions");
        }
        nextVmmIsServed();
    }

    /**
     * QEMU 7.2 sends ADD_MEM_REG and REM_MEM_REG once for each queue pair: when the next pair's come all is done already, and what
     * the first one's have added may lie where the others' are to be removed. A full table does not matter then.
     */
    @Test
    void eachQueuePairMayTellOfTheSameMemory() throws Exception {
        try (FrontEnd f = h.vmm("a"); Fd file = SharedMemory.create(h.fds, "slots", 1 << 20, false);
                Fd other = SharedMemory.create(h.fds, "other", 1 << 20, false)) {
            f.negotiate(GuestNic.RING_FEATURES, GuestNic.PROTOCOL);
            int slots = (int) f.memorySlots();
            MemoryRegionSpec low = new MemoryRegionSpec(0, 0x10000, 0x5000_0000L, 0);
            MemoryRegionSpec longer = new MemoryRegionSpec(0, 0x20000, 0x5000_0000L, 0);
            List<MemoryRegionSpec> all = new ArrayList<>(List.of(low));
            for (int i = 1; i < slots; i++) {
                all.add(new MemoryRegionSpec(0x100000L * i, 4096, 0x6000_0000L + 0x100000L * i, 0x10000));
            }
            for (int pair = 0; pair < 3; pair++) {
                for (MemoryRegionSpec r : all) {
                    f.tell(Request.ADD_MEM_REG, r.payload(), List.of(file));
                }
            }
            long before = OpenFiles.count();
            assertThrows(RefusedException.class, () -> f.tell(Request.ADD_MEM_REG, low.payload(), List.of(other)), "another file's");
            for (int pair = 0; pair < 3; pair++) {
                f.tell(Request.REM_MEM_REG, low.payload(), List.of());
                f.tell(Request.ADD_MEM_REG, longer.payload(), List.of(file));
            }
            assertThrows(RefusedException.class, () -> f.tell(Request.ADD_MEM_REG, low.payload(), List.of(file)), "what was added stays");
            assertEquals(before, OpenFiles.count(), "one descriptor a region");
        }
        nextVmmIsServed();
    }

    /** Surplus descriptors are closed; what cannot be used is refused by name; nothing stays open. */
    @Test
    void descriptorsWhereNoneBelong() throws Exception {
        List<Fd> many = new ArrayList<>();
        Fd[] pipeLike = UnixSockets.pair(h.fds, 1, true, "not an eventfd");
        for (int i = 0; i < 32; i++) {
            many.add(EventFd.create(h.fds, "surplus"));
        }
        for (Request r : Request.values()) {
            long before = -1;
            for (int round = 0; round < 3; round++) {
                for (int n : new int[] {0, 1, 2, 9, 32}) {
                    try (FrontEnd f = FrontEnd.connect(h.fds, h.socket("a"), Harness.LIMIT)) {
                        f.raw(FrontEnd.bytes(r.id(), 1, payload(r).length, payload(r)), many.subList(0, n));
                        f.raw(FrontEnd.bytes(1, 1, 0, NOTHING), List.of());
                        f.channel().receive(System.nanoTime() + 5_000_000L).ifPresent(Message::close);
                    } catch (IOException | org.vireo.vhostuser.MalformedMessageException e) {
                        assertFalse(e.getMessage().isEmpty());
                    }
                }
                Await.until(Harness.LIMIT, "the sessions to end", () -> h.status("a").vmmPid() == 0);
                if (before < 0) {
                    before = OpenFiles.count() + 2;
                } else {
                    long most = before;
                    Await.until(Harness.LIMIT, r + ": no more than " + most + " descriptors", () -> OpenFiles.count() <= most);
                }
            }
        }
        many.forEach(Fd::close);
        for (Fd fd : pipeLike) {
            fd.close();
        }
        nextVmmIsServed();
    }

    /** A VM that is migrated with no driver is announced all the same: that it cannot be is no fault of its VMM. */
    @Test
    void anAnnouncementWithoutRingsEndsNoSession() throws Exception {
        h.guest("a", GuestNic.options());
        h.nic("b", "netdev", "neta", "mac", "52:54:00:12:34:56", "mtu", "1400");
        try (FrontEnd f = h.vmm("b")) {
            f.negotiate(GuestNic.RING_FEATURES, GuestNic.PROTOCOL & ~ProtocolFeatures.REPLY_ACK);
            f.sendRarp(new byte[] {2, 0, 0, 0, 0, 1});
            assertTrue(f.getFeatures() != 0);
        }
    }

    @Test
    void aCallDescriptorThatCanBlockIsRefused() throws Exception {
        Fd[] notEvents = UnixSockets.pair(h.fds, 1, false, "not an eventfd");
        try (FrontEnd f = h.vmm("a"); Fd memory = SharedMemory.create(h.fds, "not an eventfd", 4096, false);
                Fd a = notEvents[0]; Fd b = notEvents[1]) {
            f.negotiate(GuestNic.RING_FEATURES, GuestNic.PROTOCOL);
            for (Request r : List.of(Request.SET_VRING_CALL, Request.SET_VRING_KICK, Request.SET_VRING_ERR)) {
                for (Fd bad : List.of(a, b, memory)) {
                    assertThrows(RefusedException.class, () -> f.vringDescriptor(r, 0, bad));
                }
            }
            assertThrows(RefusedException.class, () -> f.vringDescriptor(Request.SET_VRING_KICK, 0, null), "a polled ring");
        }
        nextVmmIsServed();
    }

    @Test
    void memoryThatCannotBeUsedIsRefused() throws Exception {
        Fd[] sockets = UnixSockets.pair(h.fds, 1, true, "no memory");
        int plain = Posix.check(Posix.open("/proc/self/exe", Posix.O_RDONLY | Posix.O_CLOEXEC), "open");
        try (FrontEnd f = h.vmm("a"); Fd file = SharedMemory.create(h.fds, "memory", 8192, false);
                Fd readOnly = h.fds.adopt(
                        Posix.check(Posix.open("/proc/self/fd/" + file.number(), Posix.O_RDONLY | Posix.O_CLOEXEC), "open"), "read-only");
                Fd program = h.fds.adopt(plain, "a program"); Fd a = sockets[0]; Fd b = sockets[1]) {
            f.negotiate(GuestNic.RING_FEATURES, GuestNic.PROTOCOL);
            long before = OpenFiles.count();
            for (int round = 0; round < 50; round++) {
                refused(f, List.of(new MemoryRegionSpec(0, 4096, 4096, 0)), List.of(a));
                refused(f, List.of(new MemoryRegionSpec(0, 4096, 4096, 0)), List.of(readOnly));
                refused(f, List.of(new MemoryRegionSpec(0, 4096, 4096, 0)), List.of(program));
                refused(f, List.of(new MemoryRegionSpec(0, 16384, 4096, 0)), List.of(file));
                refused(f, List.of(new MemoryRegionSpec(0, 4096, 4096, 8192)), List.of(file));
                refused(f, List.of(new MemoryRegionSpec(0, 0, 4096, 0)), List.of(file));
                refused(f, List.of(new MemoryRegionSpec(0, -4096, 4096, 0)), List.of(file));
                refused(f, List.of(new MemoryRegionSpec(-4096, 8192, 4096, 0)), List.of(file));
                refused(f, List.of(new MemoryRegionSpec(0, 4096, -2048, 0)), List.of(file));
                refused(f, List.of(new MemoryRegionSpec(0, 4096, 4096, Long.MAX_VALUE)), List.of(file));
                refused(f, List.of(new MemoryRegionSpec(0, 8192, 4096, 0), new MemoryRegionSpec(4096, 4096, 65536, 0)),
                        List.of(file, file));
                refused(f, List.of(new MemoryRegionSpec(0, 8192, 4096, 0), new MemoryRegionSpec(65536, 4096, 8192, 0)),
                        List.of(file, file));
                refused(f, List.of(new MemoryRegionSpec(0, 4096, 4096, 0), new MemoryRegionSpec(65536, 4096, 65536, 4096),
                        new MemoryRegionSpec(0x100000, 4096, 0x100000, 0)), List.of(file, file, a));
                refused(f, List.of(), List.of());
            }
            assertTrue(OpenFiles.count() <= before + 1, "refused memory stays open");
            assertTrue(b.isOpen());
        }
        nextVmmIsServed();
    }

    private static void refused(FrontEnd f, List<MemoryRegionSpec> specs, List<Fd> files) {
        assertThrows(RefusedException.class, () -> f.tell(Request.SET_MEM_TABLE, MemoryRegionSpec.tablePayload(specs), files),
                () -> specs.toString());
    }

    /** A VMM that acknowledged more in its former life is refused with the bits by name, not served half. */
    @Test
    void featuresOfAFormerLifeAreRefusedByName() throws Exception {
        long acked;
        try (GuestNic g = GuestNic.options().features(GuestNic.RING_FEATURES | GuestNic.OFFLOAD_FEATURES)
                .start(h.fds, FrontEnd.connect(h.fds, h.socket("a"), Harness.LIMIT))) {
            acked = g.features();
        }
        h.awaitState("a", NicState.LISTENING);
        h.registry.remove("a");
        h.nic("a", "mrg_rxbuf", "off", "csum", "off");
        FrontEnd f = h.vmm("a");
        f.negotiate(GuestNic.RING_FEATURES, GuestNic.PROTOCOL);
        assertThrows(RefusedException.class, () -> f.setFeatures(acked));
        f.close();
        Await.until(Harness.LIMIT, "the session to end", () -> h.status("a").vmmPid() == 0);
        h.registry.remove("a");
        h.nic("a", "mtu", "1400");
        try (FrontEnd again = FrontEnd.connect(h.fds, h.socket("a"), Harness.LIMIT)) {
            assertEquals(acked, again.negotiate(acked, GuestNic.PROTOCOL));
        }
    }

    @Test
    void aSecondVmmIsRefusedAndTheFirstStays() throws Exception {
        GuestNic g = h.guest("a", GuestNic.options());
        try (FrontEnd second = FrontEnd.connect(h.fds, h.socket("a"), Harness.LIMIT)) {
            assertTrue(second.awaitClosed(Harness.soon()));
        }
        assertTrue(g.transmit(0).send(FakeBackend.frame(0, 60, 1), Harness.soon()));
        assertEquals(1, FakeBackend.number(net.take(0), 12));
    }

    /** Who has hung up does not keep the next one away, however soon that comes. */
    @Test
    void whoComesRightAfterOneThatHungUpIsServed() throws Exception {
        for (int i = 0; i < 100; i++) {
            FrontEnd.connect(h.fds, h.socket("a"), Harness.LIMIT).close();
            try (FrontEnd next = FrontEnd.connect(h.fds, h.socket("a"), Harness.LIMIT)) {
                next.negotiate(VirtioNet.VERSION_1 | VirtioNet.PROTOCOL_FEATURES, GuestNic.PROTOCOL);
            }
        }
    }

    @Test
    void connectionsThatEndAtOnceLeaveNothing() throws Exception {
        long before = OpenFiles.count();
        for (int i = 0; i < 1000; i++) {
            try (FrontEnd f = FrontEnd.connect(h.fds, h.socket("a"), Harness.LIMIT)) {
                if (i % 2 == 0) {
                    UnixSockets.shutdown(f.socket());
                }
            }
        }
        Await.until(Harness.LIMIT, "the sessions to end", () -> h.status("a").vmmPid() == 0);
        Await.until(Harness.LIMIT, "no more than " + before + " descriptors", () -> OpenFiles.count() <= before + 2);
        nextVmmIsServed();
    }

    /** A VMM that never stops talking does not keep the NIC from being deleted. */
    @Test
    void aTalkativeVmmDoesNotHoldTheNic() throws Exception {
        FrontEnd f = h.vmm("a");
        Thread talk = Thread.ofPlatform().start(() -> {
            try {
                while (true) {
                    f.send(Request.SET_OWNER, 0, MemorySegment.ofArray(NOTHING), List.of());
                }
            } catch (IOException e) {
                // the NIC has gone
            }
        });
        Await.until(Harness.LIMIT, "the VMM to be there", () -> h.status("a").vmmPid() != 0);
        long t = System.nanoTime();
        h.registry.remove("a");
        long millis = (System.nanoTime() - t) / 1_000_000;
        assertTrue(millis < 5000, "device_del took " + millis + " ms");
        talk.join(10_000);
        assertFalse(talk.isAlive());
    }

    @Test
    void anAnnouncementIsSentOnce() throws Exception {
        GuestNic g = h.guest("a", GuestNic.options());
        byte[] mac = {0x52, 0x54, 0, 1, 2, 3};
        g.frontEnd().sendRarp(mac);
        byte[] b = net.take(0);
        assertEquals(72, b.length);
        assertEquals((byte) 0x80, b[24]);
        assertEquals(0x35, b[25]);
        assertArrayEquals(mac, java.util.Arrays.copyOfRange(b, 18, 24));
    }

    @Test
    void theMtuIsThePortsAtMost() throws Exception {
        try (FrontEnd f = h.vmm("a")) {
            f.negotiate(GuestNic.RING_FEATURES, GuestNic.PROTOCOL);
            f.setMtu(1500);
            assertThrows(RefusedException.class, () -> f.setMtu(1501));
            assertThrows(RefusedException.class, () -> f.setMtu(67));
        }
    }

    @Test
    void enableIsOfOneRing() throws Exception {
        GuestNic g = h.guest("a", GuestNic.options());
        // {index, num}: taken as one u64, "ring 1 off" looks like "on"
        g.frontEnd().enable(1, false);
        assertTrue(g.transmit(0).send(FakeBackend.frame(0, 60, 1), Harness.soon()));
        assertTrue(g.transmit(0).awaitAll(Harness.soon()));
        assertEquals(Optional.empty(), Optional.ofNullable(net.poll(0)));
        assertEquals(0, backend.applied.guestOffloads() & ~VirtioNet.GUEST_CSUM);
    }
}
