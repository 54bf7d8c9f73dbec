// SPDX-License-Identifier: Apache-2.0
package org.vireo.vhostuser;

import java.lang.foreign.MemorySegment;

/**
 * "Virtio device config space": a piece of it.
 *
 * <pre>
 *  0        4      8       12
 *  | offset | size | flags | size bytes
 * </pre>
 *
 * @param offset in the configuration space, from 0; unsigned, unchecked
 * @param flags 0 a write of the driver, 1 a write for migration
 * @param bytes the piece; in GET_CONFIG's request only its length counts
 */
public record DeviceConfig(int offset, int flags, MemorySegment bytes) {
    /** What stands before the bytes. */
    public static final int HEADER_BYTES = 12;
    /** The largest configuration space (VHOST_USER_MAX_CONFIG_SIZE). */
    public static final int MAX_BYTES = 256;

    static DeviceConfig read(MemorySegment p) {
        return new DeviceConfig(p.get(Wire.INT, 0), p.get(Wire.INT, 8), p.asSlice(HEADER_BYTES));
    }

    /** The length of the piece. */
    public int size() {
        return (int) bytes.byteSize();
    }

    /** The payload. */
    public MemorySegment payload() {
        MemorySegment p = Wire.bytes(HEADER_BYTES + size());
        p.set(Wire.INT, 0, offset);
        p.set(Wire.INT, 4, size());
        p.set(Wire.INT, 8, flags);
        MemorySegment.copy(bytes, 0, p, HEADER_BYTES, size());
        return p;
    }
}
