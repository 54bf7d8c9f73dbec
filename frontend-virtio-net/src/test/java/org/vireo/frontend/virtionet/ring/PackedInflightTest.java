// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.ring;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.EnumSet;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vireo.frontend.virtionet.memory.DirtyLog;
import org.vireo.frontend.virtionet.ring.MalformedRingException.Rule;
import org.vireo.guest.GuestRam;
import org.vireo.guest.PackedRing;
import org.vireo.net.api.Fd;
import org.vireo.posix.Descriptors;
import org.vireo.posix.linux.EventFd;
import org.vireo.posix.linux.SharedMemory;
import org.vireo.vhostuser.PackedInflightLayout;

/** What a packed ring writes into in-flight memory, and what whoever comes next makes of it (vhost-user, "Inflight I/O tracking"). */
class PackedInflightTest extends PackedFixture {
    private static final int SIZE = 9;
    private static final int MOST = 16;
    private static final int LAST = 17;

    private MemorySegment guarded = arena.allocate(PackedInflightLayout.stride(MOST) + 128, 64);
    private MemorySegment region = guarded.asSlice(64, PackedInflightLayout.stride(MOST));
    private InflightSlot slot;
    private boolean receive;

    PackedInflightTest() throws Exception {
        guarded.fill((byte) 0x5a);
        region.fill((byte) 0);
        slot = new InflightSlot(region.address(), region.byteSize(), SIZE);
    }

    @AfterEach
    void guards() {
        for (int i = 0; i < 64; i++) {
            assertEquals(0x5a, guarded.get(ValueLayout.JAVA_BYTE, i), "before the region");
            assertEquals(0x5a, guarded.get(ValueLayout.JAVA_BYTE, 64 + region.byteSize() + i), "behind the region");
        }
    }

    private long entry(int e) {
        return region.address() + PackedInflightLayout.HEADER + (long) PackedInflightLayout.ENTRY * e;
    }

    private MemorySegment descriptors() {
        return GuestRam.MEMORY.asSlice(ram.address(driver.descriptorsGuest()), 16L * size);
    }

    private int after(int position, int n) {
        int at = position;
        for (int i = 0; i < n; i++) {
            at = advance(at);
        }
        return at;
    }

    /** A driver that has all its descriptors, somewhere in its first two laps; a new region. */
    private void begin(int start) {
        next = after(NEW, start);
        taken = next;
        MemorySegment ring = descriptors();
        ring.fill((byte) 0);
        for (int i = 0; i < size; i++) {
            boolean lap = (next & PackedRing.WRAP) != 0 == i < index(next);
            driver.flags(i, lap ? PackedRing.AVAILABLE | PackedRing.USED : 0);
        }
        region.fill((byte) 0);
        own.set(ValueLayout.JAVA_LONG, 16L * CAPACITY, 0);
    }

    private Virtqueue device(int told) throws MalformedRingException {
        // who starts afresh has no journal
        own.set(ValueLayout.JAVA_LONG, 16L * CAPACITY, 0);
        return again(told, true, receive, slot);
    }

    /** The specification's steps, on a list of free entries of its own; the words are those of the layout. */
    private final class Book {
        final StoreScript to;
        final int[] links = IntStream.rangeClosed(1, slot.entries()).toArray();
        final List<int[]> chains = new ArrayList<>();
        int free;
        int used;
        long counter;

        Book(StoreScript to, int position) {
            this.to = to;
            used = position;
        }

