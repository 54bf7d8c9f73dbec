// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.slot;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.BackendStateTransfer;
import org.vireo.net.api.Fds;
import org.vireo.net.api.FramePort;
import org.vireo.net.api.NetPort;
import org.vireo.net.api.NetPort.Disposal;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.OpenContext;
import org.vireo.net.api.PortListener;
import org.vireo.net.api.PortProfile;
import org.vireo.net.api.PortSettings;
import org.vireo.net.api.StateFormat;
import org.vireo.net.api.StateTransferException;
import org.vireo.net.api.nic.NetdevStatus;

/**
 * What the frontend keeps for one netdev id: which services could serve it, which one does, its port, its parked state, and which NIC
 * holds it. The port's methods are called by the holding NIC only, one at a time.
 */
public final class NetdevSlot {
    private static final Logger LOG = LoggerFactory.getLogger(NetdevSlot.class);
    private static final long CONTROL_NANOS = TimeUnit.SECONDS.toNanos(2);
    private static final long QUERY_NANOS = TimeUnit.SECONDS.toNanos(2);

    private final String id;
    private final Fds fds;
    private final boolean rehearsal;
    private final BackendCalls calls;
    private final List<Candidate> candidates = new ArrayList<>();
    private final List<Candidate> failed = new ArrayList<>();
    private String preferredType = "";
    private SlotUser user;
    private Candidate serving;
    private OpenedPort port;
    private BackendState parked;
    private String failure = "";

    NetdevSlot(String id, Fds fds, Executor threads) {
        this(id, fds, threads, false);
    }

    private NetdevSlot(String id, Fds fds, Executor threads, boolean rehearsal) {
        this.id = id;
        this.fds = fds;
        this.rehearsal = rehearsal;
        calls = new BackendCalls(id, threads);
    }

    /** A slot for a rehearsal: the same backend, which is told that its descriptors are stand-ins. */
    NetdevSlot twin() throws NetdevException {
        synchronized (this) {
            return twin(id, fds, serving == null ? choose() : serving);
        }
    }

    static NetdevSlot twin(String id, Fds fds, Candidate backend) {
        NetdevSlot twin = new NetdevSlot(id, fds, BackendThreads.inheriting(), true);
        twin.candidates.add(backend);
        return twin;
    }

    /**
     * The netdev's id.
     *
     * @return the id
     */
    public String id() {
        return id;
    }

    void add(Candidate c) {
        SlotUser arrived;
        synchronized (this) {
            candidates.add(c);
            if (preferredType.isEmpty()) {
                preferredType = c.type();
            }
            arrived = port == null ? user : null;
            notifyAll();
        }
        LOG.info("netdev {}: backend {} is there", id, c);
        if (arrived != null) {
            arrived.backendArrived();
        }
    }

    void remove(long serviceId) {
        Candidate leaving;
        SlotUser holder = null;
        synchronized (this) {
            leaving = candidates.stream().filter(c -> c.serviceId() == serviceId).findFirst().orElse(null);
            if (leaving == null) {
                return;
            }
            candidates.remove(leaving);
            failed.remove(leaving);
            if (leaving == serving && port != null) {
                holder = user;
            }
        }
        LOG.info("netdev {}: backend {} leaves", id, leaving);
        if (holder != null) {
            holder.backendLeaving();
        }
    }

    synchronized boolean unused() {
        return candidates.isEmpty() && user == null && parked == null;
    }

    /**
     * The best candidate: the configured type first, then ranking, version, age. One that failed is left out until it registers anew.
     */
    private Candidate choose() throws NetdevException {
        List<Candidate> left = candidates.stream().filter(c -> !failed.contains(c)).toList();
        List<Candidate> typed = left.stream().filter(c -> c.type().equals(preferredType)).toList();
        return (typed.isEmpty() ? left : typed).stream().max(Candidate.BETTER).orElseThrow(() -> new NetdevException(
                failure.isEmpty() ? "netdev " + id + ": no backend serves it" : failure));
    }

    /**
     * Whether there is a backend that could serve.
     *
     * @return whether
     */
    public synchronized boolean servable() {
        return candidates.stream().anyMatch(c -> !failed.contains(c));
    }

