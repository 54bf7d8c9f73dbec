// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vireo.guest.DriverQueue;
import org.vireo.guest.GuestNic;
import org.vireo.guest.RefusedException;
import org.vireo.net.api.Fd;
import org.vireo.net.api.nic.IncomingNic;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.NicState;
import org.vireo.net.api.nic.TransferableNic;
import org.vireo.posix.linux.SharedMemory;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.OpenFiles;
import org.vireo.vhostuser.ProtocolFeatures;
import org.vireo.vhostuser.VirtioNet;

/** A VMM migrates a VM with running rings (vhost-user, "Migration"): a page that was written and not logged would be missing there. */
class MigrationTest {
    private static final long PLAIN = VirtioNet.VERSION_1 | VirtioNet.PROTOCOL_FEATURES;

    private final AtomicBoolean stop = new AtomicBoolean();
    private final AtomicLong passed = new AtomicLong();
    private final AtomicReference<Throwable> failed = new AtomicReference<>();
    private Thread traffic;

    /** How a guest may have its rings. */
    enum Guest {
        MERGED, LARGE_RING, SMALL_BUFFERS, PLAIN_RING, PIECES, REGIONS, PAIRS, NO_HEADER, PACKED, PACKED_SMALL_BUFFERS, LENT,
        LENT_PACKED;

        GuestNic.Options options() {
            return switch (this) {
                case MERGED, LENT -> GuestNic.options().ringSize(64);
                case LARGE_RING -> GuestNic.options().ringSize(2048).receiveBytes(1600);
                case SMALL_BUFFERS -> GuestNic.options().ringSize(128).receiveBytes(300);
                case PLAIN_RING -> GuestNic.options().ringSize(64).features(PLAIN).receiveBytes(2048);
                case PIECES -> GuestNic.options().ringSize(64).receivePieces(3, 100).indirect(false).receiveBytes(700);
                case REGIONS -> GuestNic.options().ringSize(64).regions(5);
                case PAIRS -> GuestNic.options().ringSize(64).pairs(3).regions(2);
                case PACKED, LENT_PACKED -> GuestNic.options().ringSize(100).packed(true);
                case PACKED_SMALL_BUFFERS -> GuestNic.options().ringSize(128).packed(true).receiveBytes(300);
                case NO_HEADER -> GuestNic.options().ringSize(64).receiveBytes(500);
            };
        }
    }

    @AfterEach
    void end() throws InterruptedException {
        stopTraffic();
    }

    private void stopTraffic() throws InterruptedException {
        stop.set(true);
        if (traffic != null) {
            traffic.join(60_000);
            assertFalse(traffic.isAlive());
            traffic = null;
        }
        Throwable t = failed.getAndSet(null);
        if (t != null) {
            throw new AssertionError(t);
        }
    }

    /** Numbered frames of random sizes both ways on all pairs, several on their way: each arrives, in order. */
    private void startTraffic(FakeNetwork net, GuestNic g, int header) {
        stop.set(false);
        Random random = new Random(1);
        traffic = Thread.ofPlatform().start(() -> {
            try {
                while (!stop.get()) {
                    for (int pair = 0; pair < g.pairs(); pair++) {
                        burst(net, g, pair, header, random);
                    }
                    passed.incrementAndGet();
                }
            } catch (Throwable t) {
                failed.set(t);
            }
        });
    }

    private void burst(FakeNetwork net, GuestNic g, int pair, int header, Random random) {
        int n = 1 + random.nextInt(20);
        for (int i = 0; i < n; i++) {
            net.sendSurely(pair, frame(header, random, i));
        }
        for (int i = 0; i < n; i++) {
            byte[] b = g.receive(pair).take(Harness.soon());
            assertNotNull(b);
            assertEquals(i, FakeBackend.number(b, 12));
        }
        for (int i = 0; i < n; i++) {
            assertTrue(g.transmit(pair).send(FakeBackend.frame(0, 60 + random.nextInt(1400), i), Harness.soon()));
        }
        for (int i = 0; i < n; i++) {
            assertEquals(i, FakeBackend.number(net.take(pair), header));
        }
    }

    /** Random bytes, so that a page which is copied too early differs. */
    private static byte[] frame(int header, Random random, long number) {
        byte[] b = FakeBackend.frame(header, 60 + random.nextInt(1400), number);
        for (int i = header + 8; i < b.length; i++) {
            b[i] = (byte) random.nextInt();
        }
        return b;
    }

    private void awaitTraffic(int bursts) {
        long to = passed.get() + bursts;
        Await.until(Harness.LIMIT, "traffic", () -> passed.get() >= to || failed.get() != null);
    }

    private static void stopRings(VmmMigration m, GuestNic g) throws Exception {
        for (DriverQueue q : m.queues()) {
            g.frontEnd().stop(q.index());
        }
    }

    private static void startRings(VmmMigration m, GuestNic g) throws Exception {
        for (DriverQueue q : m.queues()) {
            g.frontEnd().start(q, g.frontEnd().stop(q.index()));
        }
    }

