// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.ring;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vireo.frontend.virtionet.ring.MalformedRingException.Rule;
import org.vireo.guest.GuestRam;
import org.vireo.vhostuser.SplitInflightLayout;

/** What a split ring writes into in-flight memory, and what whoever comes next makes of it (vhost-user, "Inflight I/O tracking"). */
class SplitInflightTest {
    private static final int SIZE = 8;
    private static final int ENTRIES = 16;
    private static final int CAPACITY = 65_536;
    private static final long BYTES = SplitInflightLayout.stride(ENTRIES);

    private final Arena arena = Arena.ofShared();
    private final MemorySegment guarded = arena.allocate(BYTES + 128, 64);
    private final MemorySegment region = guarded.asSlice(64, BYTES);
    private final InflightSlot slot = new InflightSlot(region.address(), BYTES, ENTRIES);
    private RingFixture f;
    private long usedRing;
    private int posted;

    @BeforeEach
    void open() throws Exception {
        f = new RingFixture(SIZE, 1 << 20);
        usedRing = f.ram.address(f.driver.usedGuest());
        guarded.fill((byte) 0x5a);
        region.fill((byte) 0);
    }

    @AfterEach
    void close() {
        for (int i = 0; i < 64; i++) {
            assertEquals(0x5a, guarded.get(ValueLayout.JAVA_BYTE, i), "before the region");
            assertEquals(0x5a, guarded.get(ValueLayout.JAVA_BYTE, 64 + BYTES + i), "behind the region");
        }
        f.close();
        arena.close();
    }

    private long entry(int head) {
        return region.address() + SplitInflightLayout.HEADER + (long) SplitInflightLayout.ENTRY * head;
    }

    /** A driver that has all its chains, at an index. */
    private void begin(int at) {
        posted = at;
        f.driver.publishAvailable(at);
        GuestRam.MEMORY.set(ValueLayout.JAVA_SHORT, usedRing + SplitRingLayout.INDEX, (short) at);
        region.fill((byte) 0);
        f.journal(0);
    }

    private void post(int... heads) {
        for (int head : heads) {
            f.driver.descriptor(head, f.ram.specs().getFirst().guest() + 4096 + 64 * head, 60, 0, 0);
            f.driver.available(posted, head);
            posted = posted + 1 & 0xffff;
        }
        f.driver.publishAvailable(posted);
    }

    private SplitVirtqueue device(int at) throws MalformedRingException {
        return f.device(true, false, at, slot);
    }

    private List<Integer> gather(SplitVirtqueue q, int n) throws MalformedRingException {
        List<Integer> heads = new ArrayList<>();
        for (int i = 0; i < n && q.look() > 0; i++) {
            assertEquals(1, q.gather(f.iovecs(), CAPACITY, 0));
            heads.add(q.chain());
        }
        return heads;
    }

    private static void give(SplitVirtqueue q, List<Integer> heads) {
        heads.forEach(h -> q.put(h, 0));
        q.record();
    }

    private List<Integer> used(int from) {
        int n = f.driver.usedIndex() - from & 0xffff;
        return IntStream.range(0, n).mapToObj(i -> f.driver.usedId(from + i & 0xffff)).toList();
    }

    private List<Integer> marked() {
        return IntStream.range(0, ENTRIES).filter(h -> GuestRam.MEMORY.get(ValueLayout.JAVA_BYTE, entry(h)) == 1).boxed()
                .sorted(Comparator.comparing(h -> GuestRam.MEMORY.get(ValueLayout.JAVA_LONG, entry(h) + SplitInflightLayout.COUNTER)))
                .toList();
    }

    private int field(int offset) {
        return GuestRam.MEMORY.get(ValueLayout.JAVA_SHORT, region.address() + offset) & 0xffff;
    }

    /** What the specification says of reconnecting, as QEMU's library does it: what is given back, in order, after what was. */
    private List<Integer> byTheBook(int from) {
        int index = f.driver.usedIndex();
        int batch = index - field(SplitInflightLayout.USED_INDEX) & 0xffff;
        List<Integer> again = new ArrayList<>(marked());
        int head = field(SplitInflightLayout.LAST_BATCH_HEAD);
        for (int i = 0; i < batch; i++) {
            again.remove((Integer) head);
            head = GuestRam.MEMORY.get(ValueLayout.JAVA_SHORT, entry(head) + SplitInflightLayout.NEXT) & 0xffff;
        }
        List<Integer> all = new ArrayList<>(used(from));
        all.addAll(again);
        for (int at = index + again.size() & 0xffff; at != posted; at = at + 1 & 0xffff) {
            all.add(GuestRam.MEMORY.get(ValueLayout.JAVA_SHORT, f.ram.address(f.driver.availableGuest()) + 4 + 2L * (at & SIZE - 1))
                    & 0xffff);
        }
        return all;
    }

