// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.ring;

/**
 * Layout of a split virtqueue (virtio 1.2, section 2.7). All fields are little-endian, which is native here.
 *
 * <pre>
 * descriptor table, 16 bytes an entry       available ring (driver area)     used ring (device area)
 * +---------------------------------+       +-----------------------+        +-----------------------+
 * | 0  address                      |       | 0  flags (16)         |        | 0  flags (16)         |
 * | 8  length (32)                  |       | 2  index (16)         |        | 2  index (16)         |
 * | 12 flags (16)   14 next (16)    |       | 4  ring[size] (16)    |        | 4  ring[size]         |
 * +---------------------------------+       | .. used event (16)    |        |    id (32) length (32)|
 *                                           +-----------------------+        | .. avail event (16)   |
 *                                                                            +-----------------------+
 * </pre>
 */
public final class SplitRingLayout {
    /** Bytes of a descriptor. */
    public static final int DESCRIPTOR = 16;
    /** Offset of a descriptor's length. */
    public static final int DESCRIPTOR_LENGTH = 8;
    /** Offset of a descriptor's flags. */
    public static final int DESCRIPTOR_FLAGS = 12;
    /** Offset of a descriptor's next. */
    public static final int DESCRIPTOR_NEXT = 14;
    /** Descriptor flag: there is a next one. */
    public static final int NEXT = 1;
    /** Descriptor flag: the device writes. */
    public static final int WRITE = 2;
    /** Descriptor flag: the buffer is a table of descriptors. */
    public static final int INDIRECT = 4;
    /** Offset of an index in either ring. */
    public static final int INDEX = 2;
    /** Offset of the first entry in either ring. */
    public static final int RING = 4;
    /** Flag of the available ring: no interrupts, please. */
    public static final int NO_INTERRUPT = 1;
    /** Flag of the used ring: no kicks, please. */
    public static final int NO_NOTIFY = 1;
    /** Largest ring. */
    public static final int MAX_SIZE = 32768;

    private SplitRingLayout() {
    }

    /**
     * Bytes of the descriptor table.
     *
     * @param size entries
     * @return bytes
     */
    public static long descriptorBytes(int size) {
        return (long) DESCRIPTOR * size;
    }

    /**
     * Bytes of the available ring, with the event field.
     *
     * @param size entries
     * @return bytes
     */
    public static long availableBytes(int size) {
        return 6 + 2L * size;
    }

    /**
     * Bytes of the used ring, with the event field.
     *
     * @param size entries
     * @return bytes
     */
    public static long usedBytes(int size) {
        return 6 + 8L * size;
    }
}
