// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.tap;

import org.vireo.net.api.PortProfile;

/**
 * What is known of an interface and does not change while it is open. Found by probing when it is opened; afterwards it travels with the
 * state, since probing changes the device.
 *
 * @param name the interface's name in its own name space
 * @param vnetHdr whether frames carry a virtio-net header
 * @param ufo whether the kernel takes and gives UDP fragmentation offload
 * @param uso whether the kernel takes and gives UDP segmentation offload
 * @param tunnel whether the kernel takes and gives offload of UDP tunnels
 * @param mtu of the interface, 0: not known
 * @param persistent whether the interface stays when its last descriptor is closed
 */
record TapFacts(String name, boolean vnetHdr, boolean ufo, boolean uso, boolean tunnel, int mtu, boolean persistent) {
    // virtio 1.2, section 5.1.3
    static final long CSUM = 1L;
    static final long GUEST_CSUM = 1L << 1;
    static final long GUEST_TSO4 = 1L << 7;
    static final long GUEST_TSO6 = 1L << 8;
    static final long GUEST_ECN = 1L << 9;
    static final long GUEST_UFO = 1L << 10;
    static final long HOST_TSO4 = 1L << 11;
    static final long HOST_TSO6 = 1L << 12;
    static final long HOST_ECN = 1L << 13;
    static final long HOST_UFO = 1L << 14;
    static final long GUEST_USO4 = 1L << 54;
    static final long GUEST_USO6 = 1L << 55;
    static final long HOST_USO = 1L << 56;

    /** The bits of {@link org.vireo.net.api.PortSettings#guestOffloads()} that concern a TAP; the rest of GUEST_ are no offloads. */
    static final long GUEST_OFFLOADS = GUEST_CSUM | GUEST_TSO4 | GUEST_TSO6 | GUEST_ECN | GUEST_UFO | GUEST_USO4 | GUEST_USO6;

    private static final long ALWAYS = CSUM | GUEST_CSUM | GUEST_TSO4 | GUEST_TSO6 | GUEST_ECN | HOST_TSO4 | HOST_TSO6 | HOST_ECN;

    /** As a log says it. */
    @Override
    public String toString() {
        String header = !vnetHdr ? "without virtio-net header" : "virtio-net header" + (ufo ? ", UFO" : "") + (uso ? ", USO" : "")
                + (tunnel ? ", UDP tunnels" : "");
        return header + (mtu == 0 ? "" : ", MTU " + mtu);
    }

    PortProfile profile(int pairs, boolean linkUp) {
        PortProfile.Builder b = PortProfile.builder().pairs(pairs).mtu(mtu).linkUp(linkUp).lasting(persistent);
        if (vnetHdr) {
            b.headerLengths(10, 12).features(ALWAYS | (ufo ? GUEST_UFO | HOST_UFO : 0) | (uso ? GUEST_USO4 | GUEST_USO6 | HOST_USO : 0));
        } else {
            b.headerLengths(0);
        }
        return b.build();
    }

    /** TUN_F_ bits for what a guest takes. The kernel wants checksums with anything, ECN with TSO, and both kinds of USO together. */
    static int offload(long guest) {
        if ((guest & GUEST_CSUM) == 0) {
            return 0;
        }
        int bits = TapIoctl.TUN_F_CSUM;
        bits |= (guest & GUEST_TSO4) != 0 ? TapIoctl.TUN_F_TSO4 : 0;
        bits |= (guest & GUEST_TSO6) != 0 ? TapIoctl.TUN_F_TSO6 : 0;
        bits |= (guest & GUEST_ECN) != 0 && (guest & (GUEST_TSO4 | GUEST_TSO6)) != 0 ? TapIoctl.TUN_F_TSO_ECN : 0;
        bits |= (guest & GUEST_UFO) != 0 ? TapIoctl.TUN_F_UFO : 0;
        long bothUso = GUEST_USO4 | GUEST_USO6;
        bits |= (guest & bothUso) == bothUso ? TapIoctl.TUN_F_USO4 | TapIoctl.TUN_F_USO6 : 0;
        return bits;
    }
}
