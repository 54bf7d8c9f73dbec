// SPDX-License-Identifier: Apache-2.0
package com.example.vireo.tapmeter;

import java.io.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.Fd;
import org.vireo.net.api.FramePort;
import org.vireo.net.api.FrameQueue;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.OpenContext;
import org.vireo.net.api.PortProfile;
import org.vireo.net.api.PortSettings;
import org.vireo.net.api.Section;
import org.vireo.net.api.StateTransferException;
import org.vireo.net.api.StatisticsSink;
import org.vireo.posix.PosixException;

/** A TAP with a meter at each queue. Its link stays as it was when the meter came; who takes the TAP back looks at it again. */
final class MeterPort implements FramePort {
    private static final Logger LOG = LoggerFactory.getLogger(MeterPort.class);
    private static final int DOWNSCRIPT_SECONDS = 5;

    private final MeterOptions options;
    private final OpenContext context;
    private final TapState state;
    private final TapOffloads offloads;
    private final PortProfile profile;
    private final List<MeterQueue> queues = new ArrayList<>();
    private int headerLength;
    private boolean closed;

    private MeterPort(MeterOptions options, OpenContext context, TapState state) throws StateTransferException {
        this.options = options;
        this.context = context;
        this.state = state;
        Section first = state.first();
        offloads = new TapOffloads(first.flag(TapState.HAS_UFO), first.flag(TapState.HAS_USO));
        headerLength = (int) first.number(TapState.HOST_VNET_HDR_LEN);
        PortProfile.Builder b = PortProfile.builder().pairs(state.queues().size())
                .mtu(state.port().has(TapState.MTU) ? (int) state.port().number(TapState.MTU) : 0)
                .linkUp(!state.port().has(TapState.LINK_UP) || state.port().flag(TapState.LINK_UP));
        profile = first.flag(TapState.USING_VNET_HDR) ? b.headerLengths(10, 12).features(offloads.features()).build()
                : b.headerLengths(0).build();
        for (Section q : state.queues()) {
            queues.add(new MeterQueue(q.descriptor(TapState.FD), options.prefix() + q.name()));
            queues.getLast().settings(headerLength, q.flag(TapState.ENABLED));
        }
    }

    static MeterPort opened(MeterOptions options, OpenContext context, TapState state) throws StateTransferException {
        return new MeterPort(options, context, state);
    }

    static MeterPort loaded(MeterOptions options, OpenContext context, BackendState from) throws StateTransferException {
        int found = from.queues().size();
        if (found < context.pairs() || options.queues() != 0 && found != options.queues()) {
            throw new StateTransferException(options.prefix() + "the state has " + found + " queue pair(s), the configuration "
                    + options.queues() + ", the NIC " + context.pairs() + ": give all the same queues=");
        }
        return new MeterPort(options, context, TapState.copy(options, from));
    }

    TapState state() {
        return state;
    }

    boolean isClosed() {
        return closed;
    }

    boolean isEnabled(int pair) {
        return queues.get(pair).isEnabled();
    }

    int headerLength() {
        return headerLength;
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
        if (closed) {
            throw new NetdevException(options.prefix() + "is closed");
        }
        if (!profile.headerLengths().contains(s.headerLength())) {
            throw new NetdevException(options.prefix() + "header length " + s.headerLength() + " is not one of " + profile.headerLengths());
        }
        long lacking = s.guestOffloads() & TapOffloads.GUEST & ~profile.features();
        if (lacking != 0) {
            throw new NetdevException(options.prefix() + "has no offloads 0x" + Long.toHexString(lacking)
                    + " (VIRTIO_NET_F_ bits): give the guest a NIC without them");
        }
        BitSet wanted = new BitSet();
        for (int i = 0; i < queues.size(); i++) {
            wanted.set(i, s.enabled(i));
        }
        if (!context.rehearsal()) {
            change(s, wanted);
        }
        headerLength = s.headerLength();
        for (int i = 0; i < queues.size(); i++) {
            queues.get(i).settings(headerLength, wanted.get(i));
        }
    }

    /** Asks the device how it is, since whoever had it before may have changed it, and undoes what it did if a step fails. */
    private void change(PortSettings s, BitSet wanted) throws NetdevException {
        List<Undo> undo = new ArrayList<>();
        try {
            // new pairs first, the former ones last: there is always one that takes frames
            attach(wanted, true, undo);
            if (s.headerLength() != 0) {
                int before = Tun.headerLength(first());
                if (before != s.headerLength()) {
                    Tun.headerLength(first(), s.headerLength());
                    undo.add(() -> Tun.headerLength(first(), before));
                }
                // cannot be asked, and a refusal changes nothing
                Tun.offload(first(), offloads.of(s.guestOffloads()));
            }
            attach(wanted, false, undo);
        } catch (PosixException e) {
            for (Undo u : undo.reversed()) {
                try {
                    u.run();
                } catch (PosixException again) {
                    e.addSuppressed(again);
                }
            }
            throw new NetdevException(options.prefix() + "cannot apply " + s + ": " + e.getMessage() + "; the former settings stay", e);
        }
    }

    /** A step back. */
    @FunctionalInterface
    private interface Undo {
        void run() throws PosixException;
    }

    private void attach(BitSet wanted, boolean on, List<Undo> undo) throws PosixException {
        // a single queue is always attached
        for (int i = 0; queues.size() > 1 && i < queues.size(); i++) {
            Fd fd = queues.get(i).events();
            if (wanted.get(i) == on && Tun.isAttached(fd) != on) {
                Tun.attach(fd, on);
                undo.add(() -> Tun.attach(fd, !on));
            }
        }
    }

    @Override
    public void statistics(StatisticsSink to) {
        Meter.report("transmit", queues.stream().map(MeterQueue::transmitted).toList(), to);
        Meter.report("receive", queues.stream().map(MeterQueue::received).toList(), to);
    }

    @Override
    public void close(Disposal how) {
        if (closed) {
            return;
        }
        closed = true;
        if (how == Disposal.RELEASE && options.downscript() != null && !context.rehearsal()) {
            runDownscript();
        }
        queues.forEach(MeterQueue::close);
        state.close();
    }

    /** The duty that tap has at its end, if the end comes while the meter is there. */
    private void runDownscript() {
        Process p = null;
        try {
            p = new ProcessBuilder(options.downscript(), Tun.name(first())).redirectErrorStream(true)
                    .redirectOutput(ProcessBuilder.Redirect.DISCARD).redirectInput(new File("/dev/null")).start();
            if (!p.waitFor(DOWNSCRIPT_SECONDS, TimeUnit.SECONDS) || p.exitValue() != 0) {
                LOG.error("netdev {}: downscript={} failed or did not end in time; the interface is released all the same", options.id(),
                        options.downscript());
            }
        } catch (IOException e) {
            LOG.error("netdev {}: downscript={} cannot be run: {}", options.id(), options.downscript(), e.getMessage());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } finally {
            if (p != null) {
                p.descendants().forEach(ProcessHandle::destroyForcibly);
                p.destroyForcibly();
            }
        }
    }
}
