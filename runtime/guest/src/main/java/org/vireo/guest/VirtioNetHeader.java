// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

/**
 * The header in front of each frame (virtio 1.2, 5.1.6), little-endian.
 *
 * <pre>
 *  0       1          2         4          6            8             10            12
 *  | flags | gso_type | hdr_len | gso_size | csum_start | csum_offset | num_buffers |
 *  num_buffers is there with VERSION_1 or MRG_RXBUF only
 * </pre>
 */
public final class VirtioNetHeader {
    /** Offset of the flags, u8. */
    public static final int FLAGS = 0;
    /** Offset of the kind of segmentation, u8. */
    public static final int GSO_TYPE = 1;
    /** Offset of the length of the headers, u16. */
    public static final int HEADER_LENGTH = 2;
    /** Offset of the segment size, u16. */
    public static final int GSO_SIZE = 4;
    /** Offset of where the checksum begins, u16. */
    public static final int CHECKSUM_START = 6;
    /** Offset of where, from there, it is stored, u16. */
    public static final int CHECKSUM_OFFSET = 8;
    /** Offset of the number of merged buffers, u16. */
    public static final int NUM_BUFFERS = 10;
    /** Flag: the checksum is to be completed. */
    public static final int NEEDS_CHECKSUM = 1;
    /** Flag: the checksum was found right. */
    public static final int DATA_VALID = 2;
    /** Segmentation: none. */
    public static final int GSO_NONE = 0;
    /** Segmentation: TCP over IPv4. */
    public static final int GSO_TCPV4 = 1;

    private VirtioNetHeader() {
    }
}
