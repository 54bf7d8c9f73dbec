// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.slot;

import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.net.api.AlreadyOpenException;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.Fds;
import org.vireo.net.api.NetPort;
import org.vireo.net.api.NetPort.Disposal;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.PortBusyException;
import org.vireo.net.api.PortUnavailableException;
import org.vireo.net.api.nic.NetdevStatus;

/**
 * What the frontend keeps for one netdev id: which services could serve it, which one does, its port, its parked state, and which NIC
 * holds it. The port's methods are called by the holding NIC only, one at a time.
 */
public final class NetdevSlot {
    private static final Logger LOG = LoggerFactory.getLogger(NetdevSlot.class);
    private static final long CONTROL_NANOS = TimeUnit.SECONDS.toNanos(2);

    private final String id;
    private final PortMaker maker;
    private final Candidates candidates = new Candidates();
    private final SlotBackends backends;
    private final SlotSwap swap;
    private final ServedPort served = new ServedPort(this);
    private final SlotUsers users = new SlotUsers(this);
    private Candidate serving;
    private OpenedPort port;
    private BackendState parked;
    /** Whether what the parked port is connected to outlives it. */
    private boolean parkedLasts;
    /** The port, if it was opened of the configuration and not loaded of a state. */
    private OpenedPort afresh;
    private String failure = "";
    /** Which one failed only since nobody is there yet at the other side; null: another failure, or none. */
    private Candidate early;
    private int waiting;

    NetdevSlot(String id, Fds fds, Executor threads) {
        this(id, fds, threads, false);
    }

    private NetdevSlot(String id, Fds fds, Executor threads, boolean rehearsal) {
        this.id = id;
        maker = new PortMaker(id, threads, fds, c -> new PortNews(this, c), rehearsal);
        backends = new SlotBackends(this);
        swap = new SlotSwap(this);
    }

