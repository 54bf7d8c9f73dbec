// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.vm;

import static org.vireo.guest.GuestRam.MEMORY;

import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.vireo.bench.traffic.UdpFrame;

/** A numbered datagram with content that follows from the number, so that nobody has to keep what it was. */
final class VmBlock {
    /** Payload. */
    static final int BYTES = 1024;

    private static final ValueLayout.OfLong WORD = ValueLayout.JAVA_LONG_UNALIGNED;
    private static final byte[] ANSWER = UdpFrame.withHeaders(Long.BYTES).array();

    private VmBlock() {
    }

    /** The payload of a number. */
    static ByteBuffer of(long number) {
        ByteBuffer b = ByteBuffer.allocate(BYTES).order(ByteOrder.nativeOrder());
        for (int i = 0; i < BYTES / Long.BYTES; i++) {
            b.putLong(word(number, i));
        }
        return b.flip();
    }

    private static long word(long number, int i) {
        if (i == 0) {
            return number;
        }
        // the finalizer of SplitMix64, after Steele, Lea and Flood
        long z = number * BYTES + i;
        z = (z ^ z >>> 30) * 0xbf58476d1ce4e5b9L;
        z = (z ^ z >>> 27) * 0x94d049bb133111ebL;
        return z ^ z >>> 31;
    }

    /** The number of a payload in memory. */
    static long number(long address) {
        return MEMORY.get(WORD, address);
    }

    /** Whether all of a payload in memory is as its number says. */
    static boolean isWhole(long address, long number) {
        for (int i = 0; i < BYTES / Long.BYTES; i++) {
            if (MEMORY.get(WORD, address + (long) i * Long.BYTES) != word(number, i)) {
                return false;
            }
        }
        return true;
    }

    /** Whether a frame in memory is a datagram of ours. */
    static boolean isOne(long frame) {
        return u16(frame + 12) == UdpFrame.IPV4 && MEMORY.get(ValueLayout.JAVA_BYTE, frame + 23) == UdpFrame.UDP
                && u16(frame + 36) == UdpFrame.PORT;
    }

    private static int u16(long address) {
        return Short.reverseBytes(MEMORY.get(ValueLayout.JAVA_SHORT_UNALIGNED, address)) & 0xffff;
    }

    /** The frame that answers a number. */
    static byte[] answer(long number) {
        byte[] b = ANSWER.clone();
        ByteBuffer.wrap(b).putLong(UdpFrame.HEADERS, number);
        return b;
    }
}
