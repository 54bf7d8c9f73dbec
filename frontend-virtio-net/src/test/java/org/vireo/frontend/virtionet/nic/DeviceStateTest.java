// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;
import java.util.zip.CRC32;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.vireo.guest.DriverQueue;
import org.vireo.guest.FrontEnd;
import org.vireo.guest.GuestNic;
import org.vireo.guest.RefusedException;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Section;
import org.vireo.net.api.nic.IncomingNic;
import org.vireo.net.api.nic.NicImage;
import org.vireo.net.api.nic.NicState;
import org.vireo.net.api.nic.TransferableNic;
import org.vireo.net.api.wire.StateDecoder;
import org.vireo.net.api.wire.StateEncoder;
import org.vireo.net.api.wire.StateItems;
import org.vireo.posix.Posix;
import org.vireo.posix.linux.EventFd;
import org.vireo.posix.linux.Pipe;
import org.vireo.posix.linux.Poll;
import org.vireo.posix.linux.UnixSockets;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.OpenFiles;
import org.vireo.vhostuser.DeviceStateTransfer;
import org.vireo.vhostuser.ProtocolFeatures;
import org.vireo.vhostuser.VirtioNet;

/** A VMM takes a device's state along ("Migrating back-end state" in the vhost-user specification). */
class DeviceStateTest {
    private static final DeviceStateTransfer SAVE = new DeviceStateTransfer(DeviceStateTransfer.SAVE, DeviceStateTransfer.STOPPED);
    private static final DeviceStateTransfer LOAD = new DeviceStateTransfer(DeviceStateTransfer.LOAD, DeviceStateTransfer.STOPPED);
    private static final long PROTOCOL = GuestNic.PROTOCOL | ProtocolFeatures.DEVICE_STATE;
    private static final String MAC = "52:54:00:12:34:56";
    private static final int HEADER = 24;
    private static final long PROMPT_NANOS = 6_000_000_000L;

    private Harness source;
    private Harness target;
    private FakeNetwork net;
    private FakeNetwork there;

    @BeforeEach
    void start() throws Exception {
        source = new Harness(1);
        target = new Harness(1);
        net = source.network(1);
        there = target.network(1);
        source.backend("neta", net);
        target.backend("neta", there);
        source.nic("a", "mac", MAC);
        target.nic("a", "mac", MAC);
    }

    @AfterEach
    void stop() {
        target.close();
        source.close();
    }

    private static GuestNic.Options options() {
        return GuestNic.options().protocol(PROTOCOL).ringSize(64);
    }

    private static void stopRings(GuestNic g) throws IOException {
        g.frontEnd().stop(0);
        g.frontEnd().stop(1);
    }

    /** All that comes until the end. */
    private static byte[] read(Fd from) {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        try (Arena a = Arena.ofConfined()) {
            MemorySegment chunk = a.allocate(1 << 16);
            for (long n = 1; n > 0;) {
                n = Posix.read(from.number(), chunk.address(), 1 << 16);
                assertTrue(n >= 0, "errno " + -n);
                all.writeBytes(chunk.asSlice(0, n).toArray(ValueLayout.JAVA_BYTE));
            }
        }
        return all.toByteArray();
    }

    private static void write(Fd to, byte[] bytes) {
        try (Arena a = Arena.ofConfined()) {
            MemorySegment all = a.allocateFrom(ValueLayout.JAVA_BYTE, bytes);
            for (long at = 0; at < bytes.length;) {
                long n = Posix.write(to.number(), all.address() + at, bytes.length - at);
                if (n < 0) {
                    // nobody reads any more
                    return;
                }
                at += n;
            }
        }
    }

    /** Lets the device have an end: the VMM keeps none of it. */
    private static void give(FrontEnd f, DeviceStateTransfer what, Fd end) throws IOException {
        try (end) {
            assertEquals(Optional.empty(), f.deviceState(what, end));
        }
    }

