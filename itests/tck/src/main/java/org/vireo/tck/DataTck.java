// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.vireo.net.api.FramePort;
import org.vireo.net.api.FrameQueue;
import org.vireo.posix.linux.Poll;

/** The data path. */
public abstract class DataTck extends LifeTck {
    private static final int MANY = 100_000;
    /** One object for each hundredth frame would be ten times more. */
    private static final long NOTHING = 16 * 1024;
    /** A device that is full after ten frames is called so rarely that the JVM takes long to compile the calls. */
    private static final int ROUNDS = 20;
    /** Kept: getting it allocates. */
    private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();

    /** For the kit's parts only. */
    DataTck() {
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Test
    @DisplayName("FrameQueue.transmit: in order, each frame once, whole, however it lies in memory")
    public void transmitKeepsOrder() throws Exception {
        BackendFixture.Network n = network(1);
        FramePort p = running(backend(n), 1);
        for (int i = 1; i <= 500; i += 50) {
            transmit(p.queue(0), header(p), i, i + 49);
            expectTransmitted(n, i, i + 49);
        }
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Test
    @DisplayName("FrameQueue.transmit: a frame that cannot be sent is dropped, counts as taken, and the next ones go")
    public void unsendableFrameIsDropped() throws Exception {
        BackendFixture.Network n = network(1);
        FramePort p = running(backend(n), 1);
        KitBatch b = new KitBatch(3, LARGEST, header(p));
        b.add(KitFrame.fromGuest(1, FRAME)).add(new byte[1]).add(KitFrame.fromGuest(2, FRAME));
        assertEquals(3, b.transmit(p.queue(0)));
        expectTransmitted(n, 1, 2);
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Test
    @DisplayName("FrameQueue.transmit: fewer than size() when full, then EPOLLOUT; nothing is lost or doubled")
    public void shortTransmitWhenFull() throws Exception {
        BackendFixture.CongestedNetwork n = kit().congestedNetwork();
        Assumptions.assumeTrue(n != null, "this backend is never full");
        closeLater(n);
        FramePort p = running(backend(n), 1);
        FrameQueue q = p.queue(0);
        n.block();
        KitBatch b = new KitBatch(64, LARGEST, header(p));
        int next = 1;
        boolean full = false;
        for (int round = 0; round < 100 && !full; round++) {
            b.clear();
            while (!b.isFull()) {
                b.add(KitFrame.fromGuest(next++, 1000));
            }
            int taken = b.transmit(q);
            full = taken < b.size();
            b.removeFirst(taken);
        }
        assertTrue(full, "6400 frames of 1000 bytes and never full");
        assertEquals(0, b.drops(), "a full device must not drop");
        assertEquals(0, Poll.writable(0, q.events().number()), "full, but writable");
        n.unblock();
        while (b.size() > 0) {
            assertTrue(Poll.writable((int) LIMIT.toMillis(), q.events().number()) != 0, "not writable again");
            b.removeFirst(b.transmit(q));
        }
        expectTransmitted(n, 1, next - 1);
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Test
    @DisplayName("FrameQueue.events, receive: readable while a frame waits; receive goes on until it would block")
    public void receiveUntilItWouldBlock() throws Exception {
        BackendFixture.Network n = network(1);
        FramePort p = running(backend(n), 1);
        FrameQueue q = p.queue(0);
        KitWindow w = new KitWindow(256, LARGEST, header(p));
        drain(q, w, number -> { });
        send(n, 1, 100);
        expectReceived(p, 1, 1, 100);
        drain(q, w, number -> assertTrue(false, "frame " + number + " came again"));
        assertEquals(0, w.receive(q));
        assertEquals(0, Poll.readable(0, q.events().number()), "nothing to receive, but readable");
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Test
    @DisplayName("FrameQueue.receive: stops when the window is full; the rest waits and stays readable")
    public void receiveStopsWhenTheWindowIsFull() throws Exception {
        BackendFixture.Network n = network(1);
        FramePort p = running(backend(n), 1);
        FrameQueue q = p.queue(0);
        drain(q, new KitWindow(256, LARGEST, header(p)), number -> { });
        send(n, 1, 40);
        KitWindow one = new KitWindow(1, LARGEST, header(p));
        int last = 0;
        while (last < 40) {
            assertTrue(Poll.readable((int) LIMIT.toMillis(), q.events().number()) != 0, "frame " + (last + 1) + " does not wait");
            assertEquals(1, one.receive(q));
            int number = KitFrame.number(one.frame(0));
            if (number >= 0) {
                assertEquals(++last, number);
            }
        }
        assertEquals(0, one.lost());
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Test
    @DisplayName("PortSettings.enabled: frames arrive on pairs in use only, and on all of these together none is lost")
    public void framesArriveOnPairsInUse() throws Exception {
        int pairs = kit().maxPairs();
        Assumptions.assumeTrue(pairs > 1, "one pair only");
        BackendFixture.Network n = network(pairs);
        FramePort p = running(backend(n), pairs);
        send(n, 1, 50);
        expectReceived(p, pairs, 1, 50);
        for (int i = 0; i < pairs; i++) {
            transmit(p.queue(i), header(p), i + 1, i + 1);
            expectTransmitted(n, i + 1, i + 1);
        }
        p.apply(settings(p, 1));
        send(n, 51, 100);
        expectReceived(p, 1, 51, 100);
        p.apply(settings(p, pairs));
        send(n, 101, 150);
        expectReceived(p, pairs, 101, 150);
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Test
    @DisplayName("FrameQueue: transmit allocates nothing")
    public void transmitAllocatesNothing() throws Exception {
        BackendFixture.Network n = network(1);
        FramePort p = running(backend(n), 1);
        FrameQueue q = p.queue(0);
        KitBatch b = new KitBatch(50, LARGEST, header(p));
        while (!b.isFull()) {
            b.add(KitFrame.fromGuest(1, FRAME));
        }
        long least = Long.MAX_VALUE;
        // what the JVM allocates while it compiles is not the backend's: the best of a few rounds counts
        for (int round = 0; round < ROUNDS && least > NOTHING; round++) {
            long before = allocated();
            for (int i = 0; i < MANY; i += 50) {
                b.transmit(q);
            }
            least = Math.min(least, allocated() - before);
        }
        assertTrue(least <= NOTHING, least + " bytes for " + MANY + " frames");
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Test
    @DisplayName("FrameQueue: receive allocates nothing")
    public void receiveAllocatesNothing() throws Exception {
        BackendFixture.Network n = network(1);
        FramePort p = running(backend(n), 1);
        FrameQueue q = p.queue(0);
        KitWindow w = new KitWindow(100, LARGEST, header(p));
        long least = Long.MAX_VALUE;
        for (int round = 0; round < ROUNDS && least > NOTHING; round++) {
            long sum = 0;
            for (int i = 0; i < MANY / 4;) {
                send(n, 1, 100);
                assertTrue(Poll.readable((int) LIMIT.toMillis(), q.events().number()) != 0, "nothing arrived");
                long before = allocated();
                int got = w.receive(q);
                sum += allocated() - before;
                i += got;
            }
            least = Math.min(least, sum);
        }
        assertTrue(least <= NOTHING, least + " bytes for " + MANY / 4 + " frames");
    }

    private static long allocated() {
        return THREADS.getCurrentThreadAllocatedBytes();
    }
}
