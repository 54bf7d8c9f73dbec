// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.Descriptors;
import org.vireo.posix.linux.UnixSockets;
import org.vireo.testsupport.OpenFiles;
import org.vireo.vhostuser.MemoryRegionSpec;
import org.vireo.vhostuser.Request;
import org.vireo.vhostuser.VirtioNet;

/** Both roles and both sides of the rings, against a device whose frames come back. */
class GuestNicTest {
    private static final long OFFERED = GuestNic.RING_FEATURES | GuestNic.OFFLOAD_FEATURES | VirtioNet.RING_PACKED;
    private static final Duration LIMIT = Duration.ofSeconds(5);

    private final Fds fds = new Descriptors();
    private int descriptorsBefore;
    private TinyDevice device;
    private FrontEnd frontEnd;

    @BeforeEach
    void connect() throws IOException {
        descriptorsBefore = OpenFiles.count();
        Fd[] pair = UnixSockets.pair(fds, 1, false, "test");
        device = new TinyDevice(fds, OFFERED, pair[1]);
        frontEnd = new FrontEnd(fds, pair[0], LIMIT);
    }

    @AfterEach
    void disconnect() {
        frontEnd.close();
        device.close();
        assertNull(device.failure());
        int now = OpenFiles.count();
        assertTrue(now <= descriptorsBefore, now + " descriptors are open, before the test " + descriptorsBefore);
    }

    private static long soon() {
        return System.nanoTime() + LIMIT.toNanos();
    }

    private static byte[] frame(int number, int bytes) {
        byte[] b = new byte[bytes];
        for (int i = 0; i < bytes; i++) {
            b[i] = (byte) (number * 31 + i);
        }
        return b;
    }

    private static void roundTrip(GuestNic nic, int pair, int number, int bytes) {
        assertTrue(nic.transmit(pair).send(frame(number, bytes), soon()));
        byte[] got = nic.receive(pair).take(soon());
        assertArrayEquals(frame(number, bytes), Arrays.copyOfRange(got, nic.receive(pair).headerBytes(), got.length));
    }

