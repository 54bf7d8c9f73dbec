// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.ring;

import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.function.Executable;
import org.vireo.frontend.virtionet.memory.MappedRegion;
import org.vireo.frontend.virtionet.memory.MemoryTable;
import org.vireo.frontend.virtionet.ring.MalformedRingException.Rule;
import org.vireo.guest.GuestRam;
import org.vireo.guest.PackedRing;
import org.vireo.posix.Descriptors;
import org.vireo.vhostuser.MemoryRegionSpec;
import org.vireo.vhostuser.VringAddress;

/** A packed ring in memory with a driver that posts and takes by hand, and no thread. */
abstract class PackedFixture {
    static final int CAPACITY = 70_000;
    static final int NEW = PackedRing.WRAP;

    final Arena arena = Arena.ofShared();
    final MemorySegment own = arena.allocate(16L * CAPACITY + 64, 64);
    final long journalAt = own.address() + 16L * CAPACITY;
    final GuestRam ram;
    final MemoryTable table;
    final long buffer;
    PackedRing driver;
    int size;
    /** The driver's positions. */
    int next = NEW;
    int taken = NEW;

    PackedFixture() throws Exception {
        ram = new GuestRam(new Descriptors(), 4 << 20);
        MemoryRegionSpec s = ram.specs().getFirst();
        table = MemoryTable.of(List.of(MappedRegion.map(new MappedRegion.Spec(s.guest(), s.size(), s.user(), s.offset()),
                ram.files().getFirst().duplicate(), false)));
        buffer = ram.allocate(1 << 20, 64);
    }

    @AfterEach
    void close() throws IOException {
        table.release();
        ram.close();
        arena.close();
    }

    Virtqueue ring(int entries, boolean eventIndex, boolean receive) throws MalformedRingException {
        size = entries;
        driver = new PackedRing(ram, entries);
        return again(NEW, eventIndex, receive);
    }

    /** A device that goes on at a position. */
    Virtqueue again(int at, boolean eventIndex, boolean receive) throws MalformedRingException {
        return again(at, eventIndex, receive, null);
    }

    /** As above, with in-flight memory. */
    Virtqueue again(int at, boolean eventIndex, boolean receive, InflightSlot slot) throws MalformedRingException {
        VringAddress a = driver.addresses(0);
        return Virtqueue.of(new Virtqueue.Kind("test", size, true, eventIndex, true, receive),
                RingAreas.find("test", size, true, a.descriptor(), a.available(), a.used(), table), table, journalAt, at, at, -1, slot,
                RingLog.NONE);
    }

    int index(int position) {
        return position & PackedRing.WRAP - 1;
    }

    int advance(int position) {
        return index(position) + 1 < size ? position + 1 : (position & PackedRing.WRAP) ^ PackedRing.WRAP;
    }

    /** Makes a chain available; its last descriptor names it. */
    void post(int id, int flags, int... lengths) {
        int head = next;
        int headFlags = 0;
        for (int i = 0; i < lengths.length; i++) {
            boolean last = i == lengths.length - 1;
            driver.descriptor(index(next), buffer + 1000 * i, lengths[i], last ? id : 0xdead);
            int f = flags | (last ? 0 : PackedRing.NEXT) | PackedRing.available((next & PackedRing.WRAP) != 0);
            if (i == 0) {
                headFlags = f;
            } else {
                driver.flags(index(next), f);
            }
            next = advance(next);
        }
        driver.publishFlags(index(head), headFlags);
    }

    /** Takes a chain of so many descriptors back: its id and length, or null. */
    int[] take(int descriptors) {
        int flags = driver.flags(index(taken));
        if (!PackedRing.isUsed(flags, (taken & PackedRing.WRAP) != 0)) {
            return null;
        }
        int[] r = {driver.id(index(taken)), (flags & PackedRing.WRITE) != 0 ? driver.length(index(taken)) : 0};
        for (int i = 0; i < descriptors; i++) {
            taken = advance(taken);
        }
        return r;
    }

    static Rule rule(Executable what) {
        return assertThrows(MalformedRingException.class, what).rule();
    }

    int gather(Virtqueue q) throws MalformedRingException {
        return q.gather(own.address(), CAPACITY, 0);
    }

    static void give(Virtqueue q, int bytes) {
        q.put(q.chain(), bytes);
    }
}
