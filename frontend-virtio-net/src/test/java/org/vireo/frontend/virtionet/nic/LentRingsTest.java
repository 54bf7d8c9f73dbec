// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.vireo.guest.FrontEnd;
import org.vireo.guest.GuestNic;
import org.vireo.guest.TransmitQueue;
import org.vireo.net.api.nic.IncomingNic;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.NicImage;
import org.vireo.net.api.nic.NicState;
import org.vireo.net.api.nic.TransferableNic;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.OpenFiles;
import org.vireo.vhostuser.VirtioNet;

/** A port that takes the guest's rings: no frame passes the NIC, and everything that can happen to a NIC happens to it too. */
class LentRingsTest extends SwapScene {
    private FakeRings rings;

    private FakeRings bind(int ranking, String type) {
        FakeRings r = new FakeRings(net);
        h.bind("neta", r, ranking, type);
        return r;
    }

    private void serveByRings() throws Exception {
        rings = bind(0, "rings");
        serve();
    }

    @Test
    void framesPassOutsideTheNic() throws Exception {
        serveByRings();
        for (int i = 0; i < 100; i++) {
            net.passBothWays(guest, i);
        }
        h.awaitState("a", NicState.RUNNING);
        assertEquals(0, h.counter("a", "transmit-frames") + h.counter("a", "receive-frames"));
        assertEquals(2L, h.registry.measure().getFirst().counters().get("port-started"));
        assertTrue(rings.calls.indexOf("enable 0 true") < rings.calls.indexOf("start 0 at 0") || rings.calls.contains("enable 0 true"));
    }

    /** The backend's features are the offer, but for what the NIC and its VMM do themselves. */
    @Test
    void whatTheBackendCannotIsNotOffered() throws Exception {
        rings = bind(0, "rings");
        rings.features = VirtioNet.VERSION_1 | VirtioNet.MRG_RXBUF | VirtioNet.CSUM;
        h.nic("a");
        FrontEnd f = h.vmm("a");
        long offered = f.getFeatures();
        long wanted = VirtioNet.EVENT_IDX | VirtioNet.INDIRECT_DESC | VirtioNet.HOST_TSO4;
        assertEquals(0, offered & wanted, VirtioNet.names(offered & wanted));
        long there = VirtioNet.VERSION_1 | VirtioNet.MRG_RXBUF | VirtioNet.CSUM | VirtioNet.MAC | VirtioNet.PROTOCOL_FEATURES;
        assertEquals(there, offered & there, VirtioNet.names(there & ~offered));
        // what it can do changes: the next one who negotiates hears of it
        rings.listener.profile(org.vireo.net.api.PortProfile.builder().headerLengths(10, 12)
                .features(VirtioNet.VERSION_1 | VirtioNet.EVENT_IDX).build());
        offered = f.getFeatures();
        assertEquals(VirtioNet.EVENT_IDX, offered & (VirtioNet.EVENT_IDX | VirtioNet.CSUM | VirtioNet.MRG_RXBUF));
    }

    @Test
    void aRingThatIsStoppedTellsWhereItIsAndGoesOnThere() throws Exception {
        serveByRings();
        TransmitQueue tx = guest.transmit(0);
        for (int i = 0; i < 36; i++) {
            assertTrue(tx.send(FakeBackend.frame(0, 60, i), Harness.soon()));
            net.take(0);
        }
        FrontEnd f = guest.frontEnd();
        assertEquals(37, f.stop(1));
        assertEquals(37, f.stop(1));
        f.start(tx, 37);
        for (int i = 0; i < 37; i++) {
            assertTrue(tx.send(FakeBackend.frame(0, 60, i), Harness.soon()));
            assertEquals(i, FakeBackend.number(net.take(0), 12));
        }
        assertEquals(74, f.stop(1));
    }

    @Test
    void onePortThatLostItsPositionGoesOnWhereTheUsedRingIs() throws Exception {
        serveByRings();
        rings.forgets = true;
        for (int round = 0; round < 5; round++) {
            guest.frontEnd().stop(0);
            assertEquals(1 + round, guest.frontEnd().stop(1));
            guest.frontEnd().start(guest.receive(0), 1 + round);
            guest.frontEnd().start(guest.transmit(0), 1 + round);
            net.passBothWays(guest, round);
        }
    }

