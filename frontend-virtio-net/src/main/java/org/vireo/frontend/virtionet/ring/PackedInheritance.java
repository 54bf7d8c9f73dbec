// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.ring;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;
import static org.vireo.vhostuser.PackedInflightLayout.ADDRESS;
import static org.vireo.vhostuser.PackedInflightLayout.COUNTER;
import static org.vireo.vhostuser.PackedInflightLayout.ENTRY;
import static org.vireo.vhostuser.PackedInflightLayout.FREE;
import static org.vireo.vhostuser.PackedInflightLayout.HEAD;
import static org.vireo.vhostuser.PackedInflightLayout.HEADER;
import static org.vireo.vhostuser.PackedInflightLayout.NEXT;
import static org.vireo.vhostuser.PackedInflightLayout.USED;
import static org.vireo.vhostuser.PackedInflightLayout.WORD;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.VarHandle;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Comparator;
import java.util.List;
import org.vireo.posix.linux.SharedMemory;
import org.vireo.vhostuser.PackedInflightLayout;

/**
 * What somebody who served a packed ring before has left in the VMM's in-flight memory ("When reconnecting"): it is checked, finished or
 * undone, and its descriptors are copied. All of it may be garbage.
 */
final class PackedInheritance {
    private static final MemorySegment MEMORY = SharedMemory.addressSpace();
    private static final VarHandle LONG = JAVA_LONG.varHandle();
    private static final VarHandle INT = JAVA_INT.varHandle();
    private static final VarHandle SHORT = JAVA_SHORT.varHandle();
    private static final VarHandle BYTE = JAVA_BYTE.varHandle();

    private final String name;
    private final long at;
    private final int entries;
    private final int size;
    private final char[] next;
    private final BitSet seen = new BitSet();
    private final List<Chain> chains = new ArrayList<>();
    private int position;
    private int begun;
    private int free;
    private int descriptors;
    private MemorySegment copies;

    private record Chain(int head, int last, int num, long counter) { }

    PackedInheritance(String name, long at, int entries, int size, long ring) throws MalformedRingException {
        this.name = name;
        this.at = at;
        this.entries = entries;
        this.size = size;
        next = new char[entries];
        for (int i = 0; i < entries; i++) {
            next[i] = (char) Math.min(entries, MEMORY.get(JAVA_SHORT, entry(i) + NEXT) & 0xffff);
        }
        int announced = MEMORY.get(JAVA_INT, at + FREE) & 0xffff;
        settle(ring);
        int until = free;
        walkFree();
        findChains();
        if (begun > 0 && !isFirst(announced, until)) {
            begun = 0;
        }
        freeOthers();
        if (descriptors > 0) {
            copy();
        }
    }

    private long entry(int i) {
        return at + HEADER + (long) ENTRY * i;
    }

    /** Commits what was being given back if the driver can see it, or undoes it. */
    private void settle(long ring) throws MalformedRingException {
        long word = (long) LONG.getAcquire(MEMORY, at + USED);
        int heads = MEMORY.get(JAVA_INT, at + FREE);
        int used = PackedInflightLayout.used(word);
        int old = PackedInflightLayout.oldUsed(word);
        int n = PackedRingLayout.distance(old, used, size);
        if ((used & PackedRingLayout.INDEX) >= size || (old & PackedRingLayout.INDEX) >= size || n < 0 || n > size) {
            throw InflightSlot.wrong(name, "has used positions 0x" + Integer.toHexString(used) + " and 0x" + Integer.toHexString(old)
                    + ", which a ring of " + size + " cannot have");
        }
        long descriptor = ring + (long) PackedRingLayout.DESCRIPTOR * (old & PackedRingLayout.INDEX);
        int flags = (short) SHORT.getAcquire(MEMORY, descriptor + PackedRingLayout.DESCRIPTOR_FLAGS) & 0xffff;
        boolean committed = n > 0 && PackedInflightLayout.isCommitted(flags, old);
        position = committed ? used : old;
        free = committed ? heads & 0xffff : heads >>> 16;
        begun = committed ? 0 : n;
        INT.setRelease(MEMORY, at + FREE, free | free << 16);
        LONG.setRelease(MEMORY, at + USED, PackedInflightLayout.used(position, position));
    }

    private void walkFree() throws MalformedRingException {
        for (int e = free; e < entries; e = next[e]) {
            if (seen.get(e)) {
                throw InflightSlot.wrong(name, "has a list of free entries that loops at " + e);
            }
            seen.set(e);
            BYTE.setRelease(MEMORY, entry(e) + HEAD, (byte) 0);
        }
        free = Math.min(free, entries);
    }