        void take(int position, int n) {
            int head = free;
            int last = head;
            int at = position;
            for (int i = 0; i < n; i++, at = advance(at)) {
                MemorySegment d = descriptors().asSlice(16L * index(at), 16);
                to.store(entry(free) + PackedInflightLayout.ADDRESS, 8, d.get(ValueLayout.JAVA_LONG, 0));
                to.store(entry(free) + PackedInflightLayout.WORD, 8, d.get(ValueLayout.JAVA_SHORT, 12) & 0xffffL
                        | (d.get(ValueLayout.JAVA_SHORT, 14) & 0xffffL) << 16 | (long) d.get(ValueLayout.JAVA_INT, 8) << 32);
                last = free;
                free = links[free];
            }
            to.store(entry(head) + PackedInflightLayout.COUNTER, 8, counter++);
            to.store(entry(head), 8, 1 | (long) links[head] << 16 | (long) last << 32 | (long) n << 48);
            to.store(region.address() + PackedInflightLayout.FREE, 4, free | free << 16);
            chains.add(new int[] {head, last, n, position});
        }

        /** The store that announces, and those of the elements, are told. */
        int[] give(int from, int n, int[] ids, int[] lengths) {
            int old = free;
            int before = used;
            for (int i = from; i < from + n; i++) {
                link(chains.get(i), old);
                used = after(used, chains.get(i)[2]);
            }
            to.store(region.address() + PackedInflightLayout.USED, 8, word(used, before));
            int announced = to.size();
            for (int i = from + n - 1; i >= from; i--) {
                int position = chains.get(i)[3];
                long flags = ((position & PackedRing.WRAP) != 0 ? PackedRing.AVAILABLE | PackedRing.USED : 0)
                        | (lengths[i] > 0 ? PackedRing.WRITE : 0);
                to.store(descriptors().address() + 16L * index(position) + 8, 8, lengths[i] | (long) ids[i] << 32 | flags << 48);
            }
            int written = to.size();
            for (int i = from; i < from + n; i++) {
                to.store(entry(chains.get(i)[0]), 1, 0);
            }
            to.store(region.address() + PackedInflightLayout.FREE, 4, free | free << 16);
            to.store(region.address() + PackedInflightLayout.USED, 8, word(used, used));
            return new int[] {announced, written};
        }

        void undo(int i) {
            to.store(entry(chains.get(i)[0]), 1, 0);
            int[] c = chains.get(i);
            links[c[1]] = free;
            to.store(entry(c[1]) + PackedInflightLayout.NEXT, 2, free);
            free = c[0];
            to.store(region.address() + PackedInflightLayout.FREE, 4, free | free << 16);
        }

        private void link(int[] c, int old) {
            links[c[1]] = free;
            to.store(entry(c[1]) + PackedInflightLayout.NEXT, 2, free);
            free = c[0];
            to.store(region.address() + PackedInflightLayout.FREE, 4, free | old << 16);
        }

        private long word(int used, int old) {
            return index(used) | (long) index(old) << 16 | (long) (used >>> 15) << 32 | (long) (old >>> 15) << 40;
        }
    }

    /** Where the specification's successor goes on, with what is with the device: {position, descriptors}. */
    private int[] byTheBook() {
        long used = GuestRam.MEMORY.get(ValueLayout.JAVA_LONG, region.address() + PackedInflightLayout.USED);
        int heads = GuestRam.MEMORY.get(ValueLayout.JAVA_INT, region.address() + PackedInflightLayout.FREE);
        int old = (int) (used >>> 16) & 0x7fff | (int) (used >>> 40 & 1) << 15;
        int now = (int) used & 0x7fff | (int) (used >>> 32 & 1) << 15;
        boolean wrap = (old & PackedRing.WRAP) != 0;
        boolean available = (driver.flags(index(old)) & (PackedRing.AVAILABLE | PackedRing.USED)) == PackedRing.available(wrap);
        boolean commit = old != now && !available;
        BitSet free = new BitSet();
        for (int e = commit ? heads & 0xffff : heads >>> 16; e < slot.entries();
                e = GuestRam.MEMORY.get(ValueLayout.JAVA_SHORT, entry(e) + PackedInflightLayout.NEXT) & 0xffff) {
            free.set(e);
        }
        int n = 0;
        for (int e = 0; e < slot.entries(); e++) {
            long head = GuestRam.MEMORY.get(ValueLayout.JAVA_LONG, entry(e));
            n += !free.get(e) && (head & 0xff) == 1 ? (int) (head >>> 48) : 0;
        }
        return new int[] {commit ? now : old, n};
    }

