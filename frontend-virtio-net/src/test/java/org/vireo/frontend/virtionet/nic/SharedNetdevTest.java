// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.vireo.guest.FrontEnd;
import org.vireo.guest.GuestNic;
import org.vireo.net.api.nic.IncomingNic;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.NicImage;
import org.vireo.net.api.nic.NicState;
import org.vireo.net.api.nic.TransferableNic;
import org.vireo.testsupport.Await;
import org.vireo.vhostuser.ProtocolFeatures;
import org.vireo.vhostuser.VirtioNet;

/** Two NICs name one netdev, as for a VM that its VMM migrates to another VMM on the same host: the port is where rings run. */
class SharedNetdevTest {
    private static final String[] SHARED = {"netdev", "neta"};

    /** What needs other settings than a guest has without options. */
    private static final long OTHER = GuestNic.RING_FEATURES | VirtioNet.GUEST_CSUM;

    private Harness h;
    private FakeNetwork net;
    private FakeBackend backend;
    private GuestNic a;
    private GuestNic b;

    @BeforeEach
    void start() throws Exception {
        h = new Harness(1);
        net = h.network(1);
        backend = h.backend("neta", net);
    }

    @AfterEach
    void stop() {
        h.close();
    }

    private void two() throws Exception {
        h.nic("a");
        h.nic("b", SHARED);
        a = h.guest("a", GuestNic.options());
        net.passBothWays(a, 1);
    }

    private static void stop(GuestNic g) throws Exception {
        g.frontEnd().stop(0);
        g.frontEnd().stop(1);
    }

    /** Where its queues are is what the driver counts: a guest of one thread knows. */
    private static void startAgain(GuestNic g, int received, int transmitted) throws Exception {
        g.frontEnd().start(g.receive(0), received);
        g.frontEnd().start(g.transmit(0), transmitted);
    }

    @Test
    void theSecondOneOffersWhatThePortOfTheFirstCan() throws Exception {
        two();
        assertEquals(NicState.LISTENING, h.status("b").state());
        FrontEnd f = h.vmm("b");
        long offered = f.getFeatures();
        assertEquals(FakeBackend.OFFLOADS, offered & FakeBackend.OFFLOADS, VirtioNet.names(FakeBackend.OFFLOADS & ~offered));
        h.awaitState("b", NicState.CONNECTED);
        net.passBothWays(a, 2);
        assertEquals("a", h.registry.netdevs().getFirst().nic());
    }

    /** The one that waits is not forgotten when the netdev's backend comes, or comes back. */
    @Test
    void bothAreThereWhenTheBackendComesLater() throws Exception {
        h.unbind(backend);
        h.nic("a");
        h.nic("b", SHARED);
        assertEquals(NicState.NO_BACKEND, h.status("b").state());
        for (int round = 0; round < 2; round++) {
            backend = h.backend("neta", net);
            h.awaitState("a", NicState.LISTENING);
            h.awaitState("b", NicState.LISTENING);
            FrontEnd f = FrontEnd.connect(h.fds, h.socket("b"), Harness.LIMIT);
            assertEquals(FakeBackend.OFFLOADS, f.getFeatures() & FakeBackend.OFFLOADS);
            f.close();
            h.awaitState("b", NicState.LISTENING);
            h.unbind(backend);
        }
    }

    /** What it wants while the other one is being handed over it gets when that has come to nothing. */
    @Test
    void aClaimInAHandoverThatIsGivenUpIsNotForgotten() throws Exception {
        two();
        stop(a);
        TransferableNic out = h.registry.transferable("a").orElseThrow();
        out.begin(1, true, false, NicImage::close).close();
        b = h.guest("b", GuestNic.options());
        Await.until(Harness.LIMIT, "the reason", () -> h.status("b").why().contains("port-busy"));
        out.end();
        h.awaitState("b", NicState.RUNNING);
        net.passBothWays(b, 5);
    }

