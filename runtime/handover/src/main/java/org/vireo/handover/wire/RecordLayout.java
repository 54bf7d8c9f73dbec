// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover.wire;

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
 * <p>The payload is a list of items. An item that a reader does not know is skipped unless its critical flag is set.
 *
 * <pre>
 *  item                                 section (head: the record's own fields)
 *  0     2       4        8             0         2        4             6      8
 * +-----+-------+--------+------+      +---------+--------+-------------+------+------+---------+
 * | tag | flags | length | body |      | version | fields | name length | zero | name | field...|
 * +-----+-------+--------+------+      +---------+--------+-------------+------+------+---------+
 *
 *  field                                                    backend
 *  0      1       2             4              8            0         4        6             8
 * +------+-------+-------------+--------------+------+-----+---------+--------+-------------+------+-----------+
 * | kind | flags | name length | value length | name |value| version | queues | type length | type | section...|
 * +------+-------+-------------+--------------+------+-----+---------+--------+-------------+------+-----------+
 * </pre>
 *
 * <p>Kinds of fields: number (8 bytes), flag (1 byte, 0 or 1), text (UTF-8), descriptor (4 bytes: index among the record's
 * descriptors, each used exactly once). A field with the optional flag is skipped if its kind is not known, and by a reader of the
 * section that does not know its name. A backend's sections are items: the port's first, then one a queue pair.
 */
public final class RecordLayout {
    /** The bytes {@code VRHO}. */
    public static final int MAGIC = 'V' | 'R' << 8 | 'H' << 16 | 'O' << 24;
    /** Newest version of what the records carry. */
    public static final int NEWEST = 1;
    /** Oldest version of what the records carry that is understood. */
    public static final int OLDEST = 1;

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

    /** Flag of records and items: who does not know it must not go on. */
    public static final int CRITICAL = 1;
    /** Flag of fields: who does not know it may skip it. */
    public static final int OPTIONAL = 1;

    /** Item: the record's own fields, a section. */
    static final int HEAD = 1;
    /** Item: a section of the NIC. */
    static final int SECTION = 2;
    /** Item: the backend's state. */
    static final int BACKEND = 3;
    /** Bytes of an item before its body. */
    static final int ITEM_BYTES = 8;
    /** Bytes of a section before its name. */
    static final int SECTION_BYTES = 8;
    /** Bytes of a field before its name. */
    static final int FIELD_BYTES = 8;
    /** Bytes of a backend's state before its type. */
    static final int BACKEND_BYTES = 8;

    /** Kind of field: 8 bytes. */
    static final int NUMBER = 1;
    /** Kind of field: 1 byte. */
    static final int FLAG = 2;
    /** Kind of field: UTF-8. */
    static final int TEXT = 3;
    /** Kind of field: index of a descriptor. */
    static final int DESCRIPTOR = 4;

    /** Most bytes of a record with its header. */
    public static final int MAX_RECORD = 1 << 20;
    /** Most descriptors with one byte; the kernel allows 253. */
    public static final int MAX_DESCRIPTORS_IN_MESSAGE = 128;
    /** Most descriptors of a record, those of the DESCRIPTORS records before it included. */
    public static final int MAX_DESCRIPTORS = 4096;
    /** Most sections of a record, those of the backend not counted. */
    public static final int MAX_SECTIONS = 2048;
    /** Most fields of a section. */
    public static final int MAX_FIELDS = 1024;
    /** Most characters of a name. */
    public static final int MAX_NAME = 64;
    /** Most bytes of a text. */
    public static final int MAX_TEXT = 64 * 1024;

    private RecordLayout() {
    }
}
