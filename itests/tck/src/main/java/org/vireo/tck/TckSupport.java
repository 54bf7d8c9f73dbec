// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.Collections;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Consumer;
import java.util.function.LongUnaryOperator;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.DisplayNameGeneration;
import org.junit.jupiter.api.MethodOrderer;
import org.junit.jupiter.api.TestMethodOrder;
import org.junit.jupiter.api.TestReporter;
import org.junit.jupiter.api.Timeout;
import org.vireo.net.api.BackendStateTransfer;
import org.vireo.net.api.FramePort;
import org.vireo.net.api.FrameQueue;
import org.vireo.net.api.NetBackend;
import org.vireo.net.api.NetPort;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.PortSettings;
import org.vireo.net.api.ThreadedPort;
import org.vireo.net.api.VringPort;
import org.vireo.posix.linux.Poll;

/** Common to the kit's parts: the fixture's life, opening, moving frames. */
@DisplayNameGeneration(Rule.Names.class)
@TestMethodOrder(MethodOrderer.DisplayName.class)
// a backend that hangs must not take the tests behind it along
@Timeout(value = 120, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
public abstract class TckSupport {
    /** System property with how long a frame may take: tests of the kit itself wait less for frames that never come. */
    static final String LIMIT_MILLIS = "vireo.tck.limit-millis";
    /** Tag of the rules that start processes. */
    static final String PROCESS = "process";
    static final int LARGEST = 1600;
    static final int FRAME = 90;
    private static final int PAUSES = 20;
    private static final long PAUSE_NANOS = 5_000_000;
    private static final long MULTI_QUEUE = 1L << 22;

    private final Deque<AutoCloseable> open = new ArrayDeque<>();
    private final List<KitContext> contexts = new ArrayList<>();
    private final List<BackendFixture.Network> networks = new ArrayList<>();
    private BackendFixture fixture;
    private TestReporter reporter;
    private int ids;

    /** For the kit's parts only. */
    TckSupport() {
    }

    /** How long a frame may take. */
    static Duration limit() {
        return Duration.ofMillis(Long.getLong(LIMIT_MILLIS, 10_000));
    }

    /**
     * Makes the fixture, once a test.
     *
     * @return a new one
     */
    protected abstract BackendFixture fixture();

    /**
     * Begins a test.
     *
     * @param to takes what is measured
     * @throws Exception the kit's own worker does not start
     */
    @BeforeEach
    public final void begin(TestReporter to) throws Exception {
        reporter = to;
        KitWorker.warm();
        fixture = fixture();
        fixture.require();
    }

    /**
     * Ends a test: everything that it opened is closed, whatever became of it.
     *
     * @throws Exception of a close
     */
    @AfterEach
    @Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
    public final void end() throws Exception {
        try {
            while (!open.isEmpty()) {
                open.pop().close();
            }
        } finally {
            fixture.close();
        }
        contexts.forEach(c -> assertEquals(List.of(), c.failures(), "the port reported failures"));
    }

    final BackendFixture kit() {
        return fixture;
    }

    final <T extends AutoCloseable> T closeLater(T t) {
        open.push(t);
        return t;
    }

    final BackendFixture.Network network(int pairs) throws Exception {
        return opensLater(fixture.network(pairs));
    }

    /** A network that is told when a netdev is open on it. */
    final <N extends BackendFixture.Network> N opensLater(N n) {
        networks.add(n);
        return closeLater(n);
    }

    /** Tells what was measured. */
    final void seen(String what) {
        reporter.publishEntry("seen", what);
    }

    final NetBackend backend(BackendFixture.Network n) throws Exception {
        return fixture.backend("tck" + ++ids, n.options());
    }

    final KitContext context(int pairs) {
        KitContext c = new KitContext(pairs, false);
        contexts.add(c);
        return c;
    }

    /** Opens a port, with a guest in front of it. */
    final KitGuest open(NetBackend b, int pairs) throws Exception {
        KitContext c = context(pairs);
        return guest(opened(b.open(c), c), c, pairs);
    }

    /** Opens and tells what a guest without offloads wants that uses all pairs. */
    final KitGuest running(NetBackend b, int pairs) throws Exception {
        KitGuest g = open(b, pairs);
        g.begin();
        return g;
    }

    /** For rules that are about ports whose frames pass the frontend. */
    final void needsFrames() {
        Assumptions.assumeFalse(fixture.takesRings(), "this backend takes the guest's rings: no frame passes the frontend");
    }

    /** For rules that are about ports that take the guest's rings. */
    final void needsRings() {
        Assumptions.assumeTrue(fixture.takesRings(), "this backend does not take the guest's rings (VringPort)");
    }

    final FramePort openFrames(NetBackend b, int pairs) throws Exception {
        return (FramePort) open(b, pairs).port();
    }

    final FramePort runningFrames(NetBackend b, int pairs) throws Exception {
        return (FramePort) running(b, pairs).port();
    }

    /** Opens a port, with a guest whose features and rings are the rule's. */
    final RingGuest rings(NetBackend b, int pairs, LongUnaryOperator features, int begin) throws Exception {
        KitContext c = context(pairs);
        VringPort p = (VringPort) opened(b.open(c), c);
        long acknowledged = features.applyAsLong(p.profile().features()) | (pairs > 1 ? MULTI_QUEUE : 0);
        RingGuest g = new RingGuest(p, c, pairs, closeLater(new KitDriver(pairs, acknowledged, begin)), begin);
        closeLater(() -> g.close(NetPort.Disposal.RELEASE));
        return g;
    }

    final NetPort opened(NetPort p, KitContext c) {
        assertNotNull(p, "open() or load() returned null instead of a port");
        closeLater(() -> {
            c.closed();
            p.close(NetPort.Disposal.RELEASE);
        });
        assertTrue(p instanceof FramePort != p instanceof VringPort, "the port has to be a FramePort or a VringPort");
        assertEquals(fixture.takesRings(), p instanceof VringPort, "the port is a VringPort; the fixture has to say so (--fixture,"
                + " BackendFixture.takesRings)");
        networks.forEach(BackendFixture.Network::opened);
        return p;
    }

    private KitGuest guest(NetPort p, KitContext c, int pairs) throws Exception {
        if (p instanceof FramePort f) {
            return new FrameGuest(f, c, pairs);
        }
        long features = ringFeatures(p.profile().features()) | (pairs > 1 ? MULTI_QUEUE : 0);
        RingGuest g = new RingGuest((VringPort) p, c, pairs, closeLater(new KitDriver(pairs, features, 0)), 0);
        closeLater(() -> g.close(NetPort.Disposal.RELEASE));
        return g;
    }

    /** What a driver of little needs acknowledges of what is offered. */
    static long ringFeatures(long offered) {
        return offered & KitDriver.VERSION_1;
    }

    final BackendStateTransfer transfer(NetBackend b) {
        Assumptions.assumeTrue(b instanceof BackendStateTransfer, "this backend has no state transfer");
        return (BackendStateTransfer) b;
    }

    /** Stops a port's own threads, if it says that it has some. */
    static void quiesce(NetPort p) throws NetdevException {
        if (p instanceof ThreadedPort t) {
            t.quiesce();
        }
    }

    static void resume(NetPort p) {
        if (p instanceof ThreadedPort t) {
            t.resume();
        }
    }

    /**
     * Long enough for a thread of the backend's to do what it must not do: there is nothing that could be waited for. On a machine whose
     * threads wait for a processor this one waits as often as they, and so for longer.
     */
    static void untilItWouldHaveHappened() {
        for (int i = 0; i < PAUSES; i++) {
            LockSupport.parkNanos(PAUSE_NANOS);
        }
    }

    static int header(NetPort p) {
        return Collections.max(p.profile().headerLengths());
    }

    static PortSettings settings(NetPort p, int pairs) {
        BitSet enabled = new BitSet();
        enabled.set(0, pairs);
        return PortSettings.of(header(p), 0, enabled);
    }

    /** Transmits numbered frames, as a worker does: waits when the device is full. */
    static void transmit(FrameQueue q, int header, int first, int last) throws Exception {
        KitBatch b = new KitBatch(16, LARGEST, header);
        for (int i = first; i <= last;) {
            while (i <= last && !b.isFull()) {
                b.add(KitFrame.fromGuest(i++, FRAME + i % 1000));
            }
            while (b.size() > 0) {
                int n = b.transmit(q);
                b.removeFirst(n);
                if (b.size() > 0) {
                    assertTrue(Poll.writable((int) limit().toMillis(), q.events().number()) != 0, "full, and not writable again");
                }
            }
            b.clear();
        }
        assertEquals(0, b.drops(), "frames dropped, the last one: " + b.lastDrop());
    }

    /** The frames that arrive at the network: all of these numbers, in order, each once. */
    static void expectTransmitted(BackendFixture.Network n, int first, int last) {
        for (int expected = first; expected <= last;) {
            byte[] frame = n.take(limit());
            if (frame == null) {
                fail("frame " + expected + " did not arrive at the network");
            }
            int number = KitFrame.number(frame);
            if (number >= 0) {
                assertEquals(expected++, number, "number of the next frame at the network");
            }
        }
    }

    static void send(BackendFixture.Network n, int first, int last) {
        IntStream.rangeClosed(first, last).forEach(i -> n.send(KitFrame.toGuest(i, FRAME + i % 1000)));
    }

    /** The frames that the guest receives on any of the pairs: all of these numbers, each once, on each pair in order. */
    static void expectReceived(FramePort p, int pairs, int first, int last) throws Exception {
        BitSet got = new BitSet();
        int[] before = new int[pairs];
        KitWindow w = new KitWindow(64, LARGEST, header(p));
        int[] numbers = IntStream.range(0, pairs).map(i -> p.queue(i).events().number()).toArray();
        long end = System.nanoTime() + limit().toNanos();
        while (got.cardinality() < last - first + 1) {
            int ready = Poll.readable((int) limit().toMillis(), numbers);
            assertTrue(ready != 0 && System.nanoTime() < end, "of frames " + first + " to " + last + " received only " + got
                    + (ready == 0 ? "" : ", though it says that it is readable"));
            for (int i = 0; i < pairs; i++) {
                int pair = i;
                if ((ready & 1 << i) != 0) {
                    drain(p.queue(i), w, number -> {
                        assertTrue(number >= first && number <= last, "frame " + number + " is not one of " + first + " to " + last);
                        assertTrue(!got.get(number), "frame " + number + " came twice");
                        assertTrue(number > before[pair], "frame " + number + " came after " + before[pair]);
                        got.set(number);
                        before[pair] = number;
                    });
                }
            }
        }
    }

    static void drain(FrameQueue q, KitWindow w, Consumer<Integer> numbers) throws Exception {
        int n;
        do {
            n = w.receive(q);
            for (int i = 0; i < n; i++) {
                int number = KitFrame.number(w.frame(i));
                if (number >= 0) {
                    numbers.accept(number);
                }
            }
        } while (n == w.capacity());
    }
}
