// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.io.IOException;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.vireo.frontend.virtionet.block.NicBlockMemory;
import org.vireo.frontend.virtionet.device.EngineException;
import org.vireo.frontend.virtionet.device.FrameFormat;
import org.vireo.frontend.virtionet.device.RingEngine;
import org.vireo.frontend.virtionet.memory.DirtyLog;
import org.vireo.frontend.virtionet.memory.InvalidMemoryException;
import org.vireo.frontend.virtionet.memory.MappedRegion;
import org.vireo.frontend.virtionet.memory.MemoryTable;
import org.vireo.frontend.virtionet.ring.RingLog;
import org.vireo.frontend.virtionet.worker.Watchdog;
import org.vireo.frontend.virtionet.worker.Worker;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.BackendStateTransfer;
import org.vireo.net.api.DeviceStatePort;
import org.vireo.net.api.Fd;
import org.vireo.net.api.FramePort;
import org.vireo.net.api.GuestMemory;
import org.vireo.net.api.NetBackend;
import org.vireo.net.api.NetPort;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.OpenContext;
import org.vireo.net.api.PortListener;
import org.vireo.net.api.PortProfile;
import org.vireo.net.api.PortSettings;
import org.vireo.net.api.PortUnavailableException;
import org.vireo.net.api.RingPosition;
import org.vireo.net.api.StateFormat;
import org.vireo.net.api.StateTransferException;
import org.vireo.net.api.StatisticsSink;
import org.vireo.net.api.VringSpec;
import org.vireo.vhostuser.VirtioNet;

/** A backend that takes the guest's rings: a second device on a thread of its own runs them, with the frames of a {@link FakeNetwork}. */
final class FakeRings implements NetBackend, BackendStateTransfer {
    static final long RING_BITS = VirtioNet.VERSION_1 | VirtioNet.EVENT_IDX | VirtioNet.INDIRECT_DESC | VirtioNet.MRG_RXBUF
            | VirtioNet.LOG_ALL | VirtioNet.RING_PACKED;
    private static final long HANG_SECONDS = 10;

    /** What was called of a port that is not one of a rehearsal. */
    final List<String> calls = new CopyOnWriteArrayList<>();
    volatile long features = RING_BITS | FakeBackend.OFFLOADS;
    volatile boolean unavailable;
    /** Whether it knows where a ring is that it has stopped. */
    volatile boolean forgets;
    /** Whether it does not let go of a ring that it has stopped, until {@link #letGo}. */
    volatile boolean sticks;
    /** The call of this name hangs, until it is counted down. */
    volatile String hangs = "";
    final CountDownLatch wake = new CountDownLatch(1);
    private volatile boolean stuck;
    /** Of whoever has the rings; null: it has none. */
    volatile byte[] deviceState;
    volatile boolean refusesState;
    volatile PortListener listener;
    volatile Port port;

    private final FakeBackend frames;

    FakeRings(FakeNetwork network) {
        frames = new FakeBackend(network);
    }

    void letGo() {
        sticks = false;
        stuck = false;
    }

    @Override
    public void validate() {
        // it has no options
    }

    @Override
    public NetPort open(OpenContext context) throws NetdevException {
        calls.add("open");
        if (unavailable) {
            throw new PortUnavailableException("nobody listens yet: start it", null);
        }
        return take((FramePort) frames.open(context), context);
    }

    @Override
    public StateFormat stateFormat() {
        return frames.stateFormat();
    }

    @Override
    public void check(NetPort p) {
        // it can always be saved
    }

    @Override
    public BackendState save(NetPort p, int version) throws StateTransferException {
        return frames.save(((Port) p).inner, version);
    }

    @Override
    public NetPort load(BackendState state, OpenContext context) throws StateTransferException {
        try {
            return take((FramePort) frames.load(state, context), context);
        } catch (NetdevException e) {
            throw new StateTransferException(e.getMessage(), e);
        }
    }

    private Port take(FramePort inner, OpenContext context) throws NetdevException {
        try {
            Port p = new Port(inner, context);
            if (!context.rehearsal()) {
                port = p;
                listener = context.listener();
            }
            return p;
        } catch (IOException e) {
            inner.close(NetPort.Disposal.LEAVE);
            throw new NetdevException(e.getMessage(), e);
        }
    }

