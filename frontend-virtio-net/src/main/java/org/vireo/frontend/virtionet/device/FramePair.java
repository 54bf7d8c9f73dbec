// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.device;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.util.concurrent.CompletableFuture;
import java.util.function.BiConsumer;
import java.util.function.Supplier;
import org.vireo.frontend.virtionet.ring.MalformedRingException;
import org.vireo.frontend.virtionet.ring.RingLog;
import org.vireo.frontend.virtionet.ring.Virtqueue;
import org.vireo.frontend.virtionet.worker.BackendException;
import org.vireo.frontend.virtionet.worker.Scratch;
import org.vireo.frontend.virtionet.worker.Task;
import org.vireo.net.api.DropReason;
import org.vireo.net.api.Fd;
import org.vireo.net.api.FrameBatch;
import org.vireo.net.api.FrameQueue;
import org.vireo.posix.linux.Epoll;
import org.vireo.posix.linux.SharedMemory;

/**
 * A queue pair at work: a receive ring, a transmit ring and a port's queue on one worker. Everything is called on the worker's thread.
 *
 * <p>Descriptors are polled edge-triggered: kicks are never read, so none is lost between reading it and finding that the ring may not
 * run; the port is read until it would block. A kick descriptor is polled only while its ring is started.
 */
public final class FramePair extends Task {
    private static final MemorySegment MEMORY = SharedMemory.addressSpace();
    private static final VarHandle MARK = ValueLayout.JAVA_LONG.varHandle();
    private static final int KICK_RX = 0;
    private static final int KICK_TX = 1;
    private static final int PORT = 2;
    private static final int BUDGET = 64;

    private final String name;
    private final Object nic;
    private final long mark;
    private final PairCounters counters;
    private final BiConsumer<FramePair, Throwable> onBroken;
    private final Runnable onReturned;
    private final Supplier<Boolean> truncated;

    private Virtqueue tx;
    private Fd txKick;
    private Virtqueue rx;
    private Fd rxKick;
    private PostedWindow window;
    private boolean txEnabled;
    private boolean rxEnabled;
    private boolean discard;
    private FrameQueue port;
    private Fd portEvents;
    private Own own;
    private FrameFormat format = FrameFormat.NONE;
    private boolean txReady;
    private boolean txBlocked;
    private boolean rxReady;
    private volatile boolean broken;

    /**
     * A pair without rings and port.
     *
     * @param name for messages
     * @param nic the NIC that it belongs to
     * @param mark address of a long that is 1 while the worker is inside
     * @param counters go on from there
     * @param onBroken told why it was taken out of its worker
     * @param onReturned told that a thread that was given up inside has come back
     * @param truncated whether the guest's memory was truncated
     */
    public FramePair(String name, Object nic, long mark, PairCounters counters, BiConsumer<FramePair, Throwable> onBroken,
            Runnable onReturned, Supplier<Boolean> truncated) {
        this.name = name;
        this.nic = nic;
        this.mark = mark;
        this.counters = counters;
        this.onBroken = onBroken;
        this.onReturned = onReturned;
        this.truncated = truncated;
    }

    /**
     * The pair's counters.
     *
     * @return any thread may read them
     */
    public PairCounters counters() {
        return counters;
    }

    /**
     * Sets the frames' format; no ring runs.
     *
     * @param newFormat header and sizes
     */
    public void format(FrameFormat newFormat) {
        format = newFormat;
    }

    /**
     * Starts the transmit ring.
     *
     * @param ring the ring
     * @param kick its kicks
     * @throws IOException the descriptor cannot be polled
     */
    public void startTransmit(Virtqueue ring, Fd kick) throws IOException {
        watch(kick, KICK_TX, Epoll.IN | Epoll.EDGE);
        tx = ring;
        txKick = kick;
        txReady = true;
        begin(ring);
    }

    /**
     * Starts the receive ring.
     *
     * @param ring the ring
     * @param kick its kicks
     * @throws IOException the descriptor cannot be polled
     */
    public void startReceive(Virtqueue ring, Fd kick) throws IOException {
        watch(kick, KICK_RX, Epoll.IN | Epoll.EDGE);
        rx = ring;
        rxKick = kick;
        window = new PostedWindow(this, ring, counters, format.headerLength(), format.skip(), format.mergeable(), format.largest());
        rxReady = true;
        begin(ring);
    }

    private void begin(Virtqueue ring) {
        ring.publish();
        ring.callOnce();
        ring.tellLogged();
        wake();
    }

