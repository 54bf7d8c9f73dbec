// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.ring;

/**
 * Layout of a packed virtqueue (virtio 1.2, section 2.8). All fields are little-endian, which is native here.
 *
 * <pre>
 * descriptor, 16 bytes an entry             event suppression, of the driver and of the device
 * +---------------------------------+       +---------------------------------------+
 * | 0  address                      |       | 0  position (15), wrap counter (1)    |
 * | 8  length (32)                  |       | 2  flags (2)                          |
 * | 12 buffer id (16)  14 flags (16)|       +---------------------------------------+
 * +---------------------------------+
 * </pre>
 *
 * <p>Driver and device write the same descriptors. A wrap counter, which each side changes with each lap and begins with 1, says whose one
 * is: available if AVAILABLE equals the driver's and USED does not, used if both equal the device's. A position is an index with the wrap
 * counter in bit 15.
 */
public final class PackedRingLayout {
    /** Bytes of a descriptor. */
    public static final int DESCRIPTOR = 16;
    /** Offset of a descriptor's length, buffer id and flags, which are written in one piece. */
    public static final int DESCRIPTOR_WORD = 8;
    /** Offset of a descriptor's flags. */
    public static final int DESCRIPTOR_FLAGS = 14;
    /** Descriptor flag: there is a next one. */
    public static final int NEXT = 1;
    /** Descriptor flag: the device writes; of a used one: it has written. */
    public static final int WRITE = 2;
    /** Descriptor flag: the buffer is a table of descriptors. */
    public static final int INDIRECT = 4;
    /** Descriptor flag: the driver's wrap counter. */
    public static final int AVAILABLE = 1 << 7;
    /** Descriptor flag: the device's wrap counter. */
    public static final int USED = 1 << 15;
    /** Bytes of an event suppression structure. */
    public static final int EVENT_BYTES = 4;
    /** Event flags: notify. */
    public static final int ENABLE = 0;
    /** Event flags: do not notify. */
    public static final int DISABLE = 1;
    /** Event flags: notify when a position is passed; with EVENT_IDX only. */
    public static final int AT_POSITION = 2;
    /** Wrap counter in a position. */
    public static final int WRAP = 1 << 15;
    /** Index in a position. */
    public static final int INDEX = WRAP - 1;
    /** Largest ring; any size up to that is right. */
    public static final int MAX_SIZE = 32768;

    private PackedRingLayout() {
    }

    /**
     * Bytes of the descriptors.
     *
     * @param size entries
     * @return bytes
     */
    public static long descriptorBytes(int size) {
        return (long) DESCRIPTOR * size;
    }

    /**
     * Moves a position on.
     *
     * @param position index and wrap counter
     * @param n entries, at most a lap
     * @param size of the ring
     * @return index and wrap counter
     */
    public static int advance(int position, int n, int size) {
        int index = (position & INDEX) + n;
        return index < size ? position & WRAP | index : position & WRAP ^ WRAP | index - size;
    }

    /**
     * How far it is.
     *
     * @param from a position
     * @param to one that is at most a lap ahead of it
     * @param size of the ring
     * @return entries, 0 to the size
     */
    public static int distance(int from, int to, int size) {
        int n = (to & INDEX) - (from & INDEX);
        return ((from ^ to) & WRAP) == 0 ? n : n + size;
    }

    /**
     * Whether a descriptor is available to the device.
     *
     * @param flags its flags
     * @param position where it is
     * @return whether
     */
    public static boolean isAvailable(int flags, int position) {
        return (flags & (AVAILABLE | USED)) == ((position & WRAP) != 0 ? AVAILABLE : USED);
    }

    /**
     * Whether a descriptor was given back in this lap.
     *
     * @param flags its flags
     * @param position where it is
     * @return whether
     */
    public static boolean isUsed(int flags, int position) {
        return (flags & (AVAILABLE | USED)) == usedFlags(position);
    }

    /**
     * The two flags of a descriptor that is given back.
     *
     * @param position where it is
     * @return both, or none
     */
    public static int usedFlags(int position) {
        return (position & WRAP) != 0 ? AVAILABLE | USED : 0;
    }

    /**
     * Whether moving on passed a position at which the other side wants to be notified (2.8.10).
     *
     * @param event its wish, a position
     * @param now the position after moving
     * @param moved by how many entries
     * @param size of the ring
     * @return whether to notify
     */
    public static boolean passed(int event, int now, int moved, int size) {
        // one of the lap before, if the wrap counters differ
        int at = ((event ^ now) & WRAP) == 0 ? event & INDEX : (event & INDEX) - size;
        return moved >= size || ((now & INDEX) - at - 1 & 0xffff) < moved;
    }
}
