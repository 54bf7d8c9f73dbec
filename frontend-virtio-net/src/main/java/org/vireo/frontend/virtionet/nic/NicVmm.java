// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.Optional;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.frontend.virtionet.device.EngineException;
import org.vireo.frontend.virtionet.nic.Actor.Urgency;
import org.vireo.frontend.virtionet.ring.MalformedRingException;
import org.vireo.frontend.virtionet.session.ConfigSpace;
import org.vireo.frontend.virtionet.session.DeviceState;
import org.vireo.frontend.virtionet.session.RefusedException;
import org.vireo.frontend.virtionet.session.RequestHandler;
import org.vireo.frontend.virtionet.session.RingState;
import org.vireo.frontend.virtionet.session.Session;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.net.api.NetdevException;
import org.vireo.posix.linux.Poll;
import org.vireo.posix.linux.UnixSockets;

/**
 * What a NIC does for its VMM: takes its connection, one at a time, answers what it asks of the device, and brings into effect what its
 * messages make of it. Of the NIC's actor, but for {@link #state}, {@link #session}, {@link #pid} and {@link #readable}.
 */
final class NicVmm implements Session.Owner, RequestHandler.Device {
    private static final Logger LOG = LoggerFactory.getLogger(NicVmm.class);

    private final Nic nic;
    private final RequestHandler handler = new RequestHandler(this);
    private final RefusedVmms refused;
    private final StateMigration migration;
    private volatile DeviceState device;
    private volatile Session session;

    NicVmm(Nic nic) {
        this.nic = nic;
        refused = new RefusedVmms(nic.id(), System::nanoTime);
        migration = new StateMigration(nic);
        device = DeviceState.initial(nic.options().pairs());
    }

    /** The connection, or null. Any thread. */
    Session session() {
        return session;
    }

    /** The VMM's process; 0: there is none, or it is not known. Any thread. */
    long pid() {
        Session s = session;
        return s == null ? 0 : s.vmmPid();
    }

    // ---- its connection

    /** Those that wait at the endpoint. */
    void accept() {
        try {
            for (Fd fd = nic.endpoint().accept(); fd != null; fd = nic.endpoint().accept()) {
                if (!connected(fd)) {
                    nic.endpoint().rearmLater();
                    return;
                }
            }
            nic.endpoint().rearm();
        } catch (IOException e) {
            LOG.warn("NIC {}: {}", nic.id(), e.getMessage());
        }
    }

    /** Whether a VMM was not refused. */
    boolean connected(Fd fd) {
        try {
            long pid = UnixSockets.peer(fd).pid();
            if (session != null && Poll.readable(0, session.socket().number()) != 0) {
                // who hung up, which nobody has looked at yet, does not keep the next VMM away
                handleMessages();
            }
            if (session != null || !nic.alive()) {
                refused.note(pid, session == null ? nic.report().now().why() : "pid " + session.vmmPid() + " is connected");
                fd.close();
                return false;
            }
            if (!nic.reachable()) {
                LOG.info("NIC {}: a VMM (pid {}) comes while netdev {} is not open", nic.id(), pid, nic.options().netdev());
                nic.backend().open();
            }
            nic.forgive();
            session = session(fd, null, pid);
            announce(device, device, session.backendSocket());
            session.listen(nic.environment().poller());
            nic.refresh();
        } catch (IOException e) {
            LOG.warn("NIC {}: {}", nic.id(), e.getMessage());
            if (session == null) {
                fd.close();
            } else {
                disconnect(e.getMessage());
            }
        }
        return true;
    }

    Session session(Fd fd, Fd backendSocket, long pid) {
        Environment env = nic.environment();
        return new Session(new Session.Surroundings(nic.id(), env.fds(), handler, nic.block(), this, env.timer()), fd, backendSocket, pid);
    }

    @Override
    public void readable() {
        nic.actor().post(Urgency.VMM_MESSAGE, this::handleMessages);
    }