    private static byte[] save(FrontEnd f, Harness h) throws IOException {
        Pipe p = Pipe.create(h.fds, "state");
        try (Fd ours = p.read()) {
            give(f, SAVE, p.write());
            return read(ours);
        }
    }

    private static void send(FrontEnd f, Harness h, byte[] state) throws IOException {
        Pipe p = Pipe.create(h.fds, "state");
        try (Fd ours = p.write()) {
            give(f, LOAD, p.read());
            write(ours, state);
        }
    }

    private static void load(FrontEnd f, Harness h, byte[] state) throws IOException {
        send(f, h, state);
        f.checkDeviceState();
    }

    /** A guest's NIC whose rings have run and stand still. */
    private static GuestNic stopped(Harness h, FakeNetwork n) throws IOException {
        GuestNic g = h.guest("a", options());
        n.passBothWays(g, 1);
        stopRings(g);
        return g;
    }

    /** As the VMM of the target does it: the state first, then the rings, where they stood. */
    private GuestNic arrive(byte[] state) throws IOException {
        GuestNic g = target.guest("a", options());
        stopRings(g);
        load(g.frontEnd(), target, state);
        startRings(g);
        return g;
    }

    private static void startRings(GuestNic g) throws IOException {
        for (DriverQueue q : List.<DriverQueue>of(g.receive(0), g.transmit(0))) {
            g.frontEnd().start(q, g.frontEnd().stop(q.index()));
        }
    }

    @Test
    void aDeviceGoesOnWhereItIsLoaded() throws Exception {
        byte[] state = save(stopped(source, net).frontEnd(), source);
        GuestNic g = arrive(state);
        byte[] mac = {0x52, 0x54, 0, 0x12, 0x34, 0x56};
        assertArrayEquals(Rarp.frame(mac), Arrays.copyOfRange(there.take(0), 12, 72), "the network learns where the guest is now");
        there.passBothWays(g, 2);
    }

    @Test
    void theSourceGoesOnIfTheMigrationFails() throws Exception {
        GuestNic g = stopped(source, net);
        save(g.frontEnd(), source);
        g.frontEnd().checkDeviceState();
        startRings(g);
        net.passBothWays(g, 2);
    }

    /** What the guest cannot see by this device is not compared, nor announced: QEMU shows configuration space and announces itself. */
    @Test
    void aVmmThatShowsTheConfigurationSpaceItselfMayHaveAnotherMac() throws Exception {
        long protocol = PROTOCOL & ~ProtocolFeatures.CONFIG;
        GuestNic g = source.guest("a", options().protocol(protocol));
        stopRings(g);
        byte[] state = save(g.frontEnd(), source);
        target.backend("netb", target.network(1));
        target.nic("b", "mac", "52:54:00:00:00:01");
        GuestNic h = target.guest("b", options().protocol(protocol));
        stopRings(h);
        load(h.frontEnd(), target, state);
    }

    /** Whatever the order: answered at once, with a refusal where it cannot be, and the session lives. */
    @Test
    void aWrongOrderIsRefused() throws Exception {
        GuestNic g = source.guest("a", options());
        FrontEnd f = g.frontEnd();
        net.passBothWays(g, 1);
        Pipe p = Pipe.create(source.fds, "state");
        for (DeviceStateTransfer t : List.of(SAVE, LOAD)) {
            promptly(() -> assertThrows(RefusedException.class, () -> f.deviceState(t, p.write()), "rings run"));
        }
        promptly(() -> assertThrows(RefusedException.class, f::checkDeviceState, "nothing was begun"));
        f.stop(0);
        promptly(() -> assertThrows(RefusedException.class, () -> f.deviceState(SAVE, p.write()), "a ring runs"));
        f.stop(1);
        for (DeviceStateTransfer t : List.of(new DeviceStateTransfer(2, 0), new DeviceStateTransfer(-1, 0),
                new DeviceStateTransfer(0, 1))) {
            promptly(() -> assertThrows(RefusedException.class, () -> f.deviceState(t, p.write()), t.toString()));
        }
        try (Fd event = EventFd.create(source.fds, "no pipe")) {
            promptly(() -> assertThrows(RefusedException.class, () -> f.deviceState(SAVE, event)));
        }
        promptly(() -> assertThrows(RefusedException.class, f::checkDeviceState));
        p.close();
        // rings that were started since
        save(f, source);
        startRings(g);
        promptly(() -> assertThrows(RefusedException.class, f::checkDeviceState));
        net.passBothWays(g, 2);
        stopRings(g);
        save(f, source);
        f.checkDeviceState();
        promptly(() -> assertThrows(RefusedException.class, f::checkDeviceState, "it was checked already"));
    }

