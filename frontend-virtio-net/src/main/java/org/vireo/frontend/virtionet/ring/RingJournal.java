// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.ring;

/**
 * A ring's journal: one 64 bit word in the NIC block, written after each frame by a single store, so that it is never torn. A process
 * that is killed between moving a frame and this store repeats or loses that one frame; never more.
 *
 * <pre>
 *  63    62        48 47         32 31          16 15           0
 * +-----+------------+-------------+--------------+--------------+
 * |valid| first - 1  |   pending   |  next used   |next available|     first, pending: of packed rings
 * +-----+------------+-------------+--------------+--------------+
 * </pre>
 *
 * <p>Split rings give back in order. So the used elements that a dead process had written and not published are those between the
 * used ring's own index and next used: a successor publishes them by writing the index.
 *
 * <p>A packed ring's positions have the wrap counter in bit 15. Both are the same, since it gives back in order too; <em>pending</em> are
 * the descriptors, from there on, that are being given back, <em>first</em> those of the first chain ({@link PackedVirtqueue}).
 */
public final class RingJournal {
    private static final long VALID = 1L << 63;

    private RingJournal() {
    }

    /**
     * A word.
     *
     * @param available next available entry
     * @param used next used entry
     * @return the word
     */
    public static long word(int available, int used) {
        return VALID | (used & 0xffffL) << 16 | available & 0xffffL;
    }

    /**
     * A word of a packed ring that is giving back.
     *
     * @param position of the first descriptor
     * @param pending descriptors that are being given back, 1 to 32768
     * @param first those of the first chain, 1 to 32768
     * @return the word
     */
    public static long word(int position, int pending, int first) {
        return word(position, position) | (pending & 0xffffL) << 32 | (first - 1 & 0x7fffL) << 48;
    }

    /**
     * Descriptors that are being given back.
     *
     * @param word the word
     * @return 0: none
     */
    public static int pending(long word) {
        return (int) (word >>> 32) & 0xffff;
    }

    /**
     * Descriptors of the first chain that is being given back.
     *
     * @param word the word
     * @return at least 1
     */
    public static int first(long word) {
        return ((int) (word >>> 48) & 0x7fff) + 1;
    }

    /**
     * Whether a word was ever written.
     *
     * @param word the word
     * @return whether
     */
    public static boolean valid(long word) {
        return (word & VALID) != 0;
    }

    /**
     * Next available entry.
     *
     * @param word the word
     * @return 16 bits
     */
    public static int available(long word) {
        return (int) word & 0xffff;
    }

    /**
     * Next used entry.
     *
     * @param word the word
     * @return 16 bits
     */
    public static int used(long word) {
        return (int) (word >>> 16) & 0xffff;
    }
}
