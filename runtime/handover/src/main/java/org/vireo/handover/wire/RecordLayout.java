// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover.wire;

import org.vireo.net.api.wire.StateLayout;

/**
 * Layout of a record of the handover's stream. All numbers are little-endian. This header never changes; what it carries has versions.
 *
 * <pre>
 *  0        4      6       8        12            14     16       20       24
 * +--------+------+-------+--------+-------------+------+--------+--------+----------+
 * | magic  | type | flags | length | descriptors | zero | number | crc32  | payload  |
 * +--------+------+-------+--------+-------------+------+--------+--------+----------+
 * </pre>
 *
 * <ul>
 * <li>magic: the bytes {@code VRHO}
 * <li>type: see {@link RecordType}; a reader skips a type that it does not know unless the critical flag is set
 * <li>length: bytes of the payload
 * <li>descriptors: how many come with the record's first byte (SCM_RIGHTS), at most {@link #MAX_DESCRIPTORS_IN_MESSAGE}. A record
 *     that needs more follows records of type DESCRIPTORS, whose descriptors come before its own
 * <li>number: counts the records of this direction from 0
 * <li>crc32: of the first 20 bytes and the payload
 * </ul>
 *
 * <p>The payload is laid out as {@link StateLayout} says.
 */
public final class RecordLayout {
    /** The bytes {@code VRHO}. */
    public static final int MAGIC = 'V' | 'R' << 8 | 'H' << 16 | 'O' << 24;

    /** u32. */
    public static final int MAGIC_AT = 0;
    /** u16. */
    public static final int TYPE_AT = 4;
    /** u16. */
    public static final int FLAGS_AT = 6;
    /** u32. */
    public static final int LENGTH_AT = 8;
    /** u16. */
    public static final int DESCRIPTORS_AT = 12;
    /** u16, 0. */
    public static final int ZERO_AT = 14;
    /** u32. */
    public static final int NUMBER_AT = 16;
    /** u32. */
    public static final int CRC_AT = 20;
    /** Bytes of the header. */
    public static final int HEADER_BYTES = 24;

    /** Flag of records: who does not know it must not go on. */
    public static final int CRITICAL = 1;

    /** Most bytes of a record with its header. */
    public static final int MAX_RECORD = 1 << 20;
    /** Most descriptors with one byte; the kernel allows 253. */
    public static final int MAX_DESCRIPTORS_IN_MESSAGE = 128;

    private RecordLayout() {
    }
}
