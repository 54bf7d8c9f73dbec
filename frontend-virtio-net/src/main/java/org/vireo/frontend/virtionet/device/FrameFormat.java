// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.device;

import org.vireo.vhostuser.VirtioNet;

/**
 * What frames look like between a driver and a port.
 *
 * @param headerLength of the driver's virtio-net header: 10, or 12 with MRG_RXBUF or VERSION_1 (virtio 1.2, section 5.1.6)
 * @param skip how much of it the port does not have: nothing or all
 * @param mergeable whether a received frame may lie over several chains
 * @param largest bytes of a largest frame, header included
 */
public record FrameFormat(int headerLength, int skip, boolean mergeable, int largest) {
    /** Before anything was negotiated. */
    public static final FrameFormat NONE = new FrameFormat(10, 0, false, 1528);

    private static final long BIG = VirtioNet.GUEST_TSO4 | VirtioNet.GUEST_TSO6
            | VirtioNet.GUEST_UFO | VirtioNet.GUEST_USO4 | VirtioNet.GUEST_USO6;
    private static final int LARGEST_OFFLOAD = 65550;
    private static final int ETHERNET = 18;

    /**
     * The format for negotiated features.
     *
     * @param features acknowledged virtio feature bits
     * @param portHeader length of the header on the port's frames, 0: none
     * @param mtu largest payload without offloads
     * @return the format
     */
    public static FrameFormat of(long features, int portHeader, int mtu) {
        boolean mergeable = (features & VirtioNet.MRG_RXBUF) != 0;
        int header = headerLength(features);
        int largest = (features & BIG) != 0 ? LARGEST_OFFLOAD : Math.max(mtu, 1500) + ETHERNET;
        return new FrameFormat(header, portHeader == 0 ? header : 0, mergeable, header + largest);
    }

    /**
     * Length of the header that features ask for.
     *
     * @param features acknowledged virtio feature bits
     * @return 10 or 12
     */
    public static int headerLength(long features) {
        long twelve = VirtioNet.MRG_RXBUF | VirtioNet.VERSION_1;
        return (features & twelve) != 0 ? 12 : 10;
    }
}
