// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.mutants.rings;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.concurrent.locks.LockSupport;
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
import org.vireo.net.api.VringPort;
import org.vireo.net.api.VringSpec;
import org.vireo.posix.linux.EventFd;
import org.vireo.posix.linux.Poll;
import org.vireo.testsupport.device.DeviceMemory;
import org.vireo.testsupport.device.DirtyPages;
import org.vireo.testsupport.device.RingSetup;
import org.vireo.testsupport.device.TestDevice;

/** Serves the rings on a thread of its own, which begins with the first call. */
final class RingPort implements VringPort, ThreadedPort {
    private static final long LOG_ALL = 1L << 26;
    private static final long INDIRECT = 1L << 28;
    private static final long EVENT_INDEX = 1L << 29;
    private static final long VERSION_1 = 1L << 32;
    private static final long MERGEABLE = 1L << 15;
    private static final long CSUM = 1L;
    private static final long MULTI_QUEUE = 1L << 22;
    private static final int POLL_MILLIS = 5;
    private static final int STOPS = 5;
    private static final int RARP_BYTES = 60;

    private final RingOptions options;
    private final RingFault fault;
    private final OpenContext context;
    private final Fd socket;
    private final SocketNetwork network;
    private final TestDevice device;
    private final PortProfile profile;
    private final Fd wake;
    private final Strays strays;
    private final RingSetup[] setups = new RingSetup[2];
    private Thread thread;
    private GuestMemory known;
    private boolean mute;
    private boolean away;
    private boolean quiet;
    private int stops;
    private volatile boolean closed;

    RingPort(RingOptions options, OpenContext context, Fd socket) throws NetdevException {
        this.options = options;
        this.context = context;
        this.socket = socket;
        fault = options.fault();
        network = new SocketNetwork(socket, fault);
        device = new TestDevice(1, network);
        profile = profile();
        strays = new Strays(fault, options.there());
        try {
            wake = EventFd.create(context.fds(), "wake");
        } catch (IOException e) {
            throw new NetdevException(e.getMessage(), e);
        }
    }

    Fd socket() {
        return socket;
    }

    boolean isClosed() {
        return closed;
    }

    private static PortProfile profile(long features) {
        return PortProfile.builder().headerLengths(10, 12).features(features).mtu(1500).linkUp(true).build();
    }

    private long offered() {
        long more = 0;
        try {
            more = Files.exists(options.there()) && Files.readString(options.there()).contains("able") ? CSUM : 0;
        } catch (IOException e) {
            more = 0; // it has just gone
        }
        return more | VERSION_1 | INDIRECT | EVENT_INDEX | MERGEABLE | (fault == RingFault.PRETENDS_TO_LOG ? 0 : LOG_ALL);
    }

    @Override
    public PortProfile profile() {
        return profile == null ? profile(offered()) : profile;
    }

    private interface Action {
        void run() throws IOException;
    }

    private synchronized void call(Action a) throws NetdevException {
        if (fault == RingFault.REFUSES_CALLS_WHILE_AWAY && away) {
            throw new NetdevException("netdev " + options.id() + ": nobody is there");
        }
        if (thread == null) {
            thread = Thread.ofPlatform().daemon().name("rings of " + options.id()).start(this::run);
        }
        try {
            a.run();
        } catch (IOException e) {
            throw new NetdevException("netdev " + options.id() + ": " + e.getMessage(), e);
        }
        EventFd.signal(wake.number());
    }

