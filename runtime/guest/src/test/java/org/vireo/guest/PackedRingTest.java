// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vireo.net.api.Fds;
import org.vireo.posix.Descriptors;
import org.vireo.posix.linux.EventFd;
import org.vireo.vhostuser.VirtioNet;
import org.vireo.vhostuser.VringAddress;

/** What packed virtqueues have of their own (virtio 1.2, 2.8). */
class PackedRingTest {
    private static final long BASE = VirtioNet.VERSION_1 | VirtioNet.RING_PACKED;
    private static final long EVENTS = BASE | VirtioNet.EVENT_IDX;

    private final Fds fds = new Descriptors();
    private GuestRam ram;
    private DriverQueue queue;

    @BeforeEach
    void plug() throws IOException {
        ram = new GuestRam(fds, 1 << 20, 1 << 20);
    }

    @AfterEach
    void unplug() {
        if (queue != null) {
            queue.close();
        }
        ram.close();
    }

    private TransmitQueue transmit(long features, int size, int... pieces) throws IOException {
        TransmitQueue q = new TransmitQueue(ram, fds, 1, features, new QueueLayout(size, 256, false, pieces));
        queue = q;
        return q;
    }

    private PackedDeviceRing device(boolean events) {
        return (PackedDeviceRing) DeviceRing.of(queue, ram, events);
    }

    private static long soon() {
        return System.nanoTime() + 2_000_000_000L;
    }

