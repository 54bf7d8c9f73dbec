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
    /** Direction: from the back-end to the front-end. */
    public static final int SAVE = 0;
    /** Direction: from the front-end to the back-end. */
    public static final int LOAD = 1;
    /** Phase: all rings are stopped. */
    public static final int STOPPED = 0;

    static DeviceStateTransfer read(MemorySegment p) {
        return new DeviceStateTransfer(p.get(Wire.INT, 0), p.get(Wire.INT, 4));
    }

    /** The payload. */
    public MemorySegment payload() {
        return new VringState(direction, phase).payload();
    }
}