    /**
     * Gives the netdev to a NIC.
     *
     * @param nic the NIC
     * @throws NetdevException another NIC has it
     */
    public synchronized void acquire(SlotUser nic) throws NetdevException {
        if (user != null && user != nic) {
            throw new NetdevException("netdev " + id + ": is in use by NIC " + user.id());
        }
        user = nic;
    }

    /**
     * Opens the port, or loads it from the parked state, which is kept until {@link #dropParked}: the port may not be good enough.
     *
     * @param pairs of the NIC
     * @param deadlineNanos until when
     * @return the port
     * @throws NetdevException it cannot
     */
    public OpenedPort open(int pairs, long deadlineNanos) throws NetdevException {
        Candidate c;
        BackendState state;
        synchronized (this) {
            requireClosed();
            c = choose();
            state = parked;
        }
        try {
            boolean loads = state != null && c.transfer() != null;
            Disposal undo = loads ? Disposal.LEAVE : Disposal.RELEASE;
            OpenedPort opened = accept(c, undo, loads
                    ? calls.call("load", c.bundle(), deadlineNanos,
                            () -> checked(c, reader(c, state).load(state, context(pairs, deadlineNanos)), undo, pairs), p -> undo(p, undo))
                    : calls.call("open", c.bundle(), deadlineNanos,
                            () -> checked(c, c.backend().open(context(pairs, deadlineNanos)), undo, pairs), p -> undo(p, undo)));
            return opened;
        } catch (NetdevException e) {
            synchronized (this) {
                failed.add(c);
                failure = e.getMessage();
            }
            throw e;
        }
    }

    /**
     * Loads the port from the state of another process.
     *
     * @param state the state; the caller closes it
     * @param pairs of the NIC
     * @param deadlineNanos until when
     * @return the port, inert
     * @throws NetdevException it cannot
     */
    public OpenedPort load(BackendState state, int pairs, long deadlineNanos) throws NetdevException {
        Candidate c;
        synchronized (this) {
            requireClosed();
            c = choose();
        }
        return accept(c, Disposal.LEAVE, calls.call("load", c.bundle(), deadlineNanos,
                () -> checked(c, reader(c, state).load(state, context(pairs, deadlineNanos)), Disposal.LEAVE, pairs),
                p -> undo(p, Disposal.LEAVE)));
    }

    private synchronized void requireClosed() throws NetdevException {
        if (port != null) {
            throw org.vireo.net.api.AlreadyOpenException.loading(id);
        }
    }

    private BackendStateTransfer reader(Candidate c, BackendState state) throws StateTransferException {
        BackendStateTransfer t = c.transfer();
        if (t == null) {
            throw new StateTransferException("netdev " + id + ": backend " + c + " has no state transfer");
        }
        StateFormat f = t.stateFormat();
        if (!f.canRead(state.type(), state.version())) {
            throw new StateTransferException("netdev " + id + ": backend " + c + " reads " + f.reads() + ", not state " + state.type()
                    + " version " + state.version());
        }
        if (state.queues().isEmpty()) {
            throw new StateTransferException("netdev " + id + ": the state has no queue");
        }
        return t;
    }

    /** On the backend's thread. */
    private OpenedPort checked(Candidate c, NetPort p, Disposal undo, int pairs) throws NetdevException {
        try {
            PortProfile profile = p instanceof FramePort ? p.profile() : null;
            String wrong = p == null ? "gave no port" : !(p instanceof FramePort) ? "gave a port that is no FramePort"
                    : profile == null ? "has no profile"
                    : profile.pairs() < pairs ? "has " + profile.pairs() + " queue pairs, the NIC wants " + pairs : null;
            if (wrong != null) {
                throw new NetdevException("netdev " + id + ": backend " + c + " " + wrong);
            }
            return OpenedPort.of((FramePort) p, profile, pairs);
        } catch (NetdevException | RuntimeException | Error e) {
            if (p != null) {
                p.close(undo);
            }
            throw e;
        }
    }

    private static void undo(OpenedPort p, Disposal how) {
        p.port().close(how);
    }

