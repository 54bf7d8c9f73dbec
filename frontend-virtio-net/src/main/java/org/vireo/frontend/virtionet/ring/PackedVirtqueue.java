// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.ring;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.lang.invoke.VarHandle;
import org.vireo.frontend.virtionet.memory.MemoryTable;
import org.vireo.frontend.virtionet.ring.MalformedRingException.Rule;
import org.vireo.vhostuser.PackedBase;

/**
 * The device side of a running packed virtqueue (virtio 1.2, section 2.8).
 *
 * <p>Two positions move along the ring: <em>ahead</em> (what was parsed) and <em>done</em> (what was given back; it is what the journal
 * keeps). Chains are given back in order, so what the device writes for a chain lies where the chain began: one position is enough.
 *
 * <p>What is written for a chain, a used element, takes the place of its first descriptor, by one store. So {@link #put} writes nothing
 * yet. {@link #record} says in the journal how many descriptors are being given back, and writes the elements: of transmitted frames one
 * after the other, saying in between how far it is; of a received frame, which has to appear as a whole, the first one last, since the
 * driver does not look behind it. What a process that was killed in between has left is completed by its successor, so that no chain is
 * lost and none is given back twice, also by one that has no journal. Where the VMM keeps in-flight memory, what is done is written there
 * too, and read from there.
 */
public final class PackedVirtqueue extends Virtqueue {
    /** Of indirect tables that are looked at when a ring starts: a driver must not keep a control thread busy. */
    private static final int MOST_TABLE_ENTRIES = 65536;
    private static final VarHandle SHORT = JAVA_SHORT.varHandle();
    private static final VarHandle INT = JAVA_INT.varHandle();
    private static final VarHandle LONG = JAVA_LONG.varHandle();
    private static final int UNKNOWN = -1;

    /** Null: the VMM keeps no in-flight memory, or it is not known yet where the ring goes on. */
    private PackedInflight inflight;
    private long tableEntries;
    /** Chains that were parsed and are not done, in order: where each begins, its descriptors, its buffer id, what was written. */
    private final char[] positions;
    private final char[] counts;
    private final char[] ids;
    private final int[] lengths;
    private int first;
    private int parsed;
    /** Of those that were parsed, what was put and not recorded. */
    private int given;
    private int ahead;
    private int done;
    private int chain;
    /** Descriptors that were given back since the driver's wish for a call was looked at. */
    private int moved;
    private boolean signalledValid;
    /** The device's own wish, as it stands in memory. */
    private int event = UNKNOWN;

    PackedVirtqueue(Kind kind, RingArea area, MemoryTable memory, long journal, int position, int call, InflightSlot slot,
            RingLog log) throws MalformedRingException {
        super(kind, area, memory, journal, call, log);
        if ((position & PackedRingLayout.INDEX) >= size) {
            throw new MalformedRingException(Rule.INDEX_TOO_FAR, name + ": position " + (position & PackedRingLayout.INDEX)
                    + " is beyond its " + size + " descriptors");
        }
        positions = new char[size];
        counts = new char[size];
        ids = new char[size];
        lengths = new int[size];
        done = position & 0xffff;
        ahead = done;
        long word = journal();
        boolean told = slot != null && !slot.isNew();
        if (!told && !RingJournal.valid(word)) {
            closeGap();
        } else if (!told && RingJournal.used(word) == done && RingJournal.pending(word) > 0) {
            recover(Math.min(RingJournal.pending(word), size), RingJournal.first(word));
        }
        if (slot != null) {
            inflight = new PackedInflight(name, slot, size, area.descriptors(), done);
            goTo(inflight.position());
            complete(Math.min(inflight.begun(), inflight.inherited()));
        }
        journal(RingJournal.word(done, done));
    }

    /**
     * Finishes what a process that was killed had begun to give back, as in-flight memory says: frames that were sent, and a received one
     * of which an element shows that it is whole. What it has not written, but the first element, is full.
     */
    private void complete(int begun) {
        boolean whole = !deviceWrites;
        try {
            for (int left = begun; left > 0; left -= chainDescriptors) {
                int at = ahead;
                boolean written = !PackedRingLayout.isAvailable(flags(at), at);
                long word = MEMORY.get(JAVA_LONG_UNALIGNED, descriptor(at) + PackedRingLayout.DESCRIPTOR_WORD);
                whole |= written;
                keep(scan(at, left));
                put(chain, written ? (int) word : chainBytes);
            }
        } catch (MalformedRingException e) {
            // will be told when it is parsed
            whole = false;
        }
        if (whole) {
            record();
        } else {
            goTo(done);
        }
    }

