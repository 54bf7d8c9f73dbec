// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

/**
 * How a queue uses its ring.
 *
 * @param ringSize entries; a power of two for a split ring
 * @param bufferBytes capacity of each buffer, header included
 * @param indirect whether chains go into indirect tables, where the feature is acknowledged
 * @param pieces lengths of the leading descriptors of a chain; the rest goes into a last one. Empty: one descriptor for all
 */
public record QueueLayout(int ringSize, int bufferBytes, boolean indirect, int... pieces) {
    /** The largest frame of segmentation offload, with header and VLAN tag. */
    public static final int LARGEST = 12 + 18 + 65535;

    /** Checks the values. */
    public QueueLayout {
        pieces = pieces.clone();
        for (int p : pieces) {
            if (p < 1) {
                throw new IllegalArgumentException("a descriptor of " + p + " bytes");
            }
        }
    }

    @Override
    public int[] pieces() {
        return pieces.clone();
    }
}
