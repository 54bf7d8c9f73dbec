// SPDX-License-Identifier: Apache-2.0
package org.vireo.vhostuser;

/**
 * What SET_VRING_BASE and the answer to GET_VRING_BASE say of a packed ring: where the device will look for what is available, and behind
 * it where it will write what is used, each an index with the wrap counter in bit 15.
 *
 * <pre>
 *  0           16     32
 *  | available | used |
 * </pre>
 *
 * <p>Some say the first alone, since both are the same when all was given back. Then the second is 0, which is also where a device begins
 * its second lap: whether that is meant, the ring's first descriptor tells.
 */
public final class PackedBase {
    private static final int WRAP = 0x8000;
    private static final int INDEX = 0x7fff;
    private static final int AVAILABLE = 1 << 7;
    private static final int USED = 1 << 15;

    private PackedBase() {
    }

    /**
     * Whether the ring has to be looked at.
     *
     * @param num the payload
     * @return whether its used position may be 0, and may not have been said
     */
    public static boolean isUnsure(int num) {
        return num >>> 16 == 0 && num != 0;
    }

    /**
     * Where the device goes on: at the used position, since what it took and did not give back is taken again.
     *
     * @param num the payload
     * @param size entries of the ring
     * @param flags of the ring's first descriptor, for a payload that {@link #isUnsure}
     * @return an index with the wrap counter in bit 15
     */
    public static int position(int num, int size, int flags) {
        if (!isUnsure(num)) {
            return num >>> 16;
        }
        // at index 0, wrap counter 0, nothing was given back, and not more than a lap was taken from there
        boolean waits = (flags & (AVAILABLE | USED)) == USED;
        boolean near = (num & WRAP) == 0 || (num & INDEX) == 0;
        return waits && near && (num & INDEX) < size ? 0 : num & 0xffff;
    }
}
