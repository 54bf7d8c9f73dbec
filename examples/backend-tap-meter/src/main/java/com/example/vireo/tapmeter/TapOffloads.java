// SPDX-License-Identifier: Apache-2.0
package com.example.vireo.tapmeter;

/**
 * What a TAP's frames can carry: the same answers that netdev type {@code tap} gives for the same state.
 *
 * @param ufo UDP fragmentation
 * @param uso UDP segmentation
 */
record TapOffloads(boolean ufo, boolean uso) {
    // virtio 1.2, section 5.1.3
    private static final long GUEST_CSUM = 1L << 1;
    private static final long GUEST_TSO4 = 1L << 7;
    private static final long GUEST_TSO6 = 1L << 8;
    private static final long GUEST_ECN = 1L << 9;
    private static final long GUEST_UFO = 1L << 10;
    private static final long GUEST_USO = 1L << 54 | 1L << 55;
    private static final long HOST_UFO = 1L << 14;
    private static final long HOST_USO = 1L << 56;
    /** CSUM, HOST_TSO4, HOST_TSO6, HOST_ECN. */
    private static final long FROM_GUEST = 1L | 1L << 11 | 1L << 12 | 1L << 13;
    /** All that concern frames to the guest. */
    static final long GUEST = GUEST_CSUM | GUEST_TSO4 | GUEST_TSO6 | GUEST_ECN | GUEST_UFO | GUEST_USO;

    // linux/if_tun.h
    private static final int TUN_F_CSUM = 0x01;
    private static final int TUN_F_TSO4 = 0x02;
    private static final int TUN_F_TSO6 = 0x04;
    private static final int TUN_F_TSO_ECN = 0x08;
    private static final int TUN_F_UFO = 0x10;
    private static final int TUN_F_USO = 0x60;

    /** VIRTIO_NET_F_ bits. */
    long features() {
        return FROM_GUEST | GUEST_CSUM | GUEST_TSO4 | GUEST_TSO6 | GUEST_ECN | (ufo ? GUEST_UFO | HOST_UFO : 0)
                | (uso ? GUEST_USO | HOST_USO : 0);
    }

    /** TUN_F_ bits for what a guest takes: nothing without checksums, ECN with TSO only, both kinds of USO or none. */
    int of(long guest) {
        if ((guest & GUEST_CSUM) == 0) {
            return 0;
        }
        int tso = ((guest & GUEST_TSO4) != 0 ? TUN_F_TSO4 : 0) | ((guest & GUEST_TSO6) != 0 ? TUN_F_TSO6 : 0);
        return TUN_F_CSUM | tso | (tso != 0 && (guest & GUEST_ECN) != 0 ? TUN_F_TSO_ECN : 0)
                | ((guest & GUEST_UFO) != 0 ? TUN_F_UFO : 0) | ((guest & GUEST_USO) == GUEST_USO ? TUN_F_USO : 0);
    }
}