    private interface Step {
        void run() throws Exception;
    }

    private static void promptly(Step s) throws Exception {
        long began = System.nanoTime();
        s.run();
        long took = System.nanoTime() - began;
        assertTrue(took < PROMPT_NANOS, "answered after " + took / 1_000_000 + " ms");
    }

    @Test
    void aSocketCarriesIt() throws Exception {
        GuestNic g = stopped(source, net);
        Fd[] ends = UnixSockets.pair(source.fds, 1, false, "state");
        byte[] state;
        try (Fd ours = ends[0]) {
            give(g.frontEnd(), SAVE, ends[1]);
            state = read(ours);
        }
        g.frontEnd().checkDeviceState();
        SavedDevice d = SavedDevice.decode(state);
        assertEquals(1, d.pairs());
        assertEquals(MAC, d.mac());
        assertEquals(g.features() & ~(VirtioNet.PROTOCOL_FEATURES | VirtioNet.LOG_ALL), d.features());
    }

    private record Bad(String why, byte[] state) { }

    private static byte[] changed(byte[] state, Consumer<ByteBuffer> change, boolean checksum) {
        byte[] b = state.clone();
        ByteBuffer buffer = ByteBuffer.wrap(b).order(ByteOrder.LITTLE_ENDIAN);
        change.accept(buffer);
        if (checksum) {
            CRC32 crc = new CRC32();
            crc.update(b, 0, 12);
            crc.update(b, 16, b.length - 16);
            buffer.putInt(12, (int) crc.getValue());
        }
        return b;
    }

    /** With other sections. */
    private static byte[] with(byte[] state, int version, Section... more) throws Exception {
        ByteBuffer b = ByteBuffer.wrap(state).order(ByteOrder.LITTLE_ENDIAN);
        StateItems items = StateDecoder.decode(b.slice(HEADER, b.getInt(8)), Set.of("writer"), List.of());
        List<Section> sections = new java.util.ArrayList<>(items.sections());
        for (Section s : more) {
            sections.removeIf(o -> o.name().equals(s.name()));
            sections.add(s);
        }
        ByteBuffer encoded = StateEncoder.encode(new StateItems(items.head(), version, sections, null)).bytes();
        ByteBuffer all = ByteBuffer.allocate(HEADER + encoded.remaining()).order(ByteOrder.LITTLE_ENDIAN);
        all.put(state, 0, HEADER).putInt(8, encoded.remaining()).put(encoded);
        return changed(all.array(), x -> { }, true);
    }

    private static Section device(long features, long mtu, long pairs) {
        return Section.builder("device").number("features", features).number("mtu", mtu).number("pairs", pairs).build();
    }

