// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.ring;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vireo.frontend.virtionet.ring.MalformedRingException.Rule;
import org.vireo.guest.GuestRam;
import org.vireo.guest.PackedRing;
import org.vireo.vhostuser.VringAddress;

/** The rules of packed virtqueues (virtio 1.2, section 2.8), and of what a process that was killed leaves behind. */
class PackedVirtqueueTest extends PackedFixture {
    PackedVirtqueueTest() throws Exception {
    }

    /** 2.8.1: the wrap counters change with each lap, whatever the ring's size; it is no power of two. */
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 5, 7, 256, 1000})
    void chainsOfAnyLengthForManyLaps(int entries) throws Exception {
        Virtqueue q = ring(entries, true, true);
        Random random = new Random(entries);
        List<int[]> posted = new ArrayList<>();
        int free = entries;
        int id = 0;
        for (int round = 0; round < 3000; round++) {
            while (free > 0 && random.nextInt(5) > 0) {
                int[] lengths = new int[1 + random.nextInt(Math.min(free, 4))];
                int bytes = 0;
                for (int i = 0; i < lengths.length; i++) {
                    lengths[i] = 1 + random.nextInt(500);
                    bytes += lengths[i];
                }
                post(id, PackedRing.WRITE, lengths);
                posted.add(new int[] {id, lengths.length, bytes});
                id = id + 1 & 0xffff;
                free -= lengths.length;
            }
            int n = 0;
            while (q.look() > 0 && random.nextInt(4) > 0) {
                assertEquals(posted.get(n)[1], gather(q));
                assertEquals(posted.get(n)[2], q.chainBytes());
                assertEquals(posted.get(n)[1], q.chainDescriptors());
                assertEquals(posted.get(n)[0], q.chain());
                give(q, q.chainBytes());
                n++;
                assertEquals(0, q.outstanding());
                if (random.nextInt(3) == 0) {
                    q.record();
                }
            }
            q.record();
            q.publish();
            for (; n > 0; n--) {
                int[] p = posted.removeFirst();
                int[] back = take(p[1]);
                assertEquals(p[0], back[0]);
                assertEquals(p[2], back[1]);
                free += p[1];
            }
            assertEquals(null, take(1));
            assertEquals(taken, q.used());
            assertEquals(taken, q.available());
            assertEquals(RingJournal.word(taken, taken), own.get(ValueLayout.JAVA_LONG, 16L * CAPACITY));
        }
    }

    /** 2.8.6: a chain as long as the ring is right, one more is not, and what lies behind is not taken for the next lap's. */
    @ParameterizedTest
    @ValueSource(ints = {1, 4, 256})
    void aChainAsLongAsTheRing(int entries) throws Exception {
        Virtqueue q = ring(entries, true, false);
        int[] lengths = new int[entries];
        java.util.Arrays.fill(lengths, 10);
        post(7, 0, lengths);
        assertEquals(1, q.look());
        assertEquals(entries, gather(q));
        assertEquals(0, q.look());
        // a driver that makes available what it has not got back
        driver.flags(0, PackedRing.available(false));
        assertEquals(0, q.look());
        give(q, 0);
        q.record();
        assertEquals(7, take(entries)[0]);
        for (int i = 0; i < entries; i++) {
            driver.descriptor(i, buffer, 10, 1);
            driver.flags(i, PackedRing.NEXT | PackedRing.available(false));
        }
        assertEquals(1, q.look());
        assertEquals(Rule.CHAIN_TOO_LONG, rule(() -> gather(q)));
        assertEquals(Rule.CHAIN_TOO_LONG, rule(q::discard));
        assertEquals(0, q.outstanding());
    }

    /** 2.8.7: all entries of a table, in order; NEXT means nothing there. */
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 256, 257, 65535, 65536})
    void indirectTables(int entries) throws Exception {
        Virtqueue q = ring(4, true, false);
        // 2.8.7 asks for no alignment
        long at = ram.allocate(16L * entries + 16, 16) + 3;
        for (int i = 0; i < entries; i++) {
            unaligned(ram.address(at) + 16L * i, buffer + i, i % 2);
        }
        driver.descriptor(0, at, 16 * entries, 9);
        driver.publishFlags(0, PackedRing.INDIRECT | PackedRing.WRITE | PackedRing.available(true));
        assertEquals(1, q.look());
        assertEquals(entries, gather(q));
        assertEquals(entries, q.chainBytes());
        assertEquals(1, q.chainDescriptors());
        assertEquals(9, q.chain());
        assertEquals(table.host(buffer + entries - 1, 1), Virtqueue.base(own.address() + 16L * (entries - 1)));
    }

    private static void unaligned(long at, long address, int flags) {
        GuestRam.MEMORY.set(ValueLayout.JAVA_LONG_UNALIGNED, at, address);
        GuestRam.MEMORY.set(ValueLayout.JAVA_LONG_UNALIGNED, at + 8, 1L | (long) flags << 48);
    }

    @ParameterizedTest
    @CsvSource({"8, 0, INDIRECT_LENGTH", "0, 0, INDIRECT_LENGTH", "17, 0, INDIRECT_LENGTH", "1048592, 0, INDIRECT_LENGTH",
        "32, 1, NESTED_INDIRECT", "32, 4096, NESTED_INDIRECT", "2097152, 0, INDIRECT_LENGTH"})
    void tablesThatAreNone(int length, int what, Rule rule) throws Exception {
        Virtqueue q = ring(4, true, false);
        long at = ram.allocate(64, 16);
        PackedRing.writeIndirect(ram.address(at), buffer, 1, what == 4096 ? PackedRing.INDIRECT : 0);
        PackedRing.writeIndirect(ram.address(at) + 16, buffer, 1, 0);
        driver.descriptor(0, at, length, 9);
        driver.publishFlags(0, PackedRing.INDIRECT | what & 1 | PackedRing.available(true));
        assertEquals(1, q.look());
        assertEquals(rule, rule(() -> gather(q)));
        assertEquals(0, q.outstanding());
    }

    @Test
    void addressesDirectionAndLengthsAreChecked() throws Exception {
        Virtqueue q = ring(4, true, false);
        post(1, PackedRing.WRITE, 10);
        assertEquals(Rule.WRITABLE_IN_TRANSMIT, rule(() -> gather(q)));
        driver.descriptor(0, 0x10, 10, 1);
        driver.flags(0, PackedRing.available(true));
        assertEquals(Rule.ADDRESS_OUTSIDE, rule(() -> gather(q)));
        driver.descriptor(0, ram.specs().getFirst().guest(), Integer.MIN_VALUE, 1);
        assertEquals(Rule.LENGTH_OVERFLOW, rule(() -> gather(q)));
        Virtqueue rx = ring(4, true, true);
        next = NEW;
        post(1, 0, 10);
        assertEquals(Rule.READABLE_IN_RECEIVE, rule(() -> gather(rx)));
    }

    @Test
    void aPositionBeyondTheRingIsRefused() throws Exception {
        ring(5, true, true);
        assertEquals(Rule.INDEX_TOO_FAR, rule(() -> again(5, true, true)));
        assertEquals(Rule.INDEX_TOO_FAR, rule(() -> again(0xffff, true, true)));
        again(4 | NEW, true, true);
    }

    @Test
    void sizesAndAddressesOfTheRingAreChecked() throws Exception {
        ring(5, true, true);
        VringAddress a = driver.addresses(0);
        assertEquals(Rule.LAYOUT, rule(() -> RingAreas.find("test", 0, true, a.descriptor(), a.available(), a.used(), table)));
        assertEquals(Rule.LAYOUT, rule(() -> RingAreas.find("test", 32769, true, a.descriptor(), a.available(), a.used(), table)));
        assertEquals(Rule.LAYOUT, rule(() -> RingAreas.find("test", 5, true, a.descriptor() + 8, a.available(), a.used(), table)));
        assertEquals(Rule.LAYOUT, rule(() -> RingAreas.find("test", 5, true, a.descriptor(), a.available() + 2, a.used(), table)));
        assertEquals(Rule.LAYOUT, rule(() -> RingAreas.find("test", 5, true, a.descriptor(), a.available(), a.used() + 2, table)));
        assertEquals(Rule.LAYOUT, rule(() -> RingAreas.find("test", 5, true, a.descriptor(), a.available(), 0, table)));
    }

    /** Only what was given back moves on: position and wrap counter of the rest are restored. */
    @Test
    void rewindOverTheEnd() throws Exception {
        Virtqueue q = ring(5, true, false);
        for (int lap = 0; lap < 9; lap++) {
            post(1, 0, 10, 10);
            post(2, 0, 20);
            post(3, 0, 30, 30);
            for (int i = 0; i < 3; i++) {
                assertEquals(1, q.look());
                gather(q);
            }
            assertEquals(3, q.outstanding());
            q.put(1, 0);
            q.record();
            q.rewind();
            assertEquals(0, q.outstanding());
            gather(q);
            assertEquals(2, q.chain());
            give(q, 0);
            gather(q);
            assertEquals(3, q.chain());
            q.rewind();
            q.record();
            assertEquals(1, q.look());
            q.discard();
            q.record();
            assertEquals(1, take(2)[0]);
            assertEquals(2, take(1)[0]);
            assertEquals(3, take(2)[0]);
        }
    }

    /** 2.8.10: off, on, or when a position is passed, which may be in the next lap. */
    @ParameterizedTest
    @ValueSource(ints = {1, 3, 8})
    void theDriverIsCalledAsItWants(int entries) throws Exception {
        Virtqueue q = ring(entries, true, false);
        Random random = new Random(1);
        q.publish();
        int wanted = -1;
        for (int i = 0; i < 2000; i++) {
            int n = 1 + random.nextInt(entries);
            if (wanted < 0) {
                wanted = random.nextInt(2 * entries);
                int at = taken;
                for (int k = 0; k < wanted; k++) {
                    at = advance(at);
                }
                driver.driverEvent(at, PackedRing.AT_POSITION);
                if (wanted >= entries) {
                    // more than a lap ahead means something else
                    wanted = -1;
                    continue;
                }
            }
            for (int k = 0; k < n; k++) {
                post(k, 0, 1);
                q.discard();
            }
            q.record();
            assertEquals(n > wanted, q.publish(), "size " + entries + ", moves " + n + ", wanted behind " + wanted);
            assertFalse(q.publish());
            wanted = n > wanted ? -1 : wanted - n;
            for (int k = 0; k < n; k++) {
                take(1);
            }
        }
        driver.driverEvent(0, PackedRing.DISABLE);
        post(0, 0, 1);
        q.discard();
        q.record();
        assertFalse(q.publish());
        driver.driverEvent(0, PackedRing.ENABLE);
        post(0, 0, 1);
        q.discard();
        q.record();
        assertTrue(q.publish());
    }

    /** The device's wish, and what came before it was written. */
    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void kicks(boolean eventIndex) throws Exception {
        Virtqueue q = ring(5, eventIndex, false);
        assertFalse(q.kicksOn());
        assertEquals(eventIndex ? PackedRing.AT_POSITION << 16 | NEW : 0, driver.deviceEvent());
        q.kicksOff();
        assertEquals(PackedRing.DISABLE << 16, driver.deviceEvent());
        post(0, 0, 1, 1);
        assertTrue(q.kicksOn());
        gather(q);
        assertFalse(q.kicksOn());
        assertEquals(eventIndex ? PackedRing.AT_POSITION << 16 | NEW | 2 : 0, driver.deviceEvent());
    }

    /**
     * A process dies between any two stores of giving back: its successor completes what the driver does not see yet, or leaves it as the
     * driver posted it. No chain comes back twice, and none is missing, whatever the ring's position is.
     *
     * @param chains of one frame, or of several to transmit
     * @param pieces descriptors of each
     * @param journal whether the successor has it; without, chains of several descriptors of one received frame may be lost
     */
    @ParameterizedTest
    @CsvSource({"true,1,1,true", "true,1,3,true", "true,3,1,true", "true,4,2,true", "false,1,1,true", "false,1,3,true", "false,3,1,true",
        "false,4,2,true", "true,1,1,false", "true,1,3,false", "true,3,1,false", "true,4,2,false", "false,1,1,false", "false,1,3,false",
        "false,3,1,false", "false,4,2,false"})
    void whoeverDiesWhileItGivesBack(boolean receive, int chains, int pieces, boolean journal) throws Exception {
        ring(9, true, receive);
        int[] lengths = new int[pieces];
        java.util.Arrays.fill(lengths, 100);
        int total = 100 * pieces;
        for (int cut = 0; cut <= (receive ? chains + 1 : 2 * chains); cut++) {
            for (int start = 0; start < 18; start++) {
                own.set(ValueLayout.JAVA_LONG, 16L * CAPACITY, 0);
                MemorySegment ring = GuestRam.MEMORY.asSlice(ram.address(driver.descriptorsGuest()), 16L * size);
                next = NEW;
                for (int i = 0; i < start; i++) {
                    next = advance(next);
                }
                taken = next;
                ring.fill((byte) 0);
                // all of it is used in the lap before
                for (int i = 0; i < size; i++) {
                    boolean lap = (next & PackedRing.WRAP) != 0 == i < index(next);
                    driver.flags(i, lap ? PackedRing.AVAILABLE | PackedRing.USED : 0);
                }
                for (int i = 0; i < chains; i++) {
                    post(50 + i, receive ? PackedRing.WRITE : 0, lengths);
                }
                byte[] before = ring.toArray(ValueLayout.JAVA_BYTE);
                Virtqueue dies = again(taken, true, receive);
                for (int i = 0; i < chains; i++) {
                    assertEquals(1, dies.look());
                    gather(dies);
                    give(dies, receive ? i == chains - 1 ? 17 : total : 0);
                }
                dies.record();
                byte[] after = ring.toArray(ValueLayout.JAVA_BYTE);
                int end = dies.used();
                // back to the cut: the stores are in turn the journal and an element, or the journal, the elements backwards, the journal
                MemorySegment.copy(MemorySegment.ofArray(before), 0, ring, 0, before.length);
                int written = receive ? Math.clamp(cut - 1, 0, chains) : cut / 2;
                int announced = receive ? 0 : Math.min((cut - 1) / 2, chains - 1);
                for (int i = 0; i < written; i++) {
                    copyElement(after, ring, (receive ? chains - 1 - i : i) * pieces);
                }
                int at = taken;
                for (int i = 0; i < announced * pieces; i++) {
                    at = advance(at);
                }
                long word = cut == 0 ? RingJournal.word(taken, taken)
                        : RingJournal.word(at, (chains - announced) * pieces, pieces);
                own.set(ValueLayout.JAVA_LONG, 16L * CAPACITY, journal ? word : 0);
                Virtqueue q = again(journal ? at : driverBase(pieces), true, receive);
                if (receive && !journal && pieces > 1 && written > 0 && written < chains) {
                    continue;
                }
                // sent frames are given back as soon as that is announced, a received one as soon as an element shows that it is whole
                boolean whole = receive ? written > 0 : journal ? cut > 0 : written == chains;
                int left = whole ? 0 : receive || journal ? chains : chains - written;
                assertEquals(whole ? end : left == chains ? taken : q.used(), q.used(), "cut " + cut + " start " + start);
                assertEquals(0, q.outstanding());
                for (int i = chains - left; i < chains; i++) {
                    assertEquals(1, q.look(), "cut " + cut + " start " + start + " chain " + i);
                    assertEquals(pieces, gather(q));
                    give(q, receive ? i == chains - 1 ? 17 : total : 0);
                }
                q.record();
                assertEquals(0, q.look());
                q.publish();
                for (int i = 0; i < chains; i++) {
                    int[] back = take(pieces);
                    assertEquals(50 + i, back[0]);
                    assertEquals(!receive ? 0 : i == chains - 1 ? 17 : total, back[1]);
                }
                assertEquals(null, take(1));
                assertEquals(end, q.used());
            }
        }
    }

    /** Where a driver finds that a device without a journal has to begin. */
    private int driverBase(int pieces) {
        int before = taken;
        while (take(pieces) != null) {
            // goes on
        }
        int at = taken;
        taken = before;
        return at;
    }

    private void copyElement(byte[] after, MemorySegment ring, int descriptors) {
        int at = taken;
        for (int i = 0; i < descriptors; i++) {
            at = advance(at);
        }
        MemorySegment.copy(MemorySegment.ofArray(after), 16L * index(at), ring, 16L * index(at), 16);
    }
}
