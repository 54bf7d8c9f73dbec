// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api;

import java.util.BitSet;

/**
 * What the guest negotiated, for a port to follow. Immutable.
 */
public final class PortSettings {
    private final int headerLength;
    private final long guestOffloads;
    private final BitSet enabledPairs;

    private PortSettings(int headerLength, long guestOffloads, BitSet enabledPairs) {
        this.headerLength = headerLength;
        this.guestOffloads = guestOffloads;
        this.enabledPairs = (BitSet) enabledPairs.clone();
    }

    /**
     * Settings.
     *
     * @param headerLength 0, 10 or 12, one of {@link PortProfile#headerLengths()}
     * @param guestOffloads the acknowledged VIRTIO_NET_F_GUEST_... bits: what frames to the guest may carry
     * @param enabledPairs the pairs that are in use
     * @return the settings
     */
    public static PortSettings of(int headerLength, long guestOffloads, BitSet enabledPairs) {
        return new PortSettings(headerLength, guestOffloads, enabledPairs);
    }

    /**
     * Length of the virtio-net header on each frame.
     *
     * @return 0, 10 or 12
     */
    public int headerLength() {
        return headerLength;
    }

    /**
     * What frames to the guest may carry.
     *
     * @return VIRTIO_NET_F_GUEST_... bits
     */
    public long guestOffloads() {
        return guestOffloads;
    }

    /**
     * Whether a pair is in use. Frames must arrive on pairs in use only.
     *
     * @param pair its number
     * @return whether
     */
    public boolean enabled(int pair) {
        return enabledPairs.get(pair);
    }

    @Override
    public boolean equals(Object o) {
        return o instanceof PortSettings s && headerLength == s.headerLength && guestOffloads == s.guestOffloads
                && enabledPairs.equals(s.enabledPairs);
    }

    @Override
    public int hashCode() {
        return 31 * (31 * headerLength + Long.hashCode(guestOffloads)) + enabledPairs.hashCode();
    }

    @Override
    public String toString() {
        return "header " + headerLength + ", offloads 0x" + Long.toHexString(guestOffloads) + ", pairs " + enabledPairs;
    }
}
