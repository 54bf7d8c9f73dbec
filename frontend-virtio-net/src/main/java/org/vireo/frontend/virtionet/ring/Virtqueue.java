// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.ring;

import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;

import java.lang.foreign.MemorySegment;
import java.lang.invoke.VarHandle;
import org.vireo.frontend.virtionet.memory.DirtyLog;
import org.vireo.frontend.virtionet.memory.MemoryTable;
import org.vireo.frontend.virtionet.ring.MalformedRingException.Rule;
import org.vireo.posix.linux.EventFd;
import org.vireo.posix.linux.SharedMemory;

/**
 * The device side of a running virtqueue (virtio 1.2, section 2.6), of either layout. Passive: no thread, no poll; one thread at a time
 * uses it. All that a driver writes is read once and then checked. It allocates nothing but its exceptions.
 *
 * <p>Chains are looked at, parsed, and given back in the order of parsing. {@link #rewind} undoes the look-ahead; what was given back and
 * recorded is done, and is what the journal keeps.
 */
public abstract sealed class Virtqueue permits SplitVirtqueue, PackedVirtqueue {
    /** Bytes of a struct iovec. */
    public static final int IOVEC = 16;

    static final MemorySegment MEMORY = SharedMemory.addressSpace();
    private static final VarHandle LONG = JAVA_LONG.varHandle();
    private static final int MOST_INDIRECT = 65536;

    /** For messages. */
    final String name;
    /** Entries. */
    final int size;
    /** VIRTIO_F_EVENT_IDX. */
    final boolean eventIndex;
    /** Whether buffers are for received frames, not for frames to transmit. */
    final boolean deviceWrites;
    /** Where it lies. */
    RingArea area;
    /** For its buffers. */
    MemoryTable memory;
    /** Bytes of the chain that was parsed last. */
    int chainBytes;
    /** Descriptors of the ring that it takes. */
    int chainDescriptors;
    /** Where what is written into buffers is logged, and what into the device's area; null while it is not. */
    DirtyLog bufferLog;
    /** See {@link #bufferLog}. */
    DirtyLog usedLog;
    /** Guest address that writes to the device's area are logged under. */
    long usedLogAt;

    private final boolean indirect;
    private final long journal;
    private int call;
    private int logEvent = RingLog.NO_EVENT;
    /** Whether something was logged since {@link #tellLogged}. */
    private boolean logged;

    /**
     * Where a ring lies in this process.
     *
     * @param descriptors address of the descriptors
     * @param available address of the driver's area: the available ring, or the driver's event suppression
     * @param used address of the device's area: the used ring, or the device's event suppression
     */
    public record RingArea(long descriptors, long available, long used) { }

    /**
     * What was negotiated for a ring.
     *
     * @param name for messages
     * @param size entries
     * @param packed VIRTIO_F_RING_PACKED
     * @param eventIndex VIRTIO_F_EVENT_IDX
     * @param indirect VIRTIO_F_INDIRECT_DESC
     * @param deviceWrites true: buffers for received frames; false: frames to transmit
     */
    public record Kind(String name, int size, boolean packed, boolean eventIndex, boolean indirect, boolean deviceWrites) { }

    Virtqueue(Kind kind, RingArea area, MemoryTable memory, long journal, int call, RingLog log) {
        name = kind.name;
        size = kind.size;
        eventIndex = kind.eventIndex;
        indirect = kind.indirect;
        deviceWrites = kind.deviceWrites;
        this.area = area;
        this.memory = memory;
        this.journal = journal;
        this.call = call;
        log(log);
    }

    /**
     * A running ring.
     *
     * @param kind what was negotiated
     * @param area where it lies, checked by {@link RingAreas}
     * @param memory for its buffers
     * @param journal address of the ring's journal word in the NIC block
     * @param available next available entry to look at
     * @param used next used entry to write; what a packed ring was given and did not give back is looked at again
     * @param call number of the call eventfd, or -1
     * @param inflight the ring's part of the VMM's in-flight memory, which then says more of the position; or null
     * @param log what of its writes is logged, of those too that finish what a predecessor began
     * @return the ring
     * @throws MalformedRingException the driver's index, a position, or what the in-flight memory says, is impossible
     */
    public static Virtqueue of(Kind kind, RingArea area, MemoryTable memory, long journal, int available, int used, int call,
            InflightSlot inflight, RingLog log) throws MalformedRingException {
        return kind.packed
                ? new PackedVirtqueue(kind, area, memory, journal, used, call, inflight, log)
                : new SplitVirtqueue(kind, area, memory, journal, available, used, call, inflight, log);
    }

