// SPDX-License-Identifier: Apache-2.0
package com.example.vireo.tapmeter;

import java.util.ArrayList;
import java.util.List;
import org.vireo.net.api.Fd;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.OpenContext;
import org.vireo.net.api.Section;
import org.vireo.posix.PosixException;

/**
 * Opens an interface without {@code tap}, for a daemon that begins with a meter. It needs its name, and leaves out what only {@code tap}
 * can do: scripts, bridges, passed descriptors, UDP offloads.
 */
final class MeterOpener {
    private MeterOpener() {
    }

    static MeterPort open(MeterOptions options, OpenContext context) throws NetdevException {
        if (options.ifname() == null || options.onlyTap() != null) {
            throw new NetdevException(options.prefix() + "tap-meter opens an interface by ifname=, queues= and sndbuf= alone"
                    + (options.onlyTap() == null ? "" : ", not with " + options.onlyTap() + "=")
                    + ": use type tap, then vireo backend swap " + options.id() + " --to tap-meter");
        }
        if (options.queues() < context.pairs()) {
            throw new NetdevException(options.prefix() + options.queues() + " queue pair(s), but the NIC has " + context.pairs()
                    + ": give queues=" + context.pairs() + ", or the NIC fewer");
        }
        int flags = Tun.IFF_TAP | Tun.IFF_NO_PI | Tun.IFF_VNET_HDR | (options.queues() > 1 ? Tun.IFF_MULTI_QUEUE : 0);
        List<Fd> fds = new ArrayList<>();
        boolean done = false;
        try {
            List<Section> queues = new ArrayList<>();
            for (int i = 0; i < options.queues(); i++) {
                fds.add(Tun.open(context.fds(), "netdev " + options.id() + " queue " + i));
                Tun.attachTo(fds.getLast(), options.ifname(), flags);
                queues.add(Section.builder("queue " + i).descriptor(TapState.FD, fds.getLast()).flag(TapState.USING_VNET_HDR, true)
                        .flag(TapState.HAS_UFO, false).flag(TapState.HAS_USO, false).flag(TapState.HAS_TUNNEL, false)
                        .flag(TapState.ENABLED, i == 0).number(TapState.HOST_VNET_HDR_LEN, 12).build());
            }
            Tun.headerLength(fds.getFirst(), 12);
            Tun.offload(fds.getFirst(), 0);
            if (options.sndbuf() != 0) {
                Tun.sendBuffer(fds.getFirst(), options.sndbuf());
            }
            for (Fd fd : fds.subList(1, fds.size())) {
                Tun.attach(fd, false);
            }
            Section.Builder p = Section.builder("port").text(TapState.IFNAME, options.ifname()).optional(TapState.IFNAME);
            if (options.sndbuf() != 0) {
                p.number(TapState.CONFIGURED_SNDBUF, options.sndbuf()).optional(TapState.CONFIGURED_SNDBUF);
            }
            MeterPort port = MeterPort.opened(options, context, TapState.of(p.build(), queues));
            done = true;
            return port;
        } catch (PosixException e) {
            throw new NetdevException(options.prefix() + "cannot open ifname=" + options.ifname() + ": " + e.getMessage()
                    + ": look at it with: ip -d link show " + options.ifname(), e);
        } finally {
            if (!done) {
                fds.forEach(Fd::close);
            }
        }
    }
}