    /** From frames to rings and back, under traffic: each frame arrives once and in order. */
    @Test
    void typesTakeTurnsUnderTraffic() throws Exception {
        h.bind("neta", first, 0, "frames");
        serve();
        rings = bind(0, "rings");
        NumberedTraffic traffic = new NumberedTraffic(guest, net);
        try {
            for (int round = 0; round < 6; round++) {
                h.registry.swap("neta", round % 2 == 0 ? "rings" : "frames", 0, Harness.soon());
                traffic.more(20);
                assertEquals(round % 2 == 0, rings.port != null);
                assertEquals(round % 2 == 0, first.port == null);
            }
        } finally {
            traffic.end();
        }
        assertEquals(6, happened("BACKEND_SWAPPED"));
    }

    /** Who had the rings does not answer, and may still write into them: no other port gets them before he has let go. */
    @Test
    void ringsThatSomebodyStillHoldsGoToNobodyElse() throws Exception {
        serveByRings();
        h.bind("neta", first, 0, "frames");
        rings.sticks = true;
        for (int i = 0; i < 3; i++) {
            NicException e = assertThrows(NicException.class, () -> h.registry.swap("neta", "frames", 0, Harness.soon()));
            assertTrue(e.getMessage().contains("process 7 may still use them: end it; then ask again"), e.getMessage());
            // nothing of the guest's has gone elsewhere
            net.passBothWays(guest, 2 * i);
            assertNotNull(rings.port);
            assertNull(first.port);
        }
        assertEquals(2, rings.calls.stream().filter(c -> c.startsWith("stop ")).count(), "once it is known the rings stay as they are");
        rings.letGo();
        h.registry.swap("neta", "frames", 0, Harness.soon());
        net.passBothWays(guest, 9);
        assertNull(rings.port);
    }

    @Test
    void oneThatLacksWhatTheGuestAcknowledgedIsRefusedWithTheList() throws Exception {
        h.bind("neta", first, 0, "frames");
        serve();
        rings = bind(0, "rings");
        rings.features = FakeRings.RING_BITS & ~(VirtioNet.EVENT_IDX | VirtioNet.INDIRECT_DESC);
        NicException e = assertThrows(NicException.class, () -> h.registry.swap("neta", "rings", 0, Harness.soon()));
        assertTrue(e.getMessage().contains("lacks ") && e.getMessage().contains("EVENT_IDX") && e.getMessage().contains("INDIRECT_DESC"),
                e.getMessage());
        net.passBothWays(guest, 2);
        assertNull(rings.port);
        assertFalse(rings.calls.stream().anyMatch(c -> c.startsWith("start")), rings.calls.toString());
    }

    @Test
    void oneThatLeavesIsParkedAndTheNextOneGoesOn() throws Exception {
        serveByRings();
        for (int round = 0; round < 3; round++) {
            h.unbind(rings);
            h.awaitState("a", NicState.NO_BACKEND);
            assertNull(rings.port);
            assertTrue(guest.transmit(0).send(FakeBackend.frame(0, 60, 100 + round), Harness.soon()));
            rings = bind(0, "rings");
            h.awaitState("a", NicState.RUNNING);
            assertEquals(100 + round, FakeBackend.number(net.take(0), 12), "what was sent meanwhile waited");
            net.passBothWays(guest, round);
        }
    }

    @Test
    void memoryIsReplacedUnderRunningRings() throws Exception {
        rings = bind(0, "rings");
        h.nic("a");
        guest = h.guest("a", GuestNic.options().memorySlots(true));
        int added = guest.ram().add(1 << 20);
        for (int i = 0; i < 20; i++) {
            guest.frontEnd().addRegion(guest.ram(), added);
            net.passBothWays(guest, 2 * i);
            assertEquals(2, rings.port.regions);
            guest.frontEnd().removeRegion(guest.ram(), added);
            net.passBothWays(guest, 2 * i + 1);
            assertEquals(1, rings.port.regions);
        }
    }