    /** Nothing is with the device, and each entry is in the list of free ones. */
    private void clean(int position, String where) {
        assertArrayEquals(new int[] {position, 0}, byTheBook(), where);
        BitSet free = new BitSet();
        int heads = GuestRam.MEMORY.get(ValueLayout.JAVA_INT, region.address() + PackedInflightLayout.FREE);
        assertEquals(heads & 0xffff, heads >>> 16, where);
        for (int e = heads & 0xffff; e < slot.entries();
                e = GuestRam.MEMORY.get(ValueLayout.JAVA_SHORT, entry(e) + PackedInflightLayout.NEXT) & 0xffff) {
            assertTrue(!free.get(e), where + ": entry " + e + " twice");
            free.set(e);
        }
        assertEquals(slot.entries(), free.cardinality(), where);
        for (int e = 0; e < slot.entries(); e++) {
            assertEquals(0, GuestRam.MEMORY.get(ValueLayout.JAVA_BYTE, entry(e)), where);
        }
    }

    /**
     * A process dies between any two stores of taking chains, giving some back, and undoing its look-ahead; so does its successor. No chain
     * comes back twice and none is missing; frames that were sent and announced are not sent again; a received frame is there as a whole.
     *
     * @param chains that are given back: of one frame, or of several to transmit
     * @param pieces descriptors of each
     * @param more that are taken
     * @param entries of the region
     */
    @ParameterizedTest
    @CsvSource({"true,1,1,0,9", "true,1,3,1,9", "true,3,1,2,9", "true,4,2,0,16", "true,2,3,1,9", "false,1,1,0,9", "false,1,3,1,9",
        "false,3,1,2,9", "false,4,2,0,16", "false,2,3,1,9", "true,9,1,0,9", "false,9,1,0,9"})
    void whoeverDiesBetweenTwoStores(boolean receive, int chains, int pieces, int more, int entries) throws Exception {
        this.receive = receive;
        slot = new InflightSlot(region.address(), region.byteSize(), entries);
        ring(SIZE, true, receive);
        int all = chains + more;
        int[] ids = IntStream.range(50, 50 + all).toArray();
        int[] lengths = new int[all];
        Arrays.fill(lengths, receive ? 100 * pieces : 0);
        lengths[chains - 1] = receive ? LAST : 0;
        for (int start = 0; start < 18; start++) {
            begin(start);
            int told = next;
            device(told);
            int[] sizes = new int[pieces];
            Arrays.fill(sizes, 100);
            for (int id : ids) {
                post(id, receive ? PackedRing.WRITE : 0, sizes);
            }
            StoreScript s = new StoreScript();
            s.keep(region.address(), region.byteSize());
            s.keep(descriptors().address(), descriptors().byteSize());
            Book book = new Book(s, told);
            for (int i = 0; i < all; i++) {
                book.take(after(told, i * pieces), pieces);
            }
            List<int[]> marks = new ArrayList<>();
            for (int i = 0; i < chains; i += receive ? chains : 1) {
                marks.add(book.give(i, receive ? chains : 1, ids, lengths));
            }
            for (int i = all - 1; i >= chains; i--) {
                book.undo(i);
            }

            Virtqueue first = device(told);
            for (int i = 0; i < all; i++) {
                assertEquals(1, first.look());
                assertEquals(pieces, gather(first));
            }
            for (int i = 0; i < chains; i++) {
                first.put(ids[i], lengths[i]);
            }
            first.record();
            first.rewind();
            s.sameAs("start " + start);

            for (int cut = 0; cut <= s.size(); cut++) {
                for (int between = 0; between < 3; between++) {
                    s.replay(cut);
                    taken = told;
                    dies(told, ids, lengths, pieces, chains, sent(marks, cut, chains), between,
                            "start " + start + " cut " + cut + " between " + between);
                }
            }
        }
    }