    private void findChains() throws MalformedRingException {
        for (int head = 0; head < entries; head++) {
            long word = MEMORY.get(JAVA_LONG, entry(head) + HEAD);
            if ((word & 0xff) != 1) {
                continue;
            }
            int num = (int) (word >>> 48);
            descriptors += num;
            if (num == 0 || descriptors > size) {
                throw InflightSlot.wrong(name, "says that " + descriptors + " descriptors of " + size + " were taken, " + num
                        + " of them with entry " + head);
            }
            int e = head;
            int last = head;
            for (int i = 0; i < num; i++) {
                if (e >= entries || seen.get(e)) {
                    throw InflightSlot.wrong(name, "has a chain of " + num + " at entry " + head + " that loops, ends early, or belongs to"
                            + " two");
                }
                seen.set(e);
                last = e;
                e = next[e];
            }
            chains.add(new Chain(head, last, num, MEMORY.get(JAVA_LONG, entry(head) + COUNTER)));
        }
        chains.sort(Comparator.comparing(Chain::counter, Long::compareUnsigned));
    }

    /** Whether what was being given back, which is linked before the list of free entries, is what was taken first. */
    private boolean isFirst(int announced, int until) {
        int[] chainAt = new int[entries + 1];
        Arrays.fill(chainAt, -1);
        for (int i = 0; i < chains.size(); i++) {
            chainAt[chains.get(i).head] = i;
        }
        // the last one is linked first
        int last = -1;
        int n = 0;
        for (int e = announced; e != until && n < begun;) {
            int i = chainAt[Math.min(e, entries)];
            if (i < 0 || last >= 0 && i != last - 1) {
                return false;
            }
            last = i;
            n += chains.get(i).num;
            e = next[chains.get(i).last];
        }
        return n == begun && last == 0;
    }

    /** Whoever dies between unmarking a chain and linking it leaves entries that are neither taken nor free. */
    private void freeOthers() {
        for (int e = seen.nextClearBit(0); e < entries; e = seen.nextClearBit(e + 1)) {
            next[e] = (char) free;
            MEMORY.set(JAVA_SHORT, entry(e) + NEXT, (short) free);
            free = e;
            INT.setRelease(MEMORY, at + FREE, free | free << 16);
        }
    }

    /** As they would lie in the ring if nothing had been given back out of order. */
    private void copy() {
        copies = Arena.ofAuto().allocate((long) PackedRingLayout.DESCRIPTOR * size, PackedRingLayout.DESCRIPTOR);
        int to = position;
        for (Chain c : chains) {
            int e = c.head;
            for (int i = 0; i < c.num; i++) {
                long offset = (long) PackedRingLayout.DESCRIPTOR * (to & PackedRingLayout.INDEX);
                long word = MEMORY.get(JAVA_LONG, entry(e) + WORD);
                long id = word & 0xffff;
                long flags = word >>> 16 & 0xffff & ~PackedRingLayout.NEXT | (i < c.num - 1 ? PackedRingLayout.NEXT : 0);
                copies.set(JAVA_LONG_UNALIGNED, offset, MEMORY.get(JAVA_LONG, entry(e) + ADDRESS));
                copies.set(JAVA_LONG_UNALIGNED, offset + PackedRingLayout.DESCRIPTOR_WORD, word >>> 32 | id << 32 | flags << 48);
                to = PackedRingLayout.advance(to, 1, size);
                e = next[e];
            }
        }
    }

    /** Where the ring goes on. */
    int position() {
        return position;
    }

    /** Descriptors, from there on, that were being given back, and that the driver does not see. */
    int begun() {
        return begun;
    }

    /** Descriptors that were taken and not given back. */
    int descriptors() {
        return descriptors;
    }

    /** Address of their copies: each lies where it would lie in the ring. */
    long copies() {
        return copies.address();
    }

    /** The entries' links. */
    char[] next() {
        return next;
    }

    /** First of the free entries. */
    int free() {
        return free;
    }

    /** The number that the next chain gets. */
    long counter() {
        return chains.isEmpty() ? 0 : chains.getLast().counter + 1;
    }

    /** Says by the index where a chain would begin in the ring which entries it has; how many chains there are. */
    int chains(char[] heads, char[] lasts) {
        int to = position;
        for (Chain c : chains) {
            heads[to & PackedRingLayout.INDEX] = (char) c.head;
            lasts[to & PackedRingLayout.INDEX] = (char) c.last;
            to = PackedRingLayout.advance(to, c.num, size);
        }
        return chains.size();
    }
}
