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

import java.lang.foreign.MemorySegment;
import java.lang.invoke.VarHandle;
import org.vireo.posix.linux.SharedMemory;
import org.vireo.vhostuser.PackedInflightLayout;

/**
 * What a packed ring has taken and not given back, in memory that the VMM keeps (vhost-user, "Inflight I/O tracking"): copies of the
 * descriptors, since what is given back takes their place in the ring. Each step is a store, in the specification's order, so that
 * whoever is killed between any two of them leaves what a successor can go on from. {@link PackedInheritance} reads it.
 *
 * <p>The memory is the VMM's, who may write into it: only what was checked when the ring began, and what was written since, is used.
 */
final class PackedInflight {
    private static final MemorySegment MEMORY = SharedMemory.addressSpace();
    private static final VarHandle BYTE = JAVA_BYTE.varHandle();
    private static final VarHandle INT = JAVA_INT.varHandle();
    private static final VarHandle LONG = JAVA_LONG.varHandle();

    private final long at;
    private final int size;
    /** Of an entry: the next free one, or the next one of its chain; the number of entries ends the list. */
    private final char[] next;
    /** By the index where a chain begins in the ring: its first entry, its last one. */
    private final char[] heads;
    private final char[] lasts;
    private final PackedInheritance inheritance;
    /** Descriptors that a predecessor had taken and that were not given back; they come first. */
    private int inherited;
    private int inheritedChains;
    /** Position behind the last chain that was taken. */
    private int taken;
    /** First of the free entries, with what is being given back, and before. */
    private int free;
    private int oldFree;
    private long counter;
    /** Where the driver looks, and where it will when what is being given back is. */
    private int done;
    private int used;

    /**
     * Reads what a predecessor has left, and puts it right.
     *
     * @param name for messages
     * @param slot where it lies
     * @param size the ring's entries
     * @param ring address of the descriptors
     * @param position where a new ring begins
     */
    PackedInflight(String name, InflightSlot slot, int size, long ring, int position) throws MalformedRingException {
        at = slot.at();
        this.size = size;
        heads = new char[size];
        lasts = new char[size];
        int entries = slot.written(name, size, PackedInflightLayout.bytes(slot.entries()));
        if (entries == 0) {
            inheritance = null;
            next = new char[slot.entries()];
            done = position;
            initialize();
            slot.initialized();
        } else {
            PackedInheritance i = new PackedInheritance(name, at, entries, size, ring);
            inheritance = i.descriptors() > 0 ? i : null;
            next = i.next();
            free = i.free();
            oldFree = free;
            counter = i.counter();
            done = i.position();
            inherited = i.descriptors();
            inheritedChains = i.chains(heads, lasts);
        }
        used = done;
        taken = PackedRingLayout.advance(done, inherited, size);
    }

    private void initialize() {
        for (int i = 0; i < next.length; i++) {
            next[i] = (char) (i + 1);
            MEMORY.set(JAVA_LONG, entry(i), (i + 1L) << 8 * NEXT);
            MEMORY.set(JAVA_LONG, entry(i) + COUNTER, 0L);
        }
        MEMORY.set(JAVA_INT, at + FREE, 0);
        MEMORY.set(JAVA_LONG, at + USED, PackedInflightLayout.used(done, done));
    }

    private long entry(int i) {
        return at + HEADER + (long) ENTRY * i;
    }

    /** Where the ring goes on. */
    int position() {
        return done;
    }

    /** Descriptors, from there on, that a predecessor had begun to give back when it died. */
    int begun() {
        return inheritance == null ? 0 : inheritance.begun();
    }

    /** Descriptors that a predecessor had taken and that were not given back since. */
    int inherited() {
        return inherited;
    }

    /** Chains that a predecessor had taken and that were not given back since. */
    int inheritedChains() {
        return inheritedChains;
    }