    private void handleMessages() {
        Session s = session;
        if (s == null || nic.custody().isFrozen()) {
            return;
        }
        String end;
        try {
            end = s.handle();
        } catch (RuntimeException | Error e) {
            // its memory was truncated while a message was handled, perhaps; nobody would read this connection again
            LOG.warn("NIC {}: a message could not be handled", nic.id(), e);
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
        nic.report().vmmGone(s.vmmPid(), reason);
        nic.feed().abortHandover("the VMM has gone: " + reason);
        migration.forget("the VMM has gone");
        nic.rings().stopAll();
        s.shutdown();
        s.close();
        session = null;
        DeviceState former = device;
        device = DeviceState.initial(nic.options().pairs());
        nic.engine().initialMemory(device.memory(), device.inflight());
        nic.rings().forget();
        if (nic.faults().isDead()) {
            nic.aftermath().keep(former);
        } else {
            nic.rings().whenQuiet(former::close);
        }
        announce(former, device, null);
        if (nic.backend() != null) {
            nic.backend().ringsChanged();
        }
        try {
            if (nic.alive()) {
                listenAgain();
            }
        } catch (IOException e) {
            LOG.warn("NIC {}: {}", nic.id(), e.getMessage());
        }
        nic.refresh();
    }

    /** The next VMM is accepted as soon as there is a backend for it. */
    void listenAgain() throws IOException {
        if (nic.reachable() || nic.binding().slot().servable()) {
            nic.endpoint().start(session != null);
        } else if (session == null) {
            nic.endpoint().deafen();
        }
    }

    // ---- what its messages do

    @Override
    public DeviceState state() {
        return device;
    }

    @Override
    public void transition(DeviceState next, Fd backendSocket) throws RefusedException {
        DeviceState former = device;
        announce(former, next, backendSocket);
        try {
            device = nic.rings().follow(former, next);
            if (next.running() && !nic.rings().halted()) {
                nic.forgive();
            }
        } catch (EngineException | NetdevException e) {
            announce(next, former, session == null ? null : session.backendSocket());
            if (e.getCause() instanceof MalformedRingException || e instanceof NetdevException) {
                nic.fail(e.getMessage());
            }
            throw new RefusedException(e.getMessage(), e);
        }
        nic.block().features(offered(), device.features());
        device.closeReplaced(former);
        if (nic.backend() != null && former.running() != device.running()) {
            nic.backend().ringsChanged();
        }
        migration.follow(device);
        nic.refresh();
    }

    private void announce(DeviceState from, DeviceState to, Fd backendSocket) {
        nic.feed().announce(seq -> NicImages.change(nic, from, to, backendSocket, seq));
    }

    @Override
    public void whenQuiet(Runnable what) {
        nic.rings().whenQuiet(what);
    }

    @Override
    public int base(int ring) {
        int base = device.rings().get(ring).base();
        return base == RingState.JOURNAL ? nic.engine().position(ring).available() : base & 0xffff;
    }

    @Override
    public Optional<String> announce(byte[] mac) {
        try {
            if (nic.binding() != null && nic.binding().lent() != null) {
                nic.binding().lent().announce(mac);
            } else {
                nic.engine().inject(Rarp.frame(mac));
            }
            return Optional.empty();
        } catch (EngineException | NetdevException e) {
            return Optional.of(e.getMessage());
        }
    }

    // ---- what it asks of the device

    @Override
    public long offered() {
        return nic.binding() == null ? PortBinding.RINGS & ~nic.options().disabled() : nic.binding().offered();
    }

    @Override
    public MemorySegment config() {
        int mtu = nic.options().mtu() != 0 ? nic.options().mtu() : device.mtu();
        return ConfigSpace.of(nic.options().mac(), nic.link().isUp(), nic.options().pairs(), mtu);
    }

    @Override
    public boolean anyMemory() {
        return nic.options().anyMemory();
    }

    @Override
    public int portMtu() {
        return nic.binding() == null ? 0 : nic.binding().mtu();
    }

    @Override
    public StateMigration states() {
        return migration;
    }

    @Override
    public boolean tracksInflight() {
        return nic.binding() == null || nic.binding().runsRings();
    }

    @Override
    public Fds fds() {
        return nic.environment().fds();
    }

    // ---- from another process (see Custody), and the end

    /** What another process has told of the device. */
    void adopt(DeviceState received) {
        device = received;
        nic.engine().initialMemory(received.memory(), received.inflight());
    }

    /** The connection that another process has given; what was there is closed here. */
    void adopt(Session with) {
        if (session != null && session != with) {
            session.close();
        }
        session = with;
    }

    /**
     * Closes this process's copies of the connection.
     *
     * @param forAll whether the VMM sees its end: no other process goes on with it
     */
    void hangUp(boolean forAll) {
        if (session != null) {
            if (forAll) {
                session.shutdown();
            }
            session.close();
            session = null;
        }
    }

    /** Closes what the VMM has given of its memory and its rings. */
    void forget() {
        DeviceState last = device;
        nic.rings().whenQuiet(last::close);
        device = DeviceState.initial(nic.options().pairs());
    }
}
