// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.nio.ByteBuffer;

/** A RARP request that tells switches where an address is now (RFC 903), as QEMU announces itself. */
final class Rarp {
    private Rarp() {
    }

    static byte[] frame(byte[] mac) {
        ByteBuffer b = ByteBuffer.allocate(60);
        b.put(new byte[] {-1, -1, -1, -1, -1, -1}).put(mac).putShort((short) 0x8035);
        b.putShort((short) 1).putShort((short) 0x0800).put((byte) 6).put((byte) 4).putShort((short) 3);
        b.put(mac).putInt(0).put(mac).putInt(0);
        return b.array();
    }
}
