// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vireo.guest.DriverQueue;
import org.vireo.guest.FrontEnd;
import org.vireo.guest.GuestNic;
import org.vireo.guest.PackedRing;
import org.vireo.guest.RefusedException;
import org.vireo.net.api.nic.NicState;
import org.vireo.vhostuser.Request;
import org.vireo.vhostuser.VirtioNet;
import org.vireo.vhostuser.VringAddress;

/** A NIC with packed rings (virtio 1.2, section 2.8), as its VMM sees it. What both kinds of rings have in common is tested for both. */
class PackedNicTest {
    private static final long BASICS = VirtioNet.VERSION_1 | VirtioNet.PROTOCOL_FEATURES | VirtioNet.RING_PACKED;

    private static GuestNic.Options packed() {
        return GuestNic.options().packed(true);
    }

    /** Sizes that are no powers of two, chains of all lengths, frames of all sizes, tables or not, events or not. */
    @ParameterizedTest
    @CsvSource({"1,0,true,true", "3,0,true,true", "100,20,false,true", "256,12,true,true", "333,1,false,false", "1000,0,true,false"})
    void framesBothWays(int size, int piece, boolean indirect, boolean events) throws Exception {
        try (Harness h = new Harness(1)) {
            FakeNetwork net = h.network(1);
            h.backend("neta", net);
            h.nic("a");
            GuestNic.Options o = packed().ringSize(size).indirect(indirect).receiveBytes(size < 10 ? 2000 : 400);
            if (!events) {
                o.features(GuestNic.RING_FEATURES & ~VirtioNet.EVENT_IDX);
            }
            GuestNic g = h.guest("a", piece == 0 ? o : o.receivePieces(piece, 5).transmitPieces(piece, 5));
            Random random = new Random(size);
            for (int round = 0; round < 300; round++) {
                int n = 1 + random.nextInt(Math.min(size, 12));
                for (int i = 0; i < n; i++) {
                    assertTrue(g.transmit(0).send(FakeBackend.frame(0, 60 + random.nextInt(1400), i), Harness.soon()));
                    net.sendSurely(0, FakeBackend.frame(12, 60 + random.nextInt(1400), i));
                }
                for (int i = 0; i < n; i++) {
                    assertEquals(i, FakeBackend.number(net.take(0), 12));
                    byte[] b = g.receive(0).take(Harness.soon());
                    assertNotNull(b);
                    assertEquals(i, FakeBackend.number(b, 12));
                }
            }
            assertTrue(g.transmit(0).awaitAll(Harness.soon()));
            assertEquals(size, g.transmit(0).freeDescriptors());
        }
    }

    /** Both halves, each with its wrap counter; the same when asked twice; and both forms that front-ends give back. */
    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void whereARingStands(boolean bothHalves) throws Exception {
        try (Harness h = new Harness(1)) {
            FakeNetwork net = h.network(1);
            h.backend("neta", net);
            h.nic("a");
            GuestNic g = h.guest("a", packed().ringSize(10).receiveBytes(2000));
            DriverQueue tx = g.transmit(0);
            for (int lap = 0; lap < 12; lap++) {
                for (int i = 0; i < 7; i++) {
                    net.passBothWays(g, i);
                }
                assertTrue(g.transmit(0).awaitAll(Harness.soon()));
                int at = 7 * (lap + 1);
                int position = PackedRing.position(at % 10, at / 10 % 2 == 0);
                assertEquals(position << 16 | position, g.frontEnd().stop(1));
                assertEquals(position << 16 | position, g.frontEnd().stop(1), "asked twice");
                g.frontEnd().start(tx, bothHalves ? position << 16 | position : position);
            }
        }
    }

    /** At index 0, wrap counter 0 a used position is 0, as if it was not told: what was taken from there is taken again. */
    @ParameterizedTest
    @ValueSource(ints = {0, 1, 5, 9, 10})
    void aUsedPositionOfZeroIsNoMissingOne(int taken) throws Exception {
        try (Harness h = new Harness(1)) {
            FakeNetwork net = h.network(1);
            h.backend("neta", net);
            h.nic("a");
            GuestNic g = h.guest("a", packed().ringSize(10).receiveBytes(2000));
            for (int i = 0; i < 10; i++) {
                net.passBothWays(g, i);
            }
            assertTrue(g.transmit(0).awaitAll(Harness.soon()));
            assertEquals(0, g.frontEnd().stop(1));
            for (int i = 0; i < taken; i++) {
                assertTrue(g.transmit(0).send(FakeBackend.frame(0, 60, i), Harness.soon()));
            }
            g.frontEnd().start(g.transmit(0), PackedRing.position(taken % 10, taken == 10));
            for (int i = 0; i < taken; i++) {
                assertEquals(i, FakeBackend.number(net.take(0), 12));
            }
            assertTrue(g.transmit(0).awaitAll(Harness.soon()));
            int position = PackedRing.position(taken % 10, taken == 10);
            assertEquals(position << 16 | position, g.frontEnd().stop(1));
        }
    }