    @Test
    void whenTheVmmGoesItsMemoryIsLetGo() throws Exception {
        rings = bind(0, "rings");
        h.nic("a");
        long before = 0;
        for (int i = 0; i < 5; i++) {
            try (GuestNic g = GuestNic.options().start(h.fds, h.vmm("a"))) {
                net.passBothWays(g, i);
                g.frontEnd().close();
                h.awaitState("a", NicState.LISTENING);
            }
            assertEquals(0, rings.port.regions);
            assertTrue(rings.port.started.isEmpty());
            long now = OpenFiles.count();
            assertTrue(i == 0 || now <= before, before + " descriptors, then " + now);
            before = now;
        }
        assertEquals("memory 0", rings.calls.getLast());
    }

    /** A stop that does not return: the VMM is answered within seconds, and nobody else touches the rings. */
    @Test
    void onePortThatDoesNotGiveRingsBackCostsItsNicOnly() throws Exception {
        serveByRings();
        FakeNetwork other = h.network(1);
        h.backend("netb", other);
        h.nic("b");
        GuestNic neighbour = h.guest("b", GuestNic.options());
        NumberedTraffic traffic = new NumberedTraffic(neighbour, other);
        try {
            rings.hangs = "stop";
            assertThrows(java.io.IOException.class, () -> guest.frontEnd().stop(1));
            traffic.more(100);
        } finally {
            rings.wake.countDown();
            traffic.end();
        }
        rings.hangs = "";
        guest.frontEnd().close();
        h.awaitState("a", NicState.LISTENING);
        GuestNic again = h.guest("a", GuestNic.options());
        net.passBothWays(again, 7);
    }

    @Test
    void whatIsNotThereYetIsTriedAgain() throws Exception {
        rings = new FakeRings(net);
        rings.unavailable = true;
        h.bind("neta", rings, 0);
        h.nic("a");
        Await.until(Harness.LIMIT, "the reason", () -> h.status("a").why().equals(
                "nobody listens yet: start it; this is tried again every second"));
        assertEquals(NicState.NO_BACKEND, h.status("a").state());
        Await.until(Harness.LIMIT, "another try", () -> rings.calls.size() > 1);
        rings.unavailable = false;
        h.awaitState("a", NicState.LISTENING);
        assertEquals("", h.status("a").why());
        net.passBothWays(h.guest("a", GuestNic.options()), 1);
    }

    @Test
    void theNetworkLearnsWhereTheGuestIs() throws Exception {
        serveByRings();
        byte[] mac = {2, 0, 0, 0, 0, 9};
        guest.frontEnd().sendRarp(mac);
        assertTrue(rings.calls.contains("announce 6"));
        assertTrue(Arrays.equals(Rarp.frame(mac), Arrays.copyOfRange(net.take(0), 12, 72)));
    }

    @Test
    void oneMovesToAnotherProcess() throws Exception {
        serveByRings();
        try (Harness target = new Harness(1)) {
            FakeRings there = new FakeRings(net);
            target.bind("neta", there, 0, "rings");
            Harness from = h;
            Harness to = target;
            for (int round = 0; round < 4; round++) {
                TransferableNic out = from.registry.transferable("a").orElseThrow();
                NicImage image = out.begin(1, true, false, NicImage::close);
                IncomingNic in = to.registry.prepare(image, true, Harness.soon());
                if (round == 0) {
                    assertFalse(in.rehearse(Harness.soon()).startsWith("ended early"));
                }
                HandoverInsideTest.handOver(out, in);
                to.awaitState("a", NicState.RUNNING);
                net.passBothWays(guest, round);
                Harness other = from;
                from = to;
                to = other;
            }
        }
    }

    @Test
    void severalPairsAreStartedAndEnabledEachByItself() throws Exception {
        net = h.network(4);
        rings = bind(0, "rings");
        h.nic("a", "queues", "4");
        guest = h.guest("a", GuestNic.options().pairs(4).enabledPairs(1));
        List<Integer> on = new ArrayList<>(List.of(0));
        for (int pair = 1; pair < 4; pair++) {
            guest.enablePair(pair, true);
            on.add(pair);
            for (int p : on) {
                net.sendSurely(p, FakeBackend.frame(12, 60, p));
                byte[] b = guest.receive(p).take(Harness.soon());
                assertNotNull(b);
                assertEquals(p, FakeBackend.number(b, 12));
            }
        }
        guest.enablePair(2, false);
        assertTrue(rings.calls.contains("enable 4 false") && rings.calls.contains("enable 5 false"), rings.calls.toString());
    }
}