    private void run() {
        boolean kicked = false;
        while (!closed) {
            int[] numbers;
            synchronized (this) {
                look();
                boolean kickless = device.isPolled() && fault != RingFault.NEVER_POLLS;
                if (!away && !quiet && (kicked || kickless || fault != RingFault.WAITS_FOR_A_KICK)
                        && !(fault == RingFault.NEVER_POLLS && device.isPolled())) {
                    device.serve();
                }
                strays.act();
                numbers = Arrays.copyOf(device.kicks(), device.kicks().length + 2);
                numbers[numbers.length - 2] = away || quiet ? -1 : socket.number();
                numbers[numbers.length - 1] = wake.number();
            }
            int ready = Poll.readable(POLL_MILLIS, numbers);
            boolean woken = (ready & 1 << numbers.length - 1) != 0;
            kicked = (ready & ~(1 << numbers.length - 1)) != 0;
            if (woken) {
                EventFd.drain(wake.number());
            } else if (kicked) {
                // frames may wait for which there is no room
                LockSupport.parkNanos(100_000);
            }
        }
    }

    /** Whether the other side has come or gone. */
    private void look() {
        boolean gone = !context.rehearsal() && !Files.exists(options.there());
        if (gone == away) {
            return;
        }
        away = gone;
        if (!gone) {
            comeBack();
        }
        if (fault != RingFault.TELLS_NO_LINK) {
            context.listener().link(!gone);
        }
    }

    private void comeBack() {
        if (offered() != profile.features() && fault != RingFault.TELLS_NO_PROFILE) {
            context.listener().profile(profile(offered()));
        }
        for (int i = 0; i < 2; i++) {
            if (fault == RingFault.STARTS_STOPPED_RINGS && setups[i] != null && !device.isStarted(i)) {
                RingSetup s = setups[i].at(device.shown(setups[i]));
                device.start(i, new RingSetup(s.size(), s.descriptors(), s.driver(), s.device(), s.log(), s.available(), s.used(), null,
                        null));
            }
        }
        if (fault == RingFault.SKIPS_WHEN_IT_RETURNS) {
            network.mute(true);
            device.serve();
            network.mute(false);
        }
    }

    @Override
    public void apply(PortSettings settings) throws NetdevException {
        call(() -> { });
    }

    @Override
    public void features(long acknowledged) throws NetdevException {
        long missing = acknowledged & ~offered() & ~MULTI_QUEUE;
        if (missing != 0 && fault != RingFault.TAKES_ANY_FEATURE) {
            throw new NetdevException("netdev " + options.id() + ": lacks features 0x" + Long.toHexString(missing));
        }
        mute = fault == RingFault.CALLS_WITHOUT_EVENT_INDEX_ONLY && (acknowledged & EVENT_INDEX) != 0;
        call(() -> device.features(acknowledged));
    }

    @Override
    public void memory(GuestMemory m) throws NetdevException {
        call(() -> {
            boolean gone = m.regions().isEmpty();
            boolean started = device.isStarted(0) || device.isStarted(1);
            boolean kept = gone ? fault == RingFault.KEEPS_GONE_MEMORY : started && fault == RingFault.FORGETS_NEW_MEMORY
                    || known != null && fault == RingFault.KEEPS_FORMER_MEMORY && same(known, m);
            if (!kept) {
                device.memory(DeviceMemory.of(m));
                known = m;
            }
        });
    }

    private static boolean same(GuestMemory a, GuestMemory b) {
        return a.regions().stream().map(GuestMemory.Region::guestAddress).toList()
                .equals(b.regions().stream().map(GuestMemory.Region::guestAddress).toList());
    }

    @Override
    public void log(DirtyLog log) throws NetdevException {
        call(() -> {
            if (log == null) {
                if (fault != RingFault.LOGS_FOR_EVER) {
                    device.log(null);
                }
            } else if (fault != RingFault.PRETENDS_TO_LOG) {
                device.log(new Pages(log, fault == RingFault.MARKS_NO_BUFFERS));
            }
        });
    }

