// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.util.Arrays;
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

class DriverQueueTest {
    private static final long BASE = VirtioNet.VERSION_1 | VirtioNet.INDIRECT_DESC;
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

    private TransmitQueue transmit(long features, QueueLayout layout) throws IOException {
        TransmitQueue q = new TransmitQueue(ram, fds, 1, features, layout);
        queue = q;
        return q;
    }

    private ReceiveQueue receive(long features, QueueLayout layout) throws IOException {
        ReceiveQueue q = new ReceiveQueue(ram, fds, 0, features, layout);
        queue = q;
        return q;
    }

    private static long features(boolean packed, boolean events) {
        return (events ? EVENTS : BASE) | (packed ? VirtioNet.RING_PACKED : 0);
    }

    private static long soon() {
        return System.nanoTime() + 2_000_000_000L;
    }

    /** virtio 1.2, 2.7.10: notified when the event index is one of those that the index moved over. */
    @Test
    void anIndexPassesEventsAlsoFrom65535To0() {
        for (int before : new int[] {0, 1, 100, 32767, 32768, 65530, 65535}) {
            for (int step = 1; step <= 20; step++) {
                int now = before + step & 0xffff;
                for (int d = -30; d <= 30; d++) {
                    int event = before + d & 0xffff;
                    assertEquals(d >= 0 && d < step, SplitRing.passed(event, now, before), event + " between " + before + " and " + now);
                }
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"false,false,''", "false,false,12", "false,false,'1 11 3'", "false,true,''", "false,true,12", "false,true,'5 5 5 5 5 5'",
        "true,false,''", "true,false,12", "true,false,'1 11 3'", "true,true,''", "true,true,12", "true,true,'5 5 5 5 5 5'"})
    void framesOfAnyLayoutGoRoundTheRing(boolean packed, boolean indirect, String lengths) throws IOException {
        int[] pieces = lengths.isEmpty() ? new int[0] : Arrays.stream(lengths.split(" ")).mapToInt(Integer::parseInt).toArray();
        TransmitQueue q = transmit(features(packed, true), new QueueLayout(8, 256, indirect, pieces));
        DeviceRing device = DeviceRing.of(q, ram, true);
        byte[] got = new byte[256];
        for (int i = 0; i < 70_000; i++) {
            byte[] frame = {(byte) i, (byte) (i >> 8), (byte) (i >> 16), 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21};
            assertTrue(q.send(frame, soon()));
            int head = device.pop();
            assertEquals(12 + frame.length, device.copy(head, got, 0, 256, false));
            assertEquals(pieces.length + 1, device.chain(head));
            assertArrayEquals(frame, Arrays.copyOfRange(got, 12, 12 + frame.length));
            device.push(head, 0);
            device.publish();
        }
        assertTrue(q.awaitAll(soon()));
        assertEquals(70_000, q.completed());
        assertEquals(8, q.freeDescriptors());
        int descriptors = 70_000 * (indirect ? 1 : pieces.length + 1);
        assertEquals(packed ? PackedRing.position(descriptors % 8, descriptors / 8 % 2 == 0) : 70_000 & 0xffff, q.usedSeen());
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void aFullRingGivesNoSlotUntilTheDeviceReturnsOne(boolean packed) throws IOException {
        TransmitQueue q = transmit(features(packed, true), new QueueLayout(8, 256, false, 12));
        DeviceRing device = DeviceRing.of(q, ram, true);
        for (int i = 0; i < 4; i++) {
            assertTrue(q.send(new byte[60], soon()));
        }
        assertEquals(0, q.freeDescriptors());
        assertEquals(-1, q.claim());
        assertFalse(q.send(new byte[60], System.nanoTime()));
        device.pop();
        device.push(device.pop(), 0); // out of order: the second chain is the first to come back
        device.publish();
        assertEquals(2, q.freeDescriptors() + q.reclaim() * 2, "not reclaimed before");
        assertEquals(2, q.freeDescriptors());
        assertTrue(q.claim() >= 0);
    }

    @ParameterizedTest
    @CsvSource({"false,true", "false,false", "true,true", "true,false"})
    void theDeviceIsKickedOnlyWhenItWantsToBe(boolean packed, boolean events) throws IOException {
        TransmitQueue q = transmit(features(packed, events), new QueueLayout(16, 256, false));
        DeviceRing device = DeviceRing.of(q, ram, events);
        for (int round = 0; round < 20_000; round++) {
            long before = q.kicks();
            assertFalse(device.armKicks());
            q.send(new byte[60], soon());
            assertEquals(before + 1, q.kicks(), "round " + round);
            assertEquals(1, EventFd.drain(q.kickFd().number()));
            device.disarmKicks();
            q.send(new byte[60], soon());
            q.send(new byte[60], soon());
            assertEquals(before + 1, q.kicks());
            assertTrue(device.armKicks(), "what was added meanwhile is seen");
            for (int head = device.pop(); head >= 0; head = device.pop()) {
                device.push(head, 0);
            }
            device.publish();
        }
        assertEquals(0, EventFd.drain(q.kickFd().number()));
    }

    @ParameterizedTest
    @CsvSource({"false,true", "false,false", "true,true", "true,false"})
    void theDriverIsCalledOnlyWhenItWantsToBe(boolean packed, boolean events) throws IOException {
        ReceiveQueue q = receive(features(packed, events), new QueueLayout(16, 256, false));
        DeviceRing device = DeviceRing.of(q, ram, events);
        byte[] frame = new byte[72];
        frame[VirtioNetHeader.NUM_BUFFERS] = 1;
        q.fill();
        q.publish();
        for (int round = 0; round < 40_000; round++) {
            assertFalse(q.armCalls(1));
            assertTrue(deliver(device, frame), "round " + round);
            q.disarmCalls();
            assertFalse(deliver(device, frame));
            assertTrue(q.armCalls(1), "what came meanwhile is seen");
            while (q.next()) {
                assertEquals(72, q.total());
                q.recycle();
            }
            q.publish();
        }
        assertEquals(80_000, q.frames());
    }

    private static boolean deliver(DeviceRing device, byte[] frame) {
        int head = device.pop();
        device.copy(head, frame, 0, frame.length, true);
        device.push(head, frame.length);
        return device.publish();
    }

    @ParameterizedTest
    @CsvSource({"false,false,''", "false,false,12", "false,true,'12 20'", "true,false,''", "true,false,12", "true,true,'12 20'"})
    void mergedBuffersMakeOneFrame(boolean packed, boolean indirect, String lengths) throws IOException {
        int[] pieces = lengths.isEmpty() ? new int[0] : Arrays.stream(lengths.split(" ")).mapToInt(Integer::parseInt).toArray();
        ReceiveQueue q = receive(features(packed, true) | VirtioNet.MRG_RXBUF, new QueueLayout(32, 100, indirect, pieces));
        DeviceRing device = DeviceRing.of(q, ram, true);
        int posted = q.fill();
        assertEquals(q.slots(), posted);
        q.publish();
        byte[] frame = new byte[250];
        for (int i = 0; i < 30_000; i++) {
            for (int b = 12; b < frame.length; b++) {
                frame[b] = (byte) (i + b);
            }
            frame[VirtioNetHeader.NUM_BUFFERS] = 3;
            for (int at = 0; at < 250; at += 100) {
                int head = device.pop();
                assertTrue(head >= 0, "a buffer was leaked by frame " + i);
                device.push(head, device.copy(head, frame, at, Math.min(100, 250 - at), true));
            }
            device.publish();
            assertArrayEquals(frame, q.take(soon()));
        }
        assertEquals(posted, device.pending());
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void aBufferThatComesBackEmptyIsCountedAndPostedAgain(boolean packed) throws IOException {
        ReceiveQueue q = receive(features(packed, true), new QueueLayout(4, 256, false));
        DeviceRing device = DeviceRing.of(q, ram, true);
        q.fill();
        q.publish();
        device.push(device.pop(), 0);
        device.publish();
        assertFalse(q.next());
        assertEquals(1, q.empties());
        q.publish();
        assertEquals(4, device.pending());
    }

    private String fault(Runnable r) {
        return assertThrows(DeviceFaultException.class, r::run).getMessage();
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void aTransmittedChainHasLength0(boolean packed) throws IOException {
        TransmitQueue q = transmit(features(packed, true), new QueueLayout(4, 256, false));
        DeviceRing device = DeviceRing.of(q, ram, true);
        q.send(new byte[60], soon());
        int chain = device.pop();
        if (device instanceof PackedDeviceRing p) {
            p.push(chain, 72, PackedRing.WRITE, 1);
        } else {
            device.push(chain, 72);
        }
        device.publish();
        assertEquals("ring 1: a transmitted chain came back with length 72, must be 0", fault(q::reclaim));
    }

    @Test
    void headsThatTheDeviceDoesNotHaveAreFaults() throws IOException {
        for (int head : new int[] {1, 4, -1, Integer.MAX_VALUE}) {
            TransmitQueue q = new TransmitQueue(ram, fds, 1, EVENTS, new QueueLayout(4, 256, false));
            try (q) {
                DeviceRing device = DeviceRing.of(q, ram, true);
                q.send(new byte[60], soon());
                device.push(head, 0);
                device.publish();
                assertTrue(fault(q::reclaim).contains("returned head " + Integer.toUnsignedString(head)));
            }
        }
        TransmitQueue q = transmit(EVENTS, new QueueLayout(4, 256, false));
        DeviceRing device = DeviceRing.of(q, ram, true);
        q.send(new byte[60], soon());
        device.push(0, 0);
        device.push(0, 0);
        device.publish();
        assertTrue(fault(q::reclaim).contains("returned head 0"), "twice");
    }

    @Test
    void aUsedIndexThatLeapsIsAFault() throws IOException {
        TransmitQueue q = transmit(EVENTS, new QueueLayout(4, 256, false));
        SplitDeviceRing device = (SplitDeviceRing) DeviceRing.of(q, ram, true);
        device.usedNext = 5;
        device.publish();
        assertEquals("ring 1: used index went from 0 by 5, more than the ring's 4", fault(q::pending));
    }

    @ParameterizedTest
    @CsvSource({"0,true,1,72,num_buffers is 0", "2,false,2,72,num_buffers is 2", "3,true,2,72,but only 2 were returned",
        "1,true,1,257,wrote 257 bytes", "1,true,1,11,shorter than the header", "1,true,1,-1,wrote 4294967295 bytes"})
    void receivedFramesFollowTheRules(int numBuffers, boolean mergeable, int returned, int length, String expected) throws IOException {
        receivedFramesFollowTheRules(EVENTS, numBuffers, mergeable, returned, length, expected);
        queue.close();
        receivedFramesFollowTheRules(EVENTS | VirtioNet.RING_PACKED, numBuffers, mergeable, returned, length, expected);
    }

    private void receivedFramesFollowTheRules(long features, int numBuffers, boolean mergeable, int returned, int length, String expected)
            throws IOException {
        ReceiveQueue q = receive(mergeable ? features | VirtioNet.MRG_RXBUF : features, new QueueLayout(4, 256, false));
        DeviceRing device = DeviceRing.of(q, ram, true);
        q.fill();
        q.publish();
        byte[] frame = new byte[72];
        frame[VirtioNetHeader.NUM_BUFFERS] = (byte) numBuffers;
        for (int i = 0; i < returned; i++) {
            int head = device.pop();
            device.copy(head, frame, 0, frame.length, true);
            device.push(head, length);
        }
        device.publish();
        String said = fault(q::next);
        assertTrue(said.contains(expected), said);
    }

    @Test
    void aHeaderOf10BytesHasNoNumber() throws IOException {
        ReceiveQueue q = receive(0, new QueueLayout(4, 256, false));
        DeviceRing device = DeviceRing.of(q, ram, false);
        q.fill();
        q.publish();
        deliver(device, new byte[70]);
        assertEquals(10, q.headerBytes());
        assertEquals(70, q.take(soon()).length);
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void nothingIsAllocatedForAFrame(boolean packed) throws IOException {
        TransmitQueue q = transmit(features(packed, true), new QueueLayout(64, 256, true, 12));
        DeviceRing device = DeviceRing.of(q, ram, true);
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        pump(q, device, 50_000);
        long least = Long.MAX_VALUE;
        // until it is compiled, which takes its time on a busy machine
        for (long end = System.nanoTime() + 20_000_000_000L; least >= 200_000 && System.nanoTime() < end;) {
            long before = threads.getCurrentThreadAllocatedBytes();
            pump(q, device, 200_000);
            least = Math.min(least, threads.getCurrentThreadAllocatedBytes() - before);
        }
        assertTrue(least < 200_000, least + " bytes for 200,000 frames");
    }

    private static void pump(TransmitQueue q, DeviceRing device, int frames) {
        for (int i = 0; i < frames; i++) {
            int slot = q.claim();
            q.submit(slot, 72);
            device.armKicks();
            q.publish();
            device.push(device.pop(), 0);
            device.publish();
        }
    }
}
