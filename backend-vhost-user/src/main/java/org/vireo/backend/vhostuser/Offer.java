// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import org.vireo.net.api.PortProfile;
import org.vireo.vhostuser.ProtocolFeatures;
import org.vireo.vhostuser.VirtioNet;

/**
 * What a back-end can do, as negotiated on one connection.
 *
 * @param features virtio and vhost features that it offers
 * @param protocol protocol features that are in force
 * @param mtu of its configuration space, 0: not known
 * @param memorySlots how many regions it takes with ADD_MEM_REG
 */
record Offer(long features, long protocol, int mtu, long memorySlots) {
    /** What a guest negotiates about its rings and buffers, and the back-end has to know. */
    private static final long RINGS = VirtioNet.VERSION_1 | VirtioNet.RING_PACKED | VirtioNet.EVENT_IDX | VirtioNet.INDIRECT_DESC
            | VirtioNet.MRG_RXBUF | VirtioNet.ANY_LAYOUT | VirtioNet.NOTIFY_ON_EMPTY | VirtioNet.IN_ORDER | VirtioNet.ORDER_PLATFORM;
    private static final long OFFLOADS = VirtioNet.CSUM | VirtioNet.GUEST_CSUM | VirtioNet.GUEST_TSO4 | VirtioNet.GUEST_TSO6
            | VirtioNet.GUEST_ECN | VirtioNet.GUEST_UFO | VirtioNet.GUEST_USO4 | VirtioNet.GUEST_USO6 | VirtioNet.HOST_TSO4
            | VirtioNet.HOST_TSO6 | VirtioNet.HOST_ECN | VirtioNet.HOST_UFO | VirtioNet.HOST_USO;
    /** What the guest negotiates with the device in front of the back-end. The back-end is told if it knows it. */
    private static final long DEVICE = VirtioNet.MTU | VirtioNet.MAC | VirtioNet.STATUS | VirtioNet.CTRL_VQ | VirtioNet.CTRL_RX
            | VirtioNet.CTRL_VLAN | VirtioNet.CTRL_RX_EXTRA | VirtioNet.GUEST_ANNOUNCE | VirtioNet.MQ | VirtioNet.CTRL_MAC_ADDR
            | VirtioNet.CTRL_GUEST_OFFLOADS | VirtioNet.STANDBY | VirtioNet.SPEED_DUPLEX;
    /** What is between front-end and back-end only. */
    private static final long TRANSPORT = VirtioNet.PROTOCOL_FEATURES | VirtioNet.LOG_ALL;

    /** Whether all these protocol features are in force. */
    boolean has(long wanted) {
        return (protocol & wanted) == wanted;
    }

    /** Whether rings can be enabled and disabled; where not, each is enabled as long as it runs. */
    boolean enables() {
        return (features & VirtioNet.PROTOCOL_FEATURES) != 0;
    }

    /** Whether it can log what it writes. */
    boolean logs() {
        return (features & VirtioNet.LOG_ALL) != 0 && has(ProtocolFeatures.LOG_SHMFD);
    }

    /** What of the acknowledged features it lacks. */
    long missing(long acknowledged) {
        return acknowledged & ~DEVICE & ~TRANSPORT & ~features;
    }

    /** What SET_FEATURES says. */
    long told(long acknowledged, boolean logging) {
        return acknowledged & features & ~TRANSPORT | features & VirtioNet.PROTOCOL_FEATURES | (logging ? VirtioNet.LOG_ALL : 0);
    }

    /** What a guest is offered. Of packed rings nobody knows where they are when a back-end without in-flight memory has gone. */
    private long offered() {
        long offered = features & (RINGS | OFFLOADS) | (logs() ? VirtioNet.LOG_ALL : 0);
        return has(ProtocolFeatures.INFLIGHT_SHMFD) ? offered : offered & ~VirtioNet.RING_PACKED;
    }

    PortProfile profile(int pairs, boolean linkUp) {
        return PortProfile.builder().pairs(pairs).headerLengths(10, 12).features(offered()).mtu(mtu).linkUp(linkUp)
                .lasting(true).build();
    }

    @Override
    public String toString() {
        return "features " + VirtioNet.names(features) + "; protocol features " + ProtocolFeatures.names(protocol) + "; mtu " + mtu;
    }

    /** Whether a guest that negotiates now would notice a difference. */
    boolean sameProfile(Offer other) {
        return offered() == other.offered() && mtu == other.mtu;
    }
}
