// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeoutException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.frontend.virtionet.block.NicBlockMemory;
import org.vireo.frontend.virtionet.device.EngineException;
import org.vireo.frontend.virtionet.device.RingEngine;
import org.vireo.frontend.virtionet.memory.MappedRegion;
import org.vireo.frontend.virtionet.nic.Actor.Urgency;
import org.vireo.frontend.virtionet.ring.MalformedRingException;
import org.vireo.frontend.virtionet.session.ConfigSpace;
import org.vireo.frontend.virtionet.session.DeviceState;
import org.vireo.frontend.virtionet.session.RefusedException;
import org.vireo.frontend.virtionet.session.RequestHandler;
import org.vireo.frontend.virtionet.session.RingState;
import org.vireo.frontend.virtionet.session.Session;
import org.vireo.frontend.virtionet.session.StateRequests;
import org.vireo.frontend.virtionet.slot.NetdevSlot;
import org.vireo.frontend.virtionet.worker.StuckException;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.net.api.NetPort.Disposal;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.NicState;
import org.vireo.net.api.nic.NicStatus;
import org.vireo.net.api.nic.Ownership;
import org.vireo.posix.linux.EventFd;
import org.vireo.posix.linux.Poll;
import org.vireo.posix.linux.UnixSockets;

/**
 * One NIC: a session with a VMM, rings, a port, and what ties them together. Everything happens on its actor; other threads post.
 */
final class Nic implements Session.Owner, RequestHandler.Device, RingEngine.Listener {
    private static final Logger LOG = LoggerFactory.getLogger(Nic.class);
    private static final long CALL_MILLIS = 15_000;

    private final NicOptions options;
    private final Environment env;
    private final Actor actor;
    private final NicBlockMemory block;
    private final RingEngine engine;
    private final PortBinding binding;
    private final Endpoint endpoint;
    private final RequestHandler handler = new RequestHandler(this);
    private final DeviceRings rings;
    private final NicFeed feed;
    private final NicReport report;
    private final NicBackend backend;
    private final Aftermath aftermath;
    private final NicLink link = new NicLink(this);
    private final RefusedVmms refused;
    private final Custody custody = new Custody(this);
    private final StateMigration migration = new StateMigration(this);

    private volatile DeviceState device;
    private volatile Session session;
    private String failure;
    /** Why there is no port, if that is known. */
    private String absence = "";
    private volatile boolean dead;
    private volatile boolean closed;

    Nic(NicOptions options, Environment env, NicBlockMemory block) {
        this.options = options;
        this.env = env;
        this.block = block;
        report = new NicReport(options, env);
        actor = new Actor(options.id(), env.executor());
        refused = new RefusedVmms(options.id(), System::nanoTime);
        engine = new RingEngine(options.id(), this, env.assign(options.pairs()), block, this);
        binding = options.netdev().isEmpty() ? null : new PortBinding(options, env.slots().reserve(options.netdev()), engine, block);
        endpoint = new Endpoint(options, env, () -> actor.post(Urgency.VMM_MESSAGE, this::accept),
                fd -> actor.post(Urgency.VMM_MESSAGE, () -> connected(fd)));
        device = DeviceState.initial(options.pairs());
        rings = new DeviceRings(options.pairs(), block, engine, binding);
        feed = new NicFeed(options.id(), block, env.timer(), () -> env.loaded().look(this::unload));
        backend = binding == null ? null : new NicBackend(this);
        aftermath = new Aftermath(this, rings);
        if (binding == null) {
            engine.discardAlways();
        }
    }

    NicOptions options() {
        return options;
    }

    Environment environment() {
        return env;
    }

    Actor actor() {
        return actor;
    }

    NicBlockMemory block() {
        return block;
    }

    RingEngine engine() {
        return engine;
    }

    PortBinding binding() {
        return binding;
    }

    Endpoint endpoint() {
        return endpoint;
    }

    Session session() {
        return session;
    }

    NicFeed feed() {
        return feed;
    }

    NicBackend backend() {
        return backend;
    }

    DeviceRings rings() {
        return rings;
    }

    NicLink link() {
        return link;
    }

    String id() {
        return options.id();
    }

    boolean inHandover() {
        return feed.inHandover();
    }

    boolean alive() {
        return !closed && !dead;
    }

    boolean failed() {
        return failure != null || dead;
    }

    /** Opens the port if its backend is there, and binds the socket. Leaves nothing behind when it throws. */
    void realize() throws NicException {
        try {
            actor.call(Urgency.UNBIND, CALL_MILLIS, () -> {
                endpoint.bind();
                if (binding != null) {
                    binding.slot().users().add(backend);
                    backend.openFirst();
                }
                ready();
                return null;
            });
        } catch (Exception e) {
            close(Disposal.RELEASE);
            throw new NicException("NIC " + options.id() + ": " + e.getMessage(), e);
        }
    }

