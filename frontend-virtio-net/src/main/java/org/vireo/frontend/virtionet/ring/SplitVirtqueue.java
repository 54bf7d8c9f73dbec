// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.ring;

import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.lang.invoke.VarHandle;
import org.vireo.frontend.virtionet.memory.MemoryTable;
import org.vireo.frontend.virtionet.ring.MalformedRingException.Rule;

/**
 * The device side of a running split virtqueue (virtio 1.2, section 2.7).
 *
 * <p>Three positions move along the available ring: <em>seen</em> (what the driver made available), <em>ahead</em> (what was parsed)
 * and <em>done</em> (what was given back; it is what the journal keeps). Where the VMM keeps in-flight memory, what is between ahead and
 * done is marked there, and what is recorded is shown to the driver at once.
 */
public final class SplitVirtqueue extends Virtqueue {
    private static final VarHandle SHORT = JAVA_SHORT.varHandle();

    private final int mask;
    /** Null: the VMM keeps no in-flight memory. */
    private final SplitInflight inflight;
    private int head;
    private int seen;
    private int ahead;
    private int done;
    /** What was {@link #record recorded} of what is done. */
    private int recorded;
    private int used;
    private int published;
    private int signalled;
    private boolean signalledValid;

    SplitVirtqueue(Kind kind, RingArea area, MemoryTable memory, long journal, int available, int used, int call, InflightSlot slot,
            RingLog log) throws MalformedRingException {
        super(kind, area, memory, journal, call, log);
        mask = size - 1;
        // what a VMM that keeps in-flight memory knows of its ring is in there and in the used ring
        this.used = slot == null ? used & 0xffff : usedIndex(area.used());
        seen = slot == null ? available & 0xffff : this.used;
        ahead = seen;
        done = seen;
        recorded = seen;
        published = this.used;
        inflight = slot == null ? null : new SplitInflight(name, slot, size, this.used);
        record();
        look();
        if ((seen - done & 0xffff) < inherited()) {
            throw InflightSlot.wrong(name, "says that " + inherited() + " chains were taken, but the driver made only "
                    + (seen - done & 0xffff) + " available");
        }
    }

    @Override
    public int look() throws MalformedRingException {
        int index = (short) SHORT.getAcquire(MEMORY, area.available() + SplitRingLayout.INDEX) & 0xffff;
        if ((index - done & 0xffff) > size) {
            throw new MalformedRingException(Rule.INDEX_TOO_FAR, name + ": available index " + index + " is more than " + size
                    + " ahead of " + done);
        }
        seen = index;
        return index - ahead & 0xffff;
    }

    @Override
    public int outstanding() {
        return ahead - done & 0xffff;
    }

    @Override
    public int available() {
        return done;
    }

    @Override
    public int used() {
        return used;
    }

    @Override
    public void rewind() {
        ahead = done;
        if (inflight != null) {
            inflight.rewind(done);
        }
    }

    @Override
    int inherited() {
        return inflight == null ? 0 : inflight.inherited();
    }

    /** Reads the next chain's head, and takes it. */
    private int nextHead() throws MalformedRingException {
        int next = MEMORY.get(JAVA_SHORT, area.available() + SplitRingLayout.RING + 2L * (ahead & mask)) & 0xffff;
        if (inflight != null) {
            next = inflight.take(ahead, next);
        }
        if (next >= size) {
            throw new MalformedRingException(Rule.HEAD_OUT_OF_RANGE, name + ": available entry " + (ahead & mask) + " names descriptor "
                    + next + " of " + size);
        }
        return next;
    }

