// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.lang.foreign.MemorySegment;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.vireo.frontend.virtionet.ring.MalformedRingException;
import org.vireo.frontend.virtionet.ring.RingFixture;
import org.vireo.frontend.virtionet.ring.RingJournal;
import org.vireo.frontend.virtionet.ring.Virtqueue;
import org.vireo.frontend.virtionet.worker.Scratch;
import org.vireo.guest.GuestRam;
import org.vireo.guest.SplitRing;
import org.vireo.net.api.DropReason;

/** Frames on their way out. */
class TransmitBatchTest {
    private RingFixture f;
    private Virtqueue ring;
    private final TransmitBatch batch = new TransmitBatch(new Scratch());
    private final TestTask owner = new TestTask();
    private final PairCounters counters = new PairCounters();
    private int available;

    @BeforeEach
    void start() throws Exception {
        f = new RingFixture(128, 4 << 20);
        ring = f.device(false, false, 0);
    }

    @AfterEach
    void stop() {
        f.close();
    }

    private void post(int bytes) {
        long b = f.buffer(bytes);
        GuestRam.MEMORY.asSlice(f.ram.address(b), bytes).fill((byte) bytes);
        f.driver.descriptor(available % 128, b, bytes, 0, 0);
        f.driver.available(available, available % 128);
        f.driver.publishAvailable(++available);
    }

    private int fill(int skip) throws MalformedRingException {
        return batch.fill(owner, ring, counters, 12, skip);
    }

    private long counter(String name) {
        Map<String, Long> all = new LinkedHashMap<>();
        counters.addTo(all);
        return all.get(name);
    }

    @Test
    void whatIsNotTakenComesAgain() throws Exception {
        for (int i = 0; i < 10; i++) {
            post(60 + i);
        }
        assertEquals(10, fill(0));
        assertEquals(63, batch.bytes(3));
        assertEquals(1, batch.iovecCount(3));
        batch.taken(1);
        batch.finish(4);
        assertEquals(4, ring.used());
        assertEquals(4, RingJournal.used(f.journal()));
        assertEquals(4, counter("transmit-frames"));
        assertEquals(60 + 61 + 62 + 63, counter("transmit-bytes"));
        assertEquals(6, fill(0));
        assertEquals(64, batch.bytes(0));
        batch.finish(0);
        assertEquals(6, fill(0));
        batch.finish(6);
        assertEquals(0, fill(0));
    }

    /** The journal says after each frame what a successor must not send again. */
    @Test
    void eachFrameIsRecordedWhenItIsTaken() throws Exception {
        for (int i = 0; i < 5; i++) {
            post(60);
        }
        fill(0);
        for (int i = 0; i < 5; i++) {
            batch.taken(i);
            assertEquals(i + 1, RingJournal.available(f.journal()));
        }
        batch.finish(5);
        assertEquals(5, counter("transmit-frames"));
    }

    @Test
    void droppingCountsAsTaken() throws Exception {
        for (int i = 0; i < 6; i++) {
            post(60);
        }
        fill(0);
        batch.drop(0, DropReason.INVALID);
        batch.drop(2, DropReason.LINK_DOWN);
        assertEquals(3, RingJournal.used(f.journal()));
        batch.drop(1, DropReason.OTHER);
        batch.taken(0);
        assertEquals(3, RingJournal.used(f.journal()), "told twice");
        batch.finish(6);
        assertEquals(1, counter("transmit-drop-invalid"));
        assertEquals(1, counter("transmit-drop-link-down"));
        assertEquals(0, counter("transmit-drop-other"));
        assertEquals(4, counter("transmit-frames"));
    }

    @Test
    void aBackendThatMiscountsIsTold() throws Exception {
        for (int i = 0; i < 3; i++) {
            post(60);
        }
        fill(0);
        batch.taken(1);
        assertThrows(IllegalStateException.class, () -> batch.finish(1));
        assertThrows(IllegalStateException.class, () -> batch.finish(4));
        assertThrows(IndexOutOfBoundsException.class, () -> batch.taken(3));
        assertThrows(IndexOutOfBoundsException.class, () -> batch.bytes(-1));
        batch.finish(2);
    }

