// SPDX-License-Identifier: Apache-2.0
package com.example.vireo.packet;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/** Memory for one frame that cannot go as it is. Used by a queue's worker. */
final class Scratch {
    private static final int BYTES = 65536 + 128;
    private static final int IOVEC = 16;
    private static final int ADDRESSES = 12;
    private static final int TAG = 4;
    private static final ValueLayout.OfShort BIG_SHORT = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);
    private static final ValueLayout.OfInt BIG_INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);

    private final MemorySegment memory = Arena.ofAuto().allocate(BYTES, 16);
    private int bytes;

    MemorySegment memory() {
        return memory;
    }

    int room() {
        return BYTES;
    }

    /** Length of the frame that was taken, with its header. */
    int bytes() {
        return bytes;
    }

    /**
     * Takes a received frame, puts its VLAN tag and its checksum into it, and its header before it.
     *
     * @param m what came with it
     * @param pieces where it lies, behind the place for the header
     * @param frame its length without header
     * @return false: what the kernel says of it cannot be
     */
    boolean take(Message m, long pieces, int count, int header, int frame, long allowed) {
        int tag = m.hasTag() ? TAG : 0;
        if (header + tag + frame > BYTES || frame < ADDRESSES) {
            return false;
        }
        gather(pieces, count, header, frame, header + tag);
        if (tag != 0) {
            // the addresses go in front of it
            MemorySegment.copy(memory, header + TAG, memory, header, ADDRESSES);
            memory.set(BIG_INT, header + ADDRESSES, m.tag());
            m.shift(TAG);
        }
        bytes = header + tag + frame;
        if (m.needsChecksum(allowed)) {
            if (m.checksumAt() + 2 > tag + frame) {
                return false;
            }
            complete(header + m.checksumStart(), header + m.checksumAt());
        }
        m.settleFlags(allowed);
        MemorySegment.copy(m.header(), 0, memory, 0, header);
        return true;
    }

    private void gather(long pieces, int count, int skip, int length, int at) {
        int behind = skip;
        int done = 0;
        for (int i = 0; i < count && done < length; i++) {
            long base = Message.MEMORY.get(ValueLayout.JAVA_LONG, pieces + (long) i * IOVEC);
            long there = Message.MEMORY.get(ValueLayout.JAVA_LONG, pieces + (long) i * IOVEC + 8);
            int cut = (int) Math.min(behind, there);
            behind -= cut;
            int n = (int) Math.min(length - done, there - cut);
            MemorySegment.copy(Message.MEMORY, base + cut, memory, at + done, n);
            done += n;
        }
    }

    /** The Internet checksum (RFC 1071): the place holds the sum of the pseudo header already. */
    private void complete(int from, int at) {
        long sum = 0;
        int i = from;
        for (; i + 1 < bytes; i += 2) {
            sum += Short.toUnsignedInt(memory.get(BIG_SHORT, i));
        }
        if (i < bytes) {
            sum += Byte.toUnsignedInt(memory.get(ValueLayout.JAVA_BYTE, i)) << 8;
        }
        while (sum >> 16 != 0) {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        int value = (int) ~sum & 0xffff;
        // 0 says "no checksum" in UDP, and is the same as its complement elsewhere
        memory.set(BIG_SHORT, at, (short) (value == 0 ? 0xffff : value));
    }
}