    /**
     * Stops the transmit ring.
     *
     * @return the ring with its positions, or null if it did not run
     */
    public Virtqueue stopTransmit() {
        Virtqueue ring = tx;
        if (ring != null) {
            // first what must happen even if the guest's memory is gone
            unwatch(txKick);
            tx = null;
            txKick = null;
            ring.rewind();
            ring.publishAndCall();
            ring.tellLogged();
        }
        return ring;
    }

    /**
     * Stops the receive ring.
     *
     * @return the ring with its positions, or null if it did not run
     */
    public Virtqueue stopReceive() {
        Virtqueue ring = rx;
        if (ring != null) {
            // as above
            unwatch(rxKick);
            PostedWindow posted = window;
            rx = null;
            rxKick = null;
            window = null;
            posted.abandon();
            posted.rewind();
            ring.publishAndCall();
            ring.tellLogged();
        }
        return ring;
    }

    /**
     * Replaces a ring's call descriptor.
     *
     * @param transmit which ring
     * @param call an eventfd's number, or -1
     */
    public void call(boolean transmit, int call) {
        Virtqueue ring = transmit ? tx : rx;
        if (ring != null) {
            ring.call(call);
            ring.callOnce();
        }
    }

    /**
     * Begins or ends to log what a ring's device writes.
     *
     * @param transmit which ring
     * @param to what is logged from now on
     */
    public void log(boolean transmit, RingLog to) {
        Virtqueue ring = transmit ? tx : rx;
        if (ring != null) {
            ring.log(to);
        }
    }

    /**
     * Enables or disables the rings. A ring that becomes enabled is looked at once.
     *
     * @param receive whether frames are received
     * @param transmit whether frames are sent; false: they are processed and discarded
     */
    public void enable(boolean receive, boolean transmit) {
        rxEnabled = receive;
        txEnabled = transmit;
        rxReady = true;
        txReady = true;
        txBlocked = false;
        wake();
    }

    boolean receives() {
        return rxEnabled;
    }

    boolean transmits() {
        return txEnabled;
    }

    /**
     * Discards what is transmitted, or not, while there is no port.
     *
     * @param on whether
     */
    public void discard(boolean on) {
        discard = on;
        txReady = true;
        wake();
    }

    /**
     * Attaches a port's queue.
     *
     * @param queue the queue
     * @param events the queue's descriptor, asked for before: no backend's code runs outside {@link #run}
     * @throws IOException its descriptor cannot be polled
     */
    public void attach(FrameQueue queue, Fd events) throws IOException {
        watch(events, PORT, Epoll.IN | Epoll.EDGE);
        port = queue;
        portEvents = events;
        discard = false;
        txBlocked = false;
        txReady = true;
        rxReady = true;
        wake();
    }

    /** Detaches the port's queue: nothing of this process reads it any more. */
    public void detach() {
        if (port != null) {
            unwatch(portEvents);
            port = null;
            portEvents = null;
        }
        if (own != null) {
            own.done.completeExceptionally(new IOException("the port was detached"));
            own = null;
        }
    }

    /**
     * Sends a frame of our own, in the task's turn: so that the watchdog sees the call.
     *
     * @param frame without virtio-net header
     * @param done completed when the port took it
     */
    public void inject(byte[] frame, CompletableFuture<Void> done) {
        if (port == null || own != null) {
            done.completeExceptionally(new IOException(port == null ? "no port is attached" : "another frame is waiting"));
            return;
        }
        own = new Own(frame, done);
        wake();
    }

    private record Own(byte[] frame, CompletableFuture<Void> done) { }

    private void sendOwn() {
        Own o = own;
        own = null;
        try (InjectedFrame f = new InjectedFrame(o.frame, format.headerLength() - format.skip())) {
            if (give(f) == 1) {
                o.done.complete(null);
            } else {
                o.done.completeExceptionally(new IOException("the port is full"));
            }
        } catch (BackendException | RuntimeException e) {
            o.done.completeExceptionally(e);
        }
    }

    /**
     * Replaces the memory of the rings.
     *
     * @param swap does it for a ring
     * @throws MalformedRingException a ring does not lie in the new memory
     */
    public void memory(RingSwap swap) throws MalformedRingException {
        if (tx != null) {
            tx.rewind();
            swap.swap(tx, true);
        }
        if (rx != null) {
            window.rewind();
            swap.swap(rx, false);
        }
    }

    /** Moves a ring into other memory. */
    @FunctionalInterface
    public interface RingSwap {
        /**
         * Moves it.
         *
         * @param ring the ring, rewound
         * @param transmit which it is
         * @throws MalformedRingException it does not lie there
         */
        void swap(Virtqueue ring, boolean transmit) throws MalformedRingException;
    }