    /** With a port, or without a netdev at all, VMMs are accepted. */
    void ready() throws IOException {
        link.ofPort();
        if (binding == null || binding.reachable()) {
            block.features(offered(), device.features());
            endpoint.start(session != null);
        } else {
            LOG.info("NIC {}: waits for a backend of netdev {}", options.id(), options.netdev());
        }
        migration.follow(device);
        refresh();
    }

    // ---- the VMM

    private void accept() {
        try {
            for (Fd fd = endpoint.accept(); fd != null; fd = endpoint.accept()) {
                if (!connected(fd)) {
                    endpoint.rearmLater();
                    return;
                }
            }
            endpoint.rearm();
        } catch (IOException e) {
            LOG.warn("NIC {}: {}", options.id(), e.getMessage());
        }
    }

    /** Whether a VMM was not refused. */
    private boolean connected(Fd fd) {
        try {
            long pid = UnixSockets.peer(fd).pid();
            if (session != null && Poll.readable(0, session.socket().number()) != 0) {
                // who hung up, which nobody has looked at yet, does not keep the next VMM away
                handleMessages();
            }
            if (session != null || dead || closed) {
                refused.note(pid, session == null ? report.now().why() : "pid " + session.vmmPid() + " is connected");
                fd.close();
                return false;
            }
            if (binding != null && !binding.reachable()) {
                LOG.info("NIC {}: a VMM (pid {}) comes while netdev {} is not open", options.id(), pid, options.netdev());
                backend.open();
            }
            if (binding == null || binding.reachable()) {
                failure = null;
            }
            session = session(fd, null, pid);
            announce(device, device, session.backendSocket());
            session.listen(env.poller());
            refresh();
        } catch (IOException e) {
            LOG.warn("NIC {}: {}", options.id(), e.getMessage());
            if (session == null) {
                fd.close();
            } else {
                disconnect(e.getMessage());
            }
        }
        return true;
    }

    Session session(Fd fd, Fd backendSocket, long pid) {
        return new Session(new Session.Surroundings(options.id(), env.fds(), handler, block, this, env.timer()), fd, backendSocket, pid);
    }

    @Override
    public void readable() {
        actor.post(Urgency.VMM_MESSAGE, this::handleMessages);
    }

    private void handleMessages() {
        Session s = session;
        if (s == null || custody.isFrozen()) {
            return;
        }
        String end;
        try {
            end = s.handle();
        } catch (RuntimeException | Error e) {
            // its memory was truncated while a message was handled, perhaps; nobody would read this connection again
            LOG.warn("NIC {}: a message could not be handled", options.id(), e);
            end = e.toString();
        }
        if (end != null) {
            disconnect(end);
        }
    }

    /** The session ends; the NIC waits for the next VMM. */
    void disconnect(String reason) {
        Session s = session;
        if (s == null) {
            return;
        }
        LOG.info("NIC {}: VMM pid {} has gone: {}", options.id(), s.vmmPid(), reason);
        feed.abortHandover("the VMM has gone: " + reason);
        migration.forget("the VMM has gone");
        rings.stopAll();
        s.shutdown();
        s.close();
        session = null;
        DeviceState former = device;
        device = DeviceState.initial(options.pairs());
        engine.initialMemory(device.memory(), device.inflight());
        rings.forget();
        if (dead) {
            aftermath.keep(former);
        } else {
            rings.whenQuiet(former::close);
        }
        announce(former, device, null);
        if (backend != null) {
            backend.ringsChanged();
        }
        try {
            if (!closed && !dead) {
                listenAgain();
            }
        } catch (IOException e) {
            LOG.warn("NIC {}: {}", options.id(), e.getMessage());
        }
        refresh();
    }

    /** The next VMM is accepted as soon as there is a backend for it. */
    void listenAgain() throws IOException {
        if (binding == null || binding.reachable() || binding.slot().servable()) {
            endpoint.start(session != null);
        } else if (session == null) {
            endpoint.deafen();
        }
    }

    // ---- what messages do

    @Override
    public DeviceState state() {
        return device;
    }

    @Override
    public void transition(DeviceState next, Fd backendSocket) throws RefusedException {
        DeviceState former = device;
        announce(former, next, backendSocket);
        try {
            device = rings.follow(former, next);
            if (next.running() && !rings.halted() && (binding == null || binding.reachable())) {
                failure = null;
            }
        } catch (EngineException | NetdevException e) {
            announce(next, former, session == null ? null : session.backendSocket());
            if (e.getCause() instanceof MalformedRingException || e instanceof NetdevException) {
                fail(e.getMessage());
            }
            throw new RefusedException(e.getMessage(), e);
        }
        block.features(offered(), device.features());
        device.closeReplaced(former);
        if (backend != null && former.running() != device.running()) {
            backend.ringsChanged();
        }
        migration.follow(device);
        refresh();
    }

