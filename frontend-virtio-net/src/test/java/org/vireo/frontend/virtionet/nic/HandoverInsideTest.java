// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.vireo.guest.GuestNic;
import org.vireo.net.api.nic.IncomingNic;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.NicImage;
import org.vireo.net.api.nic.NicState;
import org.vireo.net.api.nic.Ownership;
import org.vireo.net.api.nic.Ownership.Phase;
import org.vireo.net.api.nic.TransferableNic;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.OpenFiles;
import org.vireo.vhostuser.VirtioNet;

/** A NIC moves between two frontends, here in one JVM: what one gives, the other takes, and what is refused costs nothing. */
class HandoverInsideTest {
    private Harness source;
    private Harness target;
    private FakeNetwork net;
    private FakeBackend sourceBackend;
    private FakeBackend targetBackend;
    private final AtomicBoolean stop = new AtomicBoolean();
    private final AtomicReference<Throwable> failed = new AtomicReference<>();
    private Thread traffic;

    @BeforeEach
    void start() throws Exception {
        source = new Harness(1);
        target = new Harness(1);
        net = source.network(1);
        sourceBackend = source.backend("neta", net);
        targetBackend = target.backend("neta", net);
    }

    @AfterEach
    void stop() throws InterruptedException {
        // before the guest's memory goes
        stop.set(true);
        if (traffic != null) {
            traffic.join(60_000);
        }
        target.close();
        source.close();
    }

    private static long deadline() {
        return System.nanoTime() + TimeUnit.SECONDS.toNanos(15);
    }

    /** Options of the waiting NIC: the same as the source's, its socket too. */
    private void await(String... more) throws NicException {
        List<String> all = new ArrayList<>(List.of("socket", source.socket("a").toString()));
        all.addAll(List.of(more));
        target.registry.add(target.options("a", all.toArray(String[]::new)), true);
    }

    private static void move(TransferableNic from, Phase phase, int holder, int peer) {
        long word = from.block().word();
        assertTrue(from.block().compareAndSet(word, Ownership.decode(word).next(phase, holder, peer).encode()));
    }

    /** One handover in good order; the block's slots are the same, as both are one process. */
    static void handOver(TransferableNic from, IncomingNic to) throws NicException {
        from.freeze(deadline());
        move(from, Phase.OFFERED, from.block().self(), to.block().self());
        move(from, Phase.TAKEN, to.block().self(), from.block().self());
        to.take();
        move(from, Phase.RUNNING, to.block().self(), from.block().self());
        move(from, Phase.OWNED, to.block().self(), Ownership.NONE);
        from.letGo();
        to.own();
    }

