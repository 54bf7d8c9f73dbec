// SPDX-License-Identifier: Apache-2.0
package org.vireo.vhostuser;

import java.lang.foreign.MemorySegment;

/**
 * "A vring address description". The ring addresses are the front-end's own (user addresses), the log address is the guest's.
 *
 * <pre>
 *  0       4       8            16     24          32    40
 *  | index | flags | descriptor | used | available | log |
 * </pre>
 *
 * @param index of the ring, unsigned, unchecked
 * @param flags bit 0: log writes to the used ring
 * @param descriptor user address of the descriptor table (packed: the ring)
 * @param used user address of the used ring (packed: device event suppression)
 * @param available user address of the available ring (packed: driver event suppression)
 * @param log guest address that writes to the used ring are logged under
 */
public record VringAddress(int index, int flags, long descriptor, long used, long available, long log) {
    /** Flag: writes to the used ring are logged (VHOST_VRING_F_LOG). */
    public static final int LOG = 1;

    static VringAddress read(MemorySegment p) {
        return new VringAddress(p.get(Wire.INT, 0), p.get(Wire.INT, 4), p.get(Wire.LONG, 8), p.get(Wire.LONG, 16), p.get(Wire.LONG, 24),
                p.get(Wire.LONG, 32));
    }

    /** The payload. */
    public MemorySegment payload() {
        MemorySegment p = Wire.bytes(40);
        p.set(Wire.INT, 0, index);
        p.set(Wire.INT, 4, flags);
        p.set(Wire.LONG, 8, descriptor);
        p.set(Wire.LONG, 16, used);
        p.set(Wire.LONG, 24, available);
        p.set(Wire.LONG, 32, log);
        return p;
    }
}