    /**
     * Where the descriptors of a chain that begins at a position are to be read.
     *
     * @param position from the device's position on
     * @param ring address of the ring's descriptors
     * @return that, or that of copies which lie likewise
     */
    long descriptors(int position, long ring) {
        return isInherited(position) ? inheritance.copies() : ring;
    }

    /** Whether a chain that begins at a position was taken by a predecessor. */
    boolean isInherited(int position) {
        return inherited > 0 && PackedRingLayout.distance(done, position, size) < inherited;
    }

    /**
     * Takes a chain, unless it is taken already.
     *
     * @param position where it begins
     * @param n its descriptors
     * @param ring address of the ring's descriptors
     */
    void take(int position, int n, long ring) {
        if (position != taken) {
            return;
        }
        int head = free;
        int entry = head;
        int last = head;
        for (int i = 0; i < n; i++) {
            long from = ring + (long) PackedRingLayout.DESCRIPTOR * (PackedRingLayout.advance(position, i, size) & PackedRingLayout.INDEX);
            long word = MEMORY.get(JAVA_LONG_UNALIGNED, from + PackedRingLayout.DESCRIPTOR_WORD);
            MEMORY.set(JAVA_LONG, entry(entry) + ADDRESS, MEMORY.get(JAVA_LONG_UNALIGNED, from));
            // length, id, flags in the ring; id, flags, length here
            MEMORY.set(JAVA_LONG, entry(entry) + WORD, word >>> 32 | word << 32);
            last = entry;
            entry = next[entry];
        }
        MEMORY.set(JAVA_LONG, entry(head) + COUNTER, counter++);
        LONG.setRelease(MEMORY, entry(head) + HEAD, 1L | (long) next[head] << 16 | (long) last << 32 | (long) n << 48);
        free = entry;
        settleFree();
        heads[position & PackedRingLayout.INDEX] = (char) head;
        lasts[position & PackedRingLayout.INDEX] = (char) last;
        taken = PackedRingLayout.advance(position, n, size);
    }

    /**
     * Says that a chain is being given back. Several may be, one after the other; then {@link #announce}.
     *
     * @param position where it begins
     * @param n its descriptors
     */
    void give(int position, int n) {
        link(position);
        INT.setRelease(MEMORY, at + FREE, free | oldFree << 16);
        used = PackedRingLayout.advance(position, n, size);
    }

    private void link(int position) {
        int i = position & PackedRingLayout.INDEX;
        next[lasts[i]] = (char) free;
        MEMORY.set(JAVA_SHORT, entry(lasts[i]) + NEXT, (short) free);
        free = heads[i];
    }

    private void settleFree() {
        oldFree = free;
        INT.setRelease(MEMORY, at + FREE, free | free << 16);
    }

    /** What was said to be given back will be as soon as the first element is written. */
    void announce() {
        LONG.setRelease(MEMORY, at + USED, PackedInflightLayout.used(used, done));
    }

    /**
     * The elements of a chain that was announced are written.
     *
     * @param position where it begins
     */
    void unmark(int position) {
        BYTE.setRelease(MEMORY, entry(heads[position & PackedRingLayout.INDEX]) + HEAD, (byte) 0);
    }

    /**
     * All that was announced is written, and unmarked.
     *
     * @param chains how many
     */
    void commit(int chains) {
        settleFree();
        LONG.setRelease(MEMORY, at + USED, PackedInflightLayout.used(used, used));
        if (inherited > 0) {
            inherited = Math.max(0, inherited - PackedRingLayout.distance(done, used, size));
            inheritedChains = Math.max(0, inheritedChains - chains);
        }
        done = used;
    }

    /**
     * Undoes the taking of the last chain, unless a predecessor took it. The last one first: a successor counts from the device's position.
     *
     * @param position where it begins
     */
    void undo(int position) {
        if (!isInherited(position)) {
            unmark(position);
            link(position);
            settleFree();
            taken = position;
        }
    }
}