    @Override
    protected void ready(int source, int events) {
        if (source == KICK_TX) {
            txReady = true;
        } else if (source == KICK_RX) {
            rxReady = true;
        } else {
            if ((events & ~Epoll.OUT) != 0) {
                rxReady = true;
            }
            if (txBlocked && (events & ~Epoll.IN) != 0) {
                unblock();
            }
        }
        wake();
    }

    private void unblock() {
        txBlocked = false;
        txReady = true;
        try {
            rewatch(portEvents, PORT, Epoll.IN | Epoll.EDGE);
        } catch (IOException e) {
            worker().remove(this);
            broken(e);
        }
    }

    @Override
    protected boolean run(Scratch scratch) throws Exception {
        // so that a successor knows where the process was when it died
        MARK.setOpaque(MEMORY, mark, 1L);
        try {
            return work(scratch);
        } finally {
            MARK.setOpaque(MEMORY, mark, 0L);
        }
    }

    private boolean work(Scratch scratch) throws Exception {
        boolean more = false;
        if (own != null) {
            sendOwn();
            if (isRevoked()) {
                return false;
            }
        }
        if (txReady && !txBlocked && tx != null) {
            more = transmit(scratch);
            if (isRevoked()) {
                return false;
            }
            tx.tellLogged();
        }
        if (rxReady && rxEnabled && rx != null && port != null) {
            more |= receive();
            if (!isRevoked()) {
                rx.tellLogged();
            }
        }
        return more;
    }

    private boolean transmit(Scratch scratch) throws Exception {
        if (!txEnabled || discard) {
            return discardAll();
        }
        if (port == null) {
            return false;
        }
        TransmitBatch batch = scratch.shared(TransmitBatch.class, TransmitBatch::new);
        int n = batch.fill(this, tx, counters, format.headerLength(), format.skip());
        if (n == 0) {
            // frames without a byte to send may have been dropped
            tx.publishAndCall();
            txReady = tx.kicksOn();
            return txReady;
        }
        tx.kicksOff();
        int taken = give(batch);
        if (isRevoked()) {
            return false;
        }
        batch.finish(taken);
        tx.publishAndCall();
        if (taken < n) {
            counters.full();
            txBlocked = true;
            rewatch(portEvents, PORT, Epoll.IN | Epoll.OUT | Epoll.EDGE);
            return false;
        }
        return true;
    }

    /** What a backend throws is told here, where the watchdog looks: who knows what its own messages do. */
    private int give(FrameBatch frames) throws BackendException {
        try {
            return port.transmit(frames);
        } catch (Throwable t) {
            throw told(t);
        }
    }

    private void take(PostedWindow frames) throws BackendException {
        try {
            port.receive(frames);
        } catch (Throwable t) {
            throw told(t);
        }
    }

    private static BackendException told(Throwable t) {
        if (t.getClass() == InternalError.class) {
            // a fault of memory is the guest's doing, perhaps
            throw (InternalError) t;
        }
        return BackendException.of(t);
    }

    private boolean discardAll() throws MalformedRingException {
        int n = 0;
        while (n < BUDGET && tx.look() > 0) {
            tx.discard();
            counters.transmitDropped(DropReason.DISABLED);
            n++;
        }
        if (n > 0) {
            tx.record();
            tx.publishAndCall();
            return true;
        }
        txReady = tx.kicksOn();
        return txReady;
    }

    private boolean receive() throws Exception {
        if (!window.begin(BUDGET)) {
            counters.starved();
            rxReady = rx.kicksOn();
            return rxReady;
        }
        rx.kicksOff();
        take(window);
        if (isRevoked()) {
            return false;
        }
        boolean stopped = window.stopped();
        window.end();
        rx.publishAndCall();
        if (!stopped) {
            rxReady = false;
        }
        return stopped;
    }

    /** Whether it was taken out for good: its rings are still those that it broke with. Any thread. */
    boolean isBroken() {
        return broken;
    }

    @Override
    protected void broken(Throwable why) {
        broken = true;
        onBroken.accept(this, why);
    }

    @Override
    protected boolean memoryTruncated() {
        return truncated.get();
    }

    @Override
    protected void rewind() {
        if (tx != null) {
            tx.rewind();
        }
        if (rx != null) {
            window.rewind();
        }
        txReady = true;
        rxReady = true;
    }

    @Override
    protected Object group() {
        return nic;
    }

    @Override
    protected void returned() {
        onReturned.run();
    }

    @Override
    public String toString() {
        return name;
    }
}