    /** As a VMM does it: the first one's rings stop, the second one's start, and back when it failed there. */
    @Test
    void thePortGoesWhereRingsRun() throws Exception {
        two();
        FakeBackend.Port port = backend.port;
        List<String> before = List.copyOf(backend.calls);
        for (int round = 0; round < 10; round++) {
            stop(a);
            h.awaitState("a", NicState.CONNECTED);
            b = GuestNic.options().start(h.fds, h.vmm("b"));
            h.awaitState("b", NicState.RUNNING);
            net.passBothWays(b, 2 * round);
            assertEquals("b", h.registry.netdevs().getFirst().nic());
            b.close();
            h.awaitState("b", NicState.LISTENING);
            startAgain(a, 1 + round, 1 + round);
            h.awaitState("a", NicState.RUNNING);
            net.passBothWays(a, 2 * round + 1);
        }
        assertSame(port, backend.port, "it is the same port all the time");
        assertEquals(before, backend.calls, "a guest that goes on needs nothing of it");
    }

    /** A VMM enables one pair after the other: what waits in the queues of the others, perhaps for its guest, would be lost. */
    @Test
    void queuesStayInUseUntilTheOtherOneHasSaidWhichItUses() throws Exception {
        FakeBackend two = h.backend("netc", h.network(2));
        h.nic("c", "queues", "2");
        h.nic("d", "netdev", "netc", "queues", "2");
        a = h.guest("c", GuestNic.options().pairs(2));
        Await.until(Harness.LIMIT, "both pairs", () -> two.applied != null && two.applied.enabled(0) && two.applied.enabled(1));
        a.stop();
        two.settings.clear();
        b = GuestNic.options().features(OTHER).pairs(2).start(h.fds, h.vmm("d"));
        h.awaitState("d", NicState.RUNNING);
        Await.until(Harness.LIMIT, "settings", () -> !two.settings.isEmpty());
        assertTrue(two.settings.stream().allMatch(s -> s.enabled(0) && s.enabled(1)), two.settings.toString());
        b.close();
        a.close();
        h.awaitState("c", NicState.LISTENING);
        a = h.guest("c", GuestNic.options().pairs(2).enabledPairs(1));
        Await.until(Harness.LIMIT, "its only pair", () -> two.applied.enabled(0) && !two.applied.enabled(1));
        h.awaitState("c", NicState.RUNNING);
    }

    @Test
    void whereBothRunTheSecondOneSaysThatThePortIsBusy() throws Exception {
        two();
        b = h.guest("b", GuestNic.options());
        Await.until(Harness.LIMIT, "the reason", () -> h.status("b").why().contains("port-busy: NIC a has netdev neta"));
        assertEquals(NicState.NO_BACKEND, h.status("b").state());
        net.passBothWays(a, 2);
        assertTrue(b.transmit(0).send(FakeBackend.frame(0, 60, 77), Harness.soon()));
        stop(a);
        h.awaitState("b", NicState.RUNNING);
        assertEquals("", h.status("b").why());
        backend.listener.linkDown("its switch has gone");
        Await.until(Harness.LIMIT, "the reason", () -> h.status("b").why().equals("its link is down: its switch has gone"));
        assertEquals("netdev neta is with NIC b: it comes here when rings run here and none there", h.status("a").why());
        backend.listener.link(true);
        assertEquals(77, FakeBackend.number(net.take(0), 12), "what the second one sent meanwhile waited");
        net.passBothWays(b, 3);
        // and the first one is who waits now
        startAgain(a, 2, 2);
        Await.until(Harness.LIMIT, "the reason", () -> h.status("a").why().contains("port-busy: NIC b has netdev neta"));
        b.frontEnd().close();
        h.awaitState("a", NicState.RUNNING);
        net.passBothWays(a, 4);
    }

