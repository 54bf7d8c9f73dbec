// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench;

import static org.vireo.guest.GuestRam.MEMORY;

import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** A numbered datagram with content that follows from the number, so that nobody has to keep what it was. */
final class VmBlock {
    static final String HOST = "10.77.0.1";
    static final String GUEST = "10.77.0.2";
    static final String HOST_MAC = "02:00:00:76:00:01";
    static final String GUEST_MAC = "52:54:00:76:69:72";
    static final int PORT = 7007;
    /** Payload. */
    static final int BYTES = 1024;
    /** Ethernet, IPv4, UDP (RFC 894, 791 and 768). */
    static final int HEADERS = 14 + 20 + 8;

    private static final ValueLayout.OfLong WORD = ValueLayout.JAVA_LONG_UNALIGNED;
    private static final int IPV4 = 0x0800;
    private static final int UDP = 17;
    private static final byte[] ANSWER = headers(Long.BYTES);

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
        return u16(frame + 12) == IPV4 && MEMORY.get(ValueLayout.JAVA_BYTE, frame + 23) == UDP && u16(frame + 36) == PORT;
    }

    private static int u16(long address) {
        return Short.reverseBytes(MEMORY.get(ValueLayout.JAVA_SHORT_UNALIGNED, address)) & 0xffff;
    }

    /** The frame that answers a number. */
    static byte[] answer(long number) {
        byte[] b = ANSWER.clone();
        ByteBuffer.wrap(b).putLong(HEADERS, number);
        return b;
    }

    private static byte[] headers(int payload) {
        ByteBuffer b = ByteBuffer.allocate(HEADERS + payload);
        b.put(mac(HOST_MAC)).put(mac(GUEST_MAC)).putShort((short) IPV4);
        b.put((byte) 0x45).put((byte) 0).putShort((short) (28 + payload)).putInt(0).put((byte) 64).put((byte) UDP).putShort((short) 0);
        b.put(address(GUEST)).put(address(HOST));
        int sum = 0;
        for (int i = 14; i < 34; i += 2) {
            sum += b.getShort(i) & 0xffff;
        }
        b.putShort(24, (short) ~(sum + (sum >> 16)));
        b.putShort((short) PORT).putShort((short) PORT).putShort((short) (8 + payload)).putShort((short) 0);
        return b.array();
    }

    /** The guest's address. */
    static byte[] guestMac() {
        return mac(GUEST_MAC);
    }

    private static byte[] mac(String text) {
        byte[] b = new byte[6];
        String[] parts = text.split(":");
        for (int i = 0; i < b.length; i++) {
            b[i] = (byte) Integer.parseInt(parts[i], 16);
        }
        return b;
    }

    private static byte[] address(String text) {
        byte[] b = new byte[4];
        String[] parts = text.split("\\.");
        for (int i = 0; i < b.length; i++) {
            b[i] = (byte) Integer.parseInt(parts[i]);
        }
        return b;
    }
}