    /** Chains that are not to be seen again, after so many stores. */
    private int sent(List<int[]> marks, int cut, int chains) {
        int n = 0;
        for (int[] m : marks) {
            // of a received frame one element at least says that it is whole
            n += cut >= m[0] + (receive ? 1 : 0) ? receive ? chains : 1 : 0;
        }
        return n;
    }

    private void dies(int told, int[] ids, int[] lengths, int pieces, int chains, int sent, int between, String where) throws Exception {
        int end = after(told, ids.length * pieces);
        int[] book = byTheBook();
        int seen = 0;
        for (int at = told; at != book[0]; at = after(at, pieces)) {
            seen++;
        }
        assertTrue(seen * pieces + book[1] <= ids.length * pieces, where);
        int given = sent;
        // wherever it is told to begin, it knows better
        int wrong = cutBeforeItBegan() ? told : NEW;
        if (between > 0) {
            Virtqueue second = device(wrong);
            assertEquals(after(told, sent * pieces), second.used(), where);
            for (int i = sent; i < Math.min(sent + between - 1, ids.length); i++, given++) {
                gather(second);
                assertEquals(ids[i], second.chain(), where);
                second.put(ids[i], lengths[i]);
                second.record();
            }
            while (second.look() > 0) {
                gather(second);
            }
            assertEquals(ids.length, given + second.outstanding(), where);
        }
        Virtqueue last = device(wrong);
        assertEquals(after(told, given * pieces), last.used(), where);
        for (int i = given; i < ids.length; i++) {
            assertEquals(1, last.look(), where);
            assertEquals(pieces, gather(last), where);
            assertEquals(ids[i], last.chain(), where);
            assertEquals(100 * pieces, last.chainBytes(), where);
            last.put(ids[i], lengths[i]);
            if (!receive || i >= chains - 1) {
                last.record();
            }
        }
        assertEquals(0, last.look(), where);
        last.publish();
        for (int i = 0; i < ids.length; i++) {
            int[] back = take(pieces);
            assertNotNull(back, where);
            assertEquals(ids[i], back[0], where);
            assertEquals(lengths[i], back[1], where);
        }
        assertNull(take(1), where);
        assertEquals(end, last.used(), where);
        clean(end, where);
    }

    private boolean cutBeforeItBegan() {
        return GuestRam.MEMORY.get(ValueLayout.JAVA_SHORT, region.address() + PackedInflightLayout.VERSION) == 0;
    }

    /** A peer took three chains and gave the second back, whose used element has taken the first one's place. */
    private int outOfOrder() throws Exception {
        ring(4, true, false);
        slot = new InflightSlot(region.address(), PackedInflightLayout.bytes(4), 4);
        begin(0);
        device(NEW);
        post(7, 0, 10);
        post(8, 0, 20);
        post(9, 0, 30);
        StoreScript s = new StoreScript();
        Book book = new Book(s, NEW);
        for (int i = 0; i < 3; i++) {
            book.take(after(NEW, i), 1);
        }
        book.chains.set(0, new int[] {1, 1, 1, NEW});
        book.give(0, 1, new int[] {8}, new int[1]);
        s.replay(s.size());
        assertArrayEquals(new int[] {8, 0}, take(1));
        return after(NEW, 1);
    }

