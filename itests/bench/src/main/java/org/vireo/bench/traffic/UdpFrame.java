// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.traffic;

import java.nio.ByteBuffer;

/** Frames of a guest to its host: Ethernet, IPv4, UDP (RFC 894, 791 and 768). */
public final class UdpFrame {
    /** The host's address. */
    public static final String HOST = "10.77.0.1";
    /** The guest's address. */
    public static final String GUEST = "10.77.0.2";
    /** The MAC of the host's end of the TAP. */
    public static final String HOST_MAC = "02:00:00:76:00:01";
    /** The guest's MAC. */
    public static final String GUEST_MAC = "52:54:00:76:69:72";
    /** Of both ends. */
    public static final int PORT = 7007;
    /** Bytes before the payload. */
    public static final int HEADERS = 14 + 20 + 8;
    /** EtherType (RFC 894). */
    public static final int IPV4 = 0x0800;
    /** IPv4's protocol number (RFC 768). */
    public static final int UDP = 17;

    private UdpFrame() {
    }

    /** One with its headers, at the beginning of its payload. */
    public static ByteBuffer withHeaders(int payload) {
        ByteBuffer b = ByteBuffer.allocate(HEADERS + payload);
        b.put(mac(HOST_MAC)).put(mac(GUEST_MAC)).putShort((short) IPV4);
        b.put((byte) 0x45).put((byte) 0).putShort((short) (28 + payload)).putInt(0).put((byte) 64).put((byte) UDP).putShort((short) 0);
        b.put(address(GUEST)).put(address(HOST));
        int sum = 0;
        for (int i = 14; i < 34; i += 2) {
            sum += b.getShort(i) & 0xffff;
        }
        b.putShort(24, (short) ~(sum + (sum >> 16)));
        return b.putShort((short) PORT).putShort((short) PORT).putShort((short) (8 + payload)).putShort((short) 0);
    }

    /** The bytes of a MAC. */
    public static byte[] mac(String text) {
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