    /**
     * Replaces the memory; look-ahead has been rewound.
     *
     * @param newArea where the ring lies now
     * @param newMemory the new memory
     */
    public final void memory(RingArea newArea, MemoryTable newMemory) {
        area = newArea;
        memory = newMemory;
    }

    /**
     * Replaces the call descriptor.
     *
     * @param number an eventfd, or -1
     */
    public final void call(int number) {
        call = number;
    }

    /**
     * Begins or ends to log what is written.
     *
     * @param to what is logged from now on
     */
    public final void log(RingLog to) {
        bufferLog = to.buffers() ? to.file() : null;
        usedLog = to.usedAt() >= 0 ? to.file() : null;
        usedLogAt = to.usedAt();
        logEvent = to.event();
    }

    /**
     * Whether what is written into buffers is logged.
     *
     * @return whether {@link #written} has to be told of it
     */
    public final boolean logsBuffers() {
        return bufferLog != null;
    }

    /**
     * Logs what was written into a buffer. Only while {@link #logsBuffers}.
     *
     * @param at its address, of an iovec of {@link #gather}
     * @param bytes how much
     */
    public final void written(long at, long bytes) {
        mark(bufferLog, memory.guestOfHost(at), bytes);
    }

    final void mark(DirtyLog log, long guest, long bytes) {
        log.mark(guest, bytes);
        logged = true;
    }

    /** Tells who waits for the log to be written to that it was. Once a batch. */
    public final void tellLogged() {
        if (logged) {
            logged = false;
            if (logEvent >= 0) {
                EventFd.signal(logEvent);
            }
        }
    }

    final void logUsed(long offset, long bytes) {
        if (usedLog != null) {
            mark(usedLog, usedLogAt + offset, bytes);
        }
    }

    /**
     * Looks at what the driver made available.
     *
     * @return chains that are available and not parsed; of a packed ring 1 if there are any: it cannot tell more
     * @throws MalformedRingException a split ring's index is too far ahead
     */
    public abstract int look() throws MalformedRingException;

    /**
     * Chains that were parsed and not given back.
     *
     * @return their number
     */
    public abstract int outstanding();

    /**
     * Entries of the ring.
     *
     * @return the size
     */
    public final int size() {
        return size;
    }

    /**
     * Next available entry that was not given back.
     *
     * @return 16 bits
     */
    public abstract int available();

    /**
     * Next used entry to write.
     *
     * @return 16 bits
     */
    public abstract int used();

    /** Undoes the look-ahead: parsed chains will be parsed again. */
    public abstract void rewind();

    /**
     * Chains that a predecessor had taken, as the VMM's in-flight memory says, and that were not given back since. Nothing but that memory
     * says which they are.
     *
     * @return their number
     */
    abstract int inherited();

    /**
     * The ring stops, and the VMM will be told a position: chains that nothing but in-flight memory knows are given back without looking at
     * their buffers, up to one that is malformed. Rewound.
     */
    public final void drain() {
        int n = inherited();
        if (n == 0) {
            return;
        }
        try {
            for (; n > 0; n--) {
                discard();
            }
        } catch (MalformedRingException e) {
            rewind();
        }
        record();
        publishAndCall();
        tellLogged();
    }

    /**
     * Parses the next chain and moves on. Only after {@link #look} said that there is one.
     *
     * @param iovecs address of room for iovecs
     * @param capacity how many
     * @param skip bytes to leave out at the chain's beginning
     * @return iovecs written, or -1: there was not enough room for them, and nothing moved
     * @throws MalformedRingException the chain breaks a rule; nothing moved
     */
    public abstract int gather(long iovecs, int capacity, int skip) throws MalformedRingException;

    /**
     * The chain that was parsed last, or that could not be.
     *
     * @return its head, or its buffer id: what {@link #put} gives back
     */
    public abstract int chain();

    /**
     * Bytes of the chain that was parsed last, those left out included.
     *
     * @return its length
     */
    public final int chainBytes() {
        return chainBytes;
    }

    /**
     * Descriptors of the ring itself that the chain takes that was parsed last.
     *
     * @return at least 1
     */
    public final int chainDescriptors() {
        return chainDescriptors;
    }

    /**
     * Gives a chain back, in the order of parsing. It is done with {@link #record}.
     *
     * @param chain of {@link #chain}
     * @param bytes what the device wrote
     */
    public abstract void put(int chain, int bytes);