    @Override
    public void start(int ring, VringSpec spec) throws NetdevException {
        call(() -> {
            RingSetup s = RingSetup.of(spec);
            if ((mute || fault == RingFault.KEEPS_A_NUMBER) && spec.call() != null) {
                s.call().close();
                s = s.called(mute ? null : new Borrowed(spec.call().number()));
            }
            if (fault == RingFault.MARKS_NO_RINGS) {
                s = s.logged(-1);
            }
            if (spec.mayRun() && fault != RingFault.INHERITS_THE_BEGINNING) {
                s = s.at(device.shown(s));
            } else if (fault == RingFault.CUTS_POSITIONS) {
                s = s.at(s.available() & 0x7fff);
            }
            setups[ring] = s;
            strays.close();
            if (fault == RingFault.STARTS_ENABLED) {
                device.enable(ring, true);
            }
            device.start(ring, s);
            if (fault == RingFault.STARTS_WITHOUT_A_CALL && s.call() != null) {
                EventFd.drain(s.call().number());
            }
        });
    }

    @Override
    public RingPosition stop(int ring) throws NetdevException {
        RingPosition[] at = {null};
        call(() -> {
            if (!device.isStarted(ring)) {
                if (fault == RingFault.STOPS_ONCE) {
                    throw new IOException("ring " + ring + " is not started");
                }
                return;
            }
            strays.stopped(setups[ring], known, ring);
            at[0] = device.stop(ring);
            if (fault == RingFault.MISCOUNTS_STOPS && ++stops > STOPS) {
                at[0] = RingPosition.of(at[0].available() - 1, at[0].used() - 1);
            }
            if (fault != RingFault.STARTS_STOPPED_RINGS) {
                setups[ring] = null;
            }
        });
        return at[0];
    }

    @Override
    public void enable(int ring, boolean on) throws NetdevException {
        call(() -> device.enable(ring, on || fault == RingFault.NEVER_DISABLES));
    }

    @Override
    public void call(int ring, Fd call) throws NetdevException {
        if (fault == RingFault.REPLACES_SLOWLY) {
            LockSupport.parkNanos(2_050_000_000L);
        }
        call(() -> {
            if (fault != RingFault.KEEPS_FORMER_CALL) {
                device.call(ring, call == null ? null : call.duplicate());
            } else if (call != null) {
                EventFd.signal(call.number());
            }
        });
    }

    @Override
    public void announce(byte[] mac) throws NetdevException {
        call(() -> {
            byte[] frame = new byte[RARP_BYTES];
            Arrays.fill(frame, 0, mac.length, (byte) -1);
            System.arraycopy(mac, 0, frame, mac.length, mac.length);
            if (fault != RingFault.ANNOUNCES_NOTHING) {
                network.send(frame);
            }
        });
    }

    @Override
    public synchronized void quiesce() {
        quiet = true;
    }

    @Override
    public synchronized void resume() {
        quiet = false;
        EventFd.signal(wake.number());
    }

    @Override
    public void statistics(StatisticsSink to) {
        to.counter("frames-sent", network.sent());
    }

    @Override
    public void close(Disposal how) {
        if (closed) {
            return;
        }
        closed = true;
        EventFd.signal(wake.number());
        if (thread != null) {
            try {
                thread.join();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }
        strays.closing(setups[1], known);
        device.close();
        strays.close();
        wake.close();
        socket.close();
    }

    /** A log that may leave buffers out. */
    private static final class Pages extends DirtyPages {
        private static final long BUFFERS = 0x100_0000;

        private final boolean ringsOnly;

        Pages(DirtyLog log, boolean ringsOnly) throws IOException {
            super(log.file(), log.offset(), log.bytes());
            this.ringsOnly = ringsOnly;
        }

        @Override
        public void written(long guest, long length) {
            if (!ringsOnly || guest < BUFFERS) {
                super.written(guest, length);
            }
        }
    }

    /** A descriptor of somebody else. */
    private record Borrowed(int number) implements Fd {
        @Override
        public Fd duplicate() {
            throw new UncheckedIOException(new IOException("borrowed"));
        }

        @Override
        public boolean isOpen() {
            return true;
        }

        @Override
        public void close() {
            // not ours
        }
    }
}
