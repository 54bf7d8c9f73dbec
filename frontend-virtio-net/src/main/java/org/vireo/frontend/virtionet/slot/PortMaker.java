// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.slot;

import java.util.Collections;
import java.util.IdentityHashMap;
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
import org.vireo.frontend.virtionet.worker.BackendException;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.BackendStateTransfer;
import org.vireo.net.api.Fds;
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
    private final Function<Candidate, PortNews> listeners;
    /** Of ports that are not closed. By identity: a port's own equals is the backend's. */
    private final Map<NetPort, Loan> loans = Collections.synchronizedMap(new IdentityHashMap<>());
    private final PortThreads portThreads = new PortThreads(this);
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
    PortMaker(String id, Executor threads, Fds fds, Function<Candidate, PortNews> listeners, boolean rehearsal) {
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

    /** What makes a port. */
    @FunctionalInterface
    private interface Source {
        NetPort port(OpenContext context) throws NetdevException;
    }

    /** On the backend's thread. */
    private OpenedPort make(Candidate c, int pairs, long deadlineNanos, Disposal undo, Source source) throws NetdevException {
        Loan loan = new Loan(id, c, fds, listeners.apply(c));
        NetPort p = null;
        try {
            p = source.port(new Context(loan, loan.news(), deadlineNanos, rehearsal, pairs));
        } finally {
            if (p == null) {
                loan.end();
            }
        }
        return checked(c, p, loan, undo, pairs);
    }

    String id() {
        return id;
    }

    /** Ports' own threads. */
    PortThreads threads() {
        return portThreads;
    }

    /** On the backend's thread. */
    private void close(NetPort p, Disposal how) {
        portThreads.forget(p);
        Loan loan = loans.remove(p);
        if (loan != null) {
            loan.silence();
        }
        try {
            p.close(how);
        } finally {
            if (loan != null) {
                loan.end();
            }
        }
    }

    OpenedPort open(Candidate c, int pairs, long deadlineNanos) throws NetdevException {
        if (rehearsal) {
            // it would take outside what the real port has
            throw new NetdevException("netdev " + id + ": in a rehearsal a port is loaded, not opened");
        }
        return calls(c).call("open", c.bundle(), deadlineNanos,
                () -> make(c, pairs, deadlineNanos, Disposal.RELEASE, c.backend()::open), p -> close(p.port(), Disposal.RELEASE));
    }

    /** A port of a state, which the caller closes; the port is inert. */
    OpenedPort load(Candidate c, BackendState state, int pairs, long deadlineNanos) throws NetdevException {
        return calls(c).call("load", c.bundle(), deadlineNanos,
                () -> make(c, pairs, deadlineNanos, Disposal.LEAVE, context -> reader(c, state).load(state, context)),
                p -> close(p.port(), Disposal.LEAVE));
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
                () -> make(c, pairs, deadlineNanos, Disposal.LEAVE, context -> reader(c, state).load(state, context)), wanted, taker,
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
                () -> make(c, pairs, deadlineNanos, undo, c.backend()::open), wanted, taker, undo));
    }

    private void give(Candidate c, Callable<OpenedPort> make, BooleanSupplier wanted, Predicate<OpenedPort> taker, Disposal undo)
            throws Exception {
        OpenedPort made = wanted.getAsBoolean() ? make.call() : null;
        if (made == null || !taker.test(made)) {
            if (made != null) {
                close(made.port(), undo);
            }
            throw new NetdevException("netdev " + id + ": backend " + c + " is not to replace another one any more");
        }
    }

    /** The state of an open port; the caller closes it. */
    BackendState save(Candidate c, NetPort p, long deadlineNanos) throws NetdevException {
        requireTransfer(c);
        Loan loan = loans.get(p);
        return calls(c).call("save", c.bundle(), deadlineNanos, () -> {
            if (loan != null) {
                loan.news().saves();
            }
            c.transfer().check(p);
            StateFormat f = formatOf(c);
            BackendState s = c.transfer().save(p, f.writes().newest());
            if (s == null || !s.type().equals(f.type()) || s.version() != f.writes().newest()) {
                String given = s == null ? "none" : s.type() + " version " + s.version();
                if (s != null) {
                    s.close();
                }
                throw new StateTransferException("netdev " + id + ": backend " + c + " was to save state " + f.type() + " version "
                        + f.writes().newest() + " and gave " + given);
            }
            return s;
        }, BackendState::close);
    }

    /** On the backend's thread. */
    private StateFormat formatOf(Candidate c) throws StateTransferException {
        StateFormat f = c.transfer().stateFormat();
        if (f == null) {
            throw new StateTransferException("netdev " + id + ": backend " + c + " gives no state format");
        }
        return f;
    }

    /** Counters that only the backend has. */
    Map<String, Long> statistics(Candidate c, NetPort p, long deadlineNanos) throws NetdevException {
        return calls(c).call("statistics", c.bundle(), deadlineNanos, () -> {
            Counters counters = new Counters();
            try {
                p.statistics(counters);
            } finally {
                counters.end();
            }
            return counters.end();
        });
    }

    /** Whether a backend can load a state. */
    boolean reads(Candidate c, BackendState state) throws NetdevException {
        return c.transfer() != null && format(c).canRead(state.type(), state.version());
    }

    StateFormat format(Candidate c) throws NetdevException {
        requireTransfer(c);
        return calls(c).call("stateFormat", c.bundle(), System.nanoTime() + CONTROL_NANOS, () -> formatOf(c));
    }

    void dispose(Candidate c, NetPort p, Disposal how) {
        Loan loan = loans.get(p);
        if (loan != null) {
            loan.silence();
        }
        try {
            calls(c).finish("close", c.bundle(), System.nanoTime() + CONTROL_NANOS, () -> close(p, how));
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
        StateFormat f = formatOf(c);
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
    private OpenedPort checked(Candidate c, NetPort p, Loan loan, Disposal undo, int pairs) throws NetdevException {
        if (p == null) {
            throw new NetdevException("netdev " + id + ": backend " + c + " gave no port");
        }
        loans.put(p, loan);
        try {
            PortProfile profile = p.profile();
            String wrong = profile == null ? "has no profile"
                    : profile.pairs() < pairs ? "has " + profile.pairs() + " queue pairs, the NIC wants " + pairs : null;
            if (wrong != null) {
                throw new NetdevException("netdev " + id + ": backend " + c + " " + wrong);
            }
            OpenedPort made = open(c, p, profile, loan.news(), pairs);
            made.events().forEach(loan::add);
            return made;
        } catch (Throwable t) {
            try {
                close(p, undo);
            } catch (Throwable x) {
                // what was wrong first is what is told
                LOG.warn("netdev {}: backend {}: close threw {}", id, c, BackendException.of(x).getMessage());
            }
            throw t;
        }
    }

    private OpenedPort open(Candidate c, NetPort p, PortProfile profile, PortNews news, int pairs) throws NetdevException {
        try {
            return OpenedPort.of(p, profile, news, pairs);
        } catch (NetdevException e) {
            throw new NetdevException("netdev " + id + ": backend " + c + " " + e.getMessage(), e);
        }
    }
}