    /** Finishes what a process that was killed had begun to give back. */
    private void recover(int pending, int firstCount) {
        // what was given back the driver may have posted anew, for its next lap: used it is no more, nor available for this one
        boolean begun = !PackedRingLayout.isAvailable(flags(done), done);
        try {
            if (!deviceWrites) {
                int there = begun ? Math.min(firstCount, pending) : 0;
                goTo(PackedRingLayout.advance(done, there, size));
                recoverSent(pending - there);
            } else if (begun) {
                // the first element is the last that was written
                goTo(PackedRingLayout.advance(done, pending, size));
            } else {
                recoverReceived(pending);
            }
            moved = pending;
        } catch (MalformedRingException e) {
            // the driver has changed it since: what is there now is looked at anew
            goTo(done);
        }
    }

    private void goTo(int position) {
        parsed = 0;
        given = 0;
        done = position;
        ahead = position;
    }

    /** The frames have been sent: their chains are given back. */
    private void recoverSent(int descriptors) throws MalformedRingException {
        for (int left = descriptors; left > 0; left -= chainDescriptors) {
            keep(scan(ahead, left));
            put(chain, 0);
        }
        record();
    }

    /**
     * An element of a later chain shows that the frame is whole, and the chains before it are full. If there is none, all are as the driver
     * posted them, and are used for the next frame.
     */
    private void recoverReceived(int descriptors) throws MalformedRingException {
        int end = PackedRingLayout.advance(done, descriptors, size);
        for (int left = descriptors; left > 0; left -= chainDescriptors) {
            if (left < descriptors && !PackedRingLayout.isAvailable(flags(ahead), ahead)) {
                write(parsed);
                log(end);
                goTo(end);
                return;
            }
            keep(scan(ahead, left));
        }
        goTo(done);
    }

    /**
     * Without a journal: a received frame of which only later chains have been given back stands behind chains that are available, and
     * nothing else can. How many descriptors those later chains had nobody knows; all drivers post one for each buffer.
     */
    private void closeGap() {
        try {
            while (deviceWrites && look() > 0) {
                keep(scan(ahead, size - PackedRingLayout.distance(done, ahead, size)));
            }
        } catch (MalformedRingException e) {
            // will be told when it is parsed
            goTo(done);
            return;
        }
        int end = ahead;
        int most = size - PackedRingLayout.distance(done, ahead, size);
        for (int i = 0; i < most && parsed > 0 && PackedRingLayout.isUsed(flags(end), end); i++) {
            end = PackedRingLayout.advance(end, 1, size);
        }
        if (end == ahead) {
            goTo(done);
        } else {
            moved = PackedRingLayout.distance(done, end, size);
            write(parsed);
            log(end);
            goTo(end);
        }
    }

    @Override
    public int look() {
        if (inflight != null && inflight.isInherited(ahead)) {
            return 1;
        }
        return PackedRingLayout.distance(done, ahead, size) < size && PackedRingLayout.isAvailable(flags(ahead), ahead) ? 1 : 0;
    }

    private static long descriptor(long ring, int position) {
        return ring + (long) PackedRingLayout.DESCRIPTOR * (position & PackedRingLayout.INDEX);
    }

    /** Where the descriptors of the next chain are read: in the ring, or in what a predecessor has copied. */
    private long source(int position) {
        return inflight == null ? area.descriptors() : inflight.descriptors(position, area.descriptors());
    }

    private long descriptor(int position) {
        return area.descriptors() + (long) PackedRingLayout.DESCRIPTOR * (position & PackedRingLayout.INDEX);
    }

    private int flags(int position) {
        return (short) SHORT.getAcquire(MEMORY, descriptor(position) + PackedRingLayout.DESCRIPTOR_FLAGS) & 0xffff;
    }

    @Override
    public int outstanding() {
        return parsed - given;
    }

    @Override
    public int available() {
        return done;
    }

    @Override
    public int used() {
        return done;
    }

    @Override
    public void rewind() {
        for (int i = parsed - 1; inflight != null && i >= given; i--) {
            inflight.undo(positions[slot(i)]);
        }
        parsed = given;
        if (given == 0) {
            ahead = done;
        } else {
            int last = slot(given - 1);
            ahead = PackedRingLayout.advance(positions[last], counts[last], size);
        }
    }

    @Override
    int inherited() {
        return inflight == null ? 0 : inflight.inheritedChains();
    }

    private int slot(int n) {
        int i = first + n;
        return i < size ? i : i - size;
    }