    @Test
    void whatAPeerTookOutOfOrderComesFirst() throws Exception {
        int at = outOfOrder();
        post(8, 0, 40);
        post(5, 0, 50);
        Virtqueue q = device(NEW);
        assertEquals(at, q.used());
        assertEquals(2, q.inherited());
        for (int round = 0; round < 2; round++) {
            for (int[] c : new int[][] {{7, 10}, {9, 30}, {8, 40}}) {
                assertEquals(1, q.look());
                gather(q);
                assertArrayEquals(c, new int[] {q.chain(), q.chainBytes()});
            }
            q.rewind();
        }
        gather(q);
        give(q, 0);
        q.record();
        assertEquals(1, q.inherited());
        assertArrayEquals(new int[] {7, 0}, take(1));
        q = device(NEW);
        assertEquals(1, q.inherited());
        gather(q);
        assertArrayEquals(new int[] {9, 30}, new int[] {q.chain(), q.chainBytes()});
        q.rewind();
        q.drain();
        assertEquals(0, q.inherited());
        assertArrayEquals(new int[] {9, 0}, take(1));
        clean(after(NEW, 3), "drained");
        gather(q);
        assertEquals(8, q.chain());
    }

    /** By the book: what is announced and is not what was taken first, and the driver does not see, is undone. */
    @Test
    void whatAPeerAnnouncedOutOfOrderIsUndone() throws Exception {
        ring(4, true, false);
        slot = new InflightSlot(region.address(), PackedInflightLayout.bytes(4), 4);
        begin(0);
        device(NEW);
        post(7, 0, 10);
        post(8, 0, 20);
        StoreScript s = new StoreScript();
        Book book = new Book(s, NEW);
        book.take(NEW, 1);
        book.take(after(NEW, 1), 1);
        book.chains.set(0, new int[] {1, 1, 1, NEW});
        s.replay(book.give(0, 1, new int[] {8}, new int[1])[0]);
        Virtqueue q = device(NEW);
        assertEquals(NEW, q.used());
        assertEquals(2, q.inherited());
        gather(q);
        assertEquals(7, q.chain());
        gather(q);
        assertEquals(8, q.chain());
    }

    @Test
    void aNewRegionBeginsWhereTheVmmSays() throws Exception {
        ring(SIZE, true, false);
        begin(13);
        region.fill((byte) 1);
        slot.forget();
        Virtqueue q = device(next);
        assertEquals(next, q.used());
        clean(next, "new");
    }

    /** Who died had not written it yet, or has forgotten it: what is begun is in the journal alone. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void aNewRegionBeginsBehindWhatTheJournalSays(boolean begun) throws Exception {
        ring(SIZE, true, false);
        begin(0);
        for (int id = 50; id < 53; id++) {
            post(id, 0, 10);
        }
        if (begun) {
            Virtqueue first = again(NEW, true, false);
            gather(first);
            give(first, 0);
            first.record();
        }
        own.set(ValueLayout.JAVA_LONG, 16L * CAPACITY, RingJournal.word(NEW, 3, 1));
        Virtqueue q = again(NEW, true, false, slot);
        assertEquals(0, q.look(), "frames that were sent are not sent again");
        for (int id = 50; id < 53; id++) {
            assertArrayEquals(new int[] {id, 0}, take(1));
        }
        clean(after(NEW, 3), "new");
    }

    /** All of a largest ring was being given back when who served it died. */
    @Test
    void aLargestRing() throws Exception {
        int entries = 32768;
        guarded = arena.allocate(PackedInflightLayout.stride(entries) + 128, 64).fill((byte) 0x5a);
        region = guarded.asSlice(64, PackedInflightLayout.stride(entries)).fill((byte) 0);
        slot = new InflightSlot(region.address(), region.byteSize(), entries);
        ring(entries, true, false);
        begin(0);
        device(NEW);
        StoreScript s = new StoreScript();
        Book book = new Book(s, NEW);
        for (int i = 0; i < entries; i++) {
            post(i, 0, 10);
            book.take(index(NEW) + i | PackedRing.WRAP, 1);
        }
        // one after the other, as one batch
        int announced = book.give(0, entries, IntStream.range(0, entries).toArray(), new int[entries])[0];
        s.replay(announced);
        Virtqueue q = device(NEW);
        assertEquals(0, q.look());
        assertEquals(0, q.inherited());
        for (int i = 0; i < entries; i++) {
            assertArrayEquals(new int[] {i, 0}, take(1));
        }
        clean(after(NEW, entries), "largest");
    }