    /** An open port, and who runs the rings for it. */
    final class Port implements DeviceStatePort, RingEngine.Listener {
        /** Started rings. */
        final Map<Integer, RingEngine.RingSpec> started = new HashMap<>();
        volatile int regions = -1;
        private final FramePort inner;
        private final OpenContext context;
        private final int pairs;
        private final Watchdog watchdog = new Watchdog();
        private final Worker worker;
        private final NicBlockMemory block;
        private final RingEngine engine;
        private final BitSet enabled = new BitSet();
        private MemoryTable memory = MemoryTable.EMPTY;
        private DirtyLog log;
        /** By where a used ring lies. */
        private final Map<Long, Long> loggedAt = new HashMap<>();
        private long acknowledged;
        private boolean closed;

        private Port(FramePort inner, OpenContext context) throws IOException {
            this.inner = inner;
            this.context = context;
            pairs = inner.profile().pairs();
            worker = new Worker("fake rings", context.fds(), watchdog, Worker.Urgency.INHERITED);
            block = NicBlockMemory.create(context.fds(), "fake rings");
            List<Worker> workers = new ArrayList<>();
            for (int i = 0; i < pairs; i++) {
                workers.add(worker);
            }
            engine = new RingEngine("fake rings", this, workers, block, this);
        }

        @Override
        public void broken(int pair, Throwable why) {
            listener.failed(new NetdevException("pair " + pair + ": " + why.getMessage(), why));
        }

        @Override
        public void threadReturned() {
            // nothing hangs in a fake network
        }

        private void log(String call) {
            if (!context.rehearsal()) {
                calls.add(call);
                if (call.startsWith(hangs + " ")) {
                    try {
                        wake.await(HANG_SECONDS, TimeUnit.SECONDS);
                    } catch (InterruptedException e) {
                        Thread.currentThread().interrupt();
                    }
                }
            }
        }

        private interface Step {
            void run() throws EngineException;
        }

        private static void engine(Step s) throws NetdevException {
            try {
                s.run();
            } catch (EngineException e) {
                throw new NetdevException(e.getMessage(), e);
            }
        }

        @Override
        public PortProfile profile() {
            return PortProfile.builder().pairs(pairs).headerLengths(10, 12).features(features).mtu(1500).lasting(true).build();
        }

        @Override
        public void apply(PortSettings settings) {
            // whoever runs the rings knows
        }

        @Override
        public void statistics(StatisticsSink to) {
            to.counter("started", started.size());
        }

        @Override
        public void features(long bits) throws NetdevException {
            log("features 0x" + Long.toHexString(bits));
            if ((bits & ~(features | VirtioNet.MQ)) != 0) {
                throw new NetdevException("lacks " + VirtioNet.names(bits & ~features));
            }
            acknowledged = bits;
        }

        @Override
        public void memory(GuestMemory m) throws NetdevException {
            log("memory " + m.regions().size());
            List<MappedRegion> all = new ArrayList<>();
            MemoryTable former = memory;
            try {
                for (GuestMemory.Region r : m.regions()) {
                    all.add(MappedRegion.map(new MappedRegion.Spec(r.guestAddress(), r.bytes(), r.userAddress(), r.fileOffset()),
                            r.file().duplicate(), true));
                }
                memory = MemoryTable.of(all);
            } catch (InvalidMemoryException | IOException e) {
                throw new NetdevException(e.getMessage(), e);
            }
            engine(() -> engine.memory(memory, started::get));
            former.release();
            regions = m.regions().size();
        }

        @Override
        public void log(org.vireo.net.api.DirtyLog to) throws NetdevException {
            log("log " + (to != null) + (to != null && to.event() != null ? " with an event" : ""));
            DirtyLog former = log;
            try {
                log = to == null ? null : DirtyLog.map(to.bytes(), to.offset(), to.file().duplicate(), true);
            } catch (InvalidMemoryException | IOException e) {
                throw new NetdevException(e.getMessage(), e);
            }
            for (Integer ring : List.copyOf(started.keySet())) {
                RingEngine.RingSpec spec = with(started.get(ring), started.get(ring).call());
                engine(() -> engine.log(ring, spec.log()));
                started.put(ring, spec);
            }
            if (former != null) {
                former.close();
            }
        }

