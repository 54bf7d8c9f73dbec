// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.vireo.guest.FrontEnd;
import org.vireo.guest.GuestNic;
import org.vireo.net.api.nic.NetdevStatus;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.NicState;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.OpenFiles;
import org.vireo.vhostuser.VirtioNet;

/** Backends come and go under a NIC. */
class BackendDynamicsTest {
    private Harness h;
    private FakeNetwork net;

    @BeforeEach
    void start() throws Exception {
        h = new Harness(1);
        net = h.network(1);
    }

    @AfterEach
    void stop() {
        h.close();
    }

    private String netdevState() {
        return h.registry.netdevs().stream().filter(n -> n.id().equals("neta")).map(NetdevStatus::state).findFirst().orElse("none");
    }

    @Test
    void aVmmWaitsForABackendThatComesLate() throws Exception {
        h.nic("a");
        assertEquals(NicState.NO_BACKEND, h.status("a").state());
        CompletableFuture<GuestNic> vmm = CompletableFuture.supplyAsync(() -> {
            try {
                return GuestNic.options().features(GuestNic.RING_FEATURES | VirtioNet.CSUM)
                        .start(h.fds, FrontEnd.connect(h.fds, h.socket("a"), Harness.LIMIT));
            } catch (java.io.IOException e) {
                throw new java.io.UncheckedIOException(e);
            }
        });
        assertEquals(NicState.NO_BACKEND, h.status("a").state());
        h.backend("neta", net);
        try (GuestNic g = vmm.get(20, TimeUnit.SECONDS)) {
            assertTrue((g.features() & VirtioNet.CSUM) != 0, "it was offered what the backend has");
            net.passBothWays(g, 1);
        }
    }

    /** Whoever is told that a NIC is deleted may give its netdev to another one, also when a worker was in the middle of a frame. */
    @Test
    void whatANicHeldIsFreeWhenItIsDeleted() throws Exception {
        FakeBackend b = h.backend("neta", net);
        for (int i = 0; i < 200; i++) {
            h.nic("a");
            GuestNic g = h.guest("a", GuestNic.options());
            for (int k = 0; k < 10; k++) {
                assertTrue(g.transmit(0).send(FakeBackend.frame(0, 60, k), Harness.soon()));
            }
            h.registry.remove("a");
            assertNull(b.port, "round " + i);
            g.close();
        }
    }

    /** Else the next one of this id would be taken for it. */
    @Test
    void whoHasGoneIsWaitedFor() throws Exception {
        FakeBackend first = h.backend("neta", net);
        h.registry.awaitNetdevGone("none", Harness.soon());
        h.registry.awaitNetdevGone("neta", System.nanoTime() + 1);
        h.registry.awaitNetdev("neta", Harness.soon());
        Thread waits = Thread.ofPlatform().start(() -> h.registry.awaitNetdevGone("neta", Harness.soon()));
        Await.until(Harness.LIMIT, "it waits", () -> waits.getState() == Thread.State.TIMED_WAITING);
        h.unbind(first);
        waits.join(10_000);
        assertFalse(waits.isAlive());
        assertThrows(NicException.class, () -> h.registry.awaitNetdev("neta", System.nanoTime() + 1));
    }

    /** Its service is not gone before: nobody calls a backend that has been deactivated. */
    @Test
    void whoLeavesWhileItsPortIsClosedIsWaitedFor() throws Exception {
        FakeBackend first = h.backend("neta", net);
        h.nic("a");
        first.stall("close");
        FutureTask<Void> remover = new FutureTask<>(() -> {
            h.registry.remove("a");
            return null;
        });
        Thread.ofPlatform().start(remover);
        first.awaitStalled("close");
        Thread leaver = Thread.ofPlatform().start(() -> h.unbind(first));
        leaver.join(200);
        assertTrue(leaver.isAlive(), "it has left in the middle of close()");
        first.wake("close");
        leaver.join(10_000);
        assertFalse(leaver.isAlive());
        remover.get(10, TimeUnit.SECONDS);
        assertTrue(first.calls.contains("close RELEASE"), first.calls.toString());
    }

    /** The backend leaves: state and descriptors are kept, frames wait on both sides. It returns: nothing was lost. */
    @Test
    void framesWaitWhileTheBackendIsAway() throws Exception {
        FakeBackend first = h.backend("neta", net);
        h.nic("a");
        GuestNic g = h.guest("a", GuestNic.options());
        for (int round = 0; round < 10; round++) {
            net.passBothWays(g, 100 + round);
            h.unbind(first);
            assertEquals("parked", netdevState());
            assertEquals(NicState.NO_BACKEND, h.status("a").state());
            assertTrue(first.calls.contains("close LEAVE"), first.calls.toString());
            for (int i = 0; i < 50; i++) {
                net.sendSurely(0, FakeBackend.frame(12, 60, i));
                assertTrue(g.transmit(0).send(FakeBackend.frame(0, 60, i), Harness.soon()));
            }
            assertNull(net.poll(0));
            assertEquals(0, g.receive(0).pending());
            first = h.backend("neta", net);
            for (int i = 0; i < 50; i++) {
                assertEquals(i, FakeBackend.number(net.take(0), 12));
                assertEquals(i, FakeBackend.number(g.receive(0).take(Harness.soon()), 12));
            }
            assertFalse(first.calls.contains("open"), "it has to be loaded: " + first.calls);
            h.awaitState("a", NicState.RUNNING);
        }
    }

