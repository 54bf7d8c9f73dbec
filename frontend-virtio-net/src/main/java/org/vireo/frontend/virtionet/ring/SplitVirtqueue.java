// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.ring;

import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;

import java.lang.foreign.MemorySegment;
import java.lang.invoke.VarHandle;
import org.vireo.frontend.virtionet.memory.DirtyLog;
import org.vireo.frontend.virtionet.memory.MemoryTable;
import org.vireo.frontend.virtionet.ring.MalformedRingException.Rule;
import org.vireo.posix.linux.EventFd;
import org.vireo.posix.linux.SharedMemory;

/**
 * The device side of a running split virtqueue (virtio 1.2, section 2.7). Passive: no thread, no poll; one thread at a time uses
 * it. All that a driver writes is read once and then checked. It allocates nothing but its exceptions.
 *
 * <p>Three positions move along the available ring: <em>seen</em> (what the driver made available), <em>ahead</em> (what was parsed)
 * and <em>done</em> (what was given back; it is what the journal keeps). {@link #rewind} undoes the look-ahead.
 */
public final class SplitVirtqueue {
    /** Bytes of a struct iovec. */
    public static final int IOVEC = 16;

    private static final MemorySegment MEMORY = SharedMemory.addressSpace();
    private static final VarHandle SHORT = JAVA_SHORT.varHandle();
    private static final VarHandle LONG = JAVA_LONG.varHandle();

    private final String name;
    private final int size;
    private final int mask;
    private final boolean eventIndex;
    private final boolean indirect;
    private final boolean deviceWrites;
    private final long journal;
    private RingArea area;
    private MemoryTable memory;
    private int call;
    /** Where what is written into buffers is logged, and what into the used ring; null while it is not. */
    private DirtyLog bufferLog;
    private DirtyLog usedLog;
    private long usedLogAt;

    private int seen;
    private int ahead;
    private int done;
    private int used;
    private int published;
    private int signalled;
    private boolean signalledValid;
    private int chainBytes;
    private int chainDescriptors;

    /**
     * Where a ring lies in this process.
     *
     * @param descriptors address of the descriptor table
     * @param available address of the available ring
     * @param used address of the used ring
     */
    public record RingArea(long descriptors, long available, long used) { }

    /**
     * What was negotiated for a ring.
     *
     * @param name for messages
     * @param size entries, a power of two
     * @param eventIndex VIRTIO_F_EVENT_IDX
     * @param indirect VIRTIO_F_INDIRECT_DESC
     * @param deviceWrites true: buffers for received frames; false: frames to transmit
     */
    public record Kind(String name, int size, boolean eventIndex, boolean indirect, boolean deviceWrites) { }

    /**
     * A running ring.
     *
     * @param kind what was negotiated
     * @param area where it lies, checked by {@link RingAreas}
     * @param memory for its buffers
     * @param journal address of the ring's journal word in the NIC block
     * @param available next available entry to look at
     * @param used next used entry to write
     * @param call number of the call eventfd, or -1
     * @throws MalformedRingException the driver's index is too far ahead
     */
    public SplitVirtqueue(Kind kind, RingArea area, MemoryTable memory, long journal, int available, int used, int call)
            throws MalformedRingException {
        name = kind.name;
        size = kind.size;
        mask = size - 1;
        eventIndex = kind.eventIndex;
        indirect = kind.indirect;
        deviceWrites = kind.deviceWrites;
        this.area = area;
        this.memory = memory;
        this.journal = journal;
        this.call = call;
        seen = available & 0xffff;
        ahead = seen;
        done = seen;
        this.used = used & 0xffff;
        published = this.used;
        record();
        look();
    }

    /**
     * Replaces the memory; look-ahead has been rewound.
     *
     * @param newArea where the ring lies now
     * @param newMemory the new memory
     */
    public void memory(RingArea newArea, MemoryTable newMemory) {
        area = newArea;
        memory = newMemory;
    }

