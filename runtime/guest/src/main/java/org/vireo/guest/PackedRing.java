// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import static org.vireo.guest.GuestRam.MEMORY;

import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import org.vireo.vhostuser.VringAddress;

/**
 * A packed virtqueue in guest memory, from the driver's side (virtio 1.2, 2.8): fields and their memory order, no rules. Tests that
 * play a hostile driver write it directly. The driver makes descriptors available in the ring, and the device overwrites them with
 * those it gives back; a wrap counter that changes with each lap says whose a descriptor is.
 *
 * <pre>
 *  descriptor (16 bytes)   | 0 address | 8 length | 12 id | 14 flags |
 *  driver and device event | 0 position: 15 bits, wrap counter in bit 15 | 2 flags |
 * </pre>
 */
public final class PackedRing {
    /** Descriptor flag: the chain goes on with the next one. */
    public static final int NEXT = 1;
    /** Descriptor flag: the device writes; of a used one: it has written. */
    public static final int WRITE = 2;
    /** Descriptor flag: a table of descriptors. */
    public static final int INDIRECT = 4;
    /** Descriptor flag: equals the driver's wrap counter when the descriptor was made available. */
    public static final int AVAILABLE = 1 << 7;
    /** Descriptor flag: differs from {@link #AVAILABLE} while the descriptor is the device's, and equals it when it is used. */
    public static final int USED = 1 << 15;
    /** Event flags: notify. */
    public static final int ENABLE = 0;
    /** Event flags: do not notify. */
    public static final int DISABLE = 1;
    /** Event flags: notify when a position is passed; with EVENT_IDX only. */
    public static final int AT_POSITION = 2;
    /** The largest ring. */
    public static final int MAX_SIZE = 32768;
    /** Bit of the wrap counter in a position. */
    public static final int WRAP = 1 << 15;
    /** Length of either side's event suppression. */
    public static final int EVENT_BYTES = 4;
    /** Length of a descriptor. */
    public static final int DESCRIPTOR_BYTES = 16;

    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT;
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT;
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG;
    private static final VarHandle SHORT_ORDERED = SHORT.varHandle();
    private static final VarHandle INT_ORDERED = INT.varHandle();

    private final GuestRam ram;
    private final int size;
    private final long descriptorsGuest;
    private final long driverEventGuest;
    private final long deviceEventGuest;
    private final long descriptors;
    private final long driverEvent;
    private final long deviceEvent;

    /**
     * A ring in fresh memory, all zero.
     *
     * @param ram where
     * @param size entries, any number up to {@link #MAX_SIZE}
     */
    public PackedRing(GuestRam ram, int size) {
        if (size < 1 || size > MAX_SIZE) {
            throw new IllegalArgumentException("ring size " + size + " is not between 1 and " + MAX_SIZE);
        }
        this.ram = ram;
        this.size = size;
        descriptorsGuest = ram.allocate((long) DESCRIPTOR_BYTES * size, 16);
        driverEventGuest = ram.allocate(EVENT_BYTES, 64);
        deviceEventGuest = ram.allocate(EVENT_BYTES, 64);
        descriptors = ram.address(descriptorsGuest);
        driverEvent = ram.address(driverEventGuest);
        deviceEvent = ram.address(deviceEventGuest);
    }

    /** Its entries. */
    public int size() {
        return size;
    }

    /** Where it is, as SET_VRING_ADDR says it. */
    public VringAddress addresses(int index) {
        return new VringAddress(index, 0, ram.user(descriptorsGuest), ram.user(deviceEventGuest), ram.user(driverEventGuest), 0);
    }

    /** Guest address of the descriptors. */
    public long descriptorsGuest() {
        return descriptorsGuest;
    }

    /** Guest address of the driver's event suppression. */
    public long driverEventGuest() {
        return driverEventGuest;
    }

    /** Guest address of the device's event suppression. */
    public long deviceEventGuest() {
        return deviceEventGuest;
    }

    /** Writes a descriptor but for its flags, with which it changes hands. */
    public void descriptor(int position, long address, int length, int id) {
        long at = descriptors + (long) DESCRIPTOR_BYTES * position;
        MEMORY.set(LONG, at, address);
        MEMORY.set(INT, at + 8, length);
        MEMORY.set(SHORT, at + 12, (short) id);
    }

    /** Stores a descriptor's flags (plain), for all but the first that is shown. */
    public void flags(int position, int flags) {
        MEMORY.set(SHORT, descriptors + (long) DESCRIPTOR_BYTES * position + 14, (short) flags);
    }

    /** Stores a descriptor's flags (release): shows it, and what was written before it. */
    public void publishFlags(int position, int flags) {
        SHORT_ORDERED.setRelease(MEMORY, descriptors + (long) DESCRIPTOR_BYTES * position + 14, (short) flags);
    }

    /** A descriptor's flags (acquire). */
    public int flags(int position) {
        return (short) SHORT_ORDERED.getAcquire(MEMORY, descriptors + (long) DESCRIPTOR_BYTES * position + 14) & 0xffff;
    }

    /** A descriptor's buffer id. */
    public int id(int position) {
        return MEMORY.get(SHORT, descriptors + (long) DESCRIPTOR_BYTES * position + 12) & 0xffff;
    }

    /** A descriptor's length; of a used one: how many bytes the device says it wrote. */
    public int length(int position) {
        return MEMORY.get(INT, descriptors + (long) DESCRIPTOR_BYTES * position + 8);
    }

    /** Writes an entry of an indirect table. Neither id nor NEXT mean anything there. */
    public static void writeIndirect(long at, long address, int length, int flags) {
        MEMORY.set(LONG, at, address);
        MEMORY.set(INT, at + 8, length);
        MEMORY.set(SHORT, at + 12, (short) 0);
        MEMORY.set(SHORT, at + 14, (short) flags);
    }

    /** Stores which calls the driver wants, in one piece. */
    public void driverEvent(int position, int flags) {
        INT_ORDERED.setOpaque(MEMORY, driverEvent, flags << 16 | position & 0xffff);
    }

    /** Which kicks the device wants, read in one piece: the position in the low half, the flags in the high one. */
    public int deviceEvent() {
        return (int) INT_ORDERED.getOpaque(MEMORY, deviceEvent);
    }

    /** The two flags of a descriptor that the driver makes available in a lap. */
    public static int available(boolean wrap) {
        return wrap ? AVAILABLE : USED;
    }

    /** Whether flags are those of a descriptor that the device has used in a lap. */
    public static boolean isUsed(int flags, boolean wrap) {
        return (flags & (AVAILABLE | USED)) == (wrap ? AVAILABLE | USED : 0);
    }

    /** A position with its wrap counter, as events and SET_VRING_BASE have it. */
    public static int position(int position, boolean wrap) {
        return wrap ? position | WRAP : position;
    }

    /**
     * Whether moving on passed the position that the other side asked for (virtio 1.2, 2.8.10).
     *
     * @param event the other side's wish, with its wrap counter
     * @param now the position after, with its wrap counter
     * @param moved descriptors between before and after, at most a lap
     * @param size of the ring
     * @return whether to notify
     */
    public static boolean passed(int event, int now, int moved, int size) {
        int at = event & WRAP - 1;
        if (((event ^ now) & WRAP) != 0) {
            at -= size; // of the lap before
        }
        return ((now & WRAP - 1) - at - 1 & 0xffff) < moved;
    }
}