    private void announce(DeviceState from, DeviceState to, Fd backendSocket) {
        feed.announce(seq -> NicImages.change(this, from, to, backendSocket, seq));
    }

    @Override
    public void whenQuiet(Runnable what) {
        rings.whenQuiet(what);
    }

    @Override
    public int base(int ring) {
        int base = device.rings().get(ring).base();
        return base == RingState.JOURNAL ? engine.position(ring).available() : base & 0xffff;
    }

    @Override
    public Optional<String> announce(byte[] mac) {
        try {
            if (binding != null && binding.lent() != null) {
                binding.lent().announce(mac);
            } else {
                engine.inject(Rarp.frame(mac));
            }
            return Optional.empty();
        } catch (EngineException | NetdevException e) {
            return Optional.of(e.getMessage());
        }
    }

    @Override
    public long offered() {
        return binding == null ? PortBinding.RINGS & ~options.disabled() : binding.offered();
    }

    @Override
    public MemorySegment config() {
        int mtu = options.mtu() != 0 ? options.mtu() : device.mtu();
        return ConfigSpace.of(options.mac(), link.isUp(), options.pairs(), mtu);
    }

    @Override
    public boolean anyMemory() {
        return options.anyMemory();
    }

    @Override
    public int portMtu() {
        return binding == null ? 0 : binding.mtu();
    }

    @Override
    public StateRequests states() {
        return migration;
    }

    @Override
    public boolean tracksInflight() {
        return binding == null || binding.runsRings();
    }

    @Override
    public Fds fds() {
        return env.fds();
    }

    // ---- what breaks

    @Override
    public void broken(int pair, Throwable reason) {
        actor.post(Urgency.DISCONNECT, () -> pairBroken(pair, reason));
    }

    private void pairBroken(int pair, Throwable reason) {
        boolean log = reason instanceof InternalError && (engine.isLogTruncated() || device.log() != null && !device.log().intact());
        rings.broken(pair);
        if (reason instanceof StuckException e) {
            stuck(e);
            return;
        }
        if (dead || closed) {
            return;
        }
        signalError(pair);
        MappedRegion truncated = reason instanceof InternalError ? device.memory().truncated() : null;
        if (truncated != null) {
            rings.halt();
            fail("guest memory was truncated: " + truncated.spec());
        } else if (log) {
            rings.halt();
            fail("the VMM's log of written pages was truncated: " + device.log());
        } else if (reason instanceof InternalError && device.inflight() != null && !device.inflight().intact()) {
            rings.halt();
            fail("the VMM's memory was truncated: " + device.inflight());
        } else if (reason instanceof MalformedRingException) {
            rings.halt();
            fail(reason.getMessage());
        } else {
            rings.stopAll();
            backend.broken(reason);
        }
    }

    /** A thread did not come back from the backend: from now on it may do with this NIC's memory and descriptors what it wants. */
    private void stuck(StuckException reason) {
        if (reason.inside()) {
            aftermath.threadInside();
        }
        if (dead || closed) {
            return;
        }
        dead = true;
        aftermath.revoke(device);
        feed.abort(reason.getMessage());
        fail(reason.getMessage() + (backend == null ? "" : backend.servedBy()));
        rings.stopAll();
        if (binding != null) {
            binding.forget();
        }
        disconnect("the NIC has failed");
    }

    private void signalError(int pair) {
        for (int i = 2 * pair; i < 2 * pair + 2; i++) {
            Fd error = device.rings().get(i).error();
            if (error != null) {
                EventFd.signal(error.number());
            }
        }
    }

    void fail(String reason) {
        failure = reason;
        refresh();
    }

    /** There is no port, and why: nothing is wrong. */
    void lacks(String why) {
        absence = why;
        refresh();
    }

    /** What made it fail is over. */
    void recovered() {
        failure = null;
        absence = "";
    }

    @Override
    public void threadReturned() {
        actor.post(Urgency.QUERY, () -> {
            LOG.info("NIC {}: the thread that its backend held has come back", options.id());
            aftermath.threadBack();
        });
    }

    /** Starts the rings that are marked started and do not run, as soon as no late worker is in them. */
    void resumeRings() {
        if (!rings.isQuiet()) {
            rings.whenQuiet(() -> actor.post(Urgency.HANDOVER, () -> {
                if (custody.isServing()) {
                    resumeRings();
                }
            }));
            return;
        }
        try {
            rings.resume(device);
        } catch (EngineException e) {
            fail(e.getMessage());
        }
        refresh();
    }

