// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import java.util.function.IntSupplier;
import org.vireo.net.api.AlreadyOpenException;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.BackendStateTransfer;
import org.vireo.net.api.DropReason;
import org.vireo.net.api.Fd;
import org.vireo.net.api.FrameBatch;
import org.vireo.net.api.FramePort;
import org.vireo.net.api.FrameQueue;
import org.vireo.net.api.NetBackend;
import org.vireo.net.api.NetPort;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.OpenContext;
import org.vireo.net.api.PortBusyException;
import org.vireo.net.api.PortListener;
import org.vireo.net.api.PortProfile;
import org.vireo.net.api.PortSettings;
import org.vireo.net.api.PortUnavailableException;
import org.vireo.net.api.ReceiveWindow;
import org.vireo.net.api.Section;
import org.vireo.net.api.StateFormat;
import org.vireo.net.api.StateTransferException;
import org.vireo.net.api.StatisticsSink;
import org.vireo.net.api.ThreadedPort;
import org.vireo.posix.Errno;
import org.vireo.posix.Posix;
import org.vireo.vhostuser.VirtioNet;

/** A backend on a {@link FakeNetwork}. It behaves like a TAP, and each of its calls can be made to hang or to fail. */
final class FakeBackend implements NetBackend, BackendStateTransfer {
    static final long OFFLOADS = VirtioNet.CSUM | VirtioNet.GUEST_CSUM | VirtioNet.HOST_TSO4 | VirtioNet.GUEST_TSO4;
    private static final long STALL_SECONDS = 50;

    /** What was called, in order, but for the data path. */
    final List<String> calls = new CopyOnWriteArrayList<>();
    volatile long features = OFFLOADS;
    volatile int[] headerLengths = {10, 12};
    volatile int mtu = 1500;
    /** Whether nobody is at its other side yet. */
    volatile boolean unavailable;
    /** Errno for the next writev instead of the call, 0: none. */
    volatile IntSupplier transmitError = () -> 0;
    /** Errno for the next readv instead of the call, 0: none. */
    volatile IntSupplier receiveError = () -> 0;
    volatile boolean validationFails;
    volatile boolean openFails;
    volatile boolean loadFails;
    /** The type of its state; it reads no other. */
    volatile String format = "fake";
    volatile boolean lasting;
    /** Whether its ports have threads of their own. */
    volatile boolean threads;
    volatile boolean quiesceFails;
    /** What its threads do before they stand still. */
    volatile Consumer<PortListener> lastWords = l -> { };
    /** How often it is still busy when it is opened. */
    final AtomicInteger busy = new AtomicInteger();
    /** Why settings are refused, or null. */
    volatile String applyFails;
    /** Whether its state changes with the frames. */
    volatile boolean live;
    /** The link, as an opened port's profile tells it. */
    volatile boolean linkUp = true;
    /** Of who opened or loaded last. */
    volatile PortListener listener;
    volatile PortSettings applied;
    /** All that were applied. */
    final List<PortSettings> settings = new CopyOnWriteArrayList<>();
    volatile Port port;

    private final FakeNetwork network;
    private final Map<String, CountDownLatch> stalls = new ConcurrentHashMap<>();
    private final Map<String, CountDownLatch> reached = new ConcurrentHashMap<>();

    FakeBackend(FakeNetwork network) {
        this.network = network;
    }

    /** From now on, the first call of this name sleeps 10 s, or until {@link #wake}. */
    void stall(String call) {
        reached.put(call, new CountDownLatch(1));
        stalls.put(call, new CountDownLatch(1));
    }

    /** Waits until a stalled call sleeps. */
    void awaitStalled(String call) throws InterruptedException {
        if (!reached.get(call).await(15, TimeUnit.SECONDS)) {
            throw new AssertionError(call + " was not called");
        }
    }

    /** Ends a call's sleep early. */
    void wake(String call) {
        CountDownLatch l = stalls.remove(call);
        if (l != null) {
            l.countDown();
        }
    }