    @Test
    void theOneThatIsDeletedLeavesThePortToTheOther() throws Exception {
        two();
        b = h.guest("b", GuestNic.options());
        Await.until(Harness.LIMIT, "the reason", () -> h.status("b").why().contains("port-busy"));
        FakeBackend.Port port = backend.port;
        h.registry.remove("a");
        h.awaitState("b", NicState.RUNNING);
        net.passBothWays(b, 5);
        assertSame(port, backend.port);
        h.registry.remove("b");
        assertNull(backend.port);
        h.nic("b", SHARED);
        h.nic("a");
        h.registry.remove("a");
        assertNotNull(backend.port, "the one that did not hold it leaves it where it is");
    }

    @Test
    void aThirdOneAndOtherPairsAreRefused() throws Exception {
        h.nic("a");
        NicException e = assertThrows(NicException.class, () -> h.nic("b", "netdev", "neta", "queues", "2"));
        assertTrue(e.getMessage().contains("NIC a has it with 1 queue pairs, NIC b wants 2"), e.getMessage());
        h.nic("b", SHARED);
        e = assertThrows(NicException.class, () -> h.nic("c", SHARED));
        assertTrue(e.getMessage().contains("is in use by NICs a and b; no more than 2"), e.getMessage());
        h.registry.remove("b");
        h.nic("c", SHARED);
    }

    @Test
    void theBackendMayLeaveAndComeWhileTheSecondOneHoldsIt() throws Exception {
        two();
        stop(a);
        b = h.guest("b", GuestNic.options());
        h.awaitState("b", NicState.RUNNING);
        h.unbind(backend);
        h.awaitState("b", NicState.NO_BACKEND);
        backend = h.backend("neta", net);
        h.awaitState("b", NicState.RUNNING);
        net.passBothWays(b, 6);
        FakeBackend next = new FakeBackend(net);
        h.bind("neta", next, 10);
        Await.until(Harness.LIMIT, "the swap", () -> next.port != null && backend.port == null);
        net.passBothWays(b, 7);
        Await.until(Harness.LIMIT, "the swap to be told", () -> h.events.stream().anyMatch(s -> s.startsWith("BACKEND_SWAPPED b ")));
        b.frontEnd().close();
        h.awaitState("b", NicState.LISTENING);
        startAgain(a, 1, 1);
        h.awaitState("a", NicState.RUNNING);
        net.passBothWays(a, 8);
    }

    /** Vireo itself is replaced in the middle of the VM's move. */
    @Test
    void bothMoveToAnotherProcessAndThePortGoesOnBetweenThem() throws Exception {
        two();
        try (Harness target = new Harness(1)) {
            FakeBackend there = target.backend("neta", net);
            for (String id : List.of("a", "b")) {
                TransferableNic out = h.registry.transferable(id).orElseThrow();
                NicImage image = out.begin(1, true, false, NicImage::close);
                IncomingNic in = target.registry.prepare(image, true, Harness.soon());
                HandoverInsideTest.handOver(out, in);
            }
            target.awaitState("a", NicState.RUNNING);
            net.passBothWays(a, 2);
            stop(a);
            b = GuestNic.options().start(h.fds, FrontEnd.connect(h.fds, h.socket("b"), Harness.LIMIT));
            h.atEnd(b::close);
            target.awaitState("b", NicState.RUNNING);
            net.passBothWays(b, 3);
            assertEquals(1, there.calls.stream().filter(c -> c.equals("load")).count());
        }
    }

