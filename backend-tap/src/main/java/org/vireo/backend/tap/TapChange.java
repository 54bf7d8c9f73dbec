// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.tap;

import java.io.IOException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.net.api.Fds;
import org.vireo.net.api.NetdevException;

/**
 * What a netdev's configuration says otherwise than the one of before, of what can be changed while the interface is open. What is not
 * given any more stays as it is, but for the limit of {@code sndbuf}, and for the bridge, which is left.
 *
 * @param sndbuf whether the send buffer's limit is another one
 * @param mtu the new one, 0: as before
 * @param leaves bridge to leave, or null
 * @param joins whether the configured bridge is another one
 */
record TapChange(boolean sndbuf, int mtu, String leaves, boolean joins) {
    static final TapChange NONE = new TapChange(false, 0, null, false);

    private static final Logger LOG = LoggerFactory.getLogger(TapChange.class);

    /**
     * Compares.
     *
     * @param sndbuf that was configured before, -1: none
     * @param mtu that was configured before, 0: none
     * @param bridge that was configured before, or null
     */
    static TapChange of(TapOptions now, long sndbuf, long mtu, String bridge) {
        boolean moves = bridge == null ? now.bridge() != null : !bridge.equals(now.bridge());
        return new TapChange(now.sndbuf() != sndbuf, now.mtu() == mtu ? 0 : now.mtu(), moves ? bridge : null,
                moves && now.bridge() != null);
    }

    /** Whether it concerns the interface as the host sees it. */
    boolean concernsHost() {
        return mtu != 0 || leaves != null || joins;
    }

    /** Makes the change; what fails leaves everything as it was. */
    void make(int fd, String name, TapOptions options, Fds fds) throws NetdevException, IOException {
        int before = TapIoctl.sendBuffer(fd);
        if (sndbuf) {
            TapIoctl.setSendBuffer(fd, options.sendBuffer());
        }
        boolean done = false;
        try {
            if (concernsHost()) {
                changeHost(name, options, fds);
            }
            done = true;
            LOG.info("netdev {}: {} has its new configuration", options.id(), name);
        } finally {
            if (!done && sndbuf) {
                TapIoctl.setSendBuffer(fd, before);
            }
        }
    }

    private void changeHost(String name, TapOptions options, Fds fds) throws NetdevException, IOException {
        try (HostInterface host = new HostInterface(fds, name)) {
            int before = host.mtu();
            if (mtu != 0) {
                host.setMtu(mtu);
            }
            boolean done = false;
            try {
                moveBridge(host, name, options);
                done = true;
            } finally {
                if (!done && mtu != 0) {
                    host.setMtu(before);
                }
            }
        }
    }

    private void moveBridge(HostInterface host, String name, TapOptions options) throws NetdevException, IOException {
        if (leaves != null) {
            host.leaveBridge(leaves);
        }
        if (joins) {
            boolean done = false;
            try {
                TapOpener.joinBridge(host, options, name);
                done = true;
            } finally {
                if (!done && leaves != null) {
                    host.joinBridge(leaves);
                }
            }
        }
    }
}