    @Override
    public int gather(long iovecs, int capacity, int skip) throws MalformedRingException {
        int most = size - PackedRingLayout.distance(done, ahead, size);
        int at = ahead;
        int own = 0;
        int id = 0;
        long table = 0;
        int entries = 0;
        int index = 0;
        long total = 0;
        long left = skip;
        int n = 0;
        long ring = source(ahead);
        chain = ahead & PackedRingLayout.INDEX;
        while (true) {
            long from = entries == 0 ? descriptor(ring, at) : table + (long) index * PackedRingLayout.DESCRIPTOR;
            long address = MEMORY.get(JAVA_LONG_UNALIGNED, from);
            long word = MEMORY.get(JAVA_LONG_UNALIGNED, from + PackedRingLayout.DESCRIPTOR_WORD);
            long length = word & 0xffffffffL;
            int flags = (int) (word >>> 48);
            if (entries == 0) {
                if (own == most) {
                    throw tooLong(chain, most);
                }
                own++;
                at = PackedRingLayout.advance(at, 1, size);
                id = (int) (word >>> 32) & 0xffff;
            }
            if ((flags & PackedRingLayout.INDIRECT) != 0) {
                table = indirectTable(address, length, flags, entries != 0);
                entries = (int) (length / PackedRingLayout.DESCRIPTOR);
                continue;
            }
            if ((flags & PackedRingLayout.WRITE) != 0 != deviceWrites) {
                throw direction(chain);
            }
            total += length;
            if (total > Integer.MAX_VALUE) {
                throw overflow(chain);
            }
            if (left >= length && left > 0) {
                left -= length;
            } else if (length > 0) {
                int added = translate(chain, address + left, length - left, iovecs + (long) n * IOVEC, capacity - n);
                if (added < 0) {
                    return -1;
                }
                n += added;
                left = 0;
            }
            // 2.8.7: the entries of a table are all in order, NEXT means nothing there
            if (entries == 0 ? (flags & PackedRingLayout.NEXT) == 0 : ++index == entries) {
                break;
            }
        }
        chain = id;
        chainBytes = (int) total;
        chainDescriptors = own;
        keep(at);
        return n;
    }

    /** The chain is parsed: up to a position, with what {@code chain...} say. */
    private void keep(int behind) {
        int i = slot(parsed++);
        positions[i] = (char) ahead;
        counts[i] = (char) chainDescriptors;
        ids[i] = (char) chain;
        lengths[i] = chainBytes;
        if (inflight != null) {
            inflight.take(ahead, chainDescriptors, area.descriptors());
        }
        ahead = behind;
    }

    /** Goes over a chain without looking at its buffers; the position behind it. Of one for a received frame it adds up the bytes. */
    private int scan(int from, int most) throws MalformedRingException {
        int at = from;
        int own = 0;
        long total = 0;
        int flags;
        long ring = source(from);
        do {
            if (own == most) {
                throw tooLong(from & PackedRingLayout.INDEX, most);
            }
            long address = MEMORY.get(JAVA_LONG_UNALIGNED, descriptor(ring, at));
            long word = MEMORY.get(JAVA_LONG_UNALIGNED, descriptor(ring, at) + PackedRingLayout.DESCRIPTOR_WORD);
            flags = (int) (word >>> 48);
            chain = (int) (word >>> 32) & 0xffff;
            if (deviceWrites) {
                total += (flags & PackedRingLayout.INDIRECT) != 0 ? tableBytes(address, word & 0xffffffffL) : word & 0xffffffffL;
            }
            own++;
            at = PackedRingLayout.advance(at, 1, size);
        } while ((flags & PackedRingLayout.NEXT) != 0);
        chainDescriptors = own;
        // 0 of one to transmit: what is written there
        chainBytes = (int) Math.min(total, Integer.MAX_VALUE);
        return at;
    }

    private long tableBytes(long address, long bytes) throws MalformedRingException {
        long at = indirectTable(address, bytes, 0, false);
        tableEntries += bytes / PackedRingLayout.DESCRIPTOR;
        if (tableEntries > size + MOST_TABLE_ENTRIES) {
            throw tooLong(done & PackedRingLayout.INDEX, size);
        }
        long total = 0;
        for (long i = 0; i < bytes; i += PackedRingLayout.DESCRIPTOR) {
            total += MEMORY.get(JAVA_LONG_UNALIGNED, at + i + PackedRingLayout.DESCRIPTOR_WORD) & 0xffffffffL;
        }
        return total;
    }

    @Override
    public int chain() {
        return chain;
    }

    @Override
    public void put(int id, int bytes) {
        int i = slot(given++);
        ids[i] = (char) id;
        lengths[i] = bytes;
    }

