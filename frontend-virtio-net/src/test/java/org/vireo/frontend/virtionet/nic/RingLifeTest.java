// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.vireo.guest.GuestNic;
import org.vireo.guest.GuestRam;
import org.vireo.guest.RefusedException;
import org.vireo.guest.SplitRing;
import org.vireo.guest.TransmitQueue;
import org.vireo.net.api.nic.NicState;
import org.vireo.vhostuser.MemoryRegionSpec;
import org.vireo.vhostuser.Request;
import org.vireo.vhostuser.VirtioNet;

/** Rings that start, stop, are enabled and move, over a real session. */
class RingLifeTest {
    private Harness h;
    private FakeNetwork net;
    private FakeBackend backend;

    @BeforeEach
    void start() throws Exception {
        h = new Harness(1);
        net = h.network(1);
        backend = h.backend("neta", net);
        h.nic("a");
    }

    @AfterEach
    void stop() throws Exception {
        h.close();
    }

    /** So QEMU 7.2 stops a VM: what it does not learn here it restores as 0, and the guest's network is dead. */
    @Test
    void aRingTellsWhereItWasAlsoAfterTheStatusWasReset() throws Exception {
        GuestNic g = h.guest("a", GuestNic.options());
        for (int i = 0; i < 37; i++) {
            net.passBothWays(g, i);
        }
        g.frontEnd().setStatus(0);
        h.awaitState("a", NicState.CONNECTED);
        assertEquals(37, g.frontEnd().stop(0));
        assertEquals(37, g.frontEnd().stop(1));
        g.enablePair(0, true);
        g.frontEnd().start(g.receive(0), 37);
        g.frontEnd().start(g.transmit(0), 37);
        net.passBothWays(g, 99);
    }

    @Test
    void framesPassBothWays() throws Exception {
        GuestNic g = h.guest("a", GuestNic.options());
        h.awaitState("a", NicState.RUNNING);
        for (int i = 0; i < 1000; i++) {
            assertTrue(g.transmit(0).send(FakeBackend.frame(0, 60 + i, i), Harness.soon()));
            assertEquals(i, FakeBackend.number(net.take(0), 12));
            net.sendSurely(0, FakeBackend.frame(12, 60 + i, i));
            byte[] b = g.receive(0).take(Harness.soon());
            assertNotNull(b);
            assertEquals(72 + i, b.length);
            assertEquals(i, FakeBackend.number(b, 12));
        }
        assertTrue(g.transmit(0).awaitAll(Harness.soon()));
        assertNull(net.poll(0));
    }

    /** A driver that kicks before its ring is enabled need not kick again (a started ring is looked at when it becomes enabled). */
    @Test
    void aKickBeforeEnableIsNotLost() throws Exception {
        GuestNic g = h.guest("a", GuestNic.options().enabledPairs(0));
        for (int i = 0; i < 20; i++) {
            assertTrue(g.transmit(0).send(FakeBackend.frame(0, 60, i), Harness.soon()));
        }
        g.transmit(0).kick();
        g.receive(0).kick();
        assertTrue(g.transmit(0).awaitAll(Harness.soon()), "what a disabled ring transmits is discarded and comes back");
        assertNull(net.poll(0), "a disabled ring must not send");
        net.sendSurely(0, FakeBackend.frame(12, 60, 77));
        g.enablePair(0, true);
        byte[] b = g.receive(0).take(Harness.soon());
        assertNotNull(b, "the frame that waited for the ring's enable");
        assertEquals(77, FakeBackend.number(b, 12));
        assertEquals(20, h.counter("a", "transmit-drop-disabled"));
    }

    @Test
    void aStoppedRingTellsItsRealIndexAndGoesOnWithoutNewAddresses() throws Exception {
        GuestNic g = h.guest("a", GuestNic.options());
        TransmitQueue tx = g.transmit(0);
        exchange(g, 37);
        assertEquals(37, g.frontEnd().stop(1));
        assertEquals(37, g.frontEnd().stop(1), "asked twice");
        g.frontEnd().enable(1, true);
        g.frontEnd().vringDescriptor(Request.SET_VRING_KICK, 1, tx.kickFd());
        exchange(g, 37);
        assertEquals(74, g.frontEnd().stop(1));
    }