    /**
     * A process dies between any two stores of taking chains, giving a batch back, and undoing its look-ahead; so does its successor, after
     * it gave some back. Each chain comes back once, in the order of taking, whoever goes on: Vireo or another by the book.
     */
    @ParameterizedTest
    @CsvSource({"1, 0", "1, 3", "2, 1", "3, 5", "3, 0", "8, 0"})
    void whoeverDiesBetweenTwoStores(int batch, int more) throws Exception {
        List<Integer> order = new ArrayList<>(List.of(3, 0, 7, 1, 6, 2, 5, 4)).subList(0, batch + more);
        for (int start : new int[] {0, 5, 65_533}) {
            begin(start);
            device(start);
            post(order.stream().mapToInt(Integer::intValue).toArray());
            StoreScript s = new StoreScript();
            s.keep(region.address(), BYTES);
            s.keep(usedRing, SplitRingLayout.usedBytes(SIZE));
            script(s, order, batch, start);

            SplitVirtqueue first = device(start);
            List<Integer> taken = gather(first, SIZE);
            assertEquals(order, taken);
            give(first, taken.subList(0, batch));
            first.rewind();
            s.sameAs("start " + start);

            for (int cut = 0; cut <= s.size(); cut++) {
                for (int between = 0; between < 3; between++) {
                    s.replay(cut);
                    String where = "start " + start + " cut " + cut + " between " + between;
                    assertEquals(order, byTheBook(start), where);
                    if (between > 0) {
                        SplitVirtqueue second = device(start);
                        give(second, gather(second, between));
                        gather(second, SIZE);
                        assertEquals(order, byTheBook(start), where);
                    }
                    SplitVirtqueue last = device(start);
                    give(last, gather(last, SIZE));
                    assertEquals(order, used(start), where);
                    assertEquals(List.of(), marked(), where);
                    assertEquals(last.used(), field(SplitInflightLayout.USED_INDEX), where);
                    assertEquals(last.used(), last.available(), where);
                    assertEquals(0, last.look());
                }
            }
        }
    }

    /** The specification's steps, in its order; counters go on from 0. */
    private void script(StoreScript s, List<Integer> order, int batch, int start) {
        for (int i = 0; i < order.size(); i++) {
            s.store(entry(order.get(i)) + SplitInflightLayout.COUNTER, 8, i);
            s.store(entry(order.get(i)) + SplitInflightLayout.INFLIGHT, 1, 1);
        }
        for (int i = 0; i < batch; i++) {
            s.store(usedRing + SplitRingLayout.RING + 8L * (start + i & SIZE - 1), 8, order.get(i));
        }
        int last = 0;
        for (int i = 0; i < batch; i++) {
            s.store(entry(order.get(i)) + SplitInflightLayout.NEXT, 2, last);
            last = order.get(i);
            s.store(region.address() + SplitInflightLayout.LAST_BATCH_HEAD, 2, last);
        }
        s.store(usedRing + SplitRingLayout.INDEX, 2, start + batch);
        for (int i = 0; i < batch; i++) {
            s.store(entry(order.get(i)) + SplitInflightLayout.INFLIGHT, 1, 0);
        }
        s.store(region.address() + SplitInflightLayout.USED_INDEX, 2, start + batch);
        for (int i = order.size() - 1; i >= batch; i--) {
            s.store(entry(order.get(i)) + SplitInflightLayout.INFLIGHT, 1, 0);
        }
    }

    /** A peer took four chains and gave the second and the fourth back; the driver posted those again, over the first in the ring. */
    private void outOfOrder() {
        begin(100);
        post(3, 5, 1, 7);
        GuestRam.MEMORY.set(ValueLayout.JAVA_SHORT, region.address() + SplitInflightLayout.VERSION, (short) 1);
        GuestRam.MEMORY.set(ValueLayout.JAVA_SHORT, region.address() + SplitInflightLayout.DESC_NUM, (short) ENTRIES);
        GuestRam.MEMORY.set(ValueLayout.JAVA_SHORT, region.address() + SplitInflightLayout.USED_INDEX, (short) 102);
        mark(3, 12);
        mark(1, 10);
        GuestRam.MEMORY.set(ValueLayout.JAVA_SHORT, usedRing + SplitRingLayout.INDEX, (short) 102);
        post(5, 7, 0, 2, 4, 6);
    }

    private void mark(int head, long counter) {
        GuestRam.MEMORY.set(ValueLayout.JAVA_LONG, entry(head) + SplitInflightLayout.COUNTER, counter);
        GuestRam.MEMORY.set(ValueLayout.JAVA_BYTE, entry(head), (byte) 1);
    }

    @Test
    void whatAPeerTookOutOfOrderComesFirst() throws Exception {
        outOfOrder();
        SplitVirtqueue q = device(0);
        assertEquals(2, q.inherited());
        assertEquals(List.of(1, 3, 5), gather(q, 3));
        q.rewind();
        assertEquals(List.of(1, 3), marked(), "what nobody else knows stays marked");
        assertEquals(List.of(1, 3, 5, 7), gather(q, 4));
        assertEquals(List.of(1, 3, 5, 7), marked(), "counters go on");
        give(q, List.of(1));
        q = device(0);
        assertEquals(List.of(3, 5, 7, 0, 2, 4, 6), gather(q, SIZE));
        give(q, List.of(3, 5, 7, 0, 2, 4, 6));
        assertEquals(0, q.inherited());
        assertEquals(List.of(), marked());
        assertEquals(110, f.driver.usedIndex());
        assertEquals(0, q.look());
    }