    @Override
    public int gather(long iovecs, int capacity, int skip) throws MalformedRingException {
        head = nextHead();
        long table = area.descriptors();
        int entries = size;
        int index = head;
        int steps = 0;
        int own = 0;
        long total = 0;
        long left = skip;
        int n = 0;
        boolean inside = false;
        while (true) {
            long at = table + (long) index * SplitRingLayout.DESCRIPTOR;
            long address = MEMORY.get(JAVA_LONG_UNALIGNED, at);
            long word = MEMORY.get(JAVA_LONG_UNALIGNED, at + SplitRingLayout.DESCRIPTOR_LENGTH);
            long length = word & 0xffffffffL;
            int flags = (int) (word >>> 32) & 0xffff;
            int next = (int) (word >>> 48);
            own += inside ? 0 : 1;
            if ((flags & SplitRingLayout.INDIRECT) != 0) {
                table = indirectTable(address, length, flags, inside);
                entries = (int) (length / SplitRingLayout.DESCRIPTOR);
                inside = true;
                index = 0;
                steps = 0;
                continue;
            }
            if ((flags & SplitRingLayout.WRITE) != 0 != deviceWrites) {
                throw direction(head);
            }
            if (++steps > entries) {
                throw tooLong(head, entries);
            }
            total += length;
            if (total > Integer.MAX_VALUE) {
                throw overflow(head);
            }
            if (left >= length && left > 0) {
                left -= length;
            } else if (length > 0) {
                int added = translate(head, address + left, length - left, iovecs + (long) n * IOVEC, capacity - n);
                if (added < 0) {
                    return -1;
                }
                n += added;
                left = 0;
            }
            if ((flags & SplitRingLayout.NEXT) == 0) {
                break;
            }
            if (next >= entries) {
                throw new MalformedRingException(Rule.NEXT_OUT_OF_RANGE, name + ": descriptor " + index + " of chain at " + head
                        + " has next " + next + " of " + entries);
            }
            index = next;
        }
        ahead = ahead + 1 & 0xffff;
        chainBytes = (int) total;
        chainDescriptors = own;
        return n;
    }

    @Override
    public int chain() {
        return head;
    }

    /** The driver sees it at {@link #publish}; a successor of this process publishes what was recorded. */
    @Override
    public void put(int chain, int bytes) {
        long at = area.used() + SplitRingLayout.RING + 8L * (used & mask);
        MEMORY.set(JAVA_LONG_UNALIGNED, at, chain & 0xffffffffL | (long) bytes << 32);
        used = used + 1 & 0xffff;
        done = done + 1 & 0xffff;
    }

    @Override
    public void discard() throws MalformedRingException {
        head = nextHead();
        ahead = ahead + 1 & 0xffff;
        put(head, 0);
    }

    @Override
    public void record() {
        if (inflight != null) {
            // a batch ends with the index: who succeeds without our journal would do again what came before it
            inflight.give(recorded, done - recorded & 0xffff, area.used(), used);
        }
        recorded = done;
        journal(RingJournal.word(done, used));
    }

    @Override
    public boolean publish() {
        if (!unpublished()) {
            return false;
        }
        int old = signalled;
        int from = published;
        SHORT.setRelease(MEMORY, area.used() + SplitRingLayout.INDEX, (short) used);
        published = used;
        if (usedLog != null) {
            logUsed(from);
        }
        VarHandle.fullFence();
        boolean first = !signalledValid;
        signalledValid = true;
        signalled = used;
        if (!eventIndex) {
            return (MEMORY.get(JAVA_SHORT, area.available()) & SplitRingLayout.NO_INTERRUPT) == 0;
        }
        int event = MEMORY.get(JAVA_SHORT, area.available() + SplitRingLayout.RING + 2L * size) & 0xffff;
        return first || (used - event - 1 & 0xffff) < (used - old & 0xffff);
    }

    /** The index, with the flags beside it, and the entries that it shows. */
    private void logUsed(int from) {
        mark(usedLog, usedLogAt, SplitRingLayout.RING);
        int n = used - from & 0xffff;
        int first = Math.min(n, size - (from & mask));
        mark(usedLog, usedLogAt + SplitRingLayout.RING + 8L * (from & mask), 8L * first);
        mark(usedLog, usedLogAt + SplitRingLayout.RING, 8L * (n - first));
    }

    @Override
    boolean unpublished() {
        return published != used || !signalledValid;
    }

    @Override
    public void kicksOff() {
        if (!eventIndex) {
            MEMORY.set(JAVA_SHORT, area.used(), (short) SplitRingLayout.NO_NOTIFY);
            logUsed(0, 2);
        }
    }

    @Override
    public boolean kicksOn() throws MalformedRingException {
        int before = seen;
        if (eventIndex) {
            MEMORY.set(JAVA_SHORT, area.used() + SplitRingLayout.RING + 8L * size, (short) before);
            logUsed(SplitRingLayout.RING + 8L * size, 2);
        } else {
            MEMORY.set(JAVA_SHORT, area.used(), (short) 0);
            logUsed(0, 2);
        }
        VarHandle.fullFence();
        look();
        return seen != before;
    }

    /**
     * The used ring's index as the driver sees it now.
     *
     * @param usedRing address of a used ring
     * @return 16 bits
     */
    public static int usedIndex(long usedRing) {
        return (short) SHORT.getAcquire(MEMORY, usedRing + SplitRingLayout.INDEX) & 0xffff;
    }
}