    private void exchange(GuestNic g, int frames) {
        for (int i = 0; i < frames; i++) {
            assertTrue(g.transmit(0).send(FakeBackend.frame(0, 60, i), Harness.soon()));
            assertEquals(i, FakeBackend.number(net.take(0), 12));
        }
        assertTrue(g.transmit(0).awaitAll(Harness.soon()));
    }

    @Test
    void nothingTouchesAStoppedRing() throws Exception {
        GuestNic g = h.guest("a", GuestNic.options());
        exchange(g, 5);
        SplitRing ring = g.transmit(0).ring();
        g.frontEnd().stop(0);
        g.frontEnd().stop(1);
        int before = h.events.size();
        MemorySegment area = GuestRam.MEMORY.asSlice(g.ram().address(ring.descriptorsGuest()), 16L * ring.size());
        MemorySegment available = GuestRam.MEMORY.asSlice(g.ram().address(ring.availableGuest()), 6 + 2L * ring.size());
        MemorySegment used = GuestRam.MEMORY.asSlice(g.ram().address(ring.usedGuest()), 6 + 8L * ring.size());
        area.fill((byte) 0x22);
        available.fill((byte) 0x22);
        used.fill((byte) 0x22);
        for (int i = 0; i < 10; i++) {
            g.transmit(0).kick();
            h.status("a");
        }
        assertNull(net.poll(0));
        assertEquals(-1, used.mismatch(MemorySegment.ofArray(filled(used.byteSize()))), "the used ring was written");
        // the garbage is an error that names ring and values, and is no other NIC's business
        h.backend("netb", h.network(1));
        h.nic("b");
        RefusedException e = assertThrows(RefusedException.class,
                () -> g.frontEnd().vringDescriptor(Request.SET_VRING_KICK, 1, g.transmit(0).kickFd()));
        assertNotNull(e.getMessage());
        h.awaitState("a", NicState.FAILED);
        assertTrue(h.status("a").why().contains("ring 1") && h.status("a").why().contains("8738"), h.status("a").why());
        assertTrue(h.events.size() > before);
        GuestNic other = h.guest("b", GuestNic.options());
        assertTrue(other.transmit(0).send(FakeBackend.frame(0, 60, 1), Harness.soon()));
        assertTrue(other.transmit(0).awaitAll(Harness.soon()));
    }

    private static byte[] filled(long n) {
        byte[] b = new byte[(int) n];
        Arrays.fill(b, (byte) 0x22);
        return b;
    }

    /** Memory may be replaced at any moment, under full load: nothing is lost by it, and no request waits long. */
    @Test
    void memoryIsReplacedUnderLoad() throws Exception {
        GuestNic g = h.guest("a", GuestNic.options().regions(2).protocol(GuestNic.PROTOCOL));
        int plugged = g.ram().add(1 << 20);
        AtomicBoolean stop = new AtomicBoolean();
        AtomicReference<Throwable> failed = new AtomicReference<>();
        Thread load = Thread.ofPlatform().start(() -> {
            try {
                for (long i = 0; !stop.get(); i++) {
                    assertTrue(g.transmit(0).send(FakeBackend.frame(0, 60, i), Harness.soon()));
                    assertEquals(i, FakeBackend.number(net.take(0), 12));
                    net.sendSurely(0, FakeBackend.frame(12, 200, i));
                    assertEquals(i, FakeBackend.number(g.receive(0).take(Harness.soon()), 12));
                }
            } catch (Throwable t) {
                failed.set(t);
            }
        });
        long end = System.nanoTime() + 1_500_000_000L;
        long longest = 0;
        try {
            g.frontEnd().removeRegion(g.ram(), plugged);
        } catch (RefusedException e) {
            assertNotNull(e.getMessage());
        }
        while (System.nanoTime() < end && failed.get() == null) {
            long t = System.nanoTime();
            g.frontEnd().addRegion(g.ram(), plugged);
            g.frontEnd().removeRegion(g.ram(), plugged);
            g.frontEnd().tell(Request.SET_MEM_TABLE, MemoryRegionSpec.tablePayload(g.ram().specs().subList(0, 2)),
                    g.ram().files().subList(0, 2));
            longest = Math.max(longest, System.nanoTime() - t);
        }
        stop.set(true);
        load.join(10_000);
        assertNull(failed.get(), () -> "traffic: " + failed.get());
        assertTrue(longest < 5_000_000_000L, "three requests took " + longest / 1_000_000 + " ms");
        h.awaitState("a", NicState.RUNNING);
    }

