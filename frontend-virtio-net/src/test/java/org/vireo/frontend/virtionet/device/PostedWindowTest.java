// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.MemorySegment;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.vireo.frontend.virtionet.ring.MalformedRingException;
import org.vireo.frontend.virtionet.ring.MalformedRingException.Rule;
import org.vireo.frontend.virtionet.ring.RingFixture;
import org.vireo.frontend.virtionet.ring.Virtqueue;
import org.vireo.guest.GuestRam;
import org.vireo.guest.SplitRing;

/** The window over a receive ring's buffers. */
class PostedWindowTest {
    private static final int LARGEST = 12 + 1518;
    private RingFixture f;
    private final PairCounters counters = new PairCounters();
    private int available;

    @BeforeEach
    void start() throws Exception {
        f = new RingFixture(64, 8 << 20);
    }

    @AfterEach
    void stop() {
        f.close();
    }

    private PostedWindow window(boolean mergeable, int skip) throws MalformedRingException {
        return new PostedWindow(new TestTask(), f.device(false, true, 0), counters, 12, skip, mergeable, LARGEST);
    }

    private long post(int bytes) {
        long b = f.buffer(bytes);
        f.driver.descriptor(available % 64, b, bytes, SplitRing.WRITE, 0);
        f.driver.available(available, available % 64);
        f.driver.publishAvailable(++available);
        return f.ram.address(b);
    }

    private long counter(String name) {
        Map<String, Long> all = new LinkedHashMap<>();
        counters.addTo(all);
        return all.get(name);
    }

    private static byte[] bytes(int n) {
        byte[] b = new byte[n];
        for (int i = 0; i < n; i++) {
            b[i] = (byte) (i * 7);
        }
        return b;
    }

    private static int numBuffers(long header) {
        return GuestRam.MEMORY.get(java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED, header + 10);
    }

    @Test
    void nothingPostedIsNoWindow() throws Exception {
        PostedWindow w = window(true, 0);
        assertFalse(w.begin(64));
        assertEquals(0, w.room());
        assertEquals(0, w.iovecCount());
        assertThrows(IllegalStateException.class, () -> w.deliver(60));
    }

    @Test
    void aFrameLiesOverSeveralChains() throws Exception {
        PostedWindow w = window(true, 0);
        long first = post(600);
        for (int i = 0; i < 9; i++) {
            post(600);
        }
        assertTrue(w.begin(64));
        assertTrue(w.room() >= LARGEST);
        assertTrue(w.iovecCount() >= 3);
        assertTrue(w.put(MemorySegment.ofArray(bytes(1500)), 0, 1500));
        assertTrue(w.deliver(600));
        assertTrue(w.deliver(601));
        w.end();
        assertEquals(3, numBuffers(first));
        assertEquals(600, f.driver.usedLength(0));
        assertEquals(600, f.driver.usedLength(1));
        assertEquals(300, f.driver.usedLength(2));
        assertEquals(600, f.driver.usedLength(3));
        assertEquals(600, f.driver.usedLength(4));
        assertEquals(1, f.driver.usedLength(5));
        assertEquals(1500 + 600 + 601, counter("receive-bytes"));
        assertEquals(0, counter("receive-copied"));
    }

    /** Too few buffers for a largest frame: it is read elsewhere and copied, or waits; never cut. */
    @Test
    void fewBuffersMeanACopyOrAWait() throws Exception {
        PostedWindow w = window(true, 0);
        long a = post(500);
        post(500);
        assertTrue(w.begin(64));
        assertEquals(1, w.iovecCount());
        assertTrue(w.room() >= 65_550);
        assertTrue(w.put(MemorySegment.ofArray(bytes(400)), 0, 400));
        assertEquals((byte) (20 * 7), GuestRam.MEMORY.get(java.lang.foreign.ValueLayout.JAVA_BYTE, a + 20));
        assertEquals(1, counter("receive-copied"));
        assertFalse(w.put(MemorySegment.ofArray(bytes(1200)), 0, 1200), "it waits");
        assertTrue(w.stopped());
        w.end();
        assertFalse(w.begin(64));
        post(500);
        assertFalse(w.begin(64));
        post(500);
        // three of them hold it; it is delivered before anything else
        assertFalse(w.begin(64), "nothing is left after it");
        assertEquals(1600, counter("receive-bytes"));
        assertEquals(200, f.driver.usedLength(3));
        assertEquals(0, counter("receive-drop-no-memory"));
    }

    @Test
    void aFrameThatWaitsIsCountedWhenTheRingEnds() throws Exception {
        PostedWindow w = window(true, 0);
        post(500);
        w.begin(64);
        assertFalse(w.put(MemorySegment.ofArray(bytes(600)), 0, 600));
        w.end();
        w.abandon();
        w.rewind();
        assertEquals(1, counter("receive-drop-no-memory"));
        assertEquals(0, counter("receive-frames"));
    }

    /** A driver that has posted all it has would wait for ever: the frame is dropped. */
    @Test
    void aFrameForWhichTheRingIsTooSmallIsDropped() throws Exception {
        PostedWindow w = window(true, 0);
        for (int i = 0; i < 64; i++) {
            post(20);
        }
        assertTrue(w.begin(64));
        assertFalse(w.put(MemorySegment.ofArray(bytes(1281)), 0, 1281));
        w.end();
        assertTrue(w.begin(64), "the ring goes on");
        assertEquals(1, counter("receive-drop-too-long"));
        // the next one fits exactly and takes them all
        assertFalse(w.put(MemorySegment.ofArray(bytes(1280)), 0, 1280));
        w.end();
        assertEquals(1, counter("receive-frames"));
    }

