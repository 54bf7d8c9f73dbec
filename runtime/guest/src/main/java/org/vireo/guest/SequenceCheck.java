// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

/**
 * Counts loss, repeats and reordering of numbered frames. Remembers the last 4 million numbers; what comes later than that counts as
 * reordered and not as lost. Allocates nothing once made. One thread.
 */
public final class SequenceCheck {
    private static final int WINDOW = 1 << 22;

    private final long[] seen = new long[WINDOW / 64];
    private long next;
    private long unique;
    private long duplicated;
    private long reordered;

    /** A check that expects 0 first. */
    public SequenceCheck() {
        // all zero
    }

    /**
     * A frame has come.
     *
     * @param number its number
     */
    public void frame(long number) {
        if (number < 0 || number >= next + WINDOW) {
            throw new IllegalArgumentException("frame number " + number + " after " + (next - 1));
        }
        if (number >= next) {
            for (long n = next; n < number; n++) {
                mark(n, false);
            }
            mark(number, true);
            next = number + 1;
            unique++;
        } else if (number < next - WINDOW) {
            reordered++; // too old to tell whether it is a repeat
            unique++;
        } else if (!marked(number)) {
            mark(number, true);
            reordered++;
            unique++;
        } else {
            duplicated++;
        }
    }

    private void mark(long number, boolean on) {
        int i = (int) (number & WINDOW - 1);
        long bit = 1L << i;
        seen[i >> 6] = on ? seen[i >> 6] | bit : seen[i >> 6] & ~bit;
    }

    private boolean marked(long number) {
        int i = (int) (number & WINDOW - 1);
        return (seen[i >> 6] >> i & 1) != 0;
    }

    /** Different frames that have come. */
    public long unique() {
        return unique;
    }

    /** Frames that came a second time. */
    public long duplicated() {
        return duplicated;
    }

    /** Frames that came after one with a higher number. */
    public long reordered() {
        return reordered;
    }

    /** The highest number that has come, and one. */
    public long next() {
        return next;
    }

    /**
     * Frames that have not come.
     *
     * @param sent how many there were
     * @return of these
     */
    public long lost(long sent) {
        return sent - unique;
    }
}