    @Override
    public void discard() throws MalformedRingException {
        keep(scan(ahead, size - PackedRingLayout.distance(done, ahead, size)));
        put(chain, 0);
    }

    @Override
    public void record() {
        if (given == 0) {
            return;
        }
        int last = slot(given - 1);
        int end = PackedRingLayout.advance(positions[last], counts[last], size);
        int n = PackedRingLayout.distance(done, end, size);
        if (deviceWrites) {
            journal(RingJournal.word(done, n, counts[first]));
            if (inflight == null) {
                write(given);
            } else {
                giveTracked(0, given);
            }
        } else {
            int left = n;
            for (int i = 0; i < given; i++) {
                int k = slot(i);
                journal(RingJournal.word(positions[k], left, counts[k]));
                if (inflight == null) {
                    element(k);
                } else {
                    giveTracked(i, 1);
                }
                left -= counts[k];
            }
        }
        journal(RingJournal.word(end, end));
        log(end);
        first = slot(given);
        parsed -= given;
        given = 0;
        done = end;
        moved = Math.min(moved + n, size);
    }

    /** As {@link #write}, and in the VMM's in-flight memory it says before and after what it does. */
    private void giveTracked(int from, int chains) {
        for (int n = from; n < from + chains; n++) {
            inflight.give(positions[slot(n)], counts[slot(n)]);
        }
        inflight.announce();
        for (int n = from + chains - 1; n >= from; n--) {
            element(slot(n));
        }
        for (int n = from; n < from + chains; n++) {
            inflight.unmark(positions[slot(n)]);
        }
        inflight.commit(chains);
    }

    /** Writes used elements, the first one last. */
    private void write(int chains) {
        for (int n = chains - 1; n >= 0; n--) {
            element(slot(n));
        }
    }

    private void element(int i) {
        int position = positions[i];
        // 2.8.5: WRITE says that the length is one
        int flags = PackedRingLayout.usedFlags(position) | (lengths[i] > 0 ? PackedRingLayout.WRITE : 0);
        LONG.setRelease(MEMORY, descriptor(position) + PackedRingLayout.DESCRIPTOR_WORD,
                lengths[i] & 0xffffffffL | (long) ids[i] << 32 | (long) flags << 48);
    }

    private void log(int end) {
        if (bufferLog != null) {
            logElements(PackedRingLayout.distance(done, end, size));
        }
    }

    /** The descriptors are guest memory as buffers are; the log address that a VMM gives is the device's event suppression's. */
    private void logElements(int n) {
        long guest = memory.guestOfHost(area.descriptors());
        int from = done & PackedRingLayout.INDEX;
        int most = Math.min(n, size - from);
        mark(bufferLog, guest + (long) from * PackedRingLayout.DESCRIPTOR, (long) most * PackedRingLayout.DESCRIPTOR);
        mark(bufferLog, guest, (long) (n - most) * PackedRingLayout.DESCRIPTOR);
    }

    @Override
    public boolean publish() {
        if (!unpublished()) {
            return false;
        }
        int n = moved;
        boolean before = signalledValid;
        moved = 0;
        signalledValid = true;
        VarHandle.fullFence();
        int wish = (int) INT.getOpaque(MEMORY, area.available());
        return switch (wish >>> 16 & 3) {
            case PackedRingLayout.DISABLE -> false;
            case PackedRingLayout.AT_POSITION -> !eventIndex || !before || PackedRingLayout.passed(wish & 0xffff, done, n, size);
            default -> true;
        };
    }

    @Override
    boolean unpublished() {
        return moved > 0 || !signalledValid;
    }

    @Override
    public void kicksOff() {
        event(PackedRingLayout.DISABLE << 16);
    }

    @Override
    public boolean kicksOn() {
        event(eventIndex ? PackedRingLayout.AT_POSITION << 16 | ahead : PackedRingLayout.ENABLE << 16);
        VarHandle.fullFence();
        return look() > 0;
    }

    /**
     * Where a ring goes on of whose positions the first alone was told, perhaps.
     *
     * @param descriptors address of the descriptors
     * @param size entries
     * @param available next available entry, with the wrap counter in bit 15
     * @return next used entry, likewise
     */
    public static int usedPosition(long descriptors, int size, int available) {
        int flags = (short) SHORT.getAcquire(MEMORY, descriptors + PackedRingLayout.DESCRIPTOR_FLAGS) & 0xffff;
        return PackedBase.position(available, size, flags);
    }

    private void event(int wish) {
        if (event != wish) {
            event = wish;
            INT.setOpaque(MEMORY, area.used(), wish);
            logUsed(0, PackedRingLayout.EVENT_BYTES);
        }
    }
}
