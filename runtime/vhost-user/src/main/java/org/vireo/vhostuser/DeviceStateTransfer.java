// SPDX-License-Identifier: Apache-2.0
package org.vireo.vhostuser;

import java.lang.foreign.MemorySegment;

/**
 * "Device state transfer parameters".
 *
 * <pre>
 *  0           4       8
 *  | direction | phase |
 * </pre>
 *
 * @param direction 0 save, 1 load
 * @param phase 0 stopped
 */
public record DeviceStateTransfer(int direction, int phase) {
    static DeviceStateTransfer read(MemorySegment p) {
        return new DeviceStateTransfer(p.get(Wire.INT, 0), p.get(Wire.INT, 4));
    }

    /** The payload. */
    public MemorySegment payload() {
        return new VringState(direction, phase).payload();
    }
}