    /** As {@link #handOver}, of a process that has died: nobody has offered the NIC. It only stands still here. */
    static void succeed(TransferableNic from, IncomingNic to) throws NicException {
        from.freeze(deadline());
        move(from, Phase.TAKEN, to.block().self(), Ownership.NONE);
        to.take();
        move(from, Phase.RUNNING, to.block().self(), Ownership.NONE);
        move(from, Phase.OWNED, to.block().self(), Ownership.NONE);
        from.letGo();
        to.own();
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void theGuestLosesNothing(boolean packed) throws Exception {
        source.nic("a");
        GuestNic g = source.guest("a", GuestNic.options().packed(packed));
        traffic = Thread.ofPlatform().start(() -> {
            try {
                for (int i = 0; !stop.get(); i++) {
                    net.passBothWays(g, i);
                }
            } catch (Throwable t) {
                failed.set(t);
            }
        });
        Harness from = source;
        Harness to = target;
        for (int round = 0; round < 20; round++) {
            TransferableNic out = from.registry.transferable("a").orElseThrow();
            NicImage image = out.begin(1, true, false, NicImage::close);
            IncomingNic in = to.registry.prepare(image, true, deadline());
            assertEquals(out.block().seq(), in.seq());
            if (round == 0) {
                assertFalse(in.rehearse(deadline()).startsWith("ended early"));
            }
            assertEquals(NicState.RUNNING, from.status("a").state());
            handOver(out, in);
            to.awaitState("a", NicState.RUNNING);
            assertTrue(from.registry.list().isEmpty());
            Harness h = from;
            from = to;
            to = h;
        }
        stop.set(true);
        traffic.join(20_000);
        assertEquals(null, failed.get());
        assertTrue(Files.exists(source.socket("a")), "the socket's path goes with its owner");
        from.registry.remove("a");
        assertFalse(Files.exists(source.socket("a")));
        assertTrue(g.frontEnd().awaitClosed(Harness.soon()));
    }

    /** Many frames are on their way in both directions whenever the NIC moves, or is frozen and goes on: each arrives once and in order. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void nothingIsLostUnderFullLoad(boolean packed) throws Exception {
        source.nic("a");
        GuestNic g = source.guest("a", GuestNic.options().packed(packed));
        AtomicLong moved = new AtomicLong();
        flood(g, moved);
        Harness from = source;
        Harness to = target;
        for (int round = 0; round < 30; round++) {
            long before = moved.get();
            Await.until(Harness.LIMIT, "traffic before round " + round, () -> moved.get() > before + 200 || failed.get() != null);
            TransferableNic out = from.registry.transferable("a").orElseThrow();
            IncomingNic in = to.registry.prepare(out.begin(1, true, false, NicImage::close), true, deadline());
            if (round % 3 == 0) {
                out.freeze(deadline());
                in.close();
                out.resume();
                out.end();
                continue;
            }
            handOver(out, in);
            Harness h = from;
            from = to;
            to = h;
        }
        endFlood();
    }

    /** A worker that is late does all that it was asked for, later: where a ring goes on is not known before. */
    @Test
    void aFreezeThatComesTooLateRepeatsNothing() throws Exception {
        source.nic("a");
        GuestNic g = source.guest("a", GuestNic.options());
        AtomicLong moved = new AtomicLong();
        flood(g, moved);
        TransferableNic out = source.registry.transferable("a").orElseThrow();
        int late = 0;
        for (int round = 0; round < 300; round++) {
            long before = moved.get();
            Await.until(Harness.LIMIT, "traffic before round " + round, () -> moved.get() > before || failed.get() != null);
            try {
                out.freeze(System.nanoTime());
                out.resume();
            } catch (NicException e) {
                late++;
            }
        }
        endFlood();
        assertTrue(late > 0);
        source.awaitState("a", NicState.RUNNING);
    }

    private void flood(GuestNic g, AtomicLong moved) {
        traffic = Thread.ofPlatform().start(() -> {
            try {
                flood(g, stop, moved);
            } catch (Throwable t) {
                failed.set(t);
            }
        });
    }

    private void endFlood() throws InterruptedException {
        stop.set(true);
        traffic.join(30_000);
        assertEquals(null, failed.get());
        assertFalse(traffic.isAlive());
    }

    /** As many frames in flight as rings and network hold; ends when all have arrived. */
    private void flood(GuestNic g, AtomicBoolean stop, AtomicLong moved) {
        long sent = 0;
        long out = 0;
        long fed = 0;
        long in = 0;
        long last = System.nanoTime();
        while (!stop.get() || out < sent || in < fed) {
            for (int i = 0; i < 32 && !stop.get() && sent - out < 200; i++) {
                assertTrue(g.transmit(0).send(FakeBackend.frame(0, 60, sent++), Harness.soon()));
            }
            while (!stop.get() && fed - in < 400 && net.send(0, FakeBackend.frame(12, 60, fed))) {
                fed++;
            }
            long arrived = out + in;
            for (byte[] b = net.poll(0); b != null; b = net.poll(0)) {
                assertEquals(out++, FakeBackend.number(b, 12), "transmitted");
            }
            while (g.receive(0).pending() > 0) {
                assertEquals(in++, FakeBackend.number(g.receive(0).take(Harness.soon()), 12), "received");
            }
            moved.set(out + in);
            if (out + in > arrived) {
                last = System.nanoTime();
            } else if (System.nanoTime() - last > 15_000_000_000L) {
                throw new AssertionError("nothing moves: " + sent + " sent, " + out + " out, " + fed + " fed, " + in + " in");
            }
        }
    }

    @Test
    void resumeAfterAFreezeLosesNothing() throws Exception {
        source.nic("a");
        GuestNic g = source.guest("a", GuestNic.options());
        TransferableNic out = source.registry.transferable("a").orElseThrow();
        for (int round = 0; round < 50; round++) {
            net.passBothWays(g, round);
            out.freeze(deadline());
            // a kick and a frame of the very moment
            assertTrue(g.transmit(0).send(FakeBackend.frame(0, 60, 1000 + round), Harness.soon()));
            net.sendSurely(0, FakeBackend.frame(12, 60, 2000 + round));
            assertEquals(0, g.receive(0).pending());
            out.resume();
            assertEquals(1000 + round, FakeBackend.number(net.take(0), 12));
            byte[] b = g.receive(0).take(Harness.soon());
            assertNotNull(b);
            assertEquals(2000 + round, FakeBackend.number(b, 12));
        }
    }

    /** After a resume each call descriptor was signalled: a driver that sleeps on it alone wakes up. */
    @Test
    void aDriverThatSleepsOnItsCallWakesAfterAResume() throws Exception {
        source.nic("a");
        GuestNic g = source.guest("a", GuestNic.options().ringSize(16).indirect(false));
        TransferableNic out = source.registry.transferable("a").orElseThrow();
        for (int round = 0; round < 100; round++) {
            out.freeze(deadline());
            for (int i = 0; i < 16; i++) {
                assertTrue(g.transmit(0).send(FakeBackend.frame(0, 60, i), Harness.soon()));
            }
            out.resume();
            long t = System.nanoTime();
            assertTrue(g.transmit(0).awaitAll(Harness.soon()), "round " + round + ": the driver sleeps for ever");
            assertTrue(System.nanoTime() - t < 10_000_000_000L);
            for (int i = 0; i < 16; i++) {
                assertEquals(i, FakeBackend.number(net.take(0), 12));
            }
        }
    }

    /** Neither process's own threads read what is the other's. */
    @Test
    void threadsStandStillBeforeATargetGivesBack() throws Exception {
        sourceBackend.threads = true;
        targetBackend.threads = true;
        source.nic("a");
        GuestNic g = source.guest("a", GuestNic.options());
        net.passBothWays(g, 1);
        TransferableNic out = source.registry.transferable("a").orElseThrow();
        try (IncomingNic in = target.registry.prepare(out.begin(1, true, false, NicImage::close), true, deadline())) {
            Harness.freeze(out);
            assertEquals("quiesce", sourceBackend.calls.getLast());
            in.take();
            net.passBothWays(g, 2);
            in.giveBack();
            // one that does not stand still in time is closed
            String last = targetBackend.calls.getLast();
            assertTrue(last.equals("quiesce") || last.startsWith("close"), last);
        }
        out.resume();
        out.end();
        net.passBothWays(g, 3);
        assertEquals("resume", sourceBackend.calls.getLast());
    }

    @Test
    void aTargetThatGivesBackLeavesNoTrace() throws Exception {
        source.nic("a");
        GuestNic g = source.guest("a", GuestNic.options());
        long before = 0;
        for (int round = 0; round < 10; round++) {
            net.passBothWays(g, round);
            TransferableNic out = source.registry.transferable("a").orElseThrow();
            try (IncomingNic in = target.registry.prepare(out.begin(1, true, false, NicImage::close), true, deadline())) {
                out.freeze(deadline());
                in.take();
                net.passBothWays(g, 100 + round);
                in.giveBack();
                assertTrue(g.transmit(0).send(FakeBackend.frame(0, 60, 1), Harness.soon()));
                assertEquals(0, g.transmit(0).ring().usedFlags() & ~1);
            }
            out.resume();
            out.end();
            assertEquals(1, FakeBackend.number(net.take(0), 12));
            assertTrue(g.transmit(0).awaitAll(Harness.soon()));
            assertTrue(target.registry.list().isEmpty());
            long now = OpenFiles.count();
            assertTrue(round == 0 || now <= before, now + " descriptors after " + before);
            before = now + 1;
        }
        net.passBothWays(g, 500);
        assertFalse(targetBackend.calls.contains("apply") || targetBackend.calls.contains("open")
                || targetBackend.calls.contains("close RELEASE"), targetBackend.calls.toString());
    }

    /** Also where the target opened a backend of its own: what it closes is its own, never the VMM's connection. */
    @Test
    void aPreparedNicThatIsNotTakenLeavesTheVmmAlone() throws Exception {
        source.nic("a", "backend-transfer", "off");
        GuestNic g = source.guest("a", GuestNic.options());
        await("backend-transfer", "off");
        for (int round = 0; round < 3; round++) {
            TransferableNic out = source.registry.transferable("a").orElseThrow();
            NicImage image = out.begin(1, true, false, NicImage::close);
            assertTrue(image.backend().isEmpty(), "the option is off");
            IncomingNic in = target.registry.prepare(image, true, deadline());
            assertTrue(targetBackend.calls.contains("open"), targetBackend.calls.toString());
            in.close();
            assertTrue(targetBackend.calls.contains("close RELEASE"), targetBackend.calls.toString());
            out.end();
            net.passBothWays(g, round);
            assertTrue(Files.exists(source.socket("a")));
            assertEquals(NicState.AWAITING, target.status("a").state());
        }
    }

    @Test
    void featuresThatTheTargetLacksAreRefusedWithTheList() throws Exception {
        source.nic("a");
        GuestNic g = source.guest("a", GuestNic.options().features(GuestNic.RING_FEATURES | VirtioNet.CSUM | VirtioNet.GUEST_TSO4));
        targetBackend.features = VirtioNet.CSUM;
        TransferableNic out = source.registry.transferable("a").orElseThrow();
        NicImage image = out.begin(1, true, false, NicImage::close);
        NicException e = assertThrows(NicException.class, () -> target.registry.prepare(image, true, deadline()));
        assertTrue(e.getMessage().contains("GUEST_TSO4"), e.getMessage());
        out.end();
        net.passBothWays(g, 1);
        assertEquals(null, targetBackend.port);
        assertTrue(target.registry.list().isEmpty());
        // and again at once, with a target that can
        targetBackend.features = FakeBackend.OFFLOADS;
        TransferableNic again = source.registry.transferable("a").orElseThrow();
        handOver(again, target.registry.prepare(again.begin(1, true, false, NicImage::close), true, deadline()));
        net.passBothWays(g, 2);
    }

    @Test
    void aDifferingSwitchIsRefusedNamingBothValues() throws Exception {
        source.nic("a");
        source.guest("a", GuestNic.options());
        await("backend-transfer", "off");
        NicException e = assertThrows(NicException.class, this::prepare);
        assertTrue(e.getMessage().contains("backend-transfer is on at the source and off at the target"), e.getMessage());
        target.registry.remove("a");
        await("mtu", "1400");
        e = assertThrows(NicException.class, this::prepare);
        assertTrue(e.getMessage().contains("mtu is 0 at the source and 1400 at the target"), e.getMessage());
        target.registry.remove("a");
        await("machine", "vireo-0", "backend-transfer", "on");
        e = assertThrows(NicException.class, this::prepare);
        assertTrue(e.getMessage().contains("machine is vireo-1 at the source and vireo-0 at the target"), e.getMessage());
        assertEquals(List.of("validate", "validate", "validate"), targetBackend.calls, "a waiting NIC touches nothing");
    }

    private IncomingNic prepare() throws NicException {
        TransferableNic out = source.registry.transferable("a").orElseThrow();
        try {
            return target.registry.prepare(out.begin(1, true, false, NicImage::close), true, deadline());
        } finally {
            out.end();
        }
    }

    @Test
    void theMachineSetsTheDefaultAndAnExplicitOptionBeatsIt() throws Exception {
        source.nic("a", "machine", "vireo-0");
        assertEquals("off", source.status("a").options().get("backend-transfer"));
        source.registry.remove("a");
        source.nic("a", "machine", "vireo-0", "backend-transfer", "on");
        assertEquals("on", source.status("a").options().get("backend-transfer"));
        source.registry.remove("a");
        NicException e = assertThrows(NicException.class, () -> source.nic("a", "machine", "vireo-9"));
        assertTrue(e.getMessage().contains("vireo-0") && e.getMessage().contains("vireo-1"), e.getMessage());
    }

    @Test
    void aNicThatLivesCannotReceive() throws Exception {
        source.nic("a");
        target.nic("a");
        NicException e = assertThrows(NicException.class, this::prepare);
        assertEquals("NIC a: already initialised, cannot receive incoming descriptors", e.getMessage());
        assertEquals(NicState.LISTENING, target.status("a").state());
    }

    @Test
    void aPortThatLivesCannotBeLoaded() throws Exception {
        source.nic("a");
        target.nic("b", "netdev", "neta");
        NicException e = assertThrows(NicException.class, this::prepare);
        assertTrue(e.getMessage().contains("netdev neta: already initialised, cannot receive incoming descriptors"), e.getMessage());
    }

    /** What the VMM says while the target is prepared reaches it before it takes effect. */
    @Test
    void aChangeDuringThePreparationIsFollowed() throws Exception {
        source.nic("a");
        GuestNic g = source.guest("a", GuestNic.options());
        net.passBothWays(g, 1);
        AtomicReference<IncomingNic> in = new AtomicReference<>();
        AtomicReference<Exception> failed = new AtomicReference<>();
        TransferableNic out = source.registry.transferable("a").orElseThrow();
        NicImage image = out.begin(1, true, false, c -> {
            try {
                in.get().change(c);
            } catch (NicException e) {
                failed.set(e);
            }
        });
        in.set(target.registry.prepare(image, true, deadline()));
        assertEquals(1, g.frontEnd().stop(1));
        int plugged = g.ram().add(1 << 20);
        g.frontEnd().addRegion(g.ram(), plugged);
        g.frontEnd().vringDescriptor(org.vireo.vhostuser.Request.SET_VRING_KICK, 1, g.transmit(0).kickFd());
        assertEquals(1, g.frontEnd().stop(1));
        assertEquals(null, failed.get());
        assertEquals(out.block().seq(), in.get().seq());
        handOver(out, in.get());
        // the target knows that the ring is stopped, and where
        assertEquals(1, g.frontEnd().stop(1));
        g.frontEnd().vringDescriptor(org.vireo.vhostuser.Request.SET_VRING_KICK, 1, g.transmit(0).kickFd());
        net.passBothWays(g, 2);
        g.frontEnd().removeRegion(g.ram(), plugged);
        net.passBothWays(g, 3);
    }

    /** Whoever waits for this process sees that it lives, also while nothing moves. */
    @Test
    void theHeartbeatGoesOnDuringAHandover() throws Exception {
        source.nic("a");
        TransferableNic out = source.registry.transferable("a").orElseThrow();
        long before = out.block().heartbeat();
        out.begin(1, true, false, NicImage::close).close();
        Await.until(Harness.LIMIT, "ten beats", () -> out.block().heartbeat() >= before + 10);
        out.end();
        assertThrows(NicException.class, () -> {
            out.begin(1, true, false, NicImage::close).close();
            out.begin(1, true, false, NicImage::close).close();
        });
        out.end();
    }

    @Test
    void aNicThatNeverConnectedMoves() throws Exception {
        source.nic("a");
        TransferableNic out = source.registry.transferable("a").orElseThrow();
        handOver(out, target.registry.prepare(out.begin(1, true, false, NicImage::close), true, deadline()));
        GuestNic g = source.guest("a", GuestNic.options());
        net.passBothWays(g, 1);
        target.awaitState("a", NicState.RUNNING);
        assertTrue(sourceBackend.calls.contains("close LEAVE"), sourceBackend.calls.toString());
    }
}