    private void at(String call) {
        CountDownLatch l = stalls.get(call);
        if (l == null) {
            return;
        }
        reached.get(call).countDown();
        try {
            l.await(STALL_SECONDS, TimeUnit.SECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        stalls.remove(call);
    }

    private void log(String call) {
        calls.add(call);
        at(call);
    }

    @Override
    public void validate() throws NetdevException {
        log("validate");
        if (validationFails) {
            throw new NetdevException("wrong=yes: is not an option");
        }
    }

    @Override
    public NetPort open(OpenContext context) throws NetdevException {
        log("open");
        if (port != null) {
            throw AlreadyOpenException.opening("fake");
        }
        List<Fd> queues = new ArrayList<>();
        try {
            for (int i = 0; i < network.queues(); i++) {
                queues.add(network.nearEnd(i).duplicate());
            }
        } catch (IOException e) {
            throw new NetdevException("open: " + e.getMessage(), e);
        }
        if (openFails || busy.getAndUpdate(n -> Math.max(0, n - 1)) > 0 || !network.claim()) {
            queues.forEach(Fd::close);
            throw new PortBusyException("open: EBUSY (device busy)", null);
        }
        if (unavailable) {
            queues.forEach(Fd::close);
            network.release();
            throw new PortUnavailableException("open: nobody listens yet", null);
        }
        port = make(queues, features, true);
        port.claimed = true;
        listener = context.listener();
        return port;
    }

    @Override
    public StateFormat stateFormat() {
        at("stateFormat");
        StateFormat.Builder b = StateFormat.of(format, 1, 1);
        return live ? b.live().build() : b.build();
    }

    @Override
    public void check(NetPort p) {
        log("check");
    }

    @Override
    public BackendState save(NetPort p, int version) throws StateTransferException {
        log("save");
        List<Section> queues = new ArrayList<>();
        try {
            for (Queue q : ((Port) p).queues) {
                queues.add(Section.builder("queue").descriptor("fd", q.fd.duplicate()).build());
            }
        } catch (IOException e) {
            queues.forEach(Section::closeDescriptors);
            throw new StateTransferException("save: " + e.getMessage(), e);
        }
        return BackendState.of(format, version, Section.builder("port").number("features", ((Port) p).features).build(), queues);
    }

    @Override
    public NetPort load(BackendState state, OpenContext context) throws StateTransferException, AlreadyOpenException {
        log(context.rehearsal() ? "rehearse" : "load");
        if (port != null && !context.rehearsal()) {
            throw AlreadyOpenException.loading("fake");
        }
        if (loadFails) {
            throw new StateTransferException("load: another value is configured");
        }
        List<Fd> queues = new ArrayList<>();
        try {
            for (Section q : state.queues()) {
                queues.add(q.descriptor("fd").duplicate());
            }
        } catch (IOException e) {
            queues.forEach(Fd::close);
            throw new StateTransferException("load: " + e.getMessage(), e);
        }
        Port p = make(queues, features & state.port().number("features"), !context.rehearsal());
        if (!context.rehearsal()) {
            port = p;
            listener = context.listener();
        }
        return p;
    }

    /** An open port. */
    class Port implements FramePort {
        private final List<Queue> queues = new ArrayList<>();
        private final long features;
        private final boolean real;
        private volatile boolean closed;
        private volatile boolean claimed;

        private Port(List<Fd> fds, long features, boolean real) {
            this.features = features;
            this.real = real;
            fds.forEach(fd -> queues.add(new Queue(fd)));
        }

        void logReal(String call) {
            if (real) {
                log(call);
            }
        }

        @Override
        public FrameQueue queue(int pair) {
            return queues.get(pair);
        }

        @Override
        public PortProfile profile() {
            at("profile");
            return PortProfile.builder().pairs(queues.size()).headerLengths(headerLengths).features(features).mtu(mtu)
                    .linkUp(linkUp).lasting(lasting).build();
        }

        @Override
        public void apply(PortSettings settings) throws NetdevException {
            logReal("apply");
            if (applyFails != null && real) {
                throw new NetdevException(applyFails);
            }
            applied = settings;
            FakeBackend.this.settings.add(settings);
        }

        @Override
        public void statistics(StatisticsSink to) {
            at("statistics");
            to.counter("fake", 7);
        }

        @Override
        public void close(Disposal how) {
            if (closed) {
                return;
            }
            logReal("close");
            if (real) {
                calls.add("close " + how);
                port = null;
            }
            closed = true;
            queues.forEach(q -> q.fd.close());
            if (claimed) {
                network.release();
            }
        }
    }

    /** A port that says that it has threads of its own. */
    private final class Threaded extends Port implements ThreadedPort {
        private Threaded(List<Fd> fds, long features, boolean real) {
            super(fds, features, real);
        }

        @Override
        public void quiesce() throws NetdevException {
            logReal("quiesce");
            if (quiesceFails) {
                throw new NetdevException("quiesce: a thread is in a system call");
            }
            lastWords.accept(listener);
        }

        @Override
        public void resume() {
            logReal("resume");
        }
    }

    private Port make(List<Fd> fds, long of, boolean real) {
        return threads ? new Threaded(fds, of, real) : new Port(fds, of, real);
    }

    /** A queue, as a TAP's: one call a frame. */
    private final class Queue implements FrameQueue {
        private final Fd fd;
        private final int number;

        Queue(Fd fd) {
            this.fd = fd;
            number = fd.number();
        }

        @Override
        public Fd events() {
            return fd;
        }

        @Override
        public int transmit(FrameBatch batch) throws NetdevException {
            at("transmit");
            for (int i = 0; i < batch.size(); i++) {
                int error = transmitError.getAsInt();
                long r = error != 0 ? -error : Posix.writev(number, batch.iovecs(i), batch.iovecCount(i));
                if (r >= 0) {
                    batch.taken(i);
                } else if (r == -Errno.EAGAIN) {
                    return i;
                } else {
                    batch.drop(i, reason((int) -r));
                }
            }
            return batch.size();
        }

        @Override
        public int receive(ReceiveWindow w) throws NetdevException {
            at("receive");
            int n = 0;
            int count = w.iovecCount();
            while (count > 0) {
                int error = receiveError.getAsInt();
                long r = error != 0 ? -error : Posix.readv(number, w.iovecs(), count);
                if (r > 0) {
                    n++;
                    if (!w.deliver((int) r)) {
                        return n;
                    }
                    count = w.iovecCount();
                } else if (r == -Errno.EAGAIN) {
                    return n;
                } else if (r == 0) {
                    throw new NetdevException("end of file");
                } else if (r != -Errno.EINTR) {
                    w.lost(reason((int) -r));
                }
            }
            return n;
        }

        private DropReason reason(int errno) throws NetdevException {
            return switch (errno) {
                case Errno.EBADFD -> throw new NetdevException("the interface was deleted");
                case Errno.EINVAL -> DropReason.INVALID;
                case Errno.EIO -> DropReason.LINK_DOWN;
                case Errno.ENOMEM -> DropReason.NO_MEMORY;
                default -> DropReason.OTHER;
            };
        }
    }

    /** A frame with a header of zeros. */
    static byte[] frame(int header, int bytes, long number) {
        byte[] b = new byte[header + bytes];
        try (Arena a = Arena.ofConfined()) {
            MemorySegment s = a.allocate(8);
            s.set(ValueLayout.JAVA_LONG, 0, number);
            MemorySegment.copy(s, ValueLayout.JAVA_BYTE, 0, b, header, Math.min(8, bytes));
        }
        return b;
    }

    /** The number in a frame behind its header. */
    static long number(byte[] frame, int header) {
        return MemorySegment.ofArray(frame).get(ValueLayout.JAVA_LONG_UNALIGNED, header);
    }
}
