// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import java.nio.ByteBuffer;

/** The frames of the kit: numbered, with EtherType 0x88b5 (local experiments, IEEE 802) and a filling that depends on the number. */
final class KitFrame {
    static final int HEAD = 14;
    private static final byte[] GUEST = {2, 0x56, 0x54, 0x43, 0x4b, 1};
    private static final byte[] NETWORK = {2, 0x56, 0x54, 0x43, 0x4b, 2};
    private static final short TYPE = (short) 0x88b5;
    private static final int MAGIC = 0x5654434b;
    private static final int SPOILT = 0x5654_5350;
    private static final int LEAST = HEAD + 8;

    private KitFrame() {
    }

    static byte[] fromGuest(int number, int bytes) {
        return frame(NETWORK, GUEST, number, bytes);
    }

    static byte[] toGuest(int number, int bytes) {
        return frame(GUEST, NETWORK, number, bytes);
    }

    private static byte[] frame(byte[] to, byte[] from, int number, int bytes) {
        ByteBuffer b = ByteBuffer.allocate(Math.max(bytes, LEAST));
        b.put(to).put(from).putShort(TYPE).putInt(MAGIC).putInt(number);
        while (b.hasRemaining()) {
            b.put((byte) (number + b.position()));
        }
        return b.array();
    }

    /** What lies where a frame was, after the call that it was lent for. */
    static byte[] spoilt(int bytes) {
        return ByteBuffer.allocate(bytes).put(NETWORK).put(GUEST).putShort(TYPE).putInt(SPOILT).array();
    }

    static boolean isSpoilt(byte[] frame) {
        ByteBuffer b = ByteBuffer.wrap(frame);
        return frame.length >= HEAD + 4 && b.getShort(12) == TYPE && b.getInt(HEAD) == SPOILT;
    }

    /** The number of a frame, or -1: not of the kit. A frame of the kit with wrong bytes is a failure. */
    static int number(byte[] frame) {
        if (frame.length < LEAST) {
            return -1;
        }
        ByteBuffer b = ByteBuffer.wrap(frame).position(12);
        if (b.getShort() != TYPE || b.getInt() != MAGIC) {
            return -1;
        }
        int n = b.getInt();
        while (b.hasRemaining()) {
            int at = b.position();
            if (b.get() != (byte) (n + at)) {
                throw new AssertionError("frame " + n + " of " + frame.length + " bytes arrived with a wrong byte at " + at);
            }
        }
        return n;
    }
}