    @Test
    void whatDoesNotFitIsRefusedAndTheNicIsAsBefore() throws Exception {
        GuestNic s = stopped(source, net);
        byte[] good = save(s.frontEnd(), source);
        long features = SavedDevice.decode(good).features();
        GuestNic g = target.guest("a", options());
        stopRings(g);
        FrontEnd f = g.frontEnd();
        load(f, target, good);
        long before = OpenFiles.count();
        List<Bad> all = List.of(
                new Bad("it has 0 bytes", new byte[0]),
                new Bad("it has 23 bytes", Arrays.copyOf(good, HEADER - 1)),
                new Bad("it was cut short", Arrays.copyOf(good, good.length - 1)),
                new Bad("it was cut short, or went on", Arrays.copyOf(good, good.length + 1)),
                new Bad("it begins with", changed(good, b -> b.putInt(0, 1), true)),
                new Bad("it has layout 2, known is 1", changed(good, b -> b.putInt(4, 2), true)),
                new Bad("it was cut short", changed(good, b -> b.putInt(8, -1), true)),
                new Bad("it was cut short", changed(good, b -> b.putLong(16, -1), true)),
                new Bad("its checksum is", changed(good, b -> b.put(HEADER + 9, (byte) 77), false)),
                new Bad("is larger than the 16777216 bytes", new byte[StateMigration.MOST_BYTES + 1]),
                new Bad("it has version 2, known is 1", with(good, 2)),
                new Bad("section filters is not known here", with(good, 1, Section.builder("filters").number("vlan", 1).build())),
                new Bad("section filters is not known here", with(good, 1, Section.builder("filters").build())),
                new Bad("field colour", with(good, 1, Section.builder("config").text("mac", MAC).text("colour", "red").build())),
                new Bad("section port says 5 bytes, 0 came", with(good, 1, Section.builder("port").number("bytes", 5).build())),
                new Bad("it has 4 queue pairs, this NIC 1", with(good, 1, device(features, 0, 4))),
                new Bad("queue pairs", with(good, 1, device(features, 0, 1L << 40))),
                new Bad("acknowledged bit 50", with(good, 1, device(features | 1L << 50, 0, 1))),
                new Bad("they differ in", with(good, 1, device(features & ~VirtioNet.EVENT_IDX, 0, 1))),
                new Bad("mtu 9000, the port's is 1500", with(good, 1, device(features, 9000, 1))),
                new Bad("mtu 67", with(good, 1, device(features, 67, 1))),
                new Bad("mtu -1", with(good, 1, device(features, -5, 1))),
                new Bad("give it mac=52:54:00:00:00:99", with(good, 1,
                        Section.builder("config").text("mac", "52:54:00:00:00:99").build())));
        for (Bad b : all) {
            try (Logged log = new Logged(StateMigration.class)) {
                send(f, target, b.state);
                assertThrows(RefusedException.class, f::checkDeviceState, b.why);
                assertTrue(log.text().contains(b.why), b.why + ", but: " + log.text());
            }
            assertEquals(NicState.CONNECTED, target.status("a").state());
        }
        Await.until(Harness.LIMIT, "no descriptor more", () -> OpenFiles.count() <= before);
        load(f, target, with(good, 1, Section.builder("hints").text("colour", "red").optional("colour").build()));
        startRings(g);
        there.take(0);
        there.passBothWays(g, 3);
    }

    /** Nobody waits for a VMM that does not read: neither its own session, nor another NIC. */
    @Test
    void aVmmThatDoesNotReadOrGoesAwayHoldsUpNobody() throws Exception {
        FakeRings rings = new FakeRings(net);
        rings.deviceState = new byte[4 << 20];
        source.bind("netb", rings, 0);
        source.nic("b");
        GuestNic other = source.guest("a", options());
        GuestNic g = source.guest("b", options());
        stopRings(g);
        long before = OpenFiles.count();
        Pipe p = Pipe.create(source.fds, "state");
        give(g.frontEnd(), SAVE, p.write());
        promptly(() -> assertTrue(g.frontEnd().getFeatures() != 0));
        net.passBothWays(other, 1);
        promptly(() -> assertThrows(RefusedException.class, g.frontEnd()::checkDeviceState, "most of it is not read"));
        p.read().close();
        p = Pipe.create(source.fds, "state");
        p.read().close();
        give(g.frontEnd(), SAVE, p.write());
        promptly(() -> assertThrows(RefusedException.class, g.frontEnd()::checkDeviceState, "nobody reads"));
        // an end that never comes
        p = Pipe.create(source.fds, "state");
        give(g.frontEnd(), LOAD, p.read());
        promptly(() -> assertThrows(RefusedException.class, g.frontEnd()::checkDeviceState, "no end"));
        p.write().close();
        // the VMM dies in the middle
        p = Pipe.create(source.fds, "state");
        give(g.frontEnd(), SAVE, p.write());
        g.close();
        source.awaitState("b", NicState.LISTENING);
        p.read().close();
        Await.until(Harness.LIMIT, "no descriptor more", () -> OpenFiles.count() <= before);
    }