    /** Vireo is killed when the first one's rings have stopped: its successor is not sure what the port was told last. */
    @Test
    void queuesStayInUseWhenTheOtherOneStartsWithASuccessor() throws Exception {
        FakeNetwork pairs = h.network(2);
        h.backend("netc", pairs);
        h.nic("c", "queues", "2");
        h.nic("d", "netdev", "netc", "queues", "2");
        a = h.guest("c", GuestNic.options().pairs(2));
        a.stop();
        try (Harness target = new Harness(1)) {
            FakeBackend there = target.backend("netc", pairs);
            for (String id : List.of("c", "d")) {
                TransferableNic out = h.registry.transferable(id).orElseThrow();
                IncomingNic in = target.registry.prepare(out.begin(1, true, false, NicImage::close), true, Harness.soon());
                HandoverInsideTest.succeed(out, in);
            }
            target.awaitState("c", NicState.CONNECTED);
            there.settings.clear();
            b = GuestNic.options().features(OTHER).pairs(2).start(h.fds, FrontEnd.connect(h.fds, h.socket("d"), Harness.LIMIT));
            h.atEnd(b::close);
            target.awaitState("d", NicState.RUNNING);
            Await.until(Harness.LIMIT, "settings", () -> !there.settings.isEmpty());
            assertTrue(there.settings.stream().allMatch(s -> s.enabled(0) && s.enabled(1)), there.settings.toString());
        }
    }

    /** The other order: the one that waits is there first, and does not take what is not its own. */
    @Test
    void theOneThatWaitsMayMoveFirst() throws Exception {
        two();
        try (Harness target = new Harness(1)) {
            target.backend("neta", net);
            for (String id : List.of("b", "a")) {
                TransferableNic out = h.registry.transferable(id).orElseThrow();
                NicImage image = out.begin(1, true, false, NicImage::close);
                IncomingNic in = target.registry.prepare(image, true, Harness.soon());
                HandoverInsideTest.handOver(out, in);
            }
            target.awaitState("a", NicState.RUNNING);
            net.passBothWays(a, 2);
            assertEquals("a", target.registry.netdevs().getFirst().nic());
        }
    }

    private void handOverTheFirstAlone(Harness target) throws Exception {
        target.backend("neta", net);
        stop(a);
        TransferableNic out = h.registry.transferable("a").orElseThrow();
        IncomingNic in = target.registry.prepare(out.begin(1, true, false, NicImage::close), true, Harness.soon());
        HandoverInsideTest.handOver(out, in);
    }

    /** Only the one that has the port was handed over: the other one does not wait for ever for what does not come back. */
    @Test
    void theOneThatIsLeftBehindOpensTheNetdevItself() throws Exception {
        two();
        try (Harness target = new Harness(1)) {
            handOverTheFirstAlone(target);
            b = h.guest("b", GuestNic.options());
            h.awaitState("b", NicState.RUNNING);
            net.passBothWays(b, 2);
            assertEquals("b", h.registry.netdevs().getFirst().nic());
        }
    }

    /** Where only one process can have it open, it says what to do, and gets it when that has let go. */
    @Test
    void theOneThatIsLeftBehindSaysWhoHasThePortAndTriesAgain() throws Exception {
        two();
        try (Harness target = new Harness(1)) {
            handOverTheFirstAlone(target);
            backend.openFails = true;
            b = h.guest("b", GuestNic.options());
            Await.until(Harness.LIMIT, "the reason", () -> h.status("b").why().contains("EBUSY"));
            String why = h.status("b").why();
            assertTrue(why.contains("port-busy: another process has netdev neta: hand this NIC over to it too"), why);
            assertEquals(NicState.NO_BACKEND, h.status("b").state());
            backend.openFails = false;
            h.awaitState("b", NicState.RUNNING);
            net.passBothWays(b, 2);
        }
    }

    /** Or it goes where the port is. */
    @Test
    void theOneThatIsLeftBehindMayFollow() throws Exception {
        two();
        try (Harness target = new Harness(1)) {
            handOverTheFirstAlone(target);
            backend.openFails = true;
            b = GuestNic.options().start(h.fds, FrontEnd.connect(h.fds, h.socket("b"), Harness.LIMIT));
            h.atEnd(b::close);
            Await.until(Harness.LIMIT, "the reason", () -> h.status("b").why().contains("EBUSY"));
            TransferableNic out = h.registry.transferable("b").orElseThrow();
            IncomingNic in = target.registry.prepare(out.begin(1, true, false, NicImage::close), true, Harness.soon());
            HandoverInsideTest.handOver(out, in);
            target.awaitState("b", NicState.RUNNING);
            net.passBothWays(b, 2);
        }
    }

