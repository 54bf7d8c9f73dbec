// SPDX-License-Identifier: Apache-2.0
package org.vireo.vhostuser;

/**
 * Device features of virtio-net (virtio 1.2, 5.1.3), of its rings (6) and of vhost-user, and the device status bits (2.1). Feature
 * constants are masks, not bit numbers.
 */
public final class VirtioNet {
    public static final long CSUM = 1L;
    public static final long GUEST_CSUM = 1L << 1;
    public static final long CTRL_GUEST_OFFLOADS = 1L << 2;
    public static final long MTU = 1L << 3;
    public static final long MAC = 1L << 5;
    public static final long GUEST_TSO4 = 1L << 7;
    public static final long GUEST_TSO6 = 1L << 8;
    public static final long GUEST_ECN = 1L << 9;
    public static final long GUEST_UFO = 1L << 10;
    public static final long HOST_TSO4 = 1L << 11;
    public static final long HOST_TSO6 = 1L << 12;
    public static final long HOST_ECN = 1L << 13;
    public static final long HOST_UFO = 1L << 14;
    public static final long MRG_RXBUF = 1L << 15;
    public static final long STATUS = 1L << 16;
    public static final long CTRL_VQ = 1L << 17;
    public static final long CTRL_RX = 1L << 18;
    public static final long CTRL_VLAN = 1L << 19;
    public static final long CTRL_RX_EXTRA = 1L << 20;
    public static final long GUEST_ANNOUNCE = 1L << 21;
    public static final long MQ = 1L << 22;
    public static final long CTRL_MAC_ADDR = 1L << 23;
    /** A ring may be notified before the driver has said DRIVER_OK (legacy). */
    public static final long NOTIFY_ON_EMPTY = 1L << 24;
    /** vhost: dirty pages are logged. */
    public static final long LOG_ALL = 1L << 26;
    public static final long ANY_LAYOUT = 1L << 27;
    public static final long INDIRECT_DESC = 1L << 28;
    public static final long EVENT_IDX = 1L << 29;
    /** vhost-user: protocol features can be negotiated. */
    public static final long PROTOCOL_FEATURES = 1L << 30;
    public static final long VERSION_1 = 1L << 32;
    public static final long ACCESS_PLATFORM = 1L << 33;
    public static final long RING_PACKED = 1L << 34;
    public static final long IN_ORDER = 1L << 35;
    public static final long ORDER_PLATFORM = 1L << 36;
    public static final long SR_IOV = 1L << 37;
    public static final long NOTIFICATION_DATA = 1L << 38;
    public static final long RING_RESET = 1L << 40;
    public static final long GUEST_USO4 = 1L << 54;
    public static final long GUEST_USO6 = 1L << 55;
    public static final long HOST_USO = 1L << 56;
    public static final long HASH_REPORT = 1L << 57;
    public static final long GUEST_HDRLEN = 1L << 59;
    public static final long RSS = 1L << 60;
    public static final long RSC_EXT = 1L << 61;
    public static final long STANDBY = 1L << 62;
    public static final long SPEED_DUPLEX = 1L << 63;

    /** Device status: the guest has found the device. */
    public static final int ACKNOWLEDGE = 1;
    /** Device status: it has a driver for it. */
    public static final int DRIVER = 2;
    /** Device status: the driver is set up. */
    public static final int DRIVER_OK = 4;
    /** Device status: features are negotiated. */
    public static final int FEATURES_OK = 8;
    /** Device status: the device needs a reset. */
    public static final int NEEDS_RESET = 64;
    /** Device status: the driver gave up. */
    public static final int FAILED = 128;

    private static final String[] NAMES = new String[64];

    static {
        String[] low = {"CSUM", "GUEST_CSUM", "CTRL_GUEST_OFFLOADS", "MTU", null, "MAC", null, "GUEST_TSO4", "GUEST_TSO6", "GUEST_ECN",
            "GUEST_UFO", "HOST_TSO4", "HOST_TSO6", "HOST_ECN", "HOST_UFO", "MRG_RXBUF", "STATUS", "CTRL_VQ", "CTRL_RX", "CTRL_VLAN",
            "CTRL_RX_EXTRA", "GUEST_ANNOUNCE", "MQ", "CTRL_MAC_ADDR", "NOTIFY_ON_EMPTY", null, "LOG_ALL", "ANY_LAYOUT", "INDIRECT_DESC",
            "EVENT_IDX", "PROTOCOL_FEATURES", null, "VERSION_1", "ACCESS_PLATFORM", "RING_PACKED", "IN_ORDER", "ORDER_PLATFORM", "SR_IOV",
            "NOTIFICATION_DATA", null, "RING_RESET"};
        String[] high = {"GUEST_USO4", "GUEST_USO6", "HOST_USO", "HASH_REPORT", null, "GUEST_HDRLEN", "RSS", "RSC_EXT", "STANDBY",
            "SPEED_DUPLEX"};
        System.arraycopy(low, 0, NAMES, 0, low.length);
        System.arraycopy(high, 0, NAMES, 54, high.length);
    }

    private VirtioNet() {
    }

    /** Names of the set bits, for messages: {@code "CSUM MRG_RXBUF bit 4"}; {@code "none"} for 0. */
    public static String names(long features) {
        return BitNames.of(features, NAMES);
    }

    /** Bytes of the virtio_net_hdr in front of each frame (5.1.6.1): 12 with VERSION_1 or MRG_RXBUF, else 10. */
    public static int headerBytes(long acknowledged) {
        return (acknowledged & (VERSION_1 | MRG_RXBUF)) != 0 ? 12 : 10;
    }
}
