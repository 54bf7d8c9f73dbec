// SPDX-License-Identifier: Apache-2.0
package org.vireo.vhostuser;

/** Protocol features (specification, "Protocol features"). Constants are masks, not bit numbers. */
public final class ProtocolFeatures {
    public static final long MQ = 1L;
    public static final long LOG_SHMFD = 1L << 1;
    public static final long RARP = 1L << 2;
    public static final long REPLY_ACK = 1L << 3;
    public static final long MTU = 1L << 4;
    public static final long BACKEND_REQ = 1L << 5;
    public static final long CROSS_ENDIAN = 1L << 6;
    public static final long CRYPTO_SESSION = 1L << 7;
    public static final long PAGEFAULT = 1L << 8;
    public static final long CONFIG = 1L << 9;
    public static final long BACKEND_SEND_FD = 1L << 10;
    public static final long HOST_NOTIFIER = 1L << 11;
    public static final long INFLIGHT_SHMFD = 1L << 12;
    public static final long RESET_DEVICE = 1L << 13;
    public static final long INBAND_NOTIFICATIONS = 1L << 14;
    public static final long CONFIGURE_MEM_SLOTS = 1L << 15;
    public static final long STATUS = 1L << 16;
    public static final long XEN_MMAP = 1L << 17;
    public static final long SHARED_OBJECT = 1L << 18;
    public static final long DEVICE_STATE = 1L << 19;
    public static final long GET_VRING_BASE_INFLIGHT = 1L << 20;
    /** One client library in use takes this bit for SHMEM: never offer it. */
    public static final long GPA_ADDRESSES = 1L << 21;
    public static final long SHMEM = 1L << 22;
    public static final long GET_VRING_BASE_SKIP_DRAIN = 1L << 23;

    private static final String[] NAMES = {"MQ", "LOG_SHMFD", "RARP", "REPLY_ACK", "MTU", "BACKEND_REQ", "CROSS_ENDIAN", "CRYPTO_SESSION",
        "PAGEFAULT", "CONFIG", "BACKEND_SEND_FD", "HOST_NOTIFIER", "INFLIGHT_SHMFD", "RESET_DEVICE", "INBAND_NOTIFICATIONS",
        "CONFIGURE_MEM_SLOTS", "STATUS", "XEN_MMAP", "SHARED_OBJECT", "DEVICE_STATE", "GET_VRING_BASE_INFLIGHT", "GPA_ADDRESSES", "SHMEM",
        "GET_VRING_BASE_SKIP_DRAIN"};

    private ProtocolFeatures() {
    }

    /** Names of the set bits, for messages: {@code "MQ REPLY_ACK bit 40"}; {@code "none"} for 0. */
    public static String names(long features) {
        return BitNames.of(features, NAMES);
    }
}