    private void twoOfWhichTheWaitingOneHasMore() throws Exception {
        h.nic("a");
        h.nic("b", SHARED);
        a = h.guest("a", GuestNic.options().features(GuestNic.RING_FEATURES));
        b = h.guest("b", GuestNic.options().features(GuestNic.RING_FEATURES | VirtioNet.CSUM | VirtioNet.HOST_TSO4));
        net.passBothWays(a, 1);
    }

    private FakeBackend withoutSegmentation() {
        FakeBackend poor = new FakeBackend(net);
        poor.features = VirtioNet.CSUM;
        return poor;
    }

    /** The guest of the one that waits has acknowledged more than the one that holds the netdev: a swap must not take it away. */
    @Test
    void aBackendThatTheWaitingGuestCouldNotUseDoesNotTakeOver() throws Exception {
        twoOfWhichTheWaitingOneHasMore();
        FakeBackend poor = withoutSegmentation();
        h.bind("neta", poor, 10);
        Await.until(Harness.LIMIT, "the refusal", () -> h.events.stream().anyMatch(e -> e.startsWith("BACKEND_SWAP_FAILED a")));
        String said = h.events.stream().filter(e -> e.startsWith("BACKEND_SWAP_FAILED")).findFirst().orElseThrow();
        assertTrue(said.contains("lacks HOST_TSO4, which the guest of NIC b acknowledged"), said);
        net.passBothWays(a, 2);
        stop(a);
        h.awaitState("b", NicState.RUNNING);
        net.passBothWays(b, 3);
        // nobody else is there: whoever has the port goes on as well as it can
        b.frontEnd().close();
        h.awaitState("b", NicState.LISTENING);
        startAgain(a, 2, 2);
        h.awaitState("a", NicState.RUNNING);
        h.unbind(backend);
        h.awaitState("a", NicState.RUNNING);
        net.passBothWays(a, 4);
    }

    /** Of two that come while none is there, the one that both guests can use is taken, though it is not the best. */
    @Test
    void whereThereIsAChoiceTheWaitingGuestIsAskedToo() throws Exception {
        twoOfWhichTheWaitingOneHasMore();
        FakeBackend poor = withoutSegmentation();
        FakeBackend rich = new FakeBackend(net);
        h.bind("neta", rich, -10);
        h.bind("neta", poor, -5);
        h.unbind(backend);
        h.awaitState("a", NicState.RUNNING);
        Await.until(Harness.LIMIT, "the one that both can use", () -> rich.port != null);
        net.passBothWays(a, 2);
    }

    /** A port that takes the rings goes from one NIC to the other too. */
    @Test
    void aPortThatTakesTheRingsGoesToo() throws Exception {
        h.unbind(backend);
        FakeRings rings = new FakeRings(net);
        h.bind("neta", rings, 0, "rings");
        two();
        // the one that waits will not know either what the rings have taken
        FrontEnd waits = h.vmm("b");
        assertEquals(0, waits.getProtocolFeatures() & ProtocolFeatures.INFLIGHT_SHMFD);
        waits.close();
        h.awaitState("b", NicState.LISTENING);
        for (int round = 0; round < 3; round++) {
            stop(a);
            b = GuestNic.options().start(h.fds, h.vmm("b"));
            h.awaitState("b", NicState.RUNNING);
            net.passBothWays(b, round);
            b.close();
            h.awaitState("b", NicState.LISTENING);
            startAgain(a, 1 + round, 1 + round);
            h.awaitState("a", NicState.RUNNING);
            net.passBothWays(a, round);
        }
        assertEquals(1, rings.calls.stream().filter("open"::equals).count());
    }
}