    @Test
    void aPassTakesSoManyFrames() throws Exception {
        for (int i = 0; i < 100; i++) {
            post(60);
        }
        assertEquals(TransmitBatch.MAX_FRAMES, fill(0));
        batch.finish(TransmitBatch.MAX_FRAMES);
        assertEquals(36, fill(0));
    }

    @Test
    void theHeaderIsLeftOutForAPortWithoutOne() throws Exception {
        post(72);
        assertEquals(1, fill(12));
        assertEquals(60, batch.bytes(0));
        assertEquals(60, Virtqueue.length(batch.iovecs(0)));
    }

    @Test
    void aHeaderAloneIsDropped() throws Exception {
        post(12);
        post(12);
        post(72);
        post(12);
        assertEquals(1, fill(12), "two are dropped, one is sent, one is left for the next pass");
        batch.finish(1);
        assertEquals(3, ring.used());
        assertEquals(0, fill(12));
        assertEquals(4, ring.used());
        assertEquals(3, counter("transmit-drop-invalid"));
    }

    @Test
    void aBadChainBehindGoodOnesWaitsForItsTurn() throws Exception {
        post(60);
        post(60);
        post(11);
        assertEquals(2, fill(0));
        batch.finish(2);
        assertThrows(MalformedRingException.class, () -> fill(0));
        assertEquals(2, ring.used());
    }

    @Test
    void aLongChainIsASystemCallAtMost() throws Exception {
        try (RingFixture g = new RingFixture(2048, 4 << 20)) {
            Virtqueue q = g.device(false, false, 0);
            long b = g.buffer(64);
            for (int i = 0; i < 1025; i++) {
                g.driver.descriptor(i, b, 16, i < 1024 ? SplitRing.NEXT : 0, i + 1);
            }
            g.driver.available(0, 1);
            g.driver.available(1, 0);
            g.driver.publishAvailable(2);
            assertEquals(1, batch.fill(owner, q, counters, 12, 0));
            assertEquals(1024, batch.iovecCount(0));
            batch.finish(1);
            MalformedRingException e = assertThrows(MalformedRingException.class, () -> batch.fill(owner, q, counters, 12, 0));
            assertEquals(MalformedRingException.Rule.CHAIN_TOO_LONG, e.rule());
        }
    }

    @Test
    void bytesCanBeCopiedOut() throws Exception {
        try (RingFixture g = new RingFixture(8, 1 << 20)) {
            Virtqueue q = g.device(false, false, 0);
            long b = g.buffer(256);
            for (int i = 0; i < 100; i++) {
                GuestRam.MEMORY.set(java.lang.foreign.ValueLayout.JAVA_BYTE, g.ram.address(b) + i, (byte) i);
            }
            g.driver.descriptor(0, b, 10, SplitRing.NEXT, 1);
            g.driver.descriptor(1, b + 10, 1, SplitRing.NEXT, 2);
            g.driver.descriptor(2, b + 11, 89, 0, 0);
            g.driver.publishAvailable(1);
            assertEquals(1, batch.fill(owner, q, counters, 12, 0));
            for (int from = 0; from <= 20; from++) {
                byte[] to = new byte[102];
                batch.copyTo(0, from, MemorySegment.ofArray(to), 2, 100 - from);
                for (int i = 0; i < 100 - from; i++) {
                    assertEquals(from + i, to[2 + i]);
                }
            }
            assertThrows(IndexOutOfBoundsException.class, () -> batch.copyTo(0, 1, MemorySegment.ofArray(new byte[200]), 0, 100));
            assertThrows(IndexOutOfBoundsException.class, () -> batch.copyTo(0, 0, MemorySegment.ofArray(new byte[99]), 0, 100));
        }
    }
}