    private OpenedPort accept(Candidate c, Disposal undo, OpenedPort p) throws NetdevException {
        boolean gone;
        synchronized (this) {
            gone = !candidates.contains(c);
            if (!gone) {
                serving = c;
                port = p;
                failure = "";
            }
        }
        if (gone) {
            // nobody would be told that it leaves
            dispose(c, p.port(), undo);
            throw new NetdevException("netdev " + id + ": backend " + c + " left while it was opened");
        }
        return p;
    }

    /**
     * Saves the port's state.
     *
     * @param deadlineNanos until when
     * @return the state; the caller closes it
     * @throws NetdevException it cannot be saved
     */
    public BackendState save(long deadlineNanos) throws NetdevException {
        Candidate c;
        FramePort p;
        synchronized (this) {
            c = serving;
            p = frames();
        }
        if (c == null || p == null) {
            throw new StateTransferException("netdev " + id + ": is not open");
        }
        if (c.transfer() == null) {
            throw new StateTransferException("netdev " + id + ": backend " + c + " has no state transfer");
        }
        return calls.call("save", c.bundle(), deadlineNanos, () -> {
            c.transfer().check(p);
            return c.transfer().save(p, c.transfer().stateFormat().writes().newest());
        }, BackendState::close);
    }

    /**
     * Brings the port to what was negotiated.
     *
     * @param settings the settings
     * @throws NetdevException the backend refuses
     */
    public void apply(PortSettings settings) throws NetdevException {
        Candidate c;
        FramePort p;
        synchronized (this) {
            c = serving;
            p = frames();
        }
        if (p != null) {
            calls.run("apply", c.bundle(), System.nanoTime() + CONTROL_NANOS, () -> p.apply(settings));
        }
    }

    /**
     * The backend leaves: keeps the port's state and descriptors. The port's queues are detached.
     *
     * @return whether they are kept; false: the backend cannot, and the port was released
     */
    public boolean park() {
        BackendState state = null;
        try {
            state = save(System.nanoTime() + CONTROL_NANOS);
        } catch (NetdevException e) {
            LOG.warn("netdev {}: cannot be parked: {}", id, e.getMessage());
        }
        close(state == null ? Disposal.RELEASE : Disposal.LEAVE);
        synchronized (this) {
            parked = state;
        }
        return state != null;
    }

    /**
     * The backend that serves is not good enough for the NIC: its port is closed, what was parked stays parked, and it is left out until
     * it registers anew.
     *
     * @param why for the status
     */
    public void refuse(String why) {
        Candidate c;
        synchronized (this) {
            c = serving;
        }
        boolean kept;
        synchronized (this) {
            kept = parked != null;
        }
        if (kept) {
            close(Disposal.LEAVE);
        } else {
            park();
        }
        synchronized (this) {
            if (c != null) {
                failed.add(c);
            }
            failure = why;
        }
    }

    /** Gives the parked state up. */
    public synchronized void dropParked() {
        if (parked != null) {
            parked.close();
            parked = null;
        }
    }

    /**
     * Closes the port. Its queues are detached.
     *
     * @param how what becomes of the thing outside
     */
    public void close(Disposal how) {
        Candidate c;
        FramePort p;
        synchronized (this) {
            c = serving;
            p = frames();
            serving = null;
            port = null;
        }
        if (p != null) {
            dispose(c, p, how);
        }
    }

    private void dispose(Candidate c, NetPort p, Disposal how) {
        try {
            calls.run("close", c.bundle(), System.nanoTime() + CONTROL_NANOS, () -> p.close(how));
        } catch (NetdevException e) {
            LOG.warn("netdev {}: {}", id, e.getMessage());
        }
    }

    /**
     * The NIC gives the netdev back: the port is closed.
     *
     * @param nic the NIC
     * @param how what becomes of the thing outside
     */
    public void release(SlotUser nic, Disposal how) {
        synchronized (this) {
            if (user != nic) {
                return;
            }
        }
        close(how);
        dropParked();
        synchronized (this) {
            user = null;
            // a NIC that comes later asks anew
            failed.clear();
            failure = "";
        }
    }

    /**
     * The open port.
     *
     * @return the port, or null
     */
    public synchronized FramePort port() {
        return frames();
    }

