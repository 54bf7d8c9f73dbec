// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.ring;

import org.vireo.frontend.virtionet.memory.MemoryTable;
import org.vireo.frontend.virtionet.ring.MalformedRingException.Rule;
import org.vireo.frontend.virtionet.ring.Virtqueue.RingArea;

/** Finds and checks where a ring lies. */
public final class RingAreas {
    private RingAreas() {
    }

    /**
     * Translates a ring's addresses.
     *
     * @param name for messages
     * @param size entries
     * @param packed its layout
     * @param descriptors VMM address of the descriptors
     * @param available VMM address of the driver's area
     * @param used VMM address of the device's area
     * @param memory the guest's memory
     * @return where it lies, its pages touched
     * @throws MalformedRingException size or an address is out of rule
     */
    public static RingArea find(String name, int size, boolean packed, long descriptors, long available, long used, MemoryTable memory)
            throws MalformedRingException {
        if (packed) {
            return findPacked(name, size, descriptors, available, used, memory);
        }
        if (size < 1 || size > SplitRingLayout.MAX_SIZE || Integer.bitCount(size) != 1) {
            throw new MalformedRingException(Rule.LAYOUT, name + ": size " + size + " is not a power of two of 1 to 32768");
        }
        return new RingArea(
                part(name, "descriptor table", descriptors, SplitRingLayout.descriptorBytes(size), 16, memory),
                part(name, "available ring", available, SplitRingLayout.availableBytes(size), 2, memory),
                part(name, "used ring", used, SplitRingLayout.usedBytes(size), 4, memory));
    }

    private static RingArea findPacked(String name, int size, long descriptors, long driver, long device, MemoryTable memory)
            throws MalformedRingException {
        if (size < 1 || size > PackedRingLayout.MAX_SIZE) {
            throw new MalformedRingException(Rule.LAYOUT, name + ": size " + size + " is not of 1 to 32768");
        }
        return new RingArea(
                part(name, "descriptor ring", descriptors, PackedRingLayout.descriptorBytes(size), 16, memory),
                part(name, "driver's event suppression", driver, PackedRingLayout.EVENT_BYTES, 4, memory),
                part(name, "device's event suppression", device, PackedRingLayout.EVENT_BYTES, 4, memory));
    }

    private static long part(String name, String what, long user, long bytes, int alignment, MemoryTable memory)
            throws MalformedRingException {
        long at = memory.hostOfUser(user, bytes);
        if (at == MemoryTable.NONE) {
            throw new MalformedRingException(Rule.LAYOUT, name + ": " + what + " of " + bytes + " bytes at VMM address 0x"
                    + Long.toHexString(user) + " is in no memory region");
        }
        if (at % alignment != 0) {
            throw new MalformedRingException(Rule.LAYOUT, name + ": " + what + " at VMM address 0x" + Long.toHexString(user)
                    + " is not aligned to " + alignment);
        }
        Virtqueue.touch(at, bytes);
        return at;
    }
}
