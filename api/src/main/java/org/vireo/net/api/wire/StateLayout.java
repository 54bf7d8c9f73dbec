// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api.wire;

/**
 * Layout of a state as bytes: of a record of the handover's stream, of what a daemon keeps, and of a device's state. All numbers are
 * little-endian.
 *
 * <p>A state is a list of items. An item that a reader does not know is skipped unless its critical flag is set.
 *
 * <pre>
 *  item                                 section (head: the state's own fields)
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
 * <p>Kinds of fields: number (8 bytes), flag (1 byte, 0 or 1), text (UTF-8), descriptor (4 bytes: index among the
 * descriptors that come along, each used exactly once). A field with the optional flag is skipped if its kind is not known, and by a
 * reader of the section that does not know its name. A backend's sections are items: the port's first, then one a queue pair.
 */
public final class StateLayout {
    /** Newest version of the layout. */
    public static final int NEWEST = 1;
    /** Oldest version of the layout that is understood. */
    public static final int OLDEST = 1;

    /** Flag of items: who does not know it must not go on. */
    public static final int CRITICAL = 1;
    /** Flag of fields: who does not know it may skip it. */
    public static final int OPTIONAL = 1;

    /** Item: the state's own fields, a section. */
    static final int HEAD = 1;
    /** Item: a section. */
    static final int SECTION = 2;
    /** Item: a backend's state. */
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

    /** Most descriptors of a state. */
    public static final int MAX_DESCRIPTORS = 4096;
    /** Most sections of a state, those of a backend not counted. */
    public static final int MAX_SECTIONS = 2048;
    /** Most fields of a section. */
    public static final int MAX_FIELDS = 1024;
    /** Most characters of a name. */
    public static final int MAX_NAME = 64;
    /** Most bytes of a text. */
    public static final int MAX_TEXT = 64 * 1024;

    private StateLayout() {
    }
}
