// SPDX-License-Identifier: Apache-2.0
package org.vireo.vhostuser;

/**
 * A packed ring's part of the memory in which a back-end notes what it has taken and not given back ("Inflight I/O tracking"). Native byte
 * order.
 *
 * <pre>
 *  0          8         10         12          14              16         18             20          21              22        32
 *  | features | version | desc_num | free_head | old_free_head | used_idx | old_used_idx | used_wrap | old_used_wrap | padding | desc[n]:
 *
 *  0          1         2      4      6     8         16   18      20    24     32
 *  | inflight | padding | next | last | num | counter | id | flags | len | addr |   copies of descriptors, chains and a list of free ones
 * </pre>
 *
 * <p>What is written before a batch is given back, and after it, lies in one aligned word each: {@link #FREE} and {@link #USED}.
 */
public final class PackedInflightLayout {
    /** Bytes before the first entry. */
    public static final int HEADER = 32;
    /** Bytes of an entry. */
    public static final int ENTRY = 32;
    /** Offset of the version, 16 bits; 0: nothing was written yet. */
    public static final int VERSION = 8;
    /** Offset of free_head and old_free_head, 32 bits together. */
    public static final int FREE = 12;
    /** Offset of used_idx, old_used_idx, used_wrap and old_used_wrap, 64 bits together with two bytes of the padding. */
    public static final int USED = 16;
    /** In an entry: inflight, next, last and num of a chain's head, 64 bits together; inflight alone is its first byte. */
    public static final int HEAD = 0;
    /** In an entry: the next free one, or the next one of a chain, 16 bits. */
    public static final int NEXT = 2;
    /** In a head's entry: the order of taking, 64 bits. */
    public static final int COUNTER = 8;
    /** In an entry: the descriptor's buffer id, flags and length, 64 bits together. */
    public static final int WORD = 16;
    /** In an entry: the descriptor's address, 64 bits. */
    public static final int ADDRESS = 24;
    /** Of a position: the index; bit 15 is the wrap counter. */
    public static final int INDEX = 0x7fff;

    private static final int WRAP = 0x8000;

    private PackedInflightLayout() {
    }

    /**
     * Bytes that a ring needs.
     *
     * @param entries of it
     * @return header and entries
     */
    public static long bytes(int entries) {
        return HEADER + (long) ENTRY * entries;
    }

    /**
     * Bytes from a ring's part to the next one's, as peers compute them.
     *
     * @param entries of each ring
     * @return a multiple of 64
     */
    public static long stride(int entries) {
        return bytes(entries) + SplitInflightLayout.ALIGNMENT - 1 & -SplitInflightLayout.ALIGNMENT;
    }

    /**
     * The word at {@link #USED}.
     *
     * @param used where the driver will look next, when what is being given back is: an index with the wrap counter in bit 15
     * @param old where it looks until then
     * @return both
     */
    public static long used(int used, int old) {
        long wraps = (used & WRAP) >>> 15 | (old & WRAP) >>> 7;
        return used & INDEX | (old & INDEX) << 16 | wraps << 32;
    }

    /**
     * Where the driver will look next, when what is being given back is.
     *
     * @param word at {@link #USED}
     * @return an index with the wrap counter in bit 15
     */
    public static int used(long word) {
        return (int) word & INDEX | ((word >>> 32 & 0xff) != 0 ? WRAP : 0);
    }

    /**
     * Where the driver looks until then. If both are the same, nothing is being given back.
     *
     * @param word at {@link #USED}
     * @return an index with the wrap counter in bit 15
     */
    public static int oldUsed(long word) {
        return (int) (word >>> 16) & INDEX | ((word >>> 40 & 0xff) != 0 ? WRAP : 0);
    }

    /**
     * Whether what was being given back is: the first descriptor of it is written last ("When reconnecting").
     *
     * @param flags of the descriptor at the old position, in the ring
     * @param old the old position
     * @return whether it is no longer available to the device
     */
    public static boolean isCommitted(int flags, int old) {
        boolean available = (flags & 1 << 7) != 0;
        boolean used = (flags & 1 << 15) != 0;
        boolean wrap = (old & WRAP) != 0;
        return available != wrap || used == wrap;
    }
}
