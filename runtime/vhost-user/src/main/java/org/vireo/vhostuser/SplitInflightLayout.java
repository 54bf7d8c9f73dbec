// SPDX-License-Identifier: Apache-2.0
package org.vireo.vhostuser;

/**
 * A split ring's part of the memory in which a back-end notes what it has taken and not given back ("Inflight I/O tracking"). Native byte
 * order.
 *
 * <pre>
 *  0          8         10         12                14         16
 *  | features | version | desc_num | last_batch_head | used_idx | desc[n]:
 *
 *  0          1         6      8         16
 *  | inflight | padding | next | counter |             an entry for each descriptor; that of a chain's head counts
 * </pre>
 */
public final class SplitInflightLayout {
    /** Bytes before the first entry. */
    public static final int HEADER = 16;
    /** Bytes of an entry. */
    public static final int ENTRY = 16;
    /** Offset of the features, 64 bits: 0. */
    public static final int FEATURES = 0;
    /** Offset of the version, 16 bits; 0: nothing was written yet. */
    public static final int VERSION = 8;
    /** Offset of the number of entries, 16 bits. */
    public static final int DESC_NUM = 10;
    /** Offset of the head that was given back last, 16 bits; the batch is linked from there. */
    public static final int LAST_BATCH_HEAD = 12;
    /** Offset of the used ring's index when the last batch was done, 16 bits. */
    public static final int USED_INDEX = 14;
    /** In an entry: 1 while a chain is with the back-end, 8 bits. */
    public static final int INFLIGHT = 0;
    /** In an entry: the head that was given back before it in the same batch, 16 bits. */
    public static final int NEXT = 6;
    /** In an entry: the order of taking, 64 bits. */
    public static final int COUNTER = 8;
    /** The version that is written here. */
    public static final int VERSION_1 = 1;
    /** Peers align each ring's part to this. */
    static final int ALIGNMENT = 64;

    private SplitInflightLayout() {
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
        return bytes(entries) + ALIGNMENT - 1 & -ALIGNMENT;
    }
}
