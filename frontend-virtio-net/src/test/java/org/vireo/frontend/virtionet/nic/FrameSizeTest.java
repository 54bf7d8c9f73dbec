// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.vireo.guest.GuestNic;
import org.vireo.net.api.nic.NicState;
import org.vireo.posix.Errno;
import org.vireo.testsupport.Await;
import org.vireo.vhostuser.VirtioNet;

/** Frames of all sizes into buffers of all sizes, and errors of the device: each costs a frame at most, and is counted. */
class FrameSizeTest {
    private static final long PLAIN = VirtioNet.VERSION_1 | VirtioNet.PROTOCOL_FEATURES | VirtioNet.EVENT_IDX | VirtioNet.INDIRECT_DESC;

    /** Without mergeable buffers: dropped whole and counted, never cut off; the buffer is not lost. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void aFrameThatDoesNotFitIsDroppedWhole(boolean packed) throws Exception {
        try (Harness h = new Harness(1)) {
            FakeNetwork net = h.network(1);
            h.backend("neta", net);
            h.nic("a");
            GuestNic g = h.guest("a", GuestNic.options().packed(packed).features(PLAIN).receiveBytes(1000).ringSize(16));
            for (int round = 0; round < 20; round++) {
                net.sendSurely(0, FakeBackend.frame(12, 988, 1));
                net.sendSurely(0, FakeBackend.frame(12, 989, 2));
                net.sendSurely(0, FakeBackend.frame(12, 1514, 3));
                net.sendSurely(0, FakeBackend.frame(12, 60, 4));
                byte[] fits = g.receive(0).take(Harness.soon());
                assertNotNull(fits);
                assertEquals(1000, fits.length);
                assertEquals(1, FakeBackend.number(fits, 12));
                assertEquals(1, fits[10], "num_buffers with VERSION_1");
                byte[] next = g.receive(0).take(Harness.soon());
                assertEquals(72, next.length, "a frame that was cut off arrived");
                assertEquals(4, FakeBackend.number(next, 12));
            }
            assertEquals(40, h.counter("a", "receive-drop-too-long"));
            assertEquals(40, h.counter("a", "receive-frames"));
        }
    }

    /** With mergeable buffers a frame larger than what is posted waits for more; one that can never fit is dropped. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void aFrameForWhichARingIsTooSmallDoesNotStopTheRing(boolean packed) throws Exception {
        try (Harness h = new Harness(1)) {
            FakeNetwork net = h.network(1);
            h.backend("neta", net);
            h.nic("a");
            GuestNic g = h.guest("a", GuestNic.options().packed(packed)
                    .features(GuestNic.RING_FEATURES | VirtioNet.GUEST_CSUM | VirtioNet.GUEST_TSO4)
                    .receiveBytes(256).ringSize(16).indirect(false));
            net.sendSurely(0, FakeBackend.frame(12, 3000, 1));
            assertEquals(3012, g.receive(0).take(Harness.soon()).length);
            net.sendSurely(0, FakeBackend.frame(12, 16 * 256 - 12, 2));
            assertEquals(16 * 256, g.receive(0).take(Harness.soon()).length);
            net.sendSurely(0, FakeBackend.frame(12, 16 * 256 - 11, 3));
            net.sendSurely(0, FakeBackend.frame(12, 60, 4));
            byte[] b = g.receive(0).take(Harness.soon());
            assertNotNull(b, "a frame that can never fit stopped the ring");
            assertEquals(4, FakeBackend.number(b, 12));
            assertEquals(1, h.counter("a", "receive-drop-too-long"));
        }
    }

    /** A driver that posts too little gets the frame when it posts more. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void aFrameWaitsForBuffers(boolean packed) throws Exception {
        try (Harness h = new Harness(1)) {
            FakeNetwork net = h.network(1);
            h.backend("neta", net);
            h.nic("a");
            GuestNic g = h.guest("a", GuestNic.options().packed(packed).receiveBytes(200).ringSize(32));
            for (int i = 0; i < 20; i++) {
                net.sendSurely(0, FakeBackend.frame(12, 1514, i));
            }
            // 20 frames of 8 buffers into 32: the driver has to give buffers back in between
            for (int i = 0; i < 20; i++) {
                byte[] b = g.receive(0).take(Harness.soon());
                assertNotNull(b, "frame " + i);
                assertEquals(1526, b.length);
                assertEquals(i, FakeBackend.number(b, 12));
            }
            assertEquals(20, h.counter("a", "receive-frames"));
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 12, 13, 64, 500})
    void headerAndDataMayBeSplitAnywhere(int piece) throws Exception {
        try (Harness h = new Harness(1)) {
            FakeNetwork net = h.network(1);
            h.backend("neta", net);
            h.nic("a");
            GuestNic g = h.guest("a", GuestNic.options().receivePieces(piece, 3).transmitPieces(piece, 5).receiveBytes(700));
            for (int i = 0; i < 200; i++) {
                assertTrue(g.transmit(0).send(FakeBackend.frame(0, 60 + i, i), Harness.soon()));
                byte[] out = net.take(0);
                assertEquals(72 + i, out.length);
                assertEquals(i, FakeBackend.number(out, 12));
                net.sendSurely(0, FakeBackend.frame(12, 60 + 7 * i, i));
                byte[] in = g.receive(0).take(Harness.soon());
                assertEquals(72 + 7 * i, in.length);
                assertEquals(i, FakeBackend.number(in, 12));
            }
        }
    }

    /** A port without headers: the guest's own are left out and made. */
    @ParameterizedTest
    @ValueSource(ints = {0, 1, 11, 12})
    void aPortWithoutHeader(int piece) throws Exception {
        try (Harness h = new Harness(1)) {
            FakeNetwork net = h.network(1);
            FakeBackend b = h.backend("neta", net);
            b.headerLengths = new int[] {0};
            h.nic("a");
            GuestNic.Options o = GuestNic.options().receiveBytes(300);
            GuestNic g = h.guest("a", piece == 0 ? o : o.receivePieces(piece).transmitPieces(piece));
            assertEquals(0, g.features() & (VirtioNet.CSUM | VirtioNet.HOST_TSO4), "offloads need a header on the port");
            for (int i = 0; i < 100; i++) {
                assertTrue(g.transmit(0).send(FakeBackend.frame(0, 60, i), Harness.soon()));
                byte[] out = net.take(0);
                assertEquals(60, out.length);
                assertEquals(i, FakeBackend.number(out, 0));
                net.sendSurely(0, FakeBackend.frame(0, 1000, i));
                byte[] in = g.receive(0).take(Harness.soon());
                assertEquals(1012, in.length);
                assertEquals(i, FakeBackend.number(in, 12));
                assertEquals(4, in[10], "num_buffers");
                assertEquals(0, in[0]);
            }
            // a header without a frame: nothing to send, and the chain comes back
            assertTrue(g.transmit(0).send(new byte[0], Harness.soon()));
            assertTrue(g.transmit(0).send(FakeBackend.frame(0, 60, 5), Harness.soon()));
            assertEquals(5, FakeBackend.number(net.take(0), 0));
            assertTrue(g.transmit(0).awaitAll(Harness.soon()));
            assertEquals(1, h.counter("a", "transmit-drop-invalid"));
        }
    }