    /** A memory table in which a running ring does not lie is refused; no ring uses it afterwards, and the right one makes them run. */
    @Test
    void memoryWithoutTheRingsIsRefusedAndNotUsed() throws Exception {
        GuestNic g = h.guest("a", GuestNic.options());
        exchange(g, 3);
        try (GuestRam other = new GuestRam(h.fds, 1 << 20)) {
            assertThrows(RefusedException.class, () -> g.frontEnd().memoryTable(other));
        }
        h.awaitState("a", NicState.FAILED);
        for (int i = 0; i < 50; i++) {
            g.transmit(0).send(FakeBackend.frame(0, 60, i), Harness.soon());
            g.transmit(0).kick();
        }
        assertNull(net.poll(0), "a ring that broke must not run");
        g.frontEnd().memoryTable(g.ram());
        h.awaitState("a", NicState.RUNNING);
        assertTrue(g.transmit(0).awaitAll(Harness.soon()));
        for (int i = 0; i < 50; i++) {
            assertEquals(i, FakeBackend.number(net.take(0), 12));
        }
    }

    @Test
    void afterAResetARingBeginsAnew() throws Exception {
        GuestNic g = h.guest("a", GuestNic.options());
        exchange(g, 9);
        g.frontEnd().resetDevice();
        assertEquals(0, g.frontEnd().stop(1), "a reset ring is at 0");
        h.awaitState("a", NicState.CONNECTED);
    }

    /** Used length (virtio 1.2, 2.7.8): 0 for transmit, header and bytes over all merged buffers together for receive. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void usedLengthsAreRightOverManyFrames(boolean packed) throws Exception {
        GuestNic g = h.guest("a", GuestNic.options().packed(packed).receiveBytes(300));
        int frames = 100_000;
        int batch = 16;
        for (int first = 0; first < frames; first += batch) {
            // the queues of the guest check every used entry
            for (int i = first; i < first + batch; i++) {
                assertTrue(g.transmit(0).send(FakeBackend.frame(0, 60, i), Harness.soon()));
                net.sendSurely(0, FakeBackend.frame(12, 20 + i % 1400, i));
            }
            for (int i = first; i < first + batch; i++) {
                assertEquals(i, FakeBackend.number(net.take(0), 12));
                assertEquals(12 + 20 + i % 1400, g.receive(0).take(Harness.soon()).length);
            }
        }
        assertTrue(g.transmit(0).awaitAll(Harness.soon()));
        assertEquals(frames, g.transmit(0).completed());
        assertEquals(frames, h.counter("a", "receive-frames"));
    }

    /** Firmware: no VERSION_1, a header of 10 bytes; then an operating system on the same connection. */
    @Test
    void aDriverWithoutVersion1HasAShortHeader() throws Exception {
        GuestNic g = h.guest("a", GuestNic.options().features(VirtioNet.PROTOCOL_FEATURES | VirtioNet.MAC));
        assertTrue(g.transmit(0).send(FakeBackend.frame(0, 60, 5), Harness.soon()));
        byte[] out = net.take(0);
        assertEquals(70, out.length);
        net.sendSurely(0, FakeBackend.frame(10, 60, 6));
        byte[] in = g.receive(0).take(Harness.soon());
        assertEquals(70, in.length);
        assertEquals(6, FakeBackend.number(in, 10));
        assertEquals(10, backend.applied.headerLength());
    }

    @Test
    void aNicWithoutNetdevGivesTransmittedChainsBack() throws Exception {
        h.nic("c", "netdev", "");
        GuestNic g = h.guest("c", GuestNic.options());
        for (int i = 0; i < 600; i++) {
            assertTrue(g.transmit(0).send(FakeBackend.frame(0, 60, i), Harness.soon()));
        }
        assertTrue(g.transmit(0).awaitAll(Harness.soon()));
    }
}
