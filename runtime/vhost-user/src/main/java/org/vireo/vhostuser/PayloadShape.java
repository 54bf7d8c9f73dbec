// SPDX-License-Identifier: Apache-2.0
package org.vireo.vhostuser;

import java.lang.foreign.MemorySegment;

/** What a payload looks like, and with that which sizes are right. */
public enum PayloadShape {
    /** Nothing; or a u64 that nobody reads, as front-ends send that have one structure for all messages. */
    EMPTY(0, 8, "0, or 8 that are not read"),
    /** A u64. */
    U64(8, 8, "8"),
    /** {@link VringState}. */
    VRING_STATE(8, 8, "8"),
    /** {@link VringAddress}. */
    VRING_ADDRESS(40, 40, "40"),
    /** Count, padding and that many {@link MemoryRegionSpec}s, at most 8. */
    MEMORY_TABLE(8, 8 + 8 * MemoryRegionSpec.BYTES, "8 + 32 for each of the regions it counts, at most 8"),
    /** Padding and one {@link MemoryRegionSpec}. */
    MEMORY_REGION(8 + MemoryRegionSpec.BYTES, 8 + MemoryRegionSpec.BYTES, "40"),
    /** {@link LogSpec}; a u64 where LOG_SHMFD is not negotiated. */
    LOG(8, 16, "8 or 16"),
    /** {@link DeviceConfig}: 12 bytes and as many as it says. */
    CONFIG(DeviceConfig.HEADER_BYTES, DeviceConfig.HEADER_BYTES + DeviceConfig.MAX_BYTES, "12 + the size that it names, at most 256"),
    /** {@link InflightSpec}, with or without the padding that C adds. */
    INFLIGHT(20, 24, "20 or 24"),
    /** {@link DeviceStateTransfer}. */
    DEVICE_STATE(8, 8, "8"),
    /** A vhost_iotlb_msg. */
    IOTLB(32, 32, "32"),
    /** u64 index and flags, u64 size, u64 offset. */
    VRING_AREA(24, 24, "24"),
    /** A UUID. */
    UUID(16, 16, "16"),
    /** Not looked at; for kinds that are not served. */
    ANY(0, MessageHeader.MAX_PAYLOAD, "at most " + MessageHeader.MAX_PAYLOAD);

    private final int min;
    private final int max;
    private final String text;

    PayloadShape(int min, int max, String text) {
        this.min = min;
        this.max = max;
        this.text = text;
    }

    /** Whether a payload has a size that fits its shape and its own counts. */
    public boolean accepts(MemorySegment payload) {
        long n = payload.byteSize();
        if (n < min || n > max) {
            return false;
        }
        return switch (this) {
            case EMPTY -> n == 0 || n == 8;
            case MEMORY_TABLE -> n == 8 + MemoryRegionSpec.BYTES * Integer.toUnsignedLong(payload.get(Wire.INT, 0));
            case CONFIG -> n == DeviceConfig.HEADER_BYTES + Integer.toUnsignedLong(payload.get(Wire.INT, 4));
            case LOG -> n == 8 || n == 16;
            case INFLIGHT -> n == 20 || n == 24;
            default -> true;
        };
    }

    /** The right sizes, for messages. */
    public String sizes() {
        return text;
    }
}
