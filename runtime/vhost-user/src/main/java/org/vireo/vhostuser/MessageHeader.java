// SPDX-License-Identifier: Apache-2.0
package org.vireo.vhostuser;

import java.lang.foreign.MemorySegment;

/**
 * The header of each message ("Header" of the specification), native byte order.
 *
 * <pre>
 *  0               4               8              12
 *  +---------------+---------------+---------------+
 *  |    request    |     flags     |     size      |  payload of size bytes
 *  +---------------+---------------+---------------+
 *  flags: bits 0-1 version (1) | 2 reply | 3 need_reply
 * </pre>
 */
public final class MessageHeader {
    /** Its length. */
    public static final int BYTES = 12;
    /** Longest payload that is taken. The largest of a net device is a memory table of 264 bytes. */
    public static final int MAX_PAYLOAD = 4096;
    /** The only version, in flags. */
    public static final int VERSION = 1;
    /** The bits of flags that hold the version. */
    public static final int VERSION_MASK = 3;
    /** Flag: this is a reply. */
    public static final int REPLY = 4;
    /** Flag: the sender wants an acknowledgement; counts only once REPLY_ACK is negotiated. */
    public static final int NEED_REPLY = 8;
    /** Offset of the request, u32. */
    public static final int REQUEST_OFFSET = 0;
    /** Offset of the flags, u32. */
    public static final int FLAGS_OFFSET = 4;
    /** Offset of the payload's size, u32. */
    public static final int SIZE_OFFSET = 8;

    private MessageHeader() {
    }

    /** Reads the request. */
    public static int request(MemorySegment s, long at) {
        return s.get(Wire.INT, at + REQUEST_OFFSET);
    }

    /** Reads the flags. */
    public static int flags(MemorySegment s, long at) {
        return s.get(Wire.INT, at + FLAGS_OFFSET);
    }

    /** Reads the payload's size as the peer wrote it: unsigned, unchecked. */
    public static long size(MemorySegment s, long at) {
        return Integer.toUnsignedLong(s.get(Wire.INT, at + SIZE_OFFSET));
    }

    /** Writes a header. */
    public static void write(MemorySegment s, long at, int request, int flags, int size) {
        s.set(Wire.INT, at + REQUEST_OFFSET, request);
        s.set(Wire.INT, at + FLAGS_OFFSET, flags);
        s.set(Wire.INT, at + SIZE_OFFSET, size);
    }
}
