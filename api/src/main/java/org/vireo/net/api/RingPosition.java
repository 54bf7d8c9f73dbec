// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api;

/**
 * Where a ring goes on. Immutable.
 *
 * <p>For packed rings bit 15 of an index is the wrap counter, as in SET_VRING_BASE.
 */
public final class RingPosition {
    private final int available;
    private final int used;

    private RingPosition(int available, int used) {
        this.available = available;
        this.used = used;
    }

    /**
     * A position.
     *
     * @param available next entry of the driver to look at, 16 bits
     * @param used next entry to give back, 16 bits
     * @return the position
     */
    public static RingPosition of(int available, int used) {
        return new RingPosition(available & 0xffff, used & 0xffff);
    }

    /**
     * Next entry of the driver to look at.
     *
     * @return 16 bits
     */
    public int available() {
        return available;
    }

    /**
     * Next entry to give back.
     *
     * @return 16 bits
     */
    public int used() {
        return used;
    }

    @Override
    public boolean equals(Object o) {
        return o instanceof RingPosition p && p.available == available && p.used == used;
    }

    @Override
    public int hashCode() {
        return available << 16 | used;
    }

    @Override
    public String toString() {
        return "available " + available + ", used " + used;
    }
}
