// SPDX-License-Identifier: Apache-2.0
package com.example.vireo.packet;

import org.vireo.net.api.PortProfile;

/**
 * What was found when the interface was opened. It travels with the state, since who loads that must not ask the device.
 *
 * @param name its name then
 * @param index its number in its own name space; it stays when the name changes
 * @param mtu bytes, 0: not known
 * @param linkUp whether it had a carrier
 */
record PacketFacts(String name, int index, int mtu, boolean linkUp) {
    // virtio 1.2, section 5.1.3
    static final long CSUM = 1L;
    static final long GUEST_CSUM = 1L << 1;
    static final long GUEST_TSO4 = 1L << 7;
    static final long GUEST_TSO6 = 1L << 8;
    static final long GUEST_ECN = 1L << 9;
    static final long HOST_TSO4 = 1L << 11;
    static final long HOST_TSO6 = 1L << 12;
    static final long HOST_ECN = 1L << 13;
    static final long GUEST_USO4 = 1L << 54;
    static final long GUEST_USO6 = 1L << 55;

    /** What frames to the guest may carry. Kernels before 6.2 never give UDP segments, and taking them from a guest cannot be asked for. */
    static final long TO_GUEST = GUEST_CSUM | GUEST_TSO4 | GUEST_TSO6 | GUEST_ECN | GUEST_USO4 | GUEST_USO6;

    PortProfile profile(PacketOptions options, int pairs) {
        // with the bypass the kernel drops what it would have to cut into segments itself
        long fromGuest = options.qdiscBypass() ? CSUM : CSUM | HOST_TSO4 | HOST_TSO6 | HOST_ECN;
        // the interface is there without us
        return PortProfile.builder().pairs(pairs).mtu(mtu).linkUp(linkUp).headerLengths(10, 12).features(fromGuest | TO_GUEST)
                .lasting(true).build();
    }
}