    private FramePort frames() {
        return port == null ? null : port.port();
    }

    /**
     * The type that serves or would serve.
     *
     * @return the type, or an empty text
     */
    public synchronized String type() {
        return serving != null ? serving.type() : preferredType;
    }

    /**
     * Who serves, for messages.
     *
     * @return type, bundle and version
     */
    public synchronized String servedBy() {
        return serving == null ? "no backend" : serving.toString();
    }

    /**
     * The configuration of the one who serves, or would.
     *
     * @return names and values
     */
    public synchronized Map<String, String> options() {
        return serving != null ? serving.options() : candidates.isEmpty() ? Map.of() : candidates.getFirst().options();
    }

    /**
     * Counters that only the backend has.
     *
     * @param to takes them
     */
    public void statistics(java.util.function.BiConsumer<String, Long> to) {
        Candidate c;
        FramePort p;
        synchronized (this) {
            c = serving;
            p = frames();
        }
        if (p != null) {
            try {
                Map<String, Long> counters = calls.call("statistics", c.bundle(), System.nanoTime() + QUERY_NANOS, () -> {
                    Map<String, Long> all = new LinkedHashMap<>();
                    p.statistics(all::put);
                    return all;
                });
                counters.forEach(to);
            } catch (NetdevException e) {
                LOG.warn("netdev {}: {}", id, e.getMessage());
            }
        }
    }

    /**
     * Waits for a backend and checks its configuration.
     *
     * @param deadlineNanos until when
     * @throws NetdevException none came, or its configuration is wrong
     */
    public void await(long deadlineNanos) throws NetdevException {
        Candidate c;
        synchronized (this) {
            while (candidates.isEmpty()) {
                long left = TimeUnit.NANOSECONDS.toMillis(deadlineNanos - System.nanoTime());
                if (left <= 0) {
                    throw new NetdevException("netdev " + id + ": no backend serves it");
                }
                try {
                    wait(left);
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                    throw new NetdevException("netdev " + id + ": interrupted", e);
                }
            }
            c = choose();
        }
        calls.run("validate", c.bundle(), deadlineNanos, c.backend()::validate);
    }

    NetdevStatus status() {
        Candidate c;
        NetdevStatus bare;
        synchronized (this) {
            c = serving != null ? serving : candidates.stream().max(Candidate.BETTER).orElse(null);
            String state = port != null ? "open" : parked != null ? "parked" : failure.isEmpty() ? "closed" : "failed: " + failure;
            bare = new SlotStatus(id, type(), c == null ? "" : c.bundle(), state, user == null ? "" : user.id(), Map.copyOf(options()), "");
        }
        return c == null || c.transfer() == null ? bare : new SlotStatus(id, bare.type(), bare.bundle(), bare.state(), bare.nic(),
                bare.options(), format(c));
    }

    private String format(Candidate c) {
        try {
            return calls.call("stateFormat", c.bundle(), System.nanoTime() + QUERY_NANOS, () -> c.transfer().stateFormat().toString());
        } catch (NetdevException e) {
            LOG.debug("{}", e.getMessage());
            return "";
        }
    }

    private OpenContext context(int pairs, long deadlineNanos) {
        return new Context(fds, new Listener(), deadlineNanos, rehearsal, pairs);
    }

    private record SlotStatus(String id, String type, String bundle, String state, String nic, Map<String, String> options,
            String stateFormat) implements NetdevStatus { }

    private record Context(Fds fds, PortListener listener, long deadlineNanos, boolean rehearsal, int pairs) implements OpenContext { }

    /** Passes a port's news to the NIC that holds the slot. */
    private final class Listener implements PortListener {
        @Override
        public void link(boolean up) {
            SlotUser u = user();
            if (u != null) {
                u.portLink(up);
            }
        }

        @Override
        public void stateChanged() {
            LOG.debug("netdev {}: state changed", id);
        }

        @Override
        public void failed(Exception why) {
            SlotUser u = user();
            if (u != null) {
                u.portFailed(why);
            }
        }

        private SlotUser user() {
            synchronized (NetdevSlot.this) {
                return user;
            }
        }
    }
}
