// SPDX-License-Identifier: Apache-2.0
package com.example.vireo.packet;

import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.net.api.Fd;
import org.vireo.net.api.FramePort;
import org.vireo.net.api.FrameQueue;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.OpenContext;
import org.vireo.net.api.PortProfile;
import org.vireo.net.api.PortSettings;
import org.vireo.net.api.StatisticsSink;
import org.vireo.posix.PosixException;

/** An interface's open sockets. It has no thread, and all that it changed outside ends with the sockets. */
final class PacketPort implements FramePort {
    private static final Logger LOG = LoggerFactory.getLogger(PacketPort.class);

    private final PacketOptions options;
    private final OpenContext context;
    private final PacketFacts facts;
    private final PortProfile profile;
    private final List<PacketQueue> queues = new ArrayList<>();
    private PortSettings settings;
    /** Whether this port is the one that uses the sockets: a loaded one is not before it is told. */
    private boolean live;
    private long dropped;
    private boolean closed;

    private PacketPort(PacketOptions options, OpenContext context, PacketFacts facts, List<Fd> sockets, PortSettings settings,
            boolean live) {
        this.options = options;
        this.context = context;
        this.facts = facts;
        this.settings = settings;
        this.live = live;
        profile = facts.profile(options, sockets.size());
        for (int i = 0; i < sockets.size(); i++) {
            queues.add(new PacketQueue(sockets.get(i), options.prefix() + facts.name() + " queue " + i));
            queues.getLast().settings(settings.headerLength(), settings.guestOffloads(), settings.enabled(i));
        }
    }

    static PacketPort opened(PacketOptions options, OpenContext context, PacketFacts facts, List<Fd> sockets) {
        BitSet first = new BitSet();
        first.set(0);
        return new PacketPort(options, context, facts, sockets, PortSettings.of(12, 0, first), true);
    }

    /** With the settings that are in force: frames may pass before it is told others. */
    static PacketPort loaded(PacketOptions options, OpenContext context, PacketFacts facts, List<Fd> sockets, PortSettings settings) {
        return new PacketPort(options, context, facts, sockets, settings, false);
    }

    PacketFacts facts() {
        return facts;
    }

    boolean isClosed() {
        return closed;
    }

    PacketOptions options() {
        return options;
    }

    PortSettings settings() {
        return settings;
    }

    List<Fd> sockets() {
        return queues.stream().map(FrameQueue::events).toList();
    }

    Fd first() {
        return queues.getFirst().events();
    }

    @Override
    public FrameQueue queue(int pair) {
        return queues.get(pair);
    }

    @Override
    public PortProfile profile() {
        return profile;
    }

    @Override
    public void apply(PortSettings s) throws NetdevException {
        String what = options.prefix() + "interface " + facts.name() + ": ";
        if (closed) {
            throw new NetdevException(what + "is closed");
        }
        if (!profile.headerLengths().contains(s.headerLength())) {
            throw new NetdevException(what + "header length " + s.headerLength() + " is not one of " + profile.headerLengths());
        }
        BitSet wanted = new BitSet();
        for (int i = 0; i < queues.size(); i++) {
            wanted.set(i, s.enabled(i));
        }
        if (!context.rehearsal()) {
            live = true;
            useOnly(wanted, what);
        }
        settings = s;
        for (int i = 0; i < queues.size(); i++) {
            queues.get(i).settings(s.headerLength(), s.guestOffloads(), wanted.get(i));
        }
    }

    private void useOnly(BitSet wanted, String what) throws NetdevException {
        for (int i = wanted.nextSetBit(0); i >= 0; i = wanted.nextSetBit(i + 1)) {
            if (!settings.enabled(i)) {
                // what came before the pair was last put out of use is old
                PacketSocket.drain(queues.get(i).events());
            }
        }
        if (queues.size() > 1) {
            try {
                Fanout.use(first(), wanted);
            } catch (PosixException e) {
                throw new NetdevException(what + "cannot use pairs " + wanted + ": " + e.getMessage() + "; the former ones stay", e);
            }
        }
    }

    @Override
    public void statistics(StatisticsSink to) {
        if (closed || !live) {
            return;
        }
        try {
            for (PacketQueue q : queues) {
                dropped += PacketSocket.dropped(q.events());
            }
        } catch (PosixException e) {
            LOG.debug("netdev {}: no counters of {}", options.id(), facts.name(), e);
        }
        to.counter("socket-full", dropped);
        to.counter("guest-lacks-offload", queues.stream().mapToLong(PacketQueue::unfit).sum());
        to.counter("vlan-tags", queues.stream().mapToLong(PacketQueue::tagged).sum());
    }

    @Override
    public void close(Disposal how) {
        if (closed) {
            return;
        }
        closed = true;
        queues.forEach(PacketQueue::close);
        if (!context.rehearsal()) {
            LOG.info("netdev {}: {} {}", options.id(), how == Disposal.RELEASE ? "released" : "left", facts.name());
        }
    }
}
