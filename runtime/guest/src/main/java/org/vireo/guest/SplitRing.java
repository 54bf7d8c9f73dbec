// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import static org.vireo.guest.GuestRam.MEMORY;

import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import org.vireo.vhostuser.VringAddress;

/**
 * A split virtqueue in guest memory, from the driver's side (virtio 1.2, 2.7): fields and their memory order, no rules. Tests that
 * play a hostile driver write it directly. Indices are 16 bit, given and taken as ints; positions wrap at the ring's size.
 *
 * <pre>
 *  descriptor (16 bytes)   | 0 address | 8 length | 12 flags | 14 next |
 *  available               | 0 flags | 2 idx | 4 ring[size] u16 | used_event |
 *  used                    | 0 flags | 2 idx | 4 ring[size] {u32 id, u32 length} | avail_event |
 * </pre>
 */
public final class SplitRing {
    /** Descriptor flag: the chain goes on at next. */
    public static final int NEXT = 1;
    /** Descriptor flag: the device writes. */
    public static final int WRITE = 2;
    /** Descriptor flag: a table of descriptors. */
    public static final int INDIRECT = 4;
    /** Length of a descriptor. */
    public static final int DESCRIPTOR_BYTES = 16;

    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT;
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT;
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG;
    private static final VarHandle SHORT_ORDERED = SHORT.varHandle();

    private final GuestRam ram;
    private final int size;
    private final long descriptorsGuest;
    private final long availableGuest;
    private final long usedGuest;
    private final long descriptors;
    private final long available;
    private final long used;

    /**
     * A ring in fresh memory, all zero.
     *
     * @param ram where
     * @param size entries, a power of two
     */
    public SplitRing(GuestRam ram, int size) {
        if (size < 1 || size > 32768 || Integer.bitCount(size) != 1) {
            throw new IllegalArgumentException("ring size " + size + " is not a power of two up to 32768");
        }
        this.ram = ram;
        this.size = size;
        descriptorsGuest = ram.allocate((long) DESCRIPTOR_BYTES * size, 16);
        availableGuest = ram.allocate(6 + 2L * size, 64);
        usedGuest = ram.allocate(usedBytes(size), 64);
        descriptors = ram.address(descriptorsGuest);
        available = ram.address(availableGuest);
        used = ram.address(usedGuest);
    }

    /** Length of a used ring, with the device's avail_event. */
    public static long usedBytes(int entries) {
        return 6 + 8L * entries;
    }

    /** Its entries. */
    public int size() {
        return size;
    }

    /** Where it is, as SET_VRING_ADDR says it. */
    public VringAddress addresses(int index) {
        return new VringAddress(index, 0, ram.user(descriptorsGuest), ram.user(usedGuest), ram.user(availableGuest), 0);
    }

    /** Guest address of the descriptor table. */
    public long descriptorsGuest() {
        return descriptorsGuest;
    }

    /** Guest address of the available ring. */
    public long availableGuest() {
        return availableGuest;
    }

    /** Guest address of the used ring. */
    public long usedGuest() {
        return usedGuest;
    }

    /** Writes a descriptor of the ring's own table. */
    public void descriptor(int i, long address, int length, int flags, int next) {
        writeDescriptor(descriptors + (long) DESCRIPTOR_BYTES * i, address, length, flags, next);
    }

    /** Writes a descriptor anywhere, e.g. into an indirect table. */
    public static void writeDescriptor(long at, long address, int length, int flags, int next) {
        MEMORY.set(LONG, at, address);
        MEMORY.set(INT, at + 8, length);
        MEMORY.set(SHORT, at + 12, (short) flags);
        MEMORY.set(SHORT, at + 14, (short) next);
    }

    /** Puts a head into the available ring; the device sees it after {@link #publishAvailable}. */
    public void available(int position, int head) {
        MEMORY.set(SHORT, available + 4 + 2L * (position & size - 1), (short) head);
    }

    /** Stores the available index (release). */
    public void publishAvailable(int index) {
        SHORT_ORDERED.setRelease(MEMORY, available + 2, (short) index);
    }

    /** The available index as it stands in memory. */
    public int availableIndex() {
        return MEMORY.get(SHORT, available + 2) & 0xffff;
    }

    /** Stores the driver's flags; 1: no calls please. */
    public void availableFlags(int flags) {
        SHORT_ORDERED.setOpaque(MEMORY, available, (short) flags);
    }

    /** Stores used_event: call when the used index passes it. */
    public void usedEvent(int index) {
        SHORT_ORDERED.setOpaque(MEMORY, available + 4 + 2L * size, (short) index);
    }

    /** The used index (acquire). */
    public int usedIndex() {
        return (short) SHORT_ORDERED.getAcquire(MEMORY, used + 2) & 0xffff;
    }

    /** The head that the device gave back. */
    public int usedId(int position) {
        return MEMORY.get(INT, used + 4 + 8L * (position & size - 1));
    }

    /** How many bytes the device says it wrote. */
    public int usedLength(int position) {
        return MEMORY.get(INT, used + 8 + 8L * (position & size - 1));
    }

    /** The device's flags; 1: no kicks please. */
    public int usedFlags() {
        return (short) SHORT_ORDERED.getOpaque(MEMORY, used);
    }

    /** The device's avail_event: kick when the available index passes it. */
    public int availEvent() {
        return (short) SHORT_ORDERED.getOpaque(MEMORY, used + 4 + 8L * size) & 0xffff;
    }

    /**
     * Whether moving an index passed the other side's event index (virtio 1.2, 2.7.10, vring_need_event).
     *
     * @param event the other side's wish
     * @param now the index after
     * @param before the index before
     * @return whether to notify
     */
    public static boolean passed(int event, int now, int before) {
        return (now - event - 1 & 0xffff) < (now - before & 0xffff);
    }
}