    /** A second backend that was there all the time takes over when the first one leaves, without anybody asking. */
    @Test
    void theNextBestTakesOver() throws Exception {
        FakeBackend first = h.backend("neta", net);
        h.nic("a");
        GuestNic g = h.guest("a", GuestNic.options());
        net.passBothWays(g, 1);
        FakeBackend second = new FakeBackend(net);
        h.bind("neta", second, -1);
        h.unbind(first);
        h.awaitState("a", NicState.RUNNING);
        net.passBothWays(g, 2);
        assertTrue(second.calls.contains("load"), second.calls.toString());
    }

    @Test
    void afterFourSecondsWithoutBackendWhatIsTransmittedIsDiscarded() throws Exception {
        FakeBackend first = h.backend("neta", net);
        h.nic("a");
        GuestNic g = h.guest("a", GuestNic.options());
        net.passBothWays(g, 1);
        h.unbind(first);
        for (int i = 0; i < 50; i++) {
            assertTrue(g.transmit(0).send(FakeBackend.frame(0, 60, i), Harness.soon()));
        }
        assertTrue(g.transmit(0).awaitAll(Harness.soon()), "a guest's watchdog bites after 5 s");
        assertEquals(50, h.counter("a", "transmit-drop-disabled"));
        h.backend("neta", net);
        h.awaitState("a", NicState.RUNNING);
        net.passBothWays(g, 2);
    }

    /** A backend that lacks what the guest acknowledged is refused with the list; what is parked waits for a better one. */
    @Test
    void aReturningBackendWithFewerFeaturesIsRefusedWithTheList() throws Exception {
        FakeBackend first = h.backend("neta", net);
        h.nic("a");
        GuestNic g = h.guest("a", GuestNic.options().features(GuestNic.RING_FEATURES | VirtioNet.CSUM | VirtioNet.HOST_TSO4));
        net.passBothWays(g, 1);
        h.unbind(first);
        FakeBackend poor = new FakeBackend(net);
        poor.features = VirtioNet.CSUM;
        h.bind("neta", poor, 0);
        h.awaitState("a", NicState.FAILED);
        assertTrue(h.status("a").why().contains("HOST_TSO4"), h.status("a").why());
        assertFalse(h.status("a").why().contains("CSUM,"), h.status("a").why());
        assertNull(poor.port, "the poor backend's port stays open");
        assertEquals("parked", netdevState(), "what the netdev held is lost");
        FakeBackend good = new FakeBackend(net);
        h.bind("neta", good, 0);
        h.awaitState("a", NicState.RUNNING);
        assertTrue(good.calls.contains("load") && !good.calls.contains("open"), good.calls.toString());
        net.passBothWays(g, 2);
    }

    @Test
    void aNicWithoutBackendCanBeDeletedAndTheStateIsReleased() throws Exception {
        FakeBackend first = h.backend("neta", net);
        h.nic("a");
        h.guest("a", GuestNic.options());
        h.unbind(first);
        long before = OpenFiles.count();
        h.registry.remove("a");
        assertTrue(OpenFiles.count() < before, "the parked descriptors");
        assertTrue(h.registry.netdevs().isEmpty(), h.registry.netdevs().toString());
        assertThrows(NicException.class, () -> h.registry.remove("a"));
    }

    /** A backend that throws, or that gives nonsense, is named; the next one is tried. */
    @Test
    void aVmmIsNotAcceptedWhileNobodyServes() throws Exception {
        FakeBackend first = h.backend("neta", net);
        h.nic("a");
        h.unbind(first);
        try (FrontEnd f = FrontEnd.connect(h.fds, h.socket("a"), Harness.LIMIT)) {
            f.send(org.vireo.vhostuser.Request.GET_FEATURES, 0, java.lang.foreign.MemorySegment.ofArray(new byte[0]), java.util.List.of());
            assertTrue(f.channel().receive(System.nanoTime() + 200_000_000L).isEmpty(), "offered without a backend");
            h.backend("neta", net);
            try (org.vireo.vhostuser.Message m = f.channel().receive(Harness.soon()).orElseThrow()) {
                assertTrue((m.u64() & VirtioNet.CSUM) != 0);
            }
        }
        Await.until(Harness.LIMIT, "the session to end", () -> h.status("a").vmmPid() == 0);
    }
}