    /** Traffic runs all the time; frames are on their way to the guest when the VM is stopped. */
    private void migrate(FakeNetwork net, GuestNic g, VmmMigration m, int header) throws Exception {
        startTraffic(net, g, header);
        awaitTraffic(5);
        m.begin();
        int pages = 0;
        for (int i = 0; i < 10; i++) {
            awaitTraffic(3);
            pages += m.round();
        }
        assertTrue(pages > 0);
        stopTraffic();
        for (int i = 0; i < 30; i++) {
            net.sendSurely(0, frame(header, new Random(i), i));
        }
        stopRings(m, g);
        m.round();
        assertNull(m.difference());
        assertEquals(0, m.round(), "something is written after the rings were stopped");
    }

    @ParameterizedTest
    @EnumSource(Guest.class)
    void theCopyEqualsTheOriginal(Guest kind) throws Exception {
        try (Harness h = new Harness(2)) {
            GuestNic.Options o = kind.options();
            int pairs = kind == Guest.PAIRS ? 3 : 1;
            int header = kind == Guest.NO_HEADER ? 0 : 12;
            FakeNetwork net = h.network(pairs);
            if (kind == Guest.LENT || kind == Guest.LENT_PACKED) {
                // who has the rings logs
                h.bind("neta", new FakeRings(net), 0);
            } else {
                FakeBackend b = h.backend("neta", net);
                b.headerLengths = header == 0 ? new int[] {0} : b.headerLengths;
            }
            h.nic("a", "queues", String.valueOf(pairs));
            GuestNic g = h.guest("a", o);
            try (VmmMigration first = new VmmMigration(h.fds, g, 0, 0);
                    VmmMigration second = new VmmMigration(h.fds, g, 4096 + 24, 0x800_0000)) {
                migrate(net, g, first, header);
                // the migration failed: the VM runs on here, and is migrated again with another log
                startRings(first, g);
                first.end();
                for (int i = 0; i < 30; i++) {
                    assertNotNull(g.receive(0).take(Harness.soon()));
                }
                first.round();
                migrate(net, g, second, header);
                startRings(second, g);
                for (int i = 0; i < 30; i++) {
                    assertNotNull(g.receive(0).take(Harness.soon()));
                }
                second.end();
                second.round();
                startTraffic(net, g, header);
                awaitTraffic(10);
                stopTraffic();
                assertEquals(0, first.round(), "the log that another one replaced");
                assertEquals(0, second.round(), "a migration that was given up is logged");
                assertEquals(NicState.RUNNING, h.status("a").state());
            }
        }
    }

    /** QEMU changes features of running rings at the beginning and at the end: nothing is restarted, so nothing is called for once more. */
    @Test
    void loggingBeginsAndEndsUnderRunningRings() throws Exception {
        try (Harness h = new Harness(1)) {
            FakeNetwork net = h.network(1);
            FakeBackend b = h.backend("neta", net);
            h.nic("a");
            GuestNic g = h.guest("a", GuestNic.options());
            net.passBothWays(g, 1);
            int calls = b.calls.size();
            startTraffic(net, g, 12);
            try (VmmMigration m = new VmmMigration(h.fds, g, 0, 0)) {
                for (int i = 0; i < 20; i++) {
                    m.begin();
                    awaitTraffic(1);
                    m.end();
                    awaitTraffic(1);
                }
            }
            stopTraffic();
            assertEquals(calls, b.calls.size(), "the port was told something: " + b.calls);
        }
    }

    /** A process that takes over goes on logging, and marks all that one before it that died may have written and not logged. */
    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void aSuccessorGoesOnLogging(boolean orderly) throws Exception {
        try (Harness source = new Harness(1); Harness target = new Harness(1)) {
            FakeNetwork net = source.network(1);
            source.backend("neta", net);
            target.backend("neta", net);
            source.nic("a");
            GuestNic g = source.guest("a", GuestNic.options().ringSize(64));
            try (VmmMigration m = new VmmMigration(source.fds, g, 0, 0)) {
                m.begin();
                net.passBothWays(g, 1);
                TransferableNic out = source.registry.transferable("a").orElseThrow();
                IncomingNic in = target.registry.prepare(out.begin(1, true, false, c -> c.close()), true, Harness.soon());
                m.round();
                if (orderly) {
                    HandoverInsideTest.handOver(out, in);
                } else {
                    HandoverInsideTest.succeed(out, in);
                }
                target.awaitState("a", NicState.RUNNING);
                long all = g.ram().specs().stream().mapToLong(r -> r.size() / 4096).sum();
                int marked = m.round();
                assertTrue(orderly ? marked < all / 2 : marked == all, marked + " of " + all + " pages");
                startTraffic(net, g, 12);
                awaitTraffic(10);
                stopTraffic();
                stopRings(m, g);
                assertTrue(m.round() > 0);
                assertNull(m.difference());
            }
        }
    }

