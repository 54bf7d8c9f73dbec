// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.IntUnaryOperator;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.BackendStateTransfer;
import org.vireo.net.api.Fd;
import org.vireo.net.api.FrameBatch;
import org.vireo.net.api.FramePort;
import org.vireo.net.api.FrameQueue;
import org.vireo.net.api.NetBackend;
import org.vireo.net.api.NetPort;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.OpenContext;
import org.vireo.net.api.PortListener;
import org.vireo.net.api.PortProfile;
import org.vireo.net.api.PortSettings;
import org.vireo.net.api.ReceiveWindow;
import org.vireo.net.api.StateFormat;
import org.vireo.net.api.StateTransferException;
import org.vireo.net.api.StatisticsSink;
import org.vireo.net.api.ThreadedPort;

/** A {@link FakeBackend} that does one thing wrong in one call, from when it is told to. */
final class FaultyBackend implements NetBackend, BackendStateTransfer {
    /** What it does wrong. */
    enum Fault {
        REFUSAL, CHECKED, RUNTIME, LINKAGE, OVERFLOW, MEMORY, MUTE, NULL, HANG
    }

    final FakeBackend real;
    final CountDownLatch released = new CountDownLatch(1);
    final CountDownLatch hangs = new CountDownLatch(1);
    /** What transmit answers, for what it took. */
    volatile IntUnaryOperator count = n -> n;
    /** Done in each transmit, and in each statistics. */
    volatile Runnable beside = () -> { };
    volatile Fd events;
    volatile StatisticsSink sink;
    private volatile String call = "";
    private volatile Fault fault;
    private volatile PortListener listener;

    FaultyBackend(FakeNetwork network) {
        real = new FakeBackend(network);
    }

    void fault(String at, Fault what) {
        fault = what;
        call = at;
    }

    PortListener listener() {
        return listener;
    }

    private <T> T at(String name, T right) throws NetdevException {
        if (!call.equals(name)) {
            return right;
        }
        return switch (fault) {
            case REFUSAL -> throw new Silent();
            case CHECKED -> throw FaultyBackend.<RuntimeException>sneak(new Exception("wrong"));
            case RUNTIME -> throw new IllegalStateException("wrong");
            case LINKAGE -> throw new NoClassDefFoundError("wrong");
            case OVERFLOW -> {
                deep(0);
                yield right;
            }
            case MEMORY -> throw new OutOfMemoryError("wrong");
            case MUTE -> throw new Mute();
            case NULL -> null;
            case HANG -> {
                hang();
                yield right;
            }
        };
    }

    /** For calls that must not throw a checked exception. */
    private <T> T in(String name, T right) {
        try {
            return at(name, right);
        } catch (NetdevException e) {
            throw FaultyBackend.<RuntimeException>sneak(e);
        }
    }

    @SuppressWarnings("unchecked")
    private static <T extends Throwable> T sneak(Throwable t) throws T {
        throw (T) t;
    }

    private static int deep(int n) {
        return deep(n + 1) + 1;
    }

    private void hang() {
        hangs.countDown();
        try {
            released.await(30, TimeUnit.SECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** A refusal that says nothing. */
    private static final class Silent extends NetdevException {
        private static final long serialVersionUID = 1L;

        Silent() {
            super(null);
        }
    }

    /** A throwable all of whose methods throw. */
    private static final class Mute extends RuntimeException {
        private static final long serialVersionUID = 1L;

        @Override
        public String getMessage() {
            throw new IllegalStateException("no message");
        }

        @Override
        public String toString() {
            throw new StackOverflowError();
        }

        @Override
        public synchronized Throwable getCause() {
            throw new IllegalStateException("no cause");
        }

        @Override
        public StackTraceElement[] getStackTrace() {
            throw new IllegalStateException("no trace");
        }
    }

    @Override
    public boolean equals(Object o) {
        throw new IllegalStateException("equals is nobody's business");
    }

    @Override
    public int hashCode() {
        throw new IllegalStateException("hashCode is nobody's business");
    }

    @Override
    public void validate() throws NetdevException {
        at("validate", "");
        real.validate();
    }

    @Override
    public NetPort open(OpenContext context) throws NetdevException {
        listener = context.listener();
        return at("open", call.equals("open") ? null : new Port((FakeBackend.Port) real.open(context)));
    }

    @Override
    public StateFormat stateFormat() {
        return in("stateFormat", real.stateFormat());
    }

    @Override
    public void check(NetPort port) throws StateTransferException {
        in("check", "");
        real.check(((Port) port).port);
    }

    @Override
    public BackendState save(NetPort port, int version) throws StateTransferException {
        return in("save", call.equals("save") ? null : real.save(((Port) port).port, version));
    }

    @Override
    public NetPort load(BackendState state, OpenContext context) throws StateTransferException, org.vireo.net.api.AlreadyOpenException {
        listener = context.listener();
        return in("load", call.equals("load") ? null : new Port((FakeBackend.Port) real.load(state, context)));
    }

    /** The port. */
    private final class Port implements FramePort, ThreadedPort {
        private final FakeBackend.Port port;

        Port(FakeBackend.Port port) {
            this.port = port;
        }

        @Override
        public FrameQueue queue(int pair) {
            return in("queue", new Queue(port.queue(pair)));
        }

        @Override
        public PortProfile profile() {
            return in("profile", port.profile());
        }

        @Override
        public void apply(PortSettings settings) throws NetdevException {
            at("apply", "");
            port.apply(settings);
        }

        @Override
        public void quiesce() throws NetdevException {
            at("quiesce", "");
        }

        @Override
        public void resume() {
            in("resume", "");
        }

        @Override
        public void statistics(StatisticsSink to) {
            in("statistics", "");
            sink = to;
            beside.run();
            port.statistics(to);
        }

        @Override
        public void close(Disposal how) {
            port.close(how);
            in("close", "");
        }

        @Override
        public boolean equals(Object o) {
            throw new IllegalStateException("equals is nobody's business");
        }

        @Override
        public int hashCode() {
            throw new IllegalStateException("hashCode is nobody's business");
        }
    }

    /** The queue. */
    private final class Queue implements FrameQueue {
        private final FrameQueue queue;

        Queue(FrameQueue queue) {
            this.queue = queue;
        }

        @Override
        public Fd events() {
            return in("events", events != null ? events : queue.events());
        }

        @Override
        public int transmit(FrameBatch batch) throws NetdevException {
            at("transmit", "");
            beside.run();
            return count.applyAsInt(queue.transmit(batch));
        }

        @Override
        public int receive(ReceiveWindow window) throws NetdevException {
            at("receive", "");
            return queue.receive(window);
        }
    }
}