    /** 2.8.10: against all positions of two laps, written down one by one. */
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 7, 8, 13})
    void aPositionIsPassedInTheLapThatItNames(int size) {
        for (int before = 0; before < 2 * size; before++) {
            for (int moved = 1; moved <= size; moved++) {
                int after = before + moved;
                int now = PackedRing.position(after % size, after / size % 2 == 0);
                for (int asked = before; asked < before + size; asked++) {
                    int event = PackedRing.position(asked % size, asked / size % 2 == 0);
                    assertEquals(asked < after, PackedRing.passed(event, now, moved, size),
                            size + " entries, from " + before + " to " + after + ", asked for " + asked);
                }
            }
        }
    }

    /** 2.8.1: both counters begin with 1; only what is available has flags that differ. */
    @Test
    void theFirstLapHasWrapCounter1() throws IOException {
        TransmitQueue q = transmit(EVENTS, 3);
        PackedRing r = q.packedRing();
        for (int i = 0; i < 3; i++) {
            assertFalse(PackedRing.isUsed(r.flags(i), true));
        }
        assertEquals(0x8000, q.availableNext());
        q.send(new byte[60], soon());
        assertEquals(PackedRing.AVAILABLE, r.flags(0));
        assertEquals(0, r.flags(1));
        q.send(new byte[60], soon());
        q.send(new byte[60], soon());
        assertEquals(0, q.availableNext(), "position 0 of the second lap");
        PackedDeviceRing device = device(true);
        for (int i = 0; i < 3; i++) {
            device.push(device.pop(), 0);
        }
        device.publish();
        assertEquals(3, q.reclaim());
        q.send(new byte[60], soon());
        assertEquals(PackedRing.USED, r.flags(0));
        assertEquals(0, q.usedSeen());
    }

    /** 2.8.13.3: the flags of the head last; and no chain before an earlier one. */
    @Test
    void nothingIsAvailableBeforeItIsPublished() throws IOException {
        TransmitQueue q = transmit(EVENTS, 8, 12);
        PackedDeviceRing device = device(true);
        for (int i = 0; i < 3; i++) {
            q.submit(q.claim(), 72);
            assertEquals(0, device.pending());
        }
        q.publish();
        assertEquals(3, device.pending());
    }

    @Test
    void theAreasAreWhereSetVringAddrHasThem() throws IOException {
        TransmitQueue q = transmit(EVENTS, 5);
        PackedRing r = q.packedRing();
        assertEquals(new VringAddress(1, 0, ram.user(r.descriptorsGuest()), ram.user(r.deviceEventGuest()),
                ram.user(r.driverEventGuest()), 0), q.addresses());
        assertEquals("ring 1 is packed", assertThrows(IllegalStateException.class, q::ring).getMessage());
        assertThrows(IllegalArgumentException.class, () -> new PackedRing(ram, 0));
        assertThrows(IllegalArgumentException.class, () -> new PackedRing(ram, 32769));
    }

    /** 2.8.6: a used descriptor stands for the whole chain, in whatever order chains come back. */
    @ParameterizedTest
    @CsvSource({"true,1", "true,2", "true,9", "true,64", "true,77", "false,5", "false,64"})
    void chainsComeBackInAnyOrder(boolean events, int size) throws IOException {
        SplittableRandom random = new SplittableRandom(size);
        int[] pieces = size < 5 ? new int[0] : new int[] {12, 20, 30, 40};
        TransmitQueue q = transmit(events ? EVENTS : BASE, size, pieces);
        PackedDeviceRing device = device(events);
        List<Integer> with = new ArrayList<>();
        byte[] got = new byte[256];
        long sent = 0;
        int position = 0;
        for (int round = 0; position < 3_000 * size; round++) {
            for (int n = random.nextInt(4); n > 0; n--) {
                int slot = q.claim();
                if (slot < 0) {
                    break;
                }
                // one to five descriptors
                byte[] frame = frame(sent++, 1 + random.nextInt(150));
                MemorySegment.copy(frame, 0, GuestRam.MEMORY, ValueLayout.JAVA_BYTE, q.buffer(slot), frame.length);
                q.submit(slot, frame.length);
            }
            q.publish();
            for (int chain = device.pop(); chain >= 0; chain = device.pop()) {
                with.add(chain);
                position += device.chain(chain);
            }
            for (int n = random.nextInt(1 + with.size()); n > 0; n--) {
                int chain = with.remove(random.nextInt(with.size()));
                int bytes = device.copy(chain, got, 0, 256, false);
                assertArrayEquals(frame(number(got), bytes), Arrays.copyOf(got, bytes), "round " + round);
                device.push(chain, 0);
            }
            device.publish();
        }
        for (int chain : with) {
            device.push(chain, 0);
        }
        device.publish();
        assertTrue(q.awaitAll(soon()));
        assertEquals(sent, q.completed());
        assertEquals(size, q.freeDescriptors());
        assertEquals(q.availableNext(), q.usedSeen());
    }

    private static byte[] frame(long number, int bytes) {
        byte[] b = new byte[bytes];
        for (int i = 0; i < bytes; i++) {
            b[i] = (byte) (number * 37 + i);
        }
        return b;
    }

    /** Any number that makes the same frame. */
    private static long number(byte[] frame) {
        long n = 0;
        while ((byte) (n * 37) != frame[0]) {
            n++;
        }
        return n;
    }

    /** A kick that is left out though the device asked for it would leave it asleep; so would a call the driver. */
    @ParameterizedTest
    @CsvSource({"true,8,''", "true,7,12", "true,30,'12 14'", "true,1,''", "false,7,12"})
    void neitherSideMissesWhatItAskedFor(boolean events, int size, String lengths) throws IOException {
        SplittableRandom random = new SplittableRandom(7L * size);
        int[] pieces = lengths.isEmpty() ? new int[0] : Arrays.stream(lengths.split(" ")).mapToInt(Integer::parseInt).toArray();
        TransmitQueue q = transmit(events ? EVENTS : BASE, size, pieces);
        PackedDeviceRing device = device(events);
        for (int round = 0; round < 20_000; round++) {
            assertFalse(device.armKicks());
            long kicks = q.kicks();
            int sent = 0;
            for (int n = 1 + random.nextInt(q.slots()); n > 0; n--) {
                q.submit(q.claim(), 13 + random.nextInt(60));
                sent++;
                if (random.nextInt(3) == 0) {
                    q.publish();
                }
            }
            q.publish();
            assertTrue(q.kicks() > kicks, "round " + round);
            if (events) {
                assertEquals(kicks + 1, q.kicks(), "once, since the position is passed once");
            }
            device.disarmKicks();
            EventFd.drain(q.kickFd().number());
            int wanted = 1 + random.nextInt(sent);
            assertFalse(q.armCalls(wanted));
            boolean called = false;
            for (int i = 0; i < wanted; i++) {
                device.push(device.pop(), 0);
                called |= device.publish();
            }
            assertTrue(called, wanted + " of " + sent + " in round " + round);
            assertTrue(q.armCalls(1), "what came meanwhile is seen");
            q.disarmCalls();
            for (int chain = device.pop(); chain >= 0; chain = device.pop()) {
                device.push(chain, 0);
            }
            assertFalse(device.publish());
            assertEquals(sent, q.reclaim());
        }
    }

    /** The call that half a ring was waited for came with fewer, longer chains: nothing may be waited for then. */
    @Test
    void aPositionThatLongChainsHavePassedIsNotWaitedFor() throws IOException {
        TransmitQueue q = transmit(EVENTS, 12, 12, 14);
        PackedDeviceRing device = device(true);
        for (int i = 0; i < 4; i++) {
            q.submit(q.claim(), 72);
        }
        q.publish();
        device.push(device.pop(), 0);
        device.publish();
        assertTrue(q.armCalls(3), "one chain of three descriptors");
        assertEquals(1, q.reclaim());
        assertFalse(q.armCalls(3));
        device.push(device.pop(), 0);
        assertTrue(device.publish());
    }

    private String fault(Runnable r) {
        return assertThrows(DeviceFaultException.class, r::run).getMessage();
    }

    @Test
    void buffersThatTheDeviceDoesNotHaveAreFaults() throws IOException {
        for (int id : new int[] {1, 3, 4, 0xffff}) {
            try (TransmitQueue q = new TransmitQueue(ram, fds, 1, EVENTS, new QueueLayout(4, 256, false))) {
                PackedDeviceRing device = (PackedDeviceRing) DeviceRing.of(q, ram, true);
                q.send(new byte[60], soon());
                device.push(id, 0, 0, 1);
                device.publish();
                assertEquals(1, q.pending());
                assertEquals("ring 1: returned buffer " + id + ", which it was not given (used position 0, wrap counter 1)",
                        fault(q::reclaim));
            }
        }
    }

    @Test
    void aBufferThatComesBackTwiceIsAFault() throws IOException {
        TransmitQueue q = transmit(EVENTS, 4);
        PackedDeviceRing device = device(true);
        q.send(new byte[60], soon());
        q.send(new byte[60], soon());
        device.push(1, 0, 0, 1);
        device.push(1, 0, 0, 1);
        device.publish();
        assertEquals("ring 1: returned buffer 1, which it was not given (used position 1, wrap counter 1)", fault(q::reclaim));
    }

    /** 2.8.5: the length of a used descriptor is there with WRITE only. */
    @Test
    void aLengthWithoutWriteIsNotLookedAt() throws IOException {
        TransmitQueue q = transmit(EVENTS, 4);
        PackedDeviceRing device = device(true);
        q.send(new byte[60], soon());
        device.push(device.pop(), 4711, 0, 1);
        device.publish();
        assertEquals(1, q.reclaim());
    }

    /** What the next device is told when the last one went without a word. */
    @Test
    void aRingThatWasLeftBeginsAtWhatWasNotGivenBack() throws IOException {
        TransmitQueue q = transmit(EVENTS, 5, 12);
        for (int round = 0; round < 100; round++) {
            PackedDeviceRing device = device(true);
            q.submit(q.claim(), 72);
            q.submit(q.claim(), 10);
            q.publish();
            assertEquals(2, device.pending(), "round " + round);
            device.push(device.pop(), 0);
            device.pop();
            device.publish(); // and goes, with one chain that it had taken
            assertEquals(1, device(true).pending());
            PackedDeviceRing next = device(true);
            next.push(next.pop(), 0);
            next.publish();
            assertEquals(2, q.reclaim());
            assertEquals(5, q.freeDescriptors());
        }
    }
}