    /** A frame that the device refuses is dropped and counted; the ring goes on at once. */
    @ParameterizedTest
    @ValueSource(ints = {Errno.EIO, Errno.EINVAL, Errno.ENOMEM, Errno.EBUSY})
    void errorsOfTheDeviceCostAFrame(int errno) throws Exception {
        try (Harness h = new Harness(1)) {
            FakeNetwork net = h.network(1);
            FakeBackend b = h.backend("neta", net);
            h.nic("a");
            GuestNic g = h.guest("a", GuestNic.options());
            int[] count = new int[2];
            b.transmitError = () -> ++count[0] % 2 == 0 ? errno : 0;
            for (int i = 0; i < 200; i++) {
                assertTrue(g.transmit(0).send(FakeBackend.frame(0, 60, i), Harness.soon()));
            }
            assertTrue(g.transmit(0).awaitAll(Harness.soon()));
            for (int i = 0; i < 200; i += 2) {
                assertEquals(i, FakeBackend.number(net.take(0), 12));
            }
            assertNull(net.poll(0));
            b.transmitError = () -> 0;
            b.receiveError = () -> ++count[1] % 3 == 0 ? errno : 0;
            for (int i = 0; i < 100; i++) {
                net.sendSurely(0, FakeBackend.frame(12, 60, i));
                assertEquals(i, FakeBackend.number(g.receive(0).take(Harness.soon()), 12));
            }
            long drops = h.status("a").counters().entrySet().stream().filter(e -> e.getKey().startsWith("transmit-drop"))
                    .mapToLong(java.util.Map.Entry::getValue).sum();
            assertEquals(100, drops);
            assertEquals(100, h.counter("a", "transmit-frames"));
            assertEquals(NicState.RUNNING, h.status("a").state());
        }
    }

    /** The device has gone: a named state, and the guest's transmit ring goes on when another backend comes. */
    @Test
    void aDeviceThatHasGoneStopsThePortByName() throws Exception {
        try (Harness h = new Harness(1)) {
            FakeNetwork net = h.network(1);
            FakeBackend b = h.backend("neta", net);
            h.nic("a");
            GuestNic g = h.guest("a", GuestNic.options());
            b.receiveError = () -> Errno.EBADFD;
            net.sendSurely(0, FakeBackend.frame(12, 60, 1));
            h.awaitState("a", NicState.FAILED);
            assertTrue(h.status("a").why().contains("the interface was deleted"), h.status("a").why());
            Await.until(Harness.LIMIT, "the port to be closed", () -> b.calls.contains("close RELEASE"));
            FakeNetwork next = h.network(1);
            h.unbind(b);
            h.backend("neta", next);
            h.awaitState("a", NicState.RUNNING);
            assertTrue(g.transmit(0).send(FakeBackend.frame(0, 60, 9), Harness.soon()));
            assertEquals(9, FakeBackend.number(next.take(0), 12));
            next.sendSurely(0, FakeBackend.frame(12, 60, 8));
            assertEquals(8, FakeBackend.number(g.receive(0).take(Harness.soon()), 12));
        }
    }
}
