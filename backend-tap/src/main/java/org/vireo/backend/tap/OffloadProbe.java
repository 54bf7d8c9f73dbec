// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.tap;

import java.io.IOException;
import org.slf4j.LoggerFactory;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.Posix;

/**
 * Which offloads the kernel's TAPs have. There is no request that asks: it has to be tried, which changes the interface for all who have
 * it open.
 *
 * @param ufo UDP fragmentation
 * @param uso UDP segmentation
 * @param tunnel UDP tunnels
 */
record OffloadProbe(boolean ufo, boolean uso, boolean tunnel) {
    static final OffloadProbe NONE = new OffloadProbe(false, false, false);

    /** Tries on an interface that nobody else has open, and leaves it without offloads. */
    static OffloadProbe here(int fd) throws IOException {
        OffloadProbe p = new OffloadProbe(
                takes(fd, TapIoctl.TUN_F_CSUM | TapIoctl.TUN_F_UFO),
                takes(fd, TapIoctl.TUN_F_CSUM | TapIoctl.TUN_F_USO4 | TapIoctl.TUN_F_USO6),
                takes(fd, TapIoctl.TUN_F_CSUM | TapIoctl.TUN_F_TSO4 | TapIoctl.TUN_F_UDP_TUNNEL_GSO));
        TapIoctl.setOffload(fd, 0);
        return p;
    }

    /** Tries on an interface of its own that lives for that long only, since somebody uses the real one. */
    static OffloadProbe aside(Fds fds) throws IOException {
        Fd fd = fds.adopt(Posix.check(Posix.open(TapIoctl.DEVICE, Posix.O_RDWR | Posix.O_NONBLOCK), "open " + TapIoctl.DEVICE),
                "offload probe");
        try {
            TapIoctl.setInterface(fd.number(), "vireoprobe%d", TapIoctl.IFF_TAP | TapIoctl.IFF_NO_PI | TapIoctl.IFF_VNET_HDR);
            return here(fd.number());
        } catch (IOException e) {
            LoggerFactory.getLogger(OffloadProbe.class).info("offloads UFO and USO are left out: cannot make an interface to try them: {}",
                    e.getMessage());
            return NONE;
        } finally {
            fd.close();
        }
    }

    private static boolean takes(int fd, int bits) {
        try {
            TapIoctl.setOffload(fd, bits);
            return true;
        } catch (IOException e) {
            return false; // EINVAL: the answer
        }
    }
}