    /** Before a VMM is told an index: it could not tell the next device of anything else. */
    @Test
    void aRingThatIsStoppedGivesBackWhatItInherited() throws Exception {
        outOfOrder();
        SplitVirtqueue q = device(0);
        gather(q, 4);
        q.rewind();
        q.drain();
        assertEquals(List.of(1, 3), used(102));
        assertEquals(104, q.available());
        assertEquals(List.of(), marked());
        q.drain();
        assertEquals(104, q.used());
        assertEquals(List.of(5, 7, 0, 2, 4, 6), gather(q, SIZE));
    }

    /** A new ring begins where its used ring stands, whatever it was told, and whatever is in memory of version 0. */
    @Test
    void versionZeroIsNew() throws Exception {
        begin(40);
        region.fill((byte) 1);
        slot.forget();
        post(2, 6);
        SplitVirtqueue q = device(41);
        assertEquals(40, q.available());
        assertEquals(List.of(), marked());
        assertEquals(1, field(SplitInflightLayout.VERSION));
        assertEquals(ENTRIES, field(SplitInflightLayout.DESC_NUM));
        assertEquals(40, field(SplitInflightLayout.USED_INDEX));
        assertEquals(List.of(2, 6), gather(q, 2));
        assertEquals(List.of(2, 6), marked());
    }

    @ParameterizedTest
    @CsvSource({"8, 2, version 2", "8, 0xffff, version 65535", "0, 1, features 0x1", "10, 15, written for 15", "10, 0, written for 0",
        "14, 90, which is not that of this ring", "12, 8, descriptor 8 of 8 was given back"})
    void whatIsImpossibleIsRefused(int offset, String value, String message) throws Exception {
        outOfOrder();
        if (offset == SplitInflightLayout.LAST_BATCH_HEAD) {
            GuestRam.MEMORY.set(ValueLayout.JAVA_SHORT, region.address() + SplitInflightLayout.USED_INDEX, (short) 101);
        }
        GuestRam.MEMORY.set(ValueLayout.JAVA_SHORT, region.address() + offset, (short) (int) Integer.decode(value));
        refused(slot, message);
    }

    private void refused(InflightSlot with, String message) {
        MalformedRingException e = assertThrows(MalformedRingException.class, () -> f.device(true, false, 0, with));
        assertEquals(Rule.INFLIGHT, e.rule());
        assertTrue(e.getMessage().contains(message), e.getMessage());
    }

    @Test
    void whatIsTooSmallOrTooMuchIsRefused() throws Exception {
        outOfOrder();
        refused(new InflightSlot(region.address(), SplitInflightLayout.bytes(4), 4), "has 8 entries, but");
        refused(new InflightSlot(region.address(), SplitInflightLayout.bytes(ENTRIES) - 8, ENTRIES), "bytes for it");
        mark(8, 1);
        refused(slot, "descriptor 8 of 8 was taken");
        GuestRam.MEMORY.set(ValueLayout.JAVA_BYTE, entry(8), (byte) 0);
        f.driver.publishAvailable(103);
        refused(slot, "says that 2 chains were taken, but the driver made only 1 available");
    }

    /** Nothing is with the device: an index of another life of the ring means nothing. */
    @Test
    void anIndexAloneIsNoReasonToRefuse() throws Exception {
        begin(0);
        device(0);
        GuestRam.MEMORY.set(ValueLayout.JAVA_SHORT, region.address() + SplitInflightLayout.USED_INDEX, (short) 500);
        post(1);
        assertEquals(List.of(1), gather(device(0), 1));
    }

    /** Whatever is in there: it is refused, or the ring works; nothing else is written. */
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4})
    void garbage(int seed) throws Exception {
        Random random = new Random(seed);
        int works = 0;
        for (int round = 0; round < 2000; round++) {
            outOfOrder();
            for (int i = random.nextInt(12); i >= 0; i--) {
                long at = random.nextInt(3) == 0 ? random.nextInt(16) : random.nextLong(BYTES);
                region.set(ValueLayout.JAVA_BYTE, at, (byte) (random.nextBoolean() ? random.nextInt(3) : random.nextInt()));
            }
            try {
                SplitVirtqueue q = device(0);
                List<Integer> heads = gather(q, SIZE);
                give(q, heads);
                works++;
                assertEquals(heads.size(), q.used() - 102 & 0xffff);
            } catch (MalformedRingException e) {
                assertTrue(e.rule() == Rule.INFLIGHT || e.rule() == Rule.INDEX_TOO_FAR, e.getMessage());
            }
        }
        assertTrue(works > 100, "only " + works + " worked");
    }
}