    /** Features may come after what is told of rings, as they decide only when those are started. */
    @Test
    void featuresMayComeLate() throws Exception {
        try (Harness h = new Harness(1)) {
            FakeNetwork net = h.network(1);
            h.backend("neta", net);
            h.nic("a");
            FrontEnd f = h.vmm("a");
            f.getFeatures();
            f.setProtocolFeatures(f.getProtocolFeatures() & GuestNic.PROTOCOL);
            f.vringSize(0, 100);
            f.vringBase(0, 0x8000_8000);
            f.setFeatures(BASICS);
            assertEquals(0x8000_8000, f.stop(0));
            f.vringSize(0, 77);
        }
    }

    @Test
    void whatIsWrongIsRefusedByName() throws Exception {
        try (Harness h = new Harness(1)) {
            FakeNetwork net = h.network(1);
            h.backend("neta", net);
            h.nic("a");
            GuestNic g = h.guest("a", packed().ringSize(10));
            FrontEnd f = g.frontEnd();
            assertThrows(RefusedException.class, () -> f.vringSize(0, 0));
            assertThrows(RefusedException.class, () -> f.vringSize(0, 32769));
            assertThrows(RefusedException.class, () -> f.setFeatures(g.features() & ~VirtioNet.RING_PACKED));
            f.stop(0);
            f.stop(1);
            VringAddress a = g.receive(0).addresses();
            assertThrows(RefusedException.class, () -> f.vringAddress(
                    new VringAddress(0, 0, a.descriptor(), a.used(), a.available() + 2, 0)), "aligned to 4");
            f.vringBase(1, 10 << 16 | 10);
            assertThrows(RefusedException.class, () -> f.vringDescriptor(Request.SET_VRING_KICK, 1, g.transmit(0).kickFd()));
            assertTrue(h.status("a").why().contains("position 10 is beyond its 10 descriptors"), h.status("a").why());
            f.vringBase(1, 0x8000_8000);
            f.setFeatures(g.features() & ~VirtioNet.RING_PACKED);
            assertThrows(RefusedException.class, () -> f.vringSize(0, 10), "split rings have a power of two");
            assertThrows(RefusedException.class, () -> f.vringBase(0, 0x8000_8000));
        }
    }

    /** C34: the ring breaks by name, and can be stopped. */
    @Test
    void aMalformedChainStopsTheNicByName() throws Exception {
        try (Harness h = new Harness(1)) {
            FakeNetwork net = h.network(1);
            h.backend("neta", net);
            h.nic("a");
            GuestNic g = h.guest("a", packed().ringSize(10));
            PackedRing ring = g.transmit(0).packedRing();
            for (int i = 9; i >= 0; i--) {
                ring.descriptor(i, g.transmit(0).bufferGuest(0), 60, 1);
                ring.publishFlags(i, PackedRing.NEXT | PackedRing.available(true));
            }
            g.transmit(0).kick();
            h.awaitState("a", NicState.FAILED);
            assertTrue(h.status("a").why().startsWith("CHAIN_TOO_LONG"), h.status("a").why());
            long before = System.nanoTime();
            assertEquals(0x8000_8000, g.frontEnd().stop(1));
            assertTrue(System.nanoTime() - before < Harness.LIMIT.toNanos());
        }
    }

    @ParameterizedTest
    @CsvSource({"packed,off", "machine,vireo-0"})
    void aNicMayHaveNone(String option, String value) throws Exception {
        try (Harness h = new Harness(1)) {
            h.backend("neta", h.network(1));
            h.nic("a", option, value);
            assertEquals(0, h.vmm("a").getFeatures() & VirtioNet.RING_PACKED);
            h.backend("netb", h.network(1));
            h.nic("b", "machine", "vireo-0", "packed", "on");
            assertEquals(VirtioNet.RING_PACKED, h.vmm("b").getFeatures() & VirtioNet.RING_PACKED);
        }
    }
}