    // ---- whose it is (see Custody)

    Custody custody() {
        return custody;
    }

    private void unload() {
        actor.post(Urgency.QUERY, () -> device.memory().unload());
    }

    /** Another process has it. */
    void awaiting() {
        report.awaiting();
    }

    /** What another process has told of the device. */
    void adopt(DeviceState received) {
        device = received;
        engine.initialMemory(received.memory(), received.inflight());
    }

    /** The VMM's connection that another process has given; what was there is closed here. */
    void adopt(Session with) {
        if (session != null && session != with) {
            session.close();
        }
        session = with;
    }

    // ---- end

    /** After {@link #close}: waits until the next NIC may have what this one held, unless a worker hangs in it. */
    void awaitReleased() {
        aftermath.awaitReleased();
    }

    /** Ends the NIC. With LEAVE another process goes on with it: copies are closed and nothing else happens. */
    void close(Disposal how) {
        try {
            actor.finish(Urgency.DISCONNECT, CALL_MILLIS, () -> {
                if (!closed) {
                    closed = true;
                    end(how);
                }
            });
        } catch (TimeoutException e) {
            LOG.error("NIC {}: {}", options.id(), e.getMessage());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private void end(Disposal asked) {
        // what is another process's by now is left to it, whatever was asked for
        boolean elsewhere = custody.isOwner() && block.ownership().filter(o -> o.holder() != block.self()).isPresent();
        Disposal how = elsewhere ? Disposal.LEAVE : asked;
        boolean leave = how == Disposal.LEAVE;
        if (backend != null) {
            backend.end();
        }
        feed.end();
        migration.forget("the NIC ends");
        rings.stopAll();
        if (!leave) {
            rings.forgetLent();
        }
        if (!leave && custody.isOwner()) {
            block.closeOwned();
        }
        if (session != null) {
            // a NIC that was only prepared is another process's, and so is its VMM
            if (!leave && custody.isOwner()) {
                session.shutdown();
            }
            session.close();
            session = null;
        }
        endpoint.close(leave);
        if (binding != null) {
            binding.forget();
        }
        refresh();
        DeviceState last = device;
        rings.whenQuiet(last::close);
        device = DeviceState.initial(options.pairs());
        aftermath.end(how);
    }

    // ---- what others see

    /** Computes the state from the facts; one log line and one event for each change. */
    void refresh() {
        NicState now;
        if (closed) {
            now = NicState.CLOSED;
        } else if (failure != null || dead) {
            now = NicState.FAILED;
        } else if (!custody.isOwner()) {
            now = NicState.PREPARED;
        } else if (custody.isFrozen()) {
            now = NicState.FROZEN;
        } else if (binding != null && (device.running() ? binding.port() == null && !backend.expectsPort() : !binding.reachable())) {
            now = NicState.NO_BACKEND;
        } else if (session == null) {
            now = NicState.LISTENING;
        } else {
            now = device.running() ? NicState.RUNNING : NicState.CONNECTED;
        }
        String why = now == NicState.FAILED ? failure : now == NicState.NO_BACKEND ? absence : "";
        report.update(now, why, session == null ? 0 : session.vmmPid(), epoch());
    }

    private long epoch() {
        return block.ownership().map(Ownership::epoch).orElse(0L);
    }

    NicState nicState() {
        return report.state();
    }

    NicStatus status() {
        return status(engine.counters());
    }

    /** With the counters of the port. */
    NicStatus measure() {
        Map<String, Long> counters = new LinkedHashMap<>(engine.counters());
        if (binding != null && binding.port() != null && !dead) {
            binding.slot().served().statistics((name, value) -> counters.put("port-" + name, value));
        }
        return status(counters);
    }

    private NicStatus status(Map<String, Long> counters) {
        Session s = session;
        NicReport.Now now = report.now();
        return new NicReport.Snapshot(options.id(), options.netdev(), now.state(), why(now), options.effective(),
                s == null ? 0 : s.vmmPid(), device.features(), epoch(), counters);
    }

    /** The reason for the state; of a NIC whose state is good, that it has no link. */
    private String why(NicReport.Now now) {
        return switch (now.state()) {
            case LISTENING, CONNECTED, RUNNING -> link.isUp() ? now.why() : "its link is down";
            default -> now.why();
        };
    }

    @Override
    public String toString() {
        return "NIC " + options.id();
    }

    NetdevSlot slot() {
        return binding == null ? null : binding.slot();
    }

    /** Whether another NIC holds the netdev, of which this one may get the port. */
    boolean waitsForPort() {
        return binding != null && !binding.slot().users().isHeldBy(backend);
    }
}