    /** Who waits for the log to be written to is told of what is given back when a ring stops. */
    @Test
    void whatIsDrainedIsLoggedAndTold() throws Exception {
        outOfOrder();
        Descriptors fds = new Descriptors();
        try (Fd event = EventFd.create(fds, "log")) {
            DirtyLog log = DirtyLog.map(4096, 0, SharedMemory.create(fds, "log", 4096, false), false);
            Virtqueue q = device(NEW);
            q.log(new RingLog(log, true, -1, event.number()));
            q.tellLogged();
            assertEquals(0, EventFd.drain(event.number()));
            q.drain();
            assertEquals(1, EventFd.drain(event.number()));
            log.close();
        }
    }

    @ParameterizedTest
    @CsvSource({"8, 2, version 2", "0, 1, features 0x1", "10, 8, written for 8", "16, 9, which a ring of 9 cannot have",
        "18, 9, which a ring of 9 cannot have", "38, 10, says that 10 descriptors of 9 were taken", "34, 0, loops", "98, 1, loops"})
    void whatIsImpossibleIsRefused(int offset, int value, String message) throws Exception {
        ring(SIZE, true, false);
        begin(0);
        Virtqueue q = device(NEW);
        post(1, 0, 10, 10);
        post(2, 0, 10);
        gather(q);
        gather(q);
        if (offset == 98) {
            // a free entry
            q.rewind();
        }
        GuestRam.MEMORY.set(ValueLayout.JAVA_SHORT, region.address() + offset, (short) value);
        MalformedRingException e = assertThrows(MalformedRingException.class, () -> device(NEW));
        assertEquals(Rule.INFLIGHT, e.rule());
        assertTrue(e.getMessage().contains(message), e.getMessage());
    }

    @Test
    void whatIsTooSmallIsRefused() throws Exception {
        ring(SIZE, true, false);
        for (InflightSlot small : List.of(new InflightSlot(region.address(), PackedInflightLayout.bytes(8), 8),
                new InflightSlot(region.address(), PackedInflightLayout.bytes(SIZE) - 8, SIZE))) {
            slot = small;
            assertEquals(Rule.INFLIGHT, rule(() -> device(NEW)));
        }
    }

    /** Whatever is in there: it is refused, or the ring works; nothing else is written. */
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4})
    void garbage(int seed) throws Exception {
        Random random = new Random(seed);
        int works = 0;
        ring(SIZE, true, false);
        for (int round = 0; round < 2000; round++) {
            receive = random.nextBoolean();
            begin(random.nextInt(18));
            int told = next;
            Virtqueue q = device(told);
            post(1, receive ? PackedRing.WRITE : 0, 10, 10);
            post(2, receive ? PackedRing.WRITE : 0, 10);
            gather(q);
            gather(q);
            for (int i = random.nextInt(12); i >= 0; i--) {
                long at = random.nextInt(3) == 0 ? random.nextInt(32) : random.nextLong(region.byteSize());
                region.set(ValueLayout.JAVA_BYTE, at, (byte) (random.nextBoolean() ? random.nextInt(3) : random.nextInt()));
            }
            try {
                q = device(told);
            } catch (MalformedRingException e) {
                assertEquals(Rule.INFLIGHT, e.rule());
                continue;
            }
            try {
                for (int i = 0; i < SIZE && q.look() > 0; i++) {
                    gather(q);
                    give(q, 0);
                }
                q.record();
                works++;
            } catch (MalformedRingException e) {
                // a chain is not what a driver may post
                assertFalse(EnumSet.of(Rule.INFLIGHT, Rule.LAYOUT, Rule.MEMORY_GONE, Rule.INDEX_TOO_FAR).contains(e.rule()),
                        e.getMessage());
            }
        }
        assertTrue(works > 100, "only " + works + " worked");
    }
}
