// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.tap;

import java.io.IOException;
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

/** An open TAP. It has no thread of its own: its link is watched by the {@link LinkMonitor}. */
final class TapPort implements FramePort {
    private static final Logger LOG = LoggerFactory.getLogger(TapPort.class);
    /** How long a downscript may take: {@link #close} has no deadline of its own. */
    private static final long DOWNSCRIPT_NANOS = 5_000_000_000L;

    private final TapOptions options;
    private final OpenContext context;
    private final TapFacts facts;
    private final PortProfile profile;
    private final List<TapQueue> queues = new ArrayList<>();
    private final TapControl control;
    /** Whether requests may be sent to the device: not before a loaded port was told that it is the owner. */
    private boolean live;
    /** Whether the interface's name means the same in this process; null: not looked yet. */
    private Boolean here;
    private volatile boolean linkUp;
    /** What its configuration has changed; done once it may. */
    private TapChange change;
    private boolean watched;
    private LinkMonitor.Watch watch;
    /** Written with the lock on this port: who has the lock and finds it open may use the descriptors. */
    private volatile boolean closed;

    TapPort(TapOptions options, OpenContext context, OpenedTap tap) {
        this(options, context, tap, firstOnly(), true, TapChange.NONE);
        live = true;
        here = options.fds().isEmpty() ? Boolean.TRUE : null;
    }

    /** A port that was loaded: inert. */
    TapPort(TapOptions options, OpenContext context, OpenedTap tap, BitSet enabled, TapChange change) {
        this(options, context, tap, enabled, false, change);
    }

    private TapPort(TapOptions options, OpenContext context, OpenedTap tap, BitSet enabled, boolean sure, TapChange change) {
        this.options = options;
        this.change = change;
        this.context = context;
        this.facts = tap.facts();
        this.linkUp = tap.linkUp();
        this.profile = facts.profile(tap.queues().size(), linkUp);
        BitSet attached = tap.queues().size() > 1 ? enabled : firstOnly();
        control = new TapControl(tap.queues(), attached, tap.headerLength(), tap.offload(), sure);
        for (int i = 0; i < tap.queues().size(); i++) {
            queues.add(new TapQueue(tap.queues().get(i), options.prefix() + "interface " + facts.name() + " queue " + i, enabled.get(i)));
        }
    }

    private static BitSet firstOnly() {
        BitSet b = new BitSet();
        b.set(0);
        return b;
    }

    TapOptions options() {
        return options;
    }

    TapFacts facts() {
        return facts;
    }

    int headerLength() {
        return control.headerLength();
    }

    boolean enabled(int pair) {
        return queues.get(pair).isEnabled();
    }

    boolean isClosed() {
        return closed;
    }

    List<Fd> descriptors() {
        return queues.stream().map(FrameQueue::events).toList();
    }

    /** Whether the link is up, as far as is known. */
    boolean isLinkUp() {
        return linkUp;
    }

    /**
     * From now on the link's changes are told; at once, if it is not as the profile says. Once, and not for an interface that is not
     * in this process's name space: the news of another one cannot be had from here.
     */
    void watchLink() {
        if (watched || closed || context.rehearsal()) {
            return;
        }
        watched = true;
        try {
            if (!isHere()) {
                LOG.info("netdev {}: {} is in another name space, or that cannot be told: its link is not watched and taken for up",
                        options.id(), facts.name());
                takeForUp();
                return;
            }
            try (HostInterface host = new HostInterface(context.fds(), TapIoctl.attachment(first().number()).name())) {
                if (!linkUp) {
                    // the profile has told that, but not why
                    tellDown();
                }
                watch = LinkMonitor.watch(host.index(), linkUp, new LinkNews());
            }
        } catch (IOException e) {
            LOG.warn("netdev {}: the link of {} is not watched and taken for up: {}", options.id(), facts.name(), e.getMessage());
            takeForUp();
        }
    }

    /** Frames pass, perhaps; a link that is down for good because nobody looks would let none pass. */
    private void takeForUp() {
        if (!linkUp) {
            linkUp = true;
            context.listener().link(true);
        }
    }

    private void tellDown() {
        context.listener().linkDown("interface " + facts.name() + " is down, or has no carrier");
    }

    /** Ends the watch, if there is one. */
    void unwatchLink() {
        LinkMonitor.Watch w = watch;
        watch = null;
        if (w != null) {
            w.close();
        }
    }

