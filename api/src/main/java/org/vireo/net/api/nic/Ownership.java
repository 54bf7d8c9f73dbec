// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api.nic;

/**
 * Value of a NIC's ownership word: who may read the NIC's port and rings. It changes by compare-and-set of the whole value only,
 * from the very value on which the checks were made.
 *
 * <pre>
 *  63                        24 23      16 15       8 7        0
 * +----------------------------+----------+----------+----------+
 * |           epoch            |  phase   |  holder  |   peer   |
 * +----------------------------+----------+----------+----------+
 * </pre>
 *
 * @param epoch grows by one with each change, 40 bits
 * @param phase who reads
 * @param holder slot of the holder table
 * @param peer slot of the holder table, or {@link #NONE}
 */
public record Ownership(long epoch, Phase phase, int holder, int peer) {
    /** No peer. */
    public static final int NONE = 0xff;

    private static final long EPOCH_MASK = (1L << 40) - 1;

    /** The phases; their order is that of the wire. */
    public enum Phase {
        /** The holder reads everything. */
        OWNED,
        /** Nobody reads; the peer may take. */
        OFFERED,
        /** The holder reads port and rings, nobody the VMM's connection; the peer is who offered, or none. */
        TAKEN,
        /** As TAKEN, after the first pass. */
        RUNNING,
        /** The peer reads until it has let go or is dead; the holder fences it. */
        FENCED,
        /** Nobody, for ever. */
        CLOSED
    }

    /**
     * Reads a word.
     *
     * @param word the 64 bits
     * @return its parts
     * @throws IllegalArgumentException no such phase
     */
    public static Ownership decode(long word) {
        int phase = (int) (word >>> 16) & 0xff;
        if (phase >= Phase.values().length) {
            throw new IllegalArgumentException("ownership word 0x" + Long.toHexString(word) + ": phase " + phase);
        }
        return new Ownership(word >>> 24, Phase.values()[phase], (int) (word >>> 8) & 0xff, (int) word & 0xff);
    }

    /**
     * Writes a word.
     *
     * @return the 64 bits
     */
    public long encode() {
        return (epoch & EPOCH_MASK) << 24 | (long) phase.ordinal() << 16 | (long) (holder & 0xff) << 8 | peer & 0xff;
    }

    /**
     * The value that follows this one.
     *
     * @param next its phase
     * @param nextHolder its holder
     * @param nextPeer its peer
     * @return epoch + 1
     */
    public Ownership next(Phase next, int nextHolder, int nextPeer) {
        return new Ownership(epoch + 1 & EPOCH_MASK, next, nextHolder, nextPeer);
    }

    @Override
    public String toString() {
        return phase + "(" + holder + (peer == NONE ? "" : "," + peer) + ") epoch " + epoch;
    }
}