    @ParameterizedTest
    @CsvSource({"false,true,1,false", "false,false,1,true", "false,true,3,false", "false,true,3,true", "true,true,1,false",
        "true,false,1,true", "true,true,3,true"})
    void framesComeBackOnBothPairs(boolean packed, boolean indirect, int regions, boolean slots) throws IOException {
        try (GuestNic nic = GuestNic.options().packed(packed).pairs(2).ringSize(64).indirect(indirect).regions(regions).memorySlots(slots)
                .transmitPieces(12, 14).receivePieces(12).start(fds, frontEnd)) {
            for (int i = 0; i < 1000; i++) {
                roundTrip(nic, i % 2, i, 60 + i);
            }
            for (int pair = 0; pair < 2; pair++) {
                assertTrue(nic.transmit(pair).awaitAll(soon()));
                assertEquals(64, nic.transmit(pair).freeDescriptors());
                assertEquals(500, nic.receive(pair).frames());
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"false,true,true", "false,true,false", "false,false,true", "false,false,false", "true,true,true", "true,true,false",
        "true,false,true", "true,false,false"})
    void everyCombinationOfRingFeaturesWorks(boolean packed, boolean events, boolean mergeable) throws IOException {
        long without = (events ? 0 : VirtioNet.EVENT_IDX) | (mergeable ? 0 : VirtioNet.MRG_RXBUF);
        long features = GuestNic.RING_FEATURES & ~without;
        // a packed ring may have any size
        try (GuestNic nic = GuestNic.options().packed(packed).ringSize(packed ? 77 : 128).features(features).start(fds, frontEnd)) {
            assertEquals(packed ? features | VirtioNet.RING_PACKED : features, nic.features());
            for (int i = 0; i < 2000; i++) {
                roundTrip(nic, 0, i, 60 + i % 1440);
            }
        }
    }

    /** As a VM that is migrated: its memory, what its driver knows, and where its rings stand. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void aGuestGoesOnElsewhere(boolean packed) throws IOException {
        Fd[] pair = UnixSockets.pair(fds, 1, false, "other");
        GuestNic.Options o = GuestNic.options().packed(packed).pairs(2).ringSize(packed ? 77 : 64).apart(true).moreBytes(100_000);
        try (TinyDevice other = new TinyDevice(fds, OFFERED, pair[1]); GuestNic here = o.start(fds, frontEnd);
                GuestNic there = o.prepare(fds, new FrontEnd(fds, pair[0], LIMIT), here.features())) {
            for (int i = 0; i < 100; i++) {
                roundTrip(here, i % 2, i, 60 + i);
            }
            for (int i = 0; i < 5; i++) {
                assertTrue(here.transmit(0).send(frame(i, 100), soon()));
            }
            int[] bases = here.stop();
            for (MemoryRegionSpec r : here.ram().specs()) {
                MemorySegment.copy(GuestRam.MEMORY, here.ram().address(r.guest()), GuestRam.MEMORY, there.ram().address(r.guest()),
                        r.size());
            }
            ByteArrayOutputStream state = new ByteArrayOutputStream();
            here.save(new DataOutputStream(state));
            there.load(new DataInputStream(new ByteArrayInputStream(state.toByteArray())));
            there.goOn(bases);
            for (int i = 0; i < 5; i++) {
                byte[] got = there.receive(0).take(soon());
                assertArrayEquals(frame(i, 100), Arrays.copyOfRange(got, there.receive(0).headerBytes(), got.length));
            }
            for (int i = 0; i < 1000; i++) {
                roundTrip(there, i % 2, i, 60 + i);
            }
            assertNull(other.failure());
            byte[] otherSizes = state.toByteArray();
            otherSizes[3]++;
            assertThrows(IOException.class, () -> there.load(new DataInputStream(new ByteArrayInputStream(otherSizes))));
        }
    }

    @Test
    void framesOfSegmentationOffloadAreMerged() throws IOException {
        try (GuestNic nic = GuestNic.options().features(OFFERED).start(fds, frontEnd)) {
            for (int i = 0; i < 50; i++) {
                roundTrip(nic, 0, i, 1514 + i * 1280);
            }
        }
    }

    /** Both sides sleep whenever they have nothing to do: a notification that is left out stops the stream. */
    @ParameterizedTest
    @CsvSource({"false,32,true", "false,32,false", "true,32,true", "true,32,false", "true,19,true", "true,77,true"})
    void aStreamOfFramesMissesNoNotification(boolean packed, int size, boolean events) throws IOException {
        long features = (events ? GuestNic.RING_FEATURES : GuestNic.RING_FEATURES & ~VirtioNet.EVENT_IDX) & ~VirtioNet.MRG_RXBUF;
        try (GuestNic nic = GuestNic.options().packed(packed).ringSize(size).features(features).indirect(false).transmitPieces(12)
                .start(fds, frontEnd)) {
            TransmitQueue tx = nic.transmit(0);
            ReceiveQueue rx = nic.receive(0);
            int sent = 0;
            int received = 0;
            while (received < 40_000) {
                // from one at a time to a full ring
                int window = 1 + received / 1000 % rx.slots();
                for (int slot; sent < 40_000 && sent - received < window && (slot = tx.claim()) >= 0; sent++) {
                    GuestRam.MEMORY.set(ValueLayout.JAVA_INT, tx.buffer(slot) + 12, sent);
                    tx.submit(slot, 12 + 60);
                }
                tx.publish();
                assertTrue(rx.awaitUsed(soon()), "frame " + received + " of " + sent + " did not come back");
                for (rx.disarmCalls(); rx.next(); rx.recycle()) {
                    assertEquals(received++, GuestRam.MEMORY.get(ValueLayout.JAVA_INT, rx.part(0) + 12));
                }
                rx.publish();
            }
            assertTrue(tx.awaitAll(soon()));
            assertEquals(40_000, tx.completed());
        }
    }

    @Test
    void aStoppedRingGoesOnWhereItStood() throws IOException {
        try (GuestNic nic = GuestNic.options().start(fds, frontEnd)) {
            for (int i = 0; i < 37; i++) {
                roundTrip(nic, 0, i, 100);
            }
            assertEquals(37, frontEnd.stop(1));
            assertEquals(37, frontEnd.stop(1), "asked twice");
            frontEnd.start(nic.transmit(0), 37);
            for (int i = 0; i < 37; i++) {
                roundTrip(nic, 0, i, 100);
            }
            assertEquals(74, frontEnd.stop(1));
        }
    }

    /** The base of a packed ring is two positions, each with its wrap counter in its bit 15 ("Vring descriptor indices"). */
    @Test
    void aStoppedPackedRingGoesOnWhereItStood() throws IOException {
        int size = 32;
        try (GuestNic nic = GuestNic.options().packed(true).ringSize(size).start(fds, frontEnd)) {
            assertEquals(0x80008000, nic.transmit(0).base());
            for (int round = 1; round <= 20; round++) {
                for (int i = 0; i < 7; i++) {
                    roundTrip(nic, 0, i, 100);
                }
                int at = PackedRing.position(7 * round % size, 7 * round / size % 2 == 0);
                assertEquals(at << 16 | at, frontEnd.stop(1), "round " + round);
                assertEquals(at << 16 | at, nic.transmit(0).base(), "nothing is with the device");
                frontEnd.start(nic.transmit(0), at << 16 | at);
            }
        }
    }

    @Test
    void packedRingsThatAreNotOfferedAreAnError() throws IOException {
        Fd[] pair = UnixSockets.pair(fds, 1, false, "test");
        try (TinyDevice split = new TinyDevice(fds, GuestNic.RING_FEATURES, pair[1])) {
            IOException e = assertThrows(IOException.class, () -> GuestNic.options().packed(true)
                    .start(fds, new FrontEnd(fds, pair[0], LIMIT)));
            assertEquals("the device does not offer RING_PACKED; it can have split rings only", e.getMessage());
            assertNull(split.failure());
        }
    }

    @Test
    void whatTheDeviceRefusesIsSaid() throws IOException {
        try (GuestNic nic = GuestNic.options().start(fds, frontEnd)) {
            frontEnd.setMtu(1500);
            assertEquals("the device refused NET_SET_MTU (acknowledgement 1)",
                    assertThrows(RefusedException.class, () -> frontEnd.setMtu(9001)).getMessage());
            assertEquals(VirtioNet.DRIVER_OK, nic.frontEnd().status() & VirtioNet.DRIVER_OK);
            assertArrayEquals(new byte[] {0x52, 0x54, 0, 1, 2, 3}, frontEnd.config(0, 6));
        }
    }

    @Test
    void moreQueuesThanTheDeviceHasAreRefused() {
        IOException e = assertThrows(IOException.class, () -> GuestNic.options().pairs(3).start(fds, frontEnd));
        assertEquals("the device has 4 queues, too few for 3 pairs", e.getMessage());
    }

    @Test
    void noAnswerAndNoDeviceAreSaid() throws IOException {
        Fd[] pair = UnixSockets.pair(fds, 1, false, "test");
        try (FrontEnd f = new FrontEnd(fds, pair[0], Duration.ofMillis(20))) {
            assertEquals("no answer to GET_FEATURES within 20 ms", assertThrows(IOException.class, f::getFeatures).getMessage());
            pair[1].close();
            f.timeout(LIMIT);
            assertTrue(f.awaitClosed(soon()));
            assertThrows(IOException.class, f::getFeatures);
        }
    }

    @Test
    void anAnswerToSomethingElseIsSaid() throws IOException {
        Fd[] pair = UnixSockets.pair(fds, 1, false, "test");
        try (FrontEnd f = new FrontEnd(fds, pair[0], LIMIT); FrontEnd other = new FrontEnd(fds, pair[1], LIMIT)) {
            other.raw(FrontEnd.bytes(Request.GET_QUEUE_NUM.id(), 5, 8, new byte[8]), List.of());
            String said = assertThrows(IOException.class, f::getFeatures).getMessage();
            assertTrue(said.startsWith("GET_FEATURES was answered with GET_QUEUE_NUM"), said);
            other.raw(FrontEnd.bytes(Request.GET_FEATURES.id(), 5, 7, new byte[7]), List.of());
            assertEquals("GET_FEATURES: payload size is 7, expected 8", assertThrows(IOException.class, f::getFeatures).getMessage());
            other.raw(new byte[3], List.of());
            UnixSockets.shutdown(other.socket());
            assertTrue(f.awaitClosed(soon()), "in the middle of a message");
        }
    }
}
