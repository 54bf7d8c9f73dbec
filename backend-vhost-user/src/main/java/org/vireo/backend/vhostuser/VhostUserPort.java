// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import java.io.IOException;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantLock;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.net.api.DeviceStatePort;
import org.vireo.net.api.DirtyLog;
import org.vireo.net.api.Fd;
import org.vireo.net.api.GuestMemory;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.OpenContext;
import org.vireo.net.api.PortProfile;
import org.vireo.net.api.PortSettings;
import org.vireo.net.api.RingPosition;
import org.vireo.net.api.StatisticsSink;
import org.vireo.net.api.ThreadedPort;
import org.vireo.net.api.VringSpec;
import org.vireo.vhostuser.MessageChannel;
import org.vireo.vhostuser.ProtocolFeatures;
import org.vireo.vhostuser.Request;

/**
 * A device whose rings an external back-end serves. It lives longer than the back-end: what is asked of it while none is there is
 * remembered, and the next one is told ({@link Device}).
 *
 * <p>Control threads and the {@link Link}'s watcher take the lock; the watcher gives it up soon when somebody waits for it.
 */
final class VhostUserPort implements DeviceStatePort, ThreadedPort {
    private static final Logger LOG = LoggerFactory.getLogger(VhostUserPort.class);
    /** All that one call tells a back-end: half of the two seconds that the contract gives. */
    private static final long CALL_NANOS = TimeUnit.SECONDS.toNanos(1);
    /** For a state to pass, less than the call has for its questions. */
    private static final long STATE_NANOS = TimeUnit.MILLISECONDS.toNanos(800);
    /** How long a call waits for a back-end that is being brought up, before it sends it away. */
    private static final long PATIENCE_MILLIS = 300;
    private static final int MAC_BYTES = 6;

    private final VhostUserOptions options;
    private final OpenContext context;
    private final ReentrantLock lock = new ReentrantLock();
    private final Device device;
    private final Link link;
    private final PortProfile profile;
    /** Whether the device may be touched: a loaded port's only after a call that says so. */
    private boolean live;
    private boolean featuresKnown;
    private volatile boolean closed;

    /** A port that was opened. */
    VhostUserPort(VhostUserOptions options, OpenContext context, Link.Beginning b) throws IOException {
        this.options = options;
        this.context = context;
        device = new Device(options.prefix(), options.queues());
        profile = b.offer().profile(options.queues(), true);
        link = new Link(options, context, lock, device, b);
        live = true;
        featuresKnown = true;
        link.start();
    }

    /** A port that was loaded: inert. */
    VhostUserPort(VhostUserOptions options, OpenContext context, Link.Beginning b, Device device) {
        this.options = options;
        this.context = context;
        this.device = device;
        profile = b.offer().profile(options.queues(), b.connection() != null);
        link = new Link(options, context, lock, device, b);
    }

    VhostUserOptions options() {
        return options;
    }

    Link link() {
        return link;
    }

    Device device() {
        return device;
    }

    boolean isClosed() {
        return closed;
    }

