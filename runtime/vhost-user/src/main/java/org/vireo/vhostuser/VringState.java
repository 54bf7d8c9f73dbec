// SPDX-License-Identifier: Apache-2.0
package org.vireo.vhostuser;

import java.lang.foreign.MemorySegment;

/**
 * "A vring state description".
 *
 * <pre>
 *  0       4       8
 *  | index |  num  |
 * </pre>
 *
 * @param index of the ring, unsigned, unchecked
 * @param num depends on the request; for a packed ring's base two positions with their wrap counters
 */
public record VringState(int index, int num) {
    static VringState read(MemorySegment p) {
        return new VringState(p.get(Wire.INT, 0), p.get(Wire.INT, 4));
    }

    /** The payload. */
    public MemorySegment payload() {
        MemorySegment p = Wire.bytes(8);
        p.set(Wire.INT, 0, index);
        p.set(Wire.INT, 4, num);
        return p;
    }
}
