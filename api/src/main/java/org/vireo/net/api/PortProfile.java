// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api;

import java.util.Arrays;
import java.util.Set;
import java.util.TreeSet;

/**
 * What a port can do. Immutable.
 */
public final class PortProfile {
    private final int pairs;
    private final Set<Integer> headerLengths;
    private final long features;
    private final int mtu;
    private final boolean linkUp;
    private final boolean lasting;

    private PortProfile(Builder b) {
        pairs = b.pairs;
        headerLengths = Set.copyOf(b.headerLengths);
        features = b.features;
        mtu = b.mtu;
        linkUp = b.linkUp;
        lasting = b.lasting;
    }

    /**
     * Starts a profile of a port with one pair, no header, no features, unknown MTU, link up, not lasting.
     *
     * @return the builder
     */
    public static Builder builder() {
        return new Builder();
    }

    /**
     * Queue pairs.
     *
     * @return at least 1
     */
    public int pairs() {
        return pairs;
    }

    /**
     * Lengths of the virtio-net header that can be applied: of 0, 10 and 12.
     *
     * @return an unmodifiable set, not empty
     */
    public Set<Integer> headerLengths() {
        return headerLengths;
    }

    /**
     * The virtio-net offload feature bits (virtio 1.2, section 5.1.3) that frames of this port can carry: VIRTIO_NET_F_CSUM,
     * GUEST_CSUM, HOST_ and GUEST_TSO4, TSO6, ECN, UFO, USO. Of a {@link VringPort} those of rings and buffers too: VERSION_1,
     * RING_PACKED, EVENT_IDX, INDIRECT_DESC, MRG_RXBUF. Others are ignored.
     *
     * @return bits
     */
    public long features() {
        return features;
    }

    /**
     * Largest payload of a frame without offloads.
     *
     * @return bytes, or 0: not known
     */
    public int mtu() {
        return mtu;
    }

    /**
     * Whether the link was up at first.
     *
     * @return whether
     */
    public boolean linkUp() {
        return linkUp;
    }

    /**
     * Whether what the port is connected to outlives it: closed with {@link NetPort.Disposal#LEAVE}, it can be opened again, and is
     * where it was. So with a persistent TAP, which stays in its bridge; not with one that vanishes with its last descriptor.
     *
     * @return whether
     */
    public boolean lasting() {
        return lasting;
    }

    @Override
    public String toString() {
        return "pairs " + pairs + ", header lengths " + new TreeSet<>(headerLengths) + ", features 0x" + Long.toHexString(features)
                + ", mtu " + mtu + ", link " + (linkUp ? "up" : "down") + (lasting ? ", lasting" : "");
    }

    /** Collects a {@link PortProfile}. */
    public static final class Builder {
        private int pairs = 1;
        private Set<Integer> headerLengths = Set.of(0);
        private long features;
        private int mtu;
        private boolean linkUp = true;
        private boolean lasting;

        private Builder() {
        }

        /**
         * Sets the queue pairs.
         *
         * @param n 1 to 256
         * @return this
         */
        public Builder pairs(int n) {
            if (n < 1 || n > 256) {
                throw new IllegalArgumentException("pairs " + n);
            }
            pairs = n;
            return this;
        }

        /**
         * Sets the header lengths.
         *
         * @param lengths of 0, 10, 12; at least one
         * @return this
         */
        public Builder headerLengths(int... lengths) {
            Set<Integer> set = new TreeSet<>();
            Arrays.stream(lengths).forEach(set::add);
            if (set.isEmpty() || !Set.of(0, 10, 12).containsAll(set)) {
                throw new IllegalArgumentException("header lengths " + set);
            }
            headerLengths = set;
            return this;
        }

        /**
         * Sets the features.
         *
         * @param bits virtio-net feature bits
         * @return this
         */
        public Builder features(long bits) {
            features = bits;
            return this;
        }

        /**
         * Sets the MTU.
         *
         * @param bytes 68 to 65535, or 0: not known
         * @return this
         */
        public Builder mtu(int bytes) {
            if (bytes != 0 && (bytes < 68 || bytes > 65535)) {
                throw new IllegalArgumentException("mtu " + bytes);
            }
            mtu = bytes;
            return this;
        }

        /**
         * Sets the link's state.
         *
         * @param up whether it is up
         * @return this
         */
        public Builder linkUp(boolean up) {
            linkUp = up;
            return this;
        }

        /**
         * Sets whether what the port is connected to outlives it.
         *
         * @param outlives whether it does
         * @return this
         */
        public Builder lasting(boolean outlives) {
            lasting = outlives;
            return this;
        }

        /**
         * Ends the profile.
         *
         * @return the profile
         */
        public PortProfile build() {
            return new PortProfile(this);
        }
    }
}