    /**
     * Replaces the call descriptor.
     *
     * @param number an eventfd, or -1
     */
    public void call(int number) {
        call = number;
    }

    /**
     * Begins or ends to log what is written.
     *
     * @param to what is logged from now on
     */
    public void log(RingLog to) {
        bufferLog = to.buffers() ? to.file() : null;
        usedLog = to.usedAt() >= 0 ? to.file() : null;
        usedLogAt = to.usedAt();
    }

    /**
     * Whether what is written into buffers is logged.
     *
     * @return whether {@link #written} has to be told of it
     */
    public boolean logsBuffers() {
        return bufferLog != null;
    }

    /**
     * Logs what was written into a buffer. Only while {@link #logsBuffers}.
     *
     * @param at its address, of an iovec of {@link #gather}
     * @param bytes how much
     */
    public void written(long at, long bytes) {
        bufferLog.mark(memory.guestOfHost(at), bytes);
    }

    /**
     * Looks at the driver's index.
     *
     * @return chains that are available and not parsed
     * @throws MalformedRingException it is too far ahead
     */
    public int look() throws MalformedRingException {
        int index = (short) SHORT.getAcquire(MEMORY, area.available + SplitRingLayout.INDEX) & 0xffff;
        if ((index - done & 0xffff) > size) {
            throw new MalformedRingException(Rule.INDEX_TOO_FAR, name + ": available index " + index + " is more than " + size
                    + " ahead of " + done);
        }
        seen = index;
        return index - ahead & 0xffff;
    }

    /**
     * Chains that were parsed and not given back.
     *
     * @return their number
     */
    public int outstanding() {
        return ahead - done & 0xffff;
    }

    /**
     * Entries of the ring.
     *
     * @return the size
     */
    public int size() {
        return size;
    }

    /**
     * Next available entry that was not given back.
     *
     * @return 16 bits
     */
    public int available() {
        return done;
    }

    /**
     * Next used entry to write.
     *
     * @return 16 bits
     */
    public int used() {
        return used;
    }

    /** Undoes the look-ahead: parsed chains will be parsed again. */
    public void rewind() {
        ahead = done;
    }

    /**
     * The head of the next chain to parse. Only after {@link #look} said that there is one.
     *
     * @return index of its first descriptor
     * @throws MalformedRingException it is beyond the table
     */
    public int head() throws MalformedRingException {
        int head = MEMORY.get(JAVA_SHORT, area.available + SplitRingLayout.RING + 2L * (ahead & mask)) & 0xffff;
        if (head >= size) {
            throw new MalformedRingException(Rule.HEAD_OUT_OF_RANGE, name + ": available entry " + (ahead & mask) + " names descriptor "
                    + head + " of " + size);
        }
        return head;
    }

