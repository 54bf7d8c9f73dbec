// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.ring;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vireo.frontend.virtionet.memory.InvalidMemoryException;
import org.vireo.frontend.virtionet.memory.MappedRegion;
import org.vireo.frontend.virtionet.memory.MemoryTable;
import org.vireo.frontend.virtionet.ring.MalformedRingException.Rule;
import org.vireo.guest.SplitRing;
import org.vireo.posix.Descriptors;
import org.vireo.posix.linux.SharedMemory;

/** The device's side of a split virtqueue, rule by rule (virtio 1.2, section 2.7). */
class SplitVirtqueueTest {
    private static final int CAPACITY = 65_536;

    private static Rule rule(org.junit.jupiter.api.function.Executable what) {
        return assertThrows(MalformedRingException.class, what).rule();
    }

    private static void chain(RingFixture f, int descriptors, int bytes, int flags) {
        long b = f.buffer(Math.max(bytes, 1));
        for (int i = 0; i < descriptors; i++) {
            f.driver.descriptor(i, b, bytes, i + 1 < descriptors ? flags | SplitRing.NEXT : flags, i + 1);
        }
    }

    @Test
    void indicesWrap() throws Exception {
        try (RingFixture f = new RingFixture(4, 1 << 20)) {
            f.driver.publishAvailable(65_534);
            SplitVirtqueue q = f.device(true, false, 65_534);
            long b = f.buffer(64);
            int at = 65_534;
            for (int i = 0; i < 10; i++) {
                f.driver.descriptor(i % 4, b + i, 60 + i, 0, 0);
                f.driver.available(at, i % 4);
                at = at + 1 & 0xffff;
                f.driver.publishAvailable(at);
                assertEquals(1, q.look());
                assertEquals(1, q.gather(f.iovecs(), CAPACITY, 0));
                assertEquals(60 + i, Virtqueue.length(f.iovecs()));
                q.put(q.chain(), i);
                q.record();
                assertTrue(q.publish() || i > 0);
                assertEquals(at, f.driver.usedIndex());
                assertEquals(i % 4, f.driver.usedId(at - 1));
                assertEquals(i, f.driver.usedLength(at - 1));
                assertEquals(at, RingJournal.available(f.journal()));
                assertEquals(at, RingJournal.used(f.journal()));
                assertTrue(RingJournal.valid(f.journal()));
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"1,1", "2,2", "256,255", "256,256", "1024,1024"})
    void aChainMayBeAsLongAsTheRing(int size, int length) throws Exception {
        try (RingFixture f = new RingFixture(size, 1 << 20)) {
            chain(f, length, 64, 0);
            f.driver.publishAvailable(1);
            SplitVirtqueue q = f.device(false, false, 0);
            assertEquals(1, q.look());
            assertEquals(length, q.gather(f.iovecs(), CAPACITY, 0));
            assertEquals(64 * length, q.chainBytes());
            assertEquals(length, q.chainDescriptors());
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 256})
    void oneMoreIsALoop(int size) throws Exception {
        try (RingFixture f = new RingFixture(size, 1 << 20)) {
            long b = f.buffer(16);
            for (int i = 0; i < size; i++) {
                f.driver.descriptor(i, b, 16, SplitRing.NEXT, (i + 1) % size);
            }
            f.driver.publishAvailable(1);
            SplitVirtqueue q = f.device(false, false, 0);
            q.look();
            assertEquals(Rule.CHAIN_TOO_LONG, rule(() -> q.gather(f.iovecs(), CAPACITY, 0)));
            assertEquals(0, q.outstanding(), "nothing moved");
        }
    }

    /** A table has its own limit, which is not the ring's; its length is 32 bits in bytes and next is 16 bits. */
    @ParameterizedTest
    @ValueSource(ints = {1, 256, 257, 65_535, 65_536})
    void indirectTablesAreCountedOnTheirOwn(int entries) throws Exception {
        try (RingFixture f = new RingFixture(256, 4 << 20)) {
            long b = f.buffer(64);
            long table = f.buffer(16 * entries);
            for (int i = 0; i < entries; i++) {
                SplitRing.writeDescriptor(f.ram.address(table) + 16L * i, b, 3, i + 1 < entries ? SplitRing.NEXT : 0, i + 1);
            }
            f.driver.descriptor(0, table, 16 * entries, SplitRing.INDIRECT, 0);
            f.driver.publishAvailable(1);
            SplitVirtqueue q = f.device(false, false, 0);
            assertEquals(1, q.look());
            assertEquals(entries, q.gather(f.iovecs(), CAPACITY, 0));
            assertEquals(3 * entries, q.chainBytes());
            assertEquals(1, q.chainDescriptors());
        }
    }

    @Test
    void aTableThatIsTooLongOrLoopsIsNamed() throws Exception {
        try (RingFixture f = new RingFixture(256, 4 << 20)) {
            long table = f.buffer(16 * 65_537);
            f.driver.descriptor(0, table, 16 * 65_537, SplitRing.INDIRECT, 0);
            f.driver.publishAvailable(1);
            SplitVirtqueue q = f.device(false, false, 0);
            q.look();
            assertEquals(Rule.INDIRECT_LENGTH, rule(() -> q.gather(f.iovecs(), CAPACITY, 0)));
            SplitRing.writeDescriptor(f.ram.address(table), table, 3, SplitRing.NEXT, 1);
            SplitRing.writeDescriptor(f.ram.address(table) + 16, table, 3, SplitRing.NEXT, 0);
            f.driver.descriptor(0, table, 16 * 300, SplitRing.INDIRECT, 0);
            assertEquals(Rule.CHAIN_TOO_LONG, rule(() -> q.gather(f.iovecs(), CAPACITY, 0)));
            f.driver.descriptor(0, table, 16, SplitRing.INDIRECT, 0);
            assertEquals(Rule.NEXT_OUT_OF_RANGE, rule(() -> q.gather(f.iovecs(), CAPACITY, 0)));
            f.driver.descriptor(0, table, 17, SplitRing.INDIRECT, 0);
            assertEquals(Rule.INDIRECT_LENGTH, rule(() -> q.gather(f.iovecs(), CAPACITY, 0)));
            f.driver.descriptor(0, table, 16, SplitRing.INDIRECT | SplitRing.NEXT, 1);
            assertEquals(Rule.NESTED_INDIRECT, rule(() -> q.gather(f.iovecs(), CAPACITY, 0)));
            f.driver.descriptor(0, 0x1234, 16, SplitRing.INDIRECT, 0);
            assertEquals(Rule.ADDRESS_OUTSIDE, rule(() -> q.gather(f.iovecs(), CAPACITY, 0)));
            SplitRing.writeDescriptor(f.ram.address(table), table, 16, SplitRing.INDIRECT, 0);
            f.driver.descriptor(0, table, 16, SplitRing.INDIRECT, 0);
            assertEquals(Rule.NESTED_INDIRECT, rule(() -> q.gather(f.iovecs(), CAPACITY, 0)));
        }
    }

    @Test
    void aTableMayFollowPlainDescriptors() throws Exception {
        try (RingFixture f = new RingFixture(4, 1 << 20)) {
            long b = f.buffer(64);
            long table = f.buffer(32);
            SplitRing.writeDescriptor(f.ram.address(table), b, 20, SplitRing.NEXT, 1);
            SplitRing.writeDescriptor(f.ram.address(table) + 16, b, 30, 0, 0);
            f.driver.descriptor(0, b, 12, SplitRing.NEXT, 2);
            f.driver.descriptor(2, table, 32, SplitRing.INDIRECT, 0);
            f.driver.publishAvailable(1);
            SplitVirtqueue q = f.device(false, false, 0);
            q.look();
            assertEquals(3, q.gather(f.iovecs(), CAPACITY, 0));
            assertEquals(62, q.chainBytes());
            assertEquals(2, q.chainDescriptors());
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void directionsAreFixed(boolean receive) throws Exception {
        try (RingFixture f = new RingFixture(4, 1 << 20)) {
            chain(f, 2, 64, receive ? 0 : SplitRing.WRITE);
            f.driver.publishAvailable(1);
            SplitVirtqueue q = f.device(false, receive, 0);
            q.look();
            assertEquals(receive ? Rule.READABLE_IN_RECEIVE : Rule.WRITABLE_IN_TRANSMIT, rule(() -> q.gather(f.iovecs(), CAPACITY, 0)));
        }
    }

    @Test
    void headsAndIndicesAreChecked() throws Exception {
        try (RingFixture f = new RingFixture(8, 1 << 20)) {
            SplitVirtqueue q = f.device(false, false, 0);
            f.driver.available(0, 8);
            f.driver.publishAvailable(1);
            q.look();
            assertEquals(Rule.HEAD_OUT_OF_RANGE, rule(() -> q.gather(f.iovecs(), CAPACITY, 0)));
            f.driver.publishAvailable(8);
            assertEquals(8, q.look());
            f.driver.publishAvailable(9);
            assertEquals(Rule.INDEX_TOO_FAR, rule(q::look));
            f.driver.publishAvailable(65_535);
            assertEquals(Rule.INDEX_TOO_FAR, rule(q::look), "it went back");
            assertEquals(Rule.INDEX_TOO_FAR, rule(() -> f.device(false, false, 5)), "at start too");
        }
    }

    @Test
    void lengthsDoNotOverflow() throws Exception {
        try (RingFixture f = new RingFixture(8, 1 << 20)) {
            long start = f.ram.specs().getFirst().guest();
            SplitVirtqueue q = f.device(false, true, 0);
            f.driver.publishAvailable(1);
            q.look();
            f.driver.descriptor(0, start, -1, SplitRing.WRITE, 0);
            assertEquals(Rule.LENGTH_OVERFLOW, rule(() -> q.gather(f.iovecs(), CAPACITY, 0)));
            f.driver.descriptor(0, start, Integer.MAX_VALUE, SplitRing.WRITE, 0);
            assertEquals(Rule.ADDRESS_OUTSIDE, rule(() -> q.gather(f.iovecs(), CAPACITY, 0)));
            for (long at : new long[] {0, -1, Long.MAX_VALUE, Long.MIN_VALUE, start - 1, start + (1 << 20), start + (1 << 20) - 99}) {
                f.driver.descriptor(0, at, 100, SplitRing.WRITE, 0);
                assertEquals(Rule.ADDRESS_OUTSIDE, rule(() -> q.gather(f.iovecs(), CAPACITY, 0)));
            }
            f.driver.descriptor(0, start + (1 << 20) - 100, 100, SplitRing.WRITE, 0);
            assertEquals(1, q.gather(f.iovecs(), CAPACITY, 0));
        }
    }

    @Test
    void aBufferMayCrossFromOneRegionIntoTheNext() throws Exception {
        Descriptors fds = new Descriptors();
        try (RingFixture f = new RingFixture(8, 1 << 20)) {
            MemoryTable two = neighbours(fds, f);
            SplitRing r = f.driver;
            var a = r.addresses(0);
            SplitVirtqueue q = new SplitVirtqueue(new Virtqueue.Kind("test", 8, false, false, true, true),
                    RingAreas.find("test", 8, false, a.descriptor(), a.available(), a.used(), two), two, f.iovecs() + 4096, 0, 0, -1, null,
                    RingLog.NONE);
            r.descriptor(0, 0x10_0000_0000L + 8192 - 100, 4096 + 200, SplitRing.WRITE, 0);
            r.publishAvailable(1);
            q.look();
            assertEquals(3, q.gather(f.iovecs(), 3, 0));
            assertEquals(100, Virtqueue.length(f.iovecs()));
            assertEquals(4096, Virtqueue.length(f.iovecs() + 16));
            assertEquals(100, Virtqueue.length(f.iovecs() + 32));
            q.rewind();
            assertEquals(-1, q.gather(f.iovecs(), 2, 0), "no room for the pieces");
            assertEquals(0, q.outstanding());
            r.descriptor(0, 0x10_0000_0000L + 8192 - 100, 4096 + 8192 + 101, SplitRing.WRITE, 0);
            assertEquals(Rule.ADDRESS_OUTSIDE, rule(() -> q.gather(f.iovecs(), 16, 0)));
            two.release();
        }
    }

    private static MemoryTable neighbours(Descriptors fds, RingFixture f) throws Exception {
        MemoryTable t = MemoryTable.EMPTY;
        long guest = 0x10_0000_0000L;
        for (long bytes : new long[] {8192, 4096, 8192}) {
            MemoryTable next = t.with(region(fds, guest, bytes));
            t.release();
            t = next;
            guest += bytes;
        }
        var s = f.ram.specs().getFirst();
        MemoryTable all = t.with(MappedRegion.map(new MappedRegion.Spec(s.guest(), s.size(), s.user(), 0),
                f.ram.files().getFirst().duplicate(), false));
        t.release();
        return all;
    }

    private static MappedRegion region(Descriptors fds, long guest, long bytes) throws java.io.IOException, InvalidMemoryException {
        return MappedRegion.map(new MappedRegion.Spec(guest, bytes, guest + 0x7000_0000_0000L, 0),
                SharedMemory.create(fds, "region", bytes, false), false);
    }

    @Test
    void whatWasParsedCanBeParsedAgain() throws Exception {
        try (RingFixture f = new RingFixture(8, 1 << 20)) {
            chain(f, 1, 64, 0);
            for (int i = 0; i < 4; i++) {
                f.driver.available(i, 0);
            }
            f.driver.publishAvailable(4);
            SplitVirtqueue q = f.device(false, false, 0);
            assertEquals(4, q.look());
            q.gather(f.iovecs(), 8, 0);
            q.gather(f.iovecs(), 8, 0);
            assertEquals(2, q.outstanding());
            assertEquals(2, q.look());
            q.put(0, 0);
            q.rewind();
            assertEquals(3, q.look());
            assertEquals(1, q.available());
            assertEquals(1, q.used());
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 11, 12, 13, 64, 70, 200})
    void bytesAtTheBeginningAreLeftOut(int skip) throws Exception {
        try (RingFixture f = new RingFixture(8, 1 << 20)) {
            long b = f.buffer(256);
            int[] lengths = {12, 52, 0, 100};
            int at = 0;
            for (int i = 0; i < 4; i++) {
                f.driver.descriptor(i, b + at, lengths[i], i < 3 ? SplitRing.NEXT : 0, i + 1);
                at += lengths[i];
            }
            f.driver.publishAvailable(1);
            SplitVirtqueue q = f.device(false, false, 0);
            q.look();
            int n = q.gather(f.iovecs(), 8, skip);
            assertEquals(164, q.chainBytes());
            long sum = 0;
            for (int i = 0; i < n; i++) {
                sum += Virtqueue.length(f.iovecs() + 16L * i);
            }
            assertEquals(Math.max(0, 164 - skip), sum);
        }
    }

    /** 2.7.10: a call only when the index passes the driver's event, and at first after a start. */
    @Test
    void callsFollowTheEventIndex() throws Exception {
        try (RingFixture f = new RingFixture(8, 1 << 20)) {
            chain(f, 1, 64, 0);
            SplitVirtqueue q = f.device(true, false, 0);
            f.driver.usedEvent(2);
            f.driver.publishAvailable(8);
            q.look();
            assertTrue(q.publish(), "the first time");
            assertFalse(q.publish(), "nothing new");
            put(q, f, 1);
            assertFalse(q.publish());
            put(q, f, 1);
            assertFalse(q.publish());
            put(q, f, 1);
            assertTrue(q.publish(), "3 passes 2");
            put(q, f, 1);
            assertFalse(q.publish());
        }
    }

    @Test
    void callsFollowTheFlag() throws Exception {
        try (RingFixture f = new RingFixture(8, 1 << 20)) {
            chain(f, 1, 64, 0);
            SplitVirtqueue q = f.device(false, false, 0);
            f.driver.publishAvailable(8);
            q.look();
            f.driver.availableFlags(1);
            put(q, f, 1);
            assertFalse(q.publish());
            f.driver.availableFlags(0);
            put(q, f, 1);
            assertTrue(q.publish());
        }
    }

    private static void put(SplitVirtqueue q, RingFixture f, int n) throws MalformedRingException {
        for (int i = 0; i < n; i++) {
            q.gather(f.iovecs(), 8, 0);
            q.put(0, 0);
        }
    }

    /** A chain that comes between the look and the wish for kicks is not lost. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void kicksAreAskedForBeforeTheLastLook(boolean eventIndex) throws Exception {
        try (RingFixture f = new RingFixture(8, 1 << 20)) {
            chain(f, 1, 64, 0);
            SplitVirtqueue q = f.device(eventIndex, false, 0);
            assertEquals(0, q.look());
            q.kicksOff();
            assertEquals(eventIndex ? 0 : 1, f.driver.usedFlags());
            f.driver.publishAvailable(1);
            assertTrue(q.kicksOn());
            assertFalse(q.kicksOn());
            assertEquals(0, f.driver.usedFlags());
            assertEquals(eventIndex ? 1 : 0, f.driver.availEvent());
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {0, -1, 3, 24, 65_536, 1 << 30})
    void sizesAreChecked(int size) throws Exception {
        try (RingFixture f = new RingFixture(8, 1 << 20)) {
            var a = f.driver.addresses(0);
            assertEquals(Rule.LAYOUT, rule(() -> RingAreas.find("test", size, false, a.descriptor(), a.available(), a.used(), f.table)));
        }
    }

    @Test
    void partsOfARingLieInMemoryAndAreAligned() throws Exception {
        try (RingFixture f = new RingFixture(8, 1 << 20)) {
            var a = f.driver.addresses(0);
            long end = f.ram.specs().getFirst().user() + (1 << 20);
            for (long bad : new long[] {0, -16, end, end - 64, a.descriptor() + 8}) {
                assertEquals(Rule.LAYOUT, rule(() -> RingAreas.find("test", 8, false, bad, a.available(), a.used(), f.table)));
            }
            assertEquals(Rule.LAYOUT, rule(() -> RingAreas.find("test", 8, false, a.descriptor(), a.available() + 1, a.used(), f.table)));
            assertEquals(Rule.LAYOUT, rule(() -> RingAreas.find("test", 8, false, a.descriptor(), a.available(), a.used() + 2, f.table)));
        }
    }
}
