// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.session;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;

import java.lang.foreign.MemorySegment;

/**
 * The configuration space (virtio 1.2, section 5.1.4), as GET_CONFIG reads it.
 *
 * <pre>
 * 0 mac (6 bytes)   6 status (16)   8 max_virtqueue_pairs (16)   10 mtu (16)   12 speed (32)   16 duplex (8)
 * </pre>
 */
public final class ConfigSpace {
    /** Its size as vhost-user sees it (VHOST_USER_MAX_CONFIG_SIZE). */
    public static final int BYTES = 256;

    private static final int LINK_UP = 1;

    private ConfigSpace() {
    }

    /**
     * Makes the whole space.
     *
     * @param mac six bytes
     * @param linkUp whether the link is up
     * @param pairs queue pairs
     * @param mtu 0: none
     * @return its bytes
     */
    public static MemorySegment of(byte[] mac, boolean linkUp, int pairs, int mtu) {
        MemorySegment s = MemorySegment.ofArray(new byte[BYTES]);
        MemorySegment.copy(mac, 0, s, JAVA_BYTE, 0, 6);
        s.set(JAVA_SHORT_UNALIGNED, 6, (short) (linkUp ? LINK_UP : 0));
        s.set(JAVA_SHORT_UNALIGNED, 8, (short) pairs);
        s.set(JAVA_SHORT_UNALIGNED, 10, (short) mtu);
        s.set(JAVA_INT_UNALIGNED, 12, -1);
        s.set(JAVA_BYTE, 16, (byte) 0xff);
        return s;
    }
}