    /**
     * Parses the chain at a head and moves on.
     *
     * @param head of {@link #head}
     * @param iovecs address of room for iovecs
     * @param capacity how many
     * @param skip bytes to leave out at the chain's beginning
     * @return iovecs written, or -1: there was not enough room for them, and nothing moved
     * @throws MalformedRingException the chain breaks a rule
     */
    public int gather(int head, long iovecs, int capacity, int skip) throws MalformedRingException {
        long table = area.descriptors;
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
                throw new MalformedRingException(Rule.CHAIN_TOO_LONG, name + ": chain at " + head + " has more than " + entries
                        + " descriptors: it loops");
            }
            total += length;
            if (total > Integer.MAX_VALUE) {
                throw new MalformedRingException(Rule.LENGTH_OVERFLOW, name + ": chain at " + head + " has more than "
                        + Integer.MAX_VALUE + " bytes");
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

    /**
     * Bytes of the chain that was parsed last, those left out included.
     *
     * @return its length
     */
    public int chainBytes() {
        return chainBytes;
    }

    /**
     * Descriptors of the ring's own table that the chain takes that was parsed last.
     *
     * @return at least 1
     */
    public int chainDescriptors() {
        return chainDescriptors;
    }

    private int translate(int head, long address, long length, long to, int capacity) throws MalformedRingException {
        long at = memory.host(address, length);
        if (at != MemoryTable.NONE) {
            if (capacity < 1) {
                return -1;
            }
            MEMORY.set(JAVA_LONG, to, at);
            MEMORY.set(JAVA_LONG, to + 8, length);
            return 1;
        }
        return translatePieces(head, address, length, to, capacity);
    }

    /** A buffer that crosses from one region into the next. */
    private int translatePieces(int head, long address, long length, long to, int capacity) throws MalformedRingException {
        long from = address;
        long rest = length;
        int n = 0;
        while (rest > 0) {
            int region = memory.find(from);
            if (region < 0) {
                throw new MalformedRingException(Rule.ADDRESS_OUTSIDE, name + ": chain at " + head + " has a buffer of " + length
                        + " bytes at 0x" + Long.toHexString(address) + ", which is not in guest memory");
            }
            long part = Math.min(rest, memory.left(region, from));
            if (n == capacity) {
                return -1;
            }
            MEMORY.set(JAVA_LONG, to + (long) n * IOVEC, memory.host(region, from));
            MEMORY.set(JAVA_LONG, to + (long) n * IOVEC + 8, part);
            from += part;
            rest -= part;
            n++;
        }
        return n;
    }

    private long indirectTable(long address, long length, int flags, boolean inside) throws MalformedRingException {
        if (!indirect) {
            throw new MalformedRingException(Rule.INDIRECT_NOT_NEGOTIATED, name + ": an indirect descriptor, not negotiated");
        }
        if (inside || (flags & SplitRingLayout.NEXT) != 0) {
            throw new MalformedRingException(Rule.NESTED_INDIRECT, name + ": an indirect descriptor inside a table, or with NEXT");
        }
        if (length == 0 || length % SplitRingLayout.DESCRIPTOR != 0 || length / SplitRingLayout.DESCRIPTOR > 65536) {
            throw new MalformedRingException(Rule.INDIRECT_LENGTH, name + ": an indirect table of " + length + " bytes");
        }
        long at = memory.host(address, length);
        if (at == MemoryTable.NONE) {
            throw new MalformedRingException(Rule.ADDRESS_OUTSIDE, name + ": an indirect table of " + length + " bytes at 0x"
                    + Long.toHexString(address) + ", which is not in guest memory");
        }
        return at;
    }

    private MalformedRingException direction(int head) {
        return deviceWrites
                ? new MalformedRingException(Rule.READABLE_IN_RECEIVE, name + ": chain at " + head + " has a read-only buffer")
                : new MalformedRingException(Rule.WRITABLE_IN_TRANSMIT, name + ": chain at " + head + " has a buffer to be written");
    }

    /**
     * Gives a chain back, in the order of parsing. The driver sees it at {@link #publish}; a successor of this process sees it after
     * {@link #record}.
     *
     * @param head of the chain
     * @param bytes what the device wrote
     */
    public void put(int head, int bytes) {
        long at = area.used + SplitRingLayout.RING + 8L * (used & mask);
        MEMORY.set(JAVA_LONG_UNALIGNED, at, head & 0xffffffffL | (long) bytes << 32);
        used = used + 1 & 0xffff;
        done = done + 1 & 0xffff;
    }

    /**
     * Gives the next chain back without looking at its buffers.
     *
     * @throws MalformedRingException its head is beyond the table
     */
    public void discard() throws MalformedRingException {
        int head = head();
        ahead = ahead + 1 & 0xffff;
        put(head, 0);
    }

    /** Writes the journal: what was {@link #put} so far is done. */
    public void record() {
        LONG.setRelease(MEMORY, journal, RingJournal.word(done, used));
    }

    /**
     * Shows the driver what was given back.
     *
     * @return whether the driver wants to be called
     */
    public boolean publish() {
        if (published == used && signalledValid) {
            return false;
        }
        int old = signalled;
        int from = published;
        SHORT.setRelease(MEMORY, area.used + SplitRingLayout.INDEX, (short) used);
        published = used;
        if (usedLog != null) {
            logUsed(from);
        }
        VarHandle.fullFence();
        boolean first = !signalledValid;
        signalledValid = true;
        signalled = used;
        if (!eventIndex) {
            return (MEMORY.get(JAVA_SHORT, area.available) & SplitRingLayout.NO_INTERRUPT) == 0;
        }
        int event = MEMORY.get(JAVA_SHORT, area.available + SplitRingLayout.RING + 2L * size) & 0xffff;
        return first || (used - event - 1 & 0xffff) < (used - old & 0xffff);
    }

    /** The index, with the flags beside it, and the entries that it shows. */
    private void logUsed(int from) {
        usedLog.mark(usedLogAt, SplitRingLayout.RING);
        int n = used - from & 0xffff;
        int first = Math.min(n, size - (from & mask));
        usedLog.mark(usedLogAt + SplitRingLayout.RING + 8L * (from & mask), 8L * first);
        usedLog.mark(usedLogAt + SplitRingLayout.RING, 8L * (n - first));
    }

    private void logUsed(long offset, long bytes) {
        if (usedLog != null) {
            usedLog.mark(usedLogAt + offset, bytes);
        }
    }

    /** Shows the driver what was given back and calls it if it wants to be. */
    public void publishAndCall() {
        if (published == used && signalledValid) {
            return;
        }
        if (publish() && call >= 0) {
            EventFd.signal(call);
        }
    }

    /** Calls the driver once, whatever it asked for: after a start it may wait for a call that a predecessor owed it. */
    public void callOnce() {
        if (call >= 0) {
            EventFd.signal(call);
        }
    }

    /** Tells the driver that it need not kick. */
    public void kicksOff() {
        if (!eventIndex) {
            MEMORY.set(JAVA_SHORT, area.used, (short) SplitRingLayout.NO_NOTIFY);
            logUsed(0, 2);
        }
    }

    /**
     * Asks the driver for a kick when it makes chains available beyond those seen.
     *
     * @return true: there are some already
     * @throws MalformedRingException its index is too far ahead
     */
    public boolean kicksOn() throws MalformedRingException {
        int before = seen;
        if (eventIndex) {
            MEMORY.set(JAVA_SHORT, area.used + SplitRingLayout.RING + 8L * size, (short) before);
            logUsed(SplitRingLayout.RING + 8L * size, 2);
        } else {
            MEMORY.set(JAVA_SHORT, area.used, (short) 0);
            logUsed(0, 2);
        }
        VarHandle.fullFence();
        look();
        return seen != before;
    }

    /**
     * Writes num_buffers or other header fields into a frame.
     *
     * @param address where
     * @param value 16 bits
     */
    public static void putShort(long address, int value) {
        MEMORY.set(JAVA_SHORT_UNALIGNED, address, (short) value);
    }

    /**
     * Base of an iovec.
     *
     * @param iovec its address
     * @return address of the bytes
     */
    public static long base(long iovec) {
        return MEMORY.get(JAVA_LONG, iovec);
    }

    /**
     * Length of an iovec.
     *
     * @param iovec its address
     * @return bytes
     */
    public static long length(long iovec) {
        return MEMORY.get(JAVA_LONG, iovec + 8);
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

    /**
     * Reads a byte of each page, so that the first real access does not wait.
     *
     * @param address where
     * @param bytes how much
     */
    static void touch(long address, long bytes) {
        for (long at = address & -4096L; at < address + bytes; at += 4096) {
            int ignored = MEMORY.get(JAVA_INT_UNALIGNED, Math.max(at, address) & -4L);
        }
    }

    @Override
    public String toString() {
        return name + " size " + size + " available " + done + " used " + used;
    }
}
