// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.osgi.probe;

import java.io.IOException;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicLong;
import org.osgi.framework.BundleContext;
import org.vireo.net.api.AlreadyOpenException;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.BackendStateTransfer;
import org.vireo.net.api.Fd;
import org.vireo.net.api.FrameBatch;
import org.vireo.net.api.FramePort;
import org.vireo.net.api.FrameQueue;
import org.vireo.net.api.NetBackend;
import org.vireo.net.api.NetPort;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.OpenContext;
import org.vireo.net.api.PortProfile;
import org.vireo.net.api.PortSettings;
import org.vireo.net.api.ReceiveWindow;
import org.vireo.net.api.Section;
import org.vireo.net.api.StateFormat;
import org.vireo.net.api.StateTransferException;
import org.vireo.net.api.StatisticsSink;
import org.vireo.net.api.ThreadedPort;
import org.vireo.posix.linux.EventFd;

/**
 * A backend without a network: it counts what guests send. The header {@code Probe-Fails} of its bundle makes a call of it fail. What is
 * seen is kept by the JVM's system properties, where a test finds it that shares no class with the bundles of its framework.
 */
public final class ProbeBackend implements NetBackend, BackendStateTransfer {
    /** Header of the bundle: which call fails, {@code activate}, {@code open}, {@code load}, {@code null}, {@code twice}. */
    public static final String FAILS = "Probe-Fails";

    private final String fails;
    private volatile boolean active = true;
    private volatile Port port;

    /**
     * Made by the framework.
     *
     * @param context of the bundle
     */
    public ProbeBackend(BundleContext context) {
        fails = String.valueOf(context.getBundle().getHeaders().get(FAILS));
        say("activate");
        if (fails.equals("activate")) {
            throw new IllegalStateException("this probe cannot be activated");
        }
    }

    /** What all of them have seen: {@code frames} and {@code late}, calls that came when the component was no more. */
    @SuppressWarnings("unchecked")
    public static Map<String, AtomicLong> counts() {
        return (Map<String, AtomicLong>) System.getProperties().computeIfAbsent("vireo.probe.counts",
                k -> new ConcurrentHashMap<String, AtomicLong>());
    }

    /** What was called, but for the queues. */
    @SuppressWarnings("unchecked")
    public static Queue<String> calls() {
        return (Queue<String>) System.getProperties().computeIfAbsent("vireo.probe.calls", k -> new ConcurrentLinkedQueue<String>());
    }

    private static void count(String what, long more) {
        counts().computeIfAbsent(what, k -> new AtomicLong()).addAndGet(more);
    }

    private static void say(String call) {
        calls().add(call);
        count(call, 1);
    }

    private void seen(String call) {
        if (!active) {
            count("late", 1);
            calls().add("late " + call);
        }
    }

    private void called(String call) {
        seen(call);
        say(call);
    }

    /** Called by the framework. */
    void deactivate() {
        say("deactivate");
        active = false;
    }

    private void mayFail(String call) throws NetdevException {
        if (fails.equals(call) || fails.equals("twice") && counts().get(call).get() <= 2) {
            throw new NetdevException("this probe cannot " + call);
        }
    }

    @Override
    public void validate() {
        seen("validate");
    }

    @Override
    public NetPort open(OpenContext context) throws NetdevException {
        called("open");
        mayFail("open");
        if (port != null) {
            throw AlreadyOpenException.opening("probe");
        }
        if (fails.equals("null")) {
            return null;
        }
        try {
            port = new Port(EventFd.create(context.fds(), "probe"), true);
            return port;
        } catch (IOException e) {
            throw new NetdevException("open: " + e.getMessage(), e);
        }
    }

    @Override
    public StateFormat stateFormat() {
        return StateFormat.of("probe", 1, 1).build();
    }

    @Override
    public void check(NetPort p) {
        seen("check");
    }

    @Override
    public BackendState save(NetPort p, int version) throws StateTransferException {
        called("save");
        try {
            Section queue = Section.builder("queue").descriptor("fd", ((Port) p).fd.duplicate()).build();
            return BackendState.of("probe", version, Section.builder("port").build(), List.of(queue));
        } catch (IOException e) {
            throw new StateTransferException("save: " + e.getMessage(), e);
        }
    }

    @Override
    public NetPort load(BackendState state, OpenContext context) throws StateTransferException, AlreadyOpenException {
        if (context.rehearsal()) {
            called("rehearse");
        } else {
            called("load");
            try {
                mayFail("load");
            } catch (NetdevException e) {
                throw new StateTransferException(e.getMessage(), e);
            }
            if (fails.equals("null")) {
                return null;
            }
            if (port != null) {
                throw AlreadyOpenException.loading("probe");
            }
        }
        try {
            Port p = new Port(state.queues().getFirst().descriptor("fd").duplicate(), !context.rehearsal());
            if (!context.rehearsal()) {
                port = p;
            }
            return p;
        } catch (IOException e) {
            throw new StateTransferException("load: " + e.getMessage(), e);
        }
    }

    /** An open port with its one queue. */
    private final class Port implements FramePort, FrameQueue, ThreadedPort {
        private final Fd fd;
        private final boolean real;
        private boolean closed;

        Port(Fd fd, boolean real) {
            this.fd = fd;
            this.real = real;
        }

        @Override
        public FrameQueue queue(int pair) {
            return this;
        }

        @Override
        public PortProfile profile() {
            return PortProfile.builder().pairs(1).headerLengths(10, 12).features(0).mtu(1500).linkUp(true).build();
        }

        @Override
        public void apply(PortSettings settings) {
            seen("apply");
        }

        @Override
        public void quiesce() {
            seen("quiesce");
        }

        @Override
        public void resume() {
            seen("resume");
        }

        @Override
        public void statistics(StatisticsSink to) {
            seen("statistics");
        }

        @Override
        public Fd events() {
            return fd;
        }

        @Override
        public int transmit(FrameBatch batch) {
            seen("transmit");
            for (int i = 0; i < batch.size(); i++) {
                batch.taken(i);
            }
            count(real ? "frames" : "rehearsed", batch.size());
            return batch.size();
        }

        @Override
        public int receive(ReceiveWindow window) {
            seen("receive");
            return 0;
        }

        @Override
        public synchronized void close(Disposal how) {
            if (!closed) {
                closed = true;
                called(real ? "close " + how : "end of a rehearsal");
                fd.close();
                port = real ? null : port;
            }
        }
    }
}