    /**
     * Gives the next chain back without looking at its buffers.
     *
     * @throws MalformedRingException it has no end
     */
    public abstract void discard() throws MalformedRingException;

    /** What was {@link #put} so far is done: a successor of this process goes on behind it. */
    public abstract void record();

    /**
     * Shows the driver what was given back.
     *
     * @return whether the driver wants to be called
     */
    public abstract boolean publish();

    /**
     * Whether {@link #publish} has something to do.
     *
     * @return whether something was given back since
     */
    abstract boolean unpublished();

    /** Shows the driver what was given back and calls it if it wants to be. */
    public final void publishAndCall() {
        if (unpublished() && publish() && call >= 0) {
            EventFd.signal(call);
        }
    }

    /** Calls the driver once, whatever it asked for: after a start it may wait for a call that a predecessor owed it. */
    public final void callOnce() {
        if (call >= 0) {
            EventFd.signal(call);
        }
    }

    /** Tells the driver that it need not kick. */
    public abstract void kicksOff();

    /**
     * Asks the driver for a kick when it makes chains available beyond those seen.
     *
     * @return true: there are some already
     * @throws MalformedRingException its index is too far ahead
     */
    public abstract boolean kicksOn() throws MalformedRingException;

    final void journal(long word) {
        LONG.setRelease(MEMORY, journal, word);
    }

    final long journal() {
        return (long) LONG.getAcquire(MEMORY, journal);
    }

    // ---- buffers

    /** Writes the iovecs of a buffer; how many, or -1 if there is not enough room. */
    final int translate(int chain, long address, long length, long to, int capacity) throws MalformedRingException {
        long at = memory.host(address, length);
        if (at != MemoryTable.NONE) {
            if (capacity < 1) {
                return -1;
            }
            MEMORY.set(JAVA_LONG, to, at);
            MEMORY.set(JAVA_LONG, to + 8, length);
            return 1;
        }
        return translatePieces(chain, address, length, to, capacity);
    }

    /** A buffer that crosses from one region into the next. */
    private int translatePieces(int chain, long address, long length, long to, int capacity) throws MalformedRingException {
        long from = address;
        long rest = length;
        int n = 0;
        while (rest > 0) {
            int region = memory.find(from);
            if (region < 0) {
                throw new MalformedRingException(Rule.ADDRESS_OUTSIDE, name + ": chain at " + chain + " has a buffer of " + length
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

    /** Where an indirect table lies. */
    final long indirectTable(long address, long length, int flags, boolean inside) throws MalformedRingException {
        if (!indirect) {
            throw new MalformedRingException(Rule.INDIRECT_NOT_NEGOTIATED, name + ": an indirect descriptor, not negotiated");
        }
        if (inside || (flags & SplitRingLayout.NEXT) != 0) {
            throw new MalformedRingException(Rule.NESTED_INDIRECT, name + ": an indirect descriptor inside a table, or with NEXT");
        }
        if (length == 0 || length % SplitRingLayout.DESCRIPTOR != 0 || length / SplitRingLayout.DESCRIPTOR > MOST_INDIRECT) {
            throw new MalformedRingException(Rule.INDIRECT_LENGTH, name + ": an indirect table of " + length + " bytes");
        }
        long at = memory.host(address, length);
        if (at == MemoryTable.NONE) {
            throw new MalformedRingException(Rule.ADDRESS_OUTSIDE, name + ": an indirect table of " + length + " bytes at 0x"
                    + Long.toHexString(address) + ", which is not in guest memory");
        }
        return at;
    }

    final MalformedRingException direction(int chain) {
        return deviceWrites
                ? new MalformedRingException(Rule.READABLE_IN_RECEIVE, name + ": chain at " + chain + " has a read-only buffer")
                : new MalformedRingException(Rule.WRITABLE_IN_TRANSMIT, name + ": chain at " + chain + " has a buffer to be written");
    }

    final MalformedRingException tooLong(int chain, int entries) {
        return new MalformedRingException(Rule.CHAIN_TOO_LONG, name + ": chain at " + chain + " has more than " + entries
                + " descriptors: it loops");
    }

    final MalformedRingException overflow(int chain) {
        return new MalformedRingException(Rule.LENGTH_OVERFLOW, name + ": chain at " + chain + " has more than " + Integer.MAX_VALUE
                + " bytes");
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
        return name + " size " + size + " available " + available() + " used " + used();
    }
}