    /** A slot for a rehearsal: the same backend, which is told that its descriptors are stand-ins. */
    NetdevSlot twin(Fds standIns) throws NetdevException {
        synchronized (this) {
            return twin(id, standIns, serving == null ? choose() : serving);
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

    /**
     * How another backend takes the place of the one that serves.
     *
     * @return always the same
     */
    public SlotSwap swap() {
        return swap;
    }

    /**
     * Calls to the port that serves.
     *
     * @return always the same, whoever serves
     */
    public ServedPort served() {
        return served;
    }

    /** The backends as they come and go. */
    SlotBackends backends() {
        return backends;
    }

    // ---- for SlotBackends and SlotSwap, with the lock

    Candidates candidates() {
        return candidates;
    }

    PortMaker maker() {
        return maker;
    }

    Candidate serving() {
        return serving;
    }

    OpenedPort opened() {
        return port;
    }

    /** Which one would serve if only somebody were at its other side: it is tried again. */
    Optional<Candidate> early() {
        return Optional.ofNullable(early).filter(c -> port == null && candidates.contains(c));
    }

    SlotUser user() {
        return users.holder();
    }

    void serve(Candidate c, OpenedPort p) {
        candidates.servingChanged();
        notifyAll();
        serving = c;
        port = p;
        afresh = afresh == p ? p : null;
        early = null;
        failure = "";
    }

    /**
     * The best candidate: the configured type first, then ranking, version, age. One that failed is left out until it registers anew.
     */
    Candidate choose() throws NetdevException {
        return candidates.best().orElseThrow(() -> new NetdevException(
                failure.isEmpty() ? "netdev " + id + ": " + backends.absence() : failure));
    }

    void pause(long millis) throws NetdevException {
        try {
            wait(millis);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new NetdevException("netdev " + id + ": interrupted", e);
        }
    }

    // ---- for the NICs and all others

    synchronized boolean unused() {
        return backends.isEmpty() && users.isEmpty() && parked == null && waiting == 0;
    }

    /**
     * Whether there is a backend that could serve.
     *
     * @return whether
     */
    public synchronized boolean servable() {
        return candidates.isServable();
    }

    /**
     * Whether another backend than the one that serves could serve.
     *
     * @return whether
     */
    public synchronized boolean hasAnother() {
        return candidates.hasOtherThan(serving);
    }

    /**
     * The NICs that name the netdev.
     *
     * @return always the same
     */
    public SlotUsers users() {
        return users;
    }

    /**
     * The port, whichever NIC holds it.
     *
     * @return the port, or null
     */
    public synchronized OpenedPort shared() {
        return port;
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
            if (state != null && maker.reads(c, state)) {
                return accept(c, Disposal.LEAVE, maker.load(c, state, pairs, deadlineNanos));
            }
            OpenedPort made = openAfresh(c, state, pairs, deadlineNanos);
            synchronized (this) {
                afresh = made;
            }
            return accept(c, Disposal.RELEASE, made);
        } catch (NetdevException e) {
            String why = e.getMessage().contains(c.bundle()) ? e.getMessage() : e.getMessage() + " (" + c + ")";
            // what another process has may be free soon
            boolean soon = e instanceof PortUnavailableException || e instanceof PortBusyException && users.isElsewhere();
            synchronized (this) {
                early = soon ? c : null;
                if (!soon) {
                    candidates.fail(c);
                }
                failure = why;
                swap.refused(failure);
            }
            throw e instanceof AlreadyOpenException || soon ? e : new NetdevException(why, e);
        }
    }

    /** Beside a parked port that it cannot load; in its place, if that is in the way and what it is connected to outlives it. */
    private OpenedPort openAfresh(Candidate c, BackendState state, int pairs, long deadlineNanos) throws NetdevException {
        try {
            return maker.open(c, pairs, deadlineNanos);
        } catch (PortBusyException e) {
            synchronized (this) {
                if (state == null || !parkedLasts) {
                    throw e;
                }
                dropParked();
            }
            return maker.open(c, pairs, deadlineNanos);
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
        return accept(c, Disposal.LEAVE, maker.load(c, state, pairs, deadlineNanos));
    }

    private synchronized void requireClosed() throws NetdevException {
        if (port != null) {
            throw AlreadyOpenException.loading(id);
        }
    }

    private OpenedPort accept(Candidate c, Disposal undo, OpenedPort p) throws NetdevException {
        boolean gone;
        List<SlotUser> others;
        synchronized (this) {
            gone = !candidates.contains(c);
            if (!gone) {
                serve(c, p);
            }
            others = users.others();
        }
        if (!gone) {
            others.forEach(SlotUser::backendArrived);
        }
        if (gone) {
            // nobody would be told that it leaves
            maker.dispose(c, p.port(), undo);
            throw new NetdevException("netdev " + id + ": backend " + c + " left while it was opened");
        }
        return p;
    }

    /**
     * The backend leaves: keeps the port's state and descriptors. The port's queues are detached.
     *
     * @return whether they are kept; false: the backend cannot, and the port was released
     */
    public boolean park() {
        BackendState state = null;
        try {
            standStill();
            state = served.save(System.nanoTime() + CONTROL_NANOS);
        } catch (NetdevException e) {
            LOG.warn("netdev {}: cannot be parked: {}", id, e.getMessage());
        }
        boolean lasts;
        synchronized (this) {
            lasts = port != null && port.profile().lasting();
        }
        close(state == null ? Disposal.RELEASE : Disposal.LEAVE);
        synchronized (this) {
            parked = state;
            parkedLasts = lasts;
        }
        return state != null;
    }

    /**
     * The backend that serves is not good enough for the NIC: its port is closed, what was parked stays parked, what it has loaded is
     * parked, and it is left out until it registers anew.
     *
     * @param why for the status
     */
    public void refuse(String why) {
        Candidate c;
        boolean kept;
        Disposal how;
        synchronized (this) {
            c = serving;
            kept = parked != null;
            // what it opened itself is nothing that the next one could go on with
            how = kept ? Disposal.LEAVE : afresh == null ? null : swap.isEmpty() ? Disposal.RELEASE : swap.disposal();
        }
        if (how != null) {
            close(how);
        } else {
            park();
        }
        synchronized (this) {
            if (c != null) {
                candidates.fail(c);
            }
            early = null;
            failure = why;
            swap.refused(why);
        }
    }

    /** If it does not, what is saved is still better than nothing. */
    private void standStill() {
        try {
            served.quiesce();
        } catch (NetdevException e) {
            LOG.warn("netdev {}: its threads may go on while its state is saved: {}", id, e.getMessage());
        }
    }

    /** The one that serves is of no use any more: it is left out until it registers anew. */
    public synchronized void distrust() {
        if (serving != null) {
            candidates.fail(serving);
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
        NetPort p;
        synchronized (this) {
            c = serving;
            p = bare();
            serving = null;
            port = null;
            afresh = null;
            if (p != null) {
                backends.closes(c);
            }
        }
        if (p != null) {
            backends.dispose(c, p, how);
        }
    }

    /**
     * The NIC gives the netdev back: the port is closed.
     *
     * @param nic the NIC
     * @param how what becomes of the thing outside
     */
    public void release(SlotUser nic, Disposal how) {
        SlotUser heir = null;
        synchronized (this) {
            if (users.holder() != nic) {
                users.remove(nic);
                return;
            }
            if (how == Disposal.RELEASE) {
                heir = users.heir(nic);
            }
        }
        swap.end();
        if (heir != null) {
            // with its port
            heir.portGiven(PortUse.UNKNOWN);
            return;
        }
        close(how);
        dropParked();
        synchronized (this) {
            users.leave(nic);
            // a NIC that comes later asks anew
            candidates.forgive();
            failure = "";
            notifyAll();
        }
    }

    /** Who serves, and its port; both null: none is open. */
    record Service(Candidate of, NetPort port) { }

    synchronized Service service() {
        return new Service(serving, bare());
    }

    private NetPort bare() {
        return port == null ? null : port.port();
    }

    /**
     * The type that serves or would serve.
     *
     * @return the type, or an empty text
     */
    public synchronized String type() {
        return serving != null ? serving.type() : candidates.type();
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
        return serving != null ? serving.options() : candidates.any().map(Candidate::options).orElse(Map.of());
    }

    /**
     * The revision of the configuration of the one who serves, or would.
     *
     * @return 0: it is as it was at first
     */
    public synchronized int revision() {
        return serving != null ? serving.revision() : candidates.any().map(Candidate::revision).orElse(0);
    }

    /** Somebody keeps it, a NIC or who waits for a backend, or does no more. */
    synchronized void waits(int change) {
        waiting += change;
    }

    NetdevStatus status() {
        Candidate c;
        SlotStatus bare;
        synchronized (this) {
            c = serving != null ? serving : candidates.any().orElse(null);
            String state = port != null ? "open" : parked != null ? "parked"
                    : !failure.isEmpty() ? (early != null ? "waits: " : "failed: ") + failure
                    : candidates.isEmpty() && !backends.isEmpty() ? "waits: " + backends.arrivals().why() : "closed";
            bare = new SlotStatus(id, type(), c == null ? "" : c.bundle(), c == null ? -1 : c.bundleId(), state,
                    users.holder() == null ? "" : users.holder().id(), Map.copyOf(options()), "");
        }
        return c == null || c.transfer() == null ? bare : bare.withFormat(maker, c);
    }

    synchronized boolean isServing(Candidate c) {
        return serving == c;
    }

    /**
     * Whether the backend that serves has left.
     *
     * @return whether; false too if none serves
     */
    public synchronized boolean isServingGone() {
        return serving != null && !candidates.contains(serving);
    }

    /** Who is told the news of a backend's port; null: nobody. What stands beside has nothing to say. */
    synchronized SlotUser receiver(Candidate of) {
        return serving == null || serving == of ? users.holder() : null;
    }
}
