// SPDX-License-Identifier: Apache-2.0
package com.example.vireo.packet;

import java.util.ArrayList;
import java.util.List;
import org.slf4j.LoggerFactory;
import org.vireo.net.api.Fd;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.OpenContext;
import org.vireo.posix.Errno;
import org.vireo.posix.PosixException;

/** Opens an interface's sockets. What fails leaves nothing behind. */
final class PacketOpener {
    private PacketOpener() {
    }

    static PacketPort open(PacketOptions options, OpenContext context) throws NetdevException {
        if (options.queues() < context.pairs()) {
            throw new NetdevException(options.prefix() + options.queues() + " queue pair(s), but the NIC has " + context.pairs()
                    + ": give queues=" + context.pairs() + ", or the NIC fewer");
        }
        List<Fd> sockets = new ArrayList<>();
        boolean done = false;
        try {
            for (int i = 0; i < options.queues(); i++) {
                sockets.add(PacketSocket.create(options, context.fds(), i));
            }
            PacketFacts facts = PacketSocket.look(sockets.getFirst(), options);
            for (Fd s : sockets) {
                PacketSocket.prepare(s, options);
                PacketSocket.bind(s, facts.index());
            }
            if (sockets.size() > 1) {
                Fanout.join(sockets);
                // until they shared the frames each socket got all
                sockets.forEach(PacketSocket::drain);
            }
            if (options.promisc()) {
                PacketSocket.promiscuous(sockets.getFirst(), facts.index());
            }
            LoggerFactory.getLogger(PacketOpener.class).info("netdev {}: opened {} with {} queue pair(s)", options.id(), facts,
                    sockets.size());
            PacketPort port = PacketPort.opened(options, context, facts, sockets);
            done = true;
            return port;
        } catch (PosixException e) {
            String hint = switch (e.errno()) {
                case Errno.ENODEV -> ": there is no such interface: ip link";
                case Errno.ENETDOWN -> ": it is down: ip link set " + options.ifname() + " up";
                default -> "";
            };
            throw new NetdevException(options.prefix() + "cannot open ifname=" + options.ifname() + ": " + e.getMessage() + hint, e);
        } finally {
            if (!done) {
                sockets.forEach(Fd::close);
            }
        }
    }
}