    @Test
    void whoHasTheRingsHasAStateToo() throws Exception {
        byte[] its = new byte[3 << 20];
        new java.util.Random(1).nextBytes(its);
        FakeRings from = rings(source, net);
        from.deviceState = its;
        FakeRings to = rings(target, there);
        to.deviceState = new byte[0];
        GuestNic g = source.guest("r", options());
        stopRings(g);
        byte[] state = save(g.frontEnd(), source);
        g.frontEnd().checkDeviceState();
        GuestNic h = target.guest("r", options());
        stopRings(h);
        load(h.frontEnd(), target, state);
        assertArrayEquals(its, to.deviceState);
        // it refuses, or has none, or the netdev runs no rings of another: so does the NIC
        to.refusesState = true;
        refused(h.frontEnd(), target, state, "does not like it");
        to.refusesState = false;
        to.deviceState = null;
        refused(h.frontEnd(), target, state, "has no state here");
        GuestNic tap = target.guest("a", options());
        stopRings(tap);
        refused(tap.frontEnd(), target, state, "it needs one that gives the rings away");
        from.refusesState = true;
        Pipe p = Pipe.create(source.fds, "state");
        assertThrows(RefusedException.class, () -> give(g.frontEnd(), SAVE, p.write()));
        p.close();
        startRings(g);
        net.passBothWays(g, 5);
    }

    private static FakeRings rings(Harness h, FakeNetwork n) throws Exception {
        FakeRings r = new FakeRings(n);
        h.bind("netr", r, 0);
        h.nic("r", "mac", MAC);
        return r;
    }

    private static void refused(FrontEnd f, Harness h, byte[] state, String why) throws IOException {
        try (Logged log = new Logged(StateMigration.class)) {
            send(f, h, state);
            assertThrows(RefusedException.class, f::checkDeviceState, why);
            assertTrue(log.text().contains(why), why + ", but: " + log.text());
        }
    }

    /** The next process does not know what became of it: it says so, and saves anew. */
    @Test
    void aHandoverBetweenSaveAndCheckRefuses() throws Exception {
        GuestNic g = stopped(source, net);
        try (Harness next = new Harness(1)) {
            next.backend("neta", net);
            Pipe p = Pipe.create(source.fds, "state");
            give(g.frontEnd(), SAVE, p.write());
            assertTrue(Poll.readable((int) Harness.LIMIT.toMillis(), p.read().number()) != 0);
            TransferableNic out = source.registry.transferable("a").orElseThrow();
            IncomingNic in = next.registry.prepare(out.begin(1, true, false, NicImage::close), true, Harness.soon());
            HandoverInsideTest.handOver(out, in);
            SavedDevice.decode(read(p.read()));
            p.read().close();
            assertThrows(RefusedException.class, g.frontEnd()::checkDeviceState);
            save(g.frontEnd(), next);
            g.frontEnd().checkDeviceState();
            startRings(g);
            net.passBothWays(g, 2);
        }
    }

    /** A VM that moves to another VMM on the same host: the port is with the first NIC, whose back-end keeps its state. */
    @Test
    void onTheSameHostWhoHasTheRingsKeepsItsState() throws Exception {
        FakeRings r = rings(source, net);
        r.deviceState = new byte[] {1, 2, 3};
        source.nic("s", "netdev", "netr", "mac", MAC);
        GuestNic g = source.guest("r", options());
        stopRings(g);
        byte[] state = save(g.frontEnd(), source);
        g.frontEnd().checkDeviceState();
        r.refusesState = true;
        FrontEnd f = source.vmm("s");
        f.negotiate(g.features(), PROTOCOL);
        load(f, source, state);
    }
}