        private RingEngine.RingSpec with(RingEngine.RingSpec s, Fd call) {
            return new RingEngine.RingSpec(s.size(), s.packed(), s.descriptors(), s.available(), s.used(), s.eventIndex(), s.indirect(),
                    RingLog.of(log, log != null, log != null, loggedAt.get(s.used()), RingLog.NO_EVENT), null, s.kick(), call);
        }

        @Override
        public void start(int ring, VringSpec s) throws NetdevException {
            log("start " + ring + " at " + s.position().available());
            loggedAt.put(s.device(), s.log());
            RingEngine.RingSpec spec = with(new RingEngine.RingSpec(s.size(), (acknowledged & VirtioNet.RING_PACKED) != 0,
                    s.descriptors(), s.driver(), s.device(),
                    (acknowledged & VirtioNet.EVENT_IDX) != 0, (acknowledged & VirtioNet.INDIRECT_DESC) != 0, RingLog.NONE,
                    null, copy(s.kick()), null), copy(s.call()));
            engine(() -> {
                if (started.isEmpty()) {
                    engine.format(FrameFormat.of(acknowledged, FrameFormat.headerLength(acknowledged), 1500));
                }
                if (!engine.attached(ring / 2)) {
                    engine.attach(ring / 2, inner.queue(ring / 2), inner.queue(ring / 2).events());
                }
                engine.start(ring, spec, s.position());
                started.put(ring, spec);
            });
        }

        @Override
        public Optional<String> stillHeld() {
            return stuck ? Optional.of("process 7 may still use them: end it") : Optional.empty();
        }

        @Override
        public RingPosition stop(int ring) throws NetdevException {
            stuck = sticks;
            log("stop " + ring);
            RingEngine.RingSpec spec = started.remove(ring);
            try {
                RingPosition at = engine.stop(ring, true);
                end(spec);
                if (started.isEmpty()) {
                    for (int i = 0; i < pairs; i++) {
                        engine.detach(i);
                    }
                }
                return forgets ? null : at;
            } catch (EngineException e) {
                throw new NetdevException(e.getMessage(), e);
            }
        }

        private static Fd copy(Fd fd) throws NetdevException {
            try {
                return fd == null ? null : fd.duplicate();
            } catch (IOException e) {
                throw new NetdevException(e.getMessage(), e);
            }
        }

        private static void end(RingEngine.RingSpec spec) {
            if (spec != null) {
                spec.kick().close();
                if (spec.call() != null) {
                    spec.call().close();
                }
            }
        }

        @Override
        public void enable(int ring, boolean on) throws NetdevException {
            log("enable " + ring + " " + on);
            enabled.set(ring, on);
            engine(() -> engine.enable(ring / 2, enabled.get(ring & ~1), enabled.get(ring | 1)));
        }

        @Override
        public void call(int ring, Fd call) throws NetdevException {
            log("call " + ring);
            RingEngine.RingSpec was = started.get(ring);
            if (was == null) {
                return;
            }
            RingEngine.RingSpec spec = with(was, copy(call));
            engine(() -> engine.call(ring, spec.call()));
            started.put(ring, spec);
            if (was.call() != null) {
                was.call().close();
            }
        }

        @Override
        public void announce(byte[] mac) throws NetdevException {
            log("announce " + mac.length);
            engine(() -> engine.inject(Rarp.frame(mac)));
        }

        @Override
        public boolean hasDeviceState() {
            return deviceState != null;
        }

        @Override
        public byte[] saveDeviceState(int most) throws NetdevException {
            requireLikes();
            return deviceState;
        }

        @Override
        public void loadDeviceState(byte[] state) throws NetdevException {
            requireLikes();
            deviceState = state;
        }

        private void requireLikes() throws NetdevException {
            if (refusesState) {
                throw new NetdevException("it does not like it");
            }
        }

        @Override
        public void close(Disposal how) {
            if (closed) {
                return;
            }
            closed = true;
            log("close " + how);
            try {
                engine.freeze(System.nanoTime() + 1_000_000_000L);
            } catch (EngineException e) {
                throw new IllegalStateException(e);
            }
            started.values().forEach(Port::end);
            worker.close();
            watchdog.close();
            memory.release();
            if (log != null) {
                log.close();
            }
            block.close();
            inner.close(how);
            if (port == this) {
                port = null;
            }
        }
    }
}