    @Test
    void withoutMergeableBuffersAFrameIsOneChain() throws Exception {
        PostedWindow w = window(false, 0);
        long a = post(1000);
        long b = post(1000);
        assertTrue(w.begin(64));
        assertEquals(1000, w.room());
        assertEquals(2, w.iovecCount(), "the chain, and a place that shows that a frame was cut off");
        assertTrue(w.deliver(1000));
        assertEquals(1, numBuffers(a));
        assertTrue(w.deliver(1001), "dropped, and the buffer is still there");
        assertEquals(1, counter("receive-drop-too-long"));
        assertFalse(w.deliver(13));
        w.end();
        assertEquals(1, numBuffers(b));
        assertEquals(13, f.driver.usedLength(1));
        assertEquals(2, counter("receive-frames"));
    }

    @Test
    void aHeaderMaySplitAtEachByte() throws Exception {
        for (int split = 1; split < 12; split++) {
            try (RingFixture g = new RingFixture(8, 1 << 20)) {
                long b = g.buffer(64);
                long rest = g.buffer(2000);
                g.driver.descriptor(0, b, split, SplitRing.WRITE | SplitRing.NEXT, 1);
                g.driver.descriptor(1, rest, 2000, SplitRing.WRITE, 0);
                g.driver.publishAvailable(1);
                PostedWindow w = new PostedWindow(new TestTask(), g.device(false, true, 0), counters, 12, 0, true, LARGEST);
                assertTrue(w.begin(1));
                w.put(MemorySegment.ofArray(bytes(200)), 0, 200);
                byte[] got = new byte[200];
                MemorySegment to = MemorySegment.ofArray(got);
                MemorySegment.copy(GuestRam.MEMORY, g.ram.address(b), to, 0, split);
                MemorySegment.copy(GuestRam.MEMORY, g.ram.address(rest), to, split, 200 - split);
                byte[] wanted = bytes(200);
                wanted[10] = 1;
                wanted[11] = 0;
                org.junit.jupiter.api.Assertions.assertArrayEquals(wanted, got, "split at " + split);
            }
        }
    }

    /** A port without headers: they are made, of zeros. */
    @Test
    void aPortWithoutHeader() throws Exception {
        PostedWindow w = window(true, 12);
        long a = post(2000);
        GuestRam.MEMORY.asSlice(a, 2000).fill((byte) -1);
        assertTrue(w.begin(2));
        assertEquals(1988, w.room());
        assertEquals((a + 12) % 4096, Virtqueue.base(w.iovecs()) % 4096, "mapped twice, so that only the offsets agree");
        w.put(MemorySegment.ofArray(bytes(60)), 0, 60);
        assertEquals(72, f.driver.usedLength(0));
        assertEquals(0, GuestRam.MEMORY.get(java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED, a));
        assertEquals(1, numBuffers(a));
        assertEquals((byte) 7, GuestRam.MEMORY.get(java.lang.foreign.ValueLayout.JAVA_BYTE, a + 13));
        assertThrows(RuntimeException.class, () -> w.deliver(0));
    }

    @Test
    void lookAheadIsUndone() throws Exception {
        PostedWindow w = window(true, 0);
        for (int i = 0; i < 10; i++) {
            post(600);
        }
        w.begin(64);
        w.deliver(100);
        w.end();
        w.rewind();
        Virtqueue again = f.device(false, true, 1);
        assertEquals(9, again.look());
        assertTrue(w.begin(64));
        assertTrue(w.deliver(100));
        assertEquals(2, counter("receive-frames"));
    }

    @Test
    void aBudgetEndsAPass() throws Exception {
        PostedWindow w = window(true, 0);
        for (int i = 0; i < 10; i++) {
            post(2000);
        }
        assertTrue(w.begin(2));
        assertTrue(w.deliver(100));
        assertFalse(w.deliver(100));
        assertTrue(w.stopped());
        assertEquals(2, w.end());
    }

    @Test
    void aBadChainBehindGoodOnesEndsThePassFirst() throws Exception {
        PostedWindow w = window(false, 0);
        post(2000);
        post(11);
        assertTrue(w.begin(64));
        assertFalse(w.deliver(100));
        MalformedRingException e = assertThrows(MalformedRingException.class, w::end);
        assertEquals(Rule.NO_ROOM_FOR_HEADER, e.rule());
        assertEquals(1, counter("receive-frames"));
        w.rewind();
        assertThrows(MalformedRingException.class, () -> w.begin(64), "it is still there");
    }

    @Test
    void hugeBuffersDoNotOverflow() throws Exception {
        PostedWindow w = window(true, 0);
        long b = f.buffer(1 << 20);
        for (int i = 0; i < 60; i++) {
            f.driver.descriptor(i, b, 1 << 20, SplitRing.WRITE, 0);
            f.driver.available(i, i);
        }
        f.driver.publishAvailable(60);
        assertTrue(w.begin(64));
        assertEquals(1 << 20, w.room());
        assertTrue(w.deliver(1500));
    }

    @Test
    void whatAPortLostIsCounted() throws Exception {
        PostedWindow w = window(true, 0);
        w.lost(org.vireo.net.api.DropReason.INVALID);
        assertEquals(1, counter("receive-drop-invalid"));
    }
}