    /** Takes the lock, soon, whatever a back-end does that is being brought up meanwhile. Other calls have their own deadline. */
    void enter() {
        try {
            if (lock.tryLock(PATIENCE_MILLIS, TimeUnit.MILLISECONDS)) {
                return;
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        link.abortAttempt();
        lock.lock();
    }

    void leave() {
        lock.unlock();
    }

    /** What a call does with the connection, null if there is none. */
    private interface Call {
        void on(Connection c) throws NetdevException, IOException;
    }

    private void call(Call what) throws NetdevException {
        enter();
        try {
            if (closed) {
                throw new NetdevException(options.prefix() + "its port is closed");
            }
            touch();
            // a rehearsal never says a word
            Connection c = context.rehearsal() ? null : link.connection();
            try {
                if (c != null) {
                    c.until(System.nanoTime() + CALL_NANOS);
                }
                what.on(c);
            } catch (RefusedException e) {
                throw new NetdevException(options.prefix() + c.explained(e.getMessage()), e);
            } catch (NewConnectionException e) {
                link.startAfresh(c, e.getMessage());
            } catch (IOException e) {
                if (c == null) {
                    throw new NetdevException(options.prefix() + e.getMessage(), e);
                }
                link.lose(c, e.getMessage());
            } finally {
                link.told();
            }
        } finally {
            leave();
        }
    }

    /** With the first call a loaded port begins to live. */
    private void touch() throws NetdevException {
        if (live || context.rehearsal()) {
            return;
        }
        Connection c = link.connection();
        if (c != null) {
            c.until(System.nanoTime() + CALL_NANOS);
            link.adopt(c);
        }
        try {
            link.start();
            live = true;
        } catch (IOException e) {
            throw new NetdevException(options.prefix() + "cannot watch the back-end: " + e.getMessage(), e);
        }
    }

    private Ring ring(int index) throws NetdevException {
        if (index < 0 || index >= device.rings().size()) {
            throw new NetdevException(options.prefix() + "there is no ring " + index + ": it has " + device.rings().size());
        }
        return device.rings().get(index);
    }

    @Override
    public PortProfile profile() {
        return profile;
    }

    @Override
    public void apply(PortSettings settings) throws NetdevException {
        // header and offloads follow from the features, pairs from the rings
        call(c -> { });
    }

    @Override
    public void features(long acknowledged) throws NetdevException {
        call(c -> {
            boolean goesOn = !featuresKnown;
            featuresKnown = true;
            device.features(c, link.offer(), acknowledged, goesOn);
        });
    }

    @Override
    public void memory(GuestMemory memory) throws NetdevException {
        call(c -> {
            boolean gone = memory.regions().isEmpty();
            if (c != null && gone && !c.offer().has(ProtocolFeatures.CONFIGURE_MEM_SLOTS) && !c.memory().isEmpty()) {
                // a table of no region is refused by many: as front-ends do whose guest ends, hang up, so that its memory gets free
                device.memory(null, memory);
                link.startAfresh(c, "the guest has gone");
            } else {
                device.memory(c, memory);
            }
        });
    }

    @Override
    public void log(DirtyLog log) throws NetdevException {
        call(c -> device.log(c, link.offer(), log));
    }

    @Override
    public void start(int index, VringSpec spec) throws NetdevException {
        Ring r = ring(index);
        call(c -> device.start(c, r, spec, context.rehearsal()));
    }

    @Override
    public RingPosition stop(int index) throws NetdevException {
        Ring r = ring(index);
        RingPosition[] at = {null};
        call(c -> {
            boolean ran = r.running;
            VringSpec spec = r.spec;
            try {
                at[0] = device.stop(c, r);
            } catch (IOException e) {
                if (ran && !device.survives()) {
                    link.lose(c, e.getMessage());
                    throw new NetdevException(options.prefix() + RingPositions.notFound(r), e);
                }
                if (ran) {
                    // first it is hung up on: nobody moves the ring any more then
                    link.lose(c, e.getMessage());
                    at[0] = device.left(r, spec);
                }
                throw e;
            }
        });
        return at[0];
    }

    @Override
    public Optional<String> stillHeld() {
        enter();
        try {
            return link.stillHeld();
        } finally {
            leave();
        }
    }

    @Override
    public void enable(int index, boolean on) throws NetdevException {
        Ring r = ring(index);
        call(c -> device.enable(c, r, on));
    }

    @Override
    public void call(int index, Fd call) throws NetdevException {
        Ring r = ring(index);
        call(c -> device.call(c, r, call));
    }

    @Override
    public void announce(byte[] mac) throws NetdevException {
        if (mac.length != MAC_BYTES) {
            throw new NetdevException(options.prefix() + "an address of " + mac.length + " bytes cannot be announced");
        }
        call(c -> {
            if (!link.offer().has(ProtocolFeatures.RARP)) {
                throw new NetdevException(options.prefix() + "the back-end cannot announce the guest, since it lacks RARP");
            }
            if (c != null) {
                c.tell(Request.SEND_RARP, MessageChannel.u64(number(mac)), Connection.NO_DESCRIPTORS);
            }
        });
    }

    /** The address as it stands in memory, its first byte first. */
    private static long number(byte[] mac) {
        long n = 0;
        for (int i = MAC_BYTES - 1; i >= 0; i--) {
            n = n << 8 | mac[i] & 0xff;
        }
        return n;
    }

    @Override
    public boolean hasDeviceState() {
        enter();
        try {
            return link.offer().has(ProtocolFeatures.DEVICE_STATE);
        } finally {
            leave();
        }
    }

    @Override
    public byte[] saveDeviceState(int most) throws NetdevException {
        byte[][] state = new byte[1][];
        call(c -> state[0] = exchange(c).save(most));
        if (state[0] == null) {
            throw new NetdevException(options.prefix() + "the back-end has gone while its state was saved");
        }
        return state[0];
    }

    @Override
    public void loadDeviceState(byte[] state) throws NetdevException {
        boolean[] done = new boolean[1];
        call(c -> {
            exchange(c).load(state);
            done[0] = true;
        });
        if (!done[0]) {
            throw new NetdevException(options.prefix() + "the back-end has gone while its state was loaded");
        }
    }

    private DeviceStateExchange exchange(Connection c) throws NetdevException {
        if (c == null) {
            throw new NetdevException(options.prefix() + "no back-end is there that could save or load its state: connect it first");
        }
        return new DeviceStateExchange(c, context.fds(), options.prefix(), System.nanoTime() + STATE_NANOS);
    }

    @Override
    public void quiesce() throws NetdevException {
        if (!link.pause()) {
            throw new NetdevException(options.prefix() + "the thread that watches the back-end does not stand still");
        }
    }

    @Override
    public void resume() {
        link.goOn();
    }

    @Override
    public void statistics(StatisticsSink to) {
        // without the lock: who looks at counters must not send a back-end away that is being brought up
        link.statistics(to);
    }

    @Override
    public void close(Disposal how) {
        if (closed) {
            return;
        }
        closed = true;
        link.end();
        enter();
        try {
            boolean last = how == Disposal.RELEASE && !context.rehearsal();
            Connection c = link.connection();
            if (last && c != null) {
                end(c);
            }
            link.close(last);
            device.close();
        } finally {
            leave();
        }
        // a standby's copy that was never used comes and goes with each change
        if (live && !context.rehearsal()) {
            LOG.info("{}{} {}", options.prefix(), how == Disposal.RELEASE ? "released" : "left", options.path());
        }
    }

    private void end(Connection c) {
        try {
            c.until(System.nanoTime() + CALL_NANOS);
            device.end(c);
        } catch (IOException e) {
            LOG.warn("{}the back-end was not told that it is not used any more: {}", options.prefix(), e.getMessage());
            // it notices that
            c.shutdown();
        }
    }
}
