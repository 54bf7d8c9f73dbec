// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.slot;

import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.function.Function;
import java.util.function.Predicate;
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
import org.vireo.net.api.StateFormat;
import org.vireo.net.api.StateTransferException;

/** Opens, loads, saves and closes one netdev's ports, of whichever backend, and checks what a backend gives. Any thread. */
final class PortMaker {
    private static final Logger LOG = LoggerFactory.getLogger(PortMaker.class);
    private static final long CONTROL_NANOS = TimeUnit.SECONDS.toNanos(2);

    private final String id;
    private final Executor threads;
    private final Map<Long, BackendCalls> calls = new ConcurrentHashMap<>();
    private final Fds fds;
    private final Function<Candidate, PortListener> listeners;
    private final boolean rehearsal;

    /**
     * A maker.
     *
     * @param id the netdev's
     * @param threads backends are called in
     * @param fds makes descriptors for ports
     * @param listeners told of a backend's ports' news
     * @param rehearsal whether descriptors are stand-ins
     */
    PortMaker(String id, Executor threads, Fds fds, Function<Candidate, PortListener> listeners, boolean rehearsal) {
        this.id = id;
        this.threads = threads;
        this.fds = fds;
        this.listeners = listeners;
        this.rehearsal = rehearsal;
    }

    /** One backend's calls: another one of the same netdev, that hangs, does not hold them up. */
    BackendCalls calls(Candidate c) {
        return calls.computeIfAbsent(c.serviceId(), s -> new BackendCalls(id, threads));
    }

    /** Its service has left. */
    void forget(Candidate c) {
        calls.remove(c.serviceId());
    }

    private record Context(Fds fds, PortListener listener, long deadlineNanos, boolean rehearsal, int pairs) implements OpenContext { }

    private OpenContext context(Candidate c, int pairs, long deadlineNanos) {
        return new Context(fds, listeners.apply(c), deadlineNanos, rehearsal, pairs);
    }

    OpenedPort open(Candidate c, int pairs, long deadlineNanos) throws NetdevException {
        return calls(c).call("open", c.bundle(), deadlineNanos,
                () -> checked(c, c.backend().open(context(c, pairs, deadlineNanos)), Disposal.RELEASE, pairs),
                p -> p.port().close(Disposal.RELEASE));
    }

    /** A port of a state, which the caller closes; the port is inert. */
    OpenedPort load(Candidate c, BackendState state, int pairs, long deadlineNanos) throws NetdevException {
        return calls(c).call("load", c.bundle(), deadlineNanos,
                () -> checked(c, reader(c, state).load(state, context(c, pairs, deadlineNanos)), Disposal.LEAVE, pairs),
                p -> p.port().close(Disposal.LEAVE));
    }

    /**
     * As {@link #load(Candidate, BackendState, int, long)}, for somebody who may not want it any more.
     *
     * @param wanted asked before the backend is
     * @param taker takes the port; if it does not the port is closed, before the backend is called for anything else
     */
    void load(Candidate c, BackendState state, int pairs, long deadlineNanos, BooleanSupplier wanted, Predicate<OpenedPort> taker)
            throws NetdevException {
        calls(c).run("load", c.bundle(), deadlineNanos, () -> give(c,
                () -> checked(c, reader(c, state).load(state, context(c, pairs, deadlineNanos)), Disposal.LEAVE, pairs), wanted, taker,
                Disposal.LEAVE));
    }

    /**
     * As {@link #open(Candidate, int, long)}, for somebody who may not want it any more.
     *
     * @param wanted asked before the backend is
     * @param taker takes the port; if it does not the port is closed, before the backend is called for anything else
     * @param undo how it is closed then
     */
    void open(Candidate c, int pairs, long deadlineNanos, BooleanSupplier wanted, Predicate<OpenedPort> taker, Disposal undo)
            throws NetdevException {
        calls(c).run("open", c.bundle(), deadlineNanos, () -> give(c,
                () -> checked(c, c.backend().open(context(c, pairs, deadlineNanos)), undo, pairs), wanted, taker, undo));
    }

    private void give(Candidate c, Callable<OpenedPort> make, BooleanSupplier wanted, Predicate<OpenedPort> taker, Disposal undo)
            throws Exception {
        OpenedPort made = wanted.getAsBoolean() ? make.call() : null;
        if (made == null || !taker.test(made)) {
            if (made != null) {
                made.port().close(undo);
            }
            throw new NetdevException("netdev " + id + ": backend " + c + " is not to replace another one any more");
        }
    }

    /** The state of an open port; the caller closes it. */
    BackendState save(Candidate c, FramePort p, long deadlineNanos) throws NetdevException {
        requireTransfer(c);
        return calls(c).call("save", c.bundle(), deadlineNanos, () -> {
            c.transfer().check(p);
            return c.transfer().save(p, c.transfer().stateFormat().writes().newest());
        }, BackendState::close);
    }

    StateFormat format(Candidate c) throws NetdevException {
        requireTransfer(c);
        return calls(c).call("stateFormat", c.bundle(), System.nanoTime() + CONTROL_NANOS, c.transfer()::stateFormat);
    }

    void dispose(Candidate c, NetPort p, Disposal how) {
        try {
            calls(c).run("close", c.bundle(), System.nanoTime() + CONTROL_NANOS, () -> p.close(how));
        } catch (NetdevException e) {
            LOG.warn("netdev {}: {}", id, e.getMessage());
        }
    }

    private void requireTransfer(Candidate c) throws StateTransferException {
        if (c.transfer() == null) {
            throw new StateTransferException("netdev " + id + ": backend " + c + " has no state transfer");
        }
    }

    private BackendStateTransfer reader(Candidate c, BackendState state) throws StateTransferException {
        requireTransfer(c);
        StateFormat f = c.transfer().stateFormat();
        if (!f.canRead(state.type(), state.version())) {
            throw new StateTransferException("netdev " + id + ": backend " + c + " reads " + f.reads() + ", not state " + state.type()
                    + " version " + state.version());
        }
        if (state.queues().isEmpty()) {
            throw new StateTransferException("netdev " + id + ": the state has no queue");
        }
        return c.transfer();
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
}