    /** On the monitor's thread. */
    private final class LinkNews implements LinkMonitor.Listener {
        @Override
        public void link(boolean up) {
            if (!closed) {
                linkUp = up;
                if (up) {
                    context.listener().link(true);
                } else {
                    tellDown();
                }
            }
        }

        @Override
        public void gone() {
            NetdevException failure = null;
            synchronized (TapPort.this) {
                if (closed) {
                    return;
                }
                try {
                    TapIoctl.attachment(first().number());
                } catch (PosixException e) {
                    failure = new NetdevException(options.prefix() + "interface " + facts.name()
                            + " was deleted; make it again and reopen the netdev", e);
                }
            }
            if (failure == null) {
                LOG.info("netdev {}: {} was moved to another name space: its link is not watched any more and taken for up",
                        options.id(), facts.name());
                takeForUp();
            } else {
                linkUp = false;
                context.listener().link(false);
                context.listener().failed(failure);
            }
        }
    }

    /** The descriptor that the interface's requests go through. */
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
        long offloads = s.guestOffloads() & TapFacts.GUEST_OFFLOADS;
        if ((offloads & ~profile.features()) != 0) {
            throw new NetdevException(what + "has no offloads 0x" + Long.toHexString(offloads & ~profile.features())
                    + " (VIRTIO_NET_F_ bits): give the guest a NIC without them");
        }
        BitSet wanted = new BitSet();
        for (int i = 0; i < queues.size(); i++) {
            wanted.set(i, s.enabled(i));
        }
        if (context.rehearsal()) {
            control.pretend(wanted, s.headerLength(), TapFacts.offload(offloads));
        } else {
            live = true;
            try {
                change();
                control.change(wanted, s.headerLength(), TapFacts.offload(offloads));
            } catch (IOException e) {
                throw new NetdevException(what + "cannot apply " + s + ": " + e.getMessage() + "; the former settings stay", e);
            }
        }
        for (int i = 0; i < queues.size(); i++) {
            queues.get(i).enable(wanted.get(i));
        }
        watchLink();
    }

    private void change() throws NetdevException, IOException {
        if (!change.equals(TapChange.NONE)) {
            if (change.concernsHost() && !isHere()) {
                throw new NetdevException(options.prefix() + "interface " + facts.name()
                        + " is in another name space, or that cannot be told: there mtu and br cannot be changed from here");
            }
            change.make(first().number(), facts.name(), options, context.fds());
            change = TapChange.NONE;
        }
    }

    @Override
    public void statistics(StatisticsSink to) {
        if (closed || context.rehearsal() || !isLive()) {
            return;
        }
        try {
            if (isHere()) {
                HostInterface.counters(facts.name(), to);
            }
        } catch (IOException e) {
            LOG.debug("netdev {}: no counters of {}", options.id(), facts.name(), e);
        }
    }

    private boolean isLive() {
        live |= queues.stream().anyMatch(TapQueue::isTouched);
        return live;
    }

    private boolean isHere() throws IOException {
        if (here == null) {
            here = HostInterface.isHere(first().number(), context.fds());
        }
        return here;
    }

    @Override
    public void close(Disposal how) {
        if (closed) {
            return;
        }
        synchronized (this) {
            closed = true;
        }
        unwatchLink();
        if (how == Disposal.RELEASE && options.downscript() != null && !context.rehearsal()) {
            try {
                DutyScript.run(options.id(), "downscript", options.downscript(), nameNow(), System.nanoTime() + DOWNSCRIPT_NANOS);
            } catch (NetdevException e) {
                LOG.error("{}; the interface is released all the same", e.getMessage());
            }
        }
        RuntimeException first = null;
        for (TapQueue q : queues) {
            try {
                q.close();
            } catch (RuntimeException e) {
                first = first == null ? e : first;
            }
        }
        if (first != null) {
            throw first;
        }
        if (!context.rehearsal()) {
            LOG.info("netdev {}: {} {}", options.id(), how == Disposal.RELEASE ? "released" : "left", facts.name());
        }
    }

    /** The interface may have been renamed since. */
    private String nameNow() {
        try {
            return TapIoctl.attachment(first().number()).name();
        } catch (PosixException e) {
            LOG.warn("netdev {}: interface {} is gone already: {}", options.id(), facts.name(), e.getMessage());
            return facts.name();
        }
    }
}