    /** A log that begins while the NIC is being handed over is told to the successor as a change. */
    @Test
    void aSuccessorIsToldOfALogThatBeginsMeanwhile() throws Exception {
        try (Harness source = new Harness(1); Harness target = new Harness(1)) {
            FakeNetwork net = source.network(1);
            source.backend("neta", net);
            target.backend("neta", net);
            source.nic("a");
            GuestNic g = source.guest("a", GuestNic.options().ringSize(64));
            net.passBothWays(g, 1);
            IncomingNic[] in = new IncomingNic[1];
            TransferableNic out = source.registry.transferable("a").orElseThrow();
            in[0] = target.registry.prepare(out.begin(1, true, false, c -> {
                try {
                    in[0].change(c);
                } catch (NicException e) {
                    failed.set(e);
                }
            }), true, Harness.soon());
            try (VmmMigration m = new VmmMigration(source.fds, g, 8, 0)) {
                m.begin();
                HandoverInsideTest.handOver(out, in[0]);
                target.awaitState("a", NicState.RUNNING);
                m.round();
                startTraffic(net, g, 12);
                awaitTraffic(10);
                stopTraffic();
                stopRings(m, g);
                assertTrue(m.round() > 0);
                assertNull(m.difference());
            }
        }
    }

    /** QEMU starts a device in a VM that it is migrating with LOG_ALL before it gives the log. */
    @Test
    void whatWasWrittenBeforeTheLogCameIsMarked() throws Exception {
        try (Harness h = new Harness(1)) {
            FakeNetwork net = h.network(1);
            h.backend("neta", net);
            h.nic("a");
            GuestNic g = h.guest("a", GuestNic.options().ringSize(64).features(GuestNic.RING_FEATURES | VirtioNet.LOG_ALL));
            net.passBothWays(g, 1);
            try (VmmMigration m = new VmmMigration(h.fds, g, 0, 0)) {
                m.begin();
                assertEquals(g.ram().specs().stream().mapToLong(r -> r.size() / 4096).sum(), m.round());
            }
        }
    }

    /** Answered by itself when LOG_SHMFD is acknowledged, whether or not REPLY_ACK is. */
    @Test
    void theAnswerComesInAnyCase() throws Exception {
        try (Harness h = new Harness(1)) {
            FakeNetwork net = h.network(1);
            h.backend("neta", net);
            h.nic("a");
            GuestNic g = h.guest("a", GuestNic.options().protocol(ProtocolFeatures.LOG_SHMFD));
            assertEquals(ProtocolFeatures.LOG_SHMFD, g.frontEnd().protocol());
            try (VmmMigration m = new VmmMigration(h.fds, g, 0, 0)) {
                m.begin();
                net.passBothWays(g, 1);
                assertTrue(m.round() > 0);
            }
        }
    }

    @Test
    void aLogThatIsTooSmallIsRefusedAndTheFormerStays() throws Exception {
        try (Harness h = new Harness(1)) {
            FakeNetwork net = h.network(1);
            h.backend("neta", net);
            h.nic("a");
            GuestNic g = h.guest("a", GuestNic.options().ringSize(64));
            long descriptors = OpenFiles.count();
            try (VmmMigration m = new VmmMigration(h.fds, g, 0, 0); Fd small = SharedMemory.create(h.fds, "small", 64, false)) {
                m.begin();
                for (int i = 0; i < 10; i++) {
                    assertThrows(RefusedException.class, () -> g.frontEnd().logBase(64, 0, small));
                    assertThrows(RefusedException.class, () -> g.frontEnd().logBase(65, 0, small));
                    assertThrows(RefusedException.class, () -> g.frontEnd().logBase(0, 0, small));
                    assertThrows(RefusedException.class, () -> g.frontEnd().logBase(-1, -1, small));
                    assertThrows(RefusedException.class, () -> g.frontEnd().logBase(1L << 60, 0, small));
                    assertThrows(RefusedException.class, () -> g.frontEnd().logBase(64, 0, g.receive(0).kickFd()));
                }
                assertEquals(descriptors + 3, OpenFiles.count(), "its file twice, and the small one");
                net.passBothWays(g, 1);
                assertTrue(m.round() > 0);
                assertEquals(NicState.RUNNING, h.status("a").state());
            }
        }
    }

    /** The VMM cuts the log short: the NIC fails by name, and nobody else is harmed. */
    @Test
    void aLogThatWasTruncatedFailsTheNicByName() throws Exception {
        try (Harness h = new Harness(1)) {
            FakeNetwork net = h.network(1);
            h.backend("neta", net);
            h.backend("netb", h.network(1));
            h.nic("a");
            GuestNic g = h.guest("a", GuestNic.options().ringSize(64));
            net.passBothWays(g, 1);
            try (Fd file = SharedMemory.create(h.fds, "log", 1 << 20, false)) {
                g.frontEnd().logBase(1 << 20, 0, file);
                g.frontEnd().setFeatures(g.features() | VirtioNet.LOG_ALL);
                SharedMemory.resize(file, 0);
                net.sendSurely(0, FakeBackend.frame(12, 60, 1));
                h.awaitState("a", NicState.FAILED);
                assertTrue(h.status("a").why().contains("log of written pages was truncated"), h.status("a").why());
            }
        }
    }
}
