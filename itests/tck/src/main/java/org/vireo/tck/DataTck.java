// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.function.LongSupplier;
import org.junit.jupiter.api.Assumptions;
import org.vireo.net.api.FramePort;
import org.vireo.net.api.FrameQueue;
import org.vireo.posix.linux.Poll;

/** The data path. */
public abstract class DataTck extends LifeTck {
    private static final int MANY = 10_000;
    /** One object for each hundredth frame would be more. */
    private static final long NOTHING = 1024;
    private static final int ROUNDS = 10;
    private static final long COMPILED = 3_000_000_000L;
    /** Of the limit, for a machine whose compiler gets no processor. */
    private static final int COMPILED_LIMITS = 3;
    /** What costs a NIC its backend (package-info): a worker that is held for so long. */
    private static final long HELD = 200_000_000;

    /** For the kit's parts only. */
    DataTck() {
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "transmit-in-order", contract = "FrameQueue.transmit",
            says = "in order, each frame once, whole, however it lies in memory")
    public void transmitKeepsOrder() throws Exception {
        needsFrames();
        BackendFixture.Network n = network(1);
        FramePort p = runningFrames(backend(n), 1);
        KitBatch b = new KitBatch(50, LARGEST, header(p));
        for (int i = 1; i <= 500; i += 50) {
            b.clear();
            for (int k = i; k < i + 50; k++) {
                b.add(KitFrame.fromGuest(k, FRAME + k));
            }
            while (b.size() > 0) {
                b.removeFirst(b.transmit(p.queue(0)));
                assertTrue(b.size() == 0 || Poll.writable((int) limit().toMillis(), p.queue(0).events().number()) != 0,
                        "full, and not writable again");
            }
            expectTransmitted(n, i, i + 49);
        }
        assertEquals(0, b.drops(), "frames dropped, the last one: " + b.lastDrop());
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "frames-up-to-the-mtu", contract = "PortProfile.mtu",
            says = "frames of every length pass, up to the MTU with its Ethernet header, both ways")
    public void framesOfEveryLength() throws Exception {
        needsFrames();
        BackendFixture.Network n = network(1);
        FramePort p = runningFrames(backend(n), 1);
        int mtu = p.profile().mtu() == 0 ? 1500 : Math.min(p.profile().mtu(), 9000);
        int longest = mtu + KitFrame.HEAD;
        int[] lengths = {60, 61, 127, 128, 511, longest / 2, longest - 1, longest};
        KitWindow w = new KitWindow(16, longest, header(p));
        drain(p.queue(0), w, number -> { });
        for (int i = 0; i < lengths.length; i++) {
            KitBatch b = new KitBatch(1, longest, header(p)).add(KitFrame.fromGuest(i + 1, lengths[i]));
            assertEquals(1, b.transmit(p.queue(0)), "a frame of " + lengths[i] + " bytes");
            assertEquals(0, b.drops(), "a frame of " + lengths[i] + " bytes was dropped: " + b.lastDrop());
            expectTransmitted(n, i + 1, i + 1);
            n.send(KitFrame.toGuest(i + 1, lengths[i]));
            assertEquals(lengths[i], receiveOne(p.queue(0), w, i + 1).length, "bytes of a received frame");
        }
        seen("60 to " + longest + " bytes");
    }

    /** The frame with this number. */
    private static byte[] receiveOne(FrameQueue q, KitWindow w, int number) throws Exception {
        long end = System.nanoTime() + limit().toNanos();
        while (true) {
            assertTrue(Poll.readable((int) limit().toMillis(), q.events().number()) != 0 && System.nanoTime() < end,
                    "frame " + number + " was not received");
            int n = w.receive(q);
            for (int i = 0; i < n; i++) {
                if (KitFrame.number(w.frame(i)) == number) {
                    return w.frame(i);
                }
            }
        }
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "addresses-of-the-call", contract = "FrameQueue",
            says = "keeps no address beyond the call: nothing is read or written there afterwards")
    public void addressesEndWithTheCall() throws Exception {
        needsFrames();
        BackendFixture.Network n = network(1);
        FramePort p = runningFrames(backend(n), 1);
        FrameQueue q = p.queue(0);
        KitMemory.ONE.forget();
        KitWindow w = new KitWindow(8, LARGEST, header(p));
        for (int i = 1; i <= 40; i += 4) {
            transmit(q, header(p), i, i + 3);
            send(n, i, i + 3);
            drain(q, w, number -> { });
        }
        untilItWouldHaveHappened();
        transmit(q, header(p), 41, 41);
        for (int next = 1; next <= 41;) {
            byte[] frame = n.take(limit());
            assertNotNull(frame, "frame " + next + " did not arrive at the network");
            assertFalse(KitFrame.isSpoilt(frame), "a frame was read at an address of a call that had ended");
            int number = KitFrame.number(frame);
            if (number >= 0) {
                assertEquals(next++, number, "number of the next frame at the network");
            }
        }
        drain(q, w, number -> { });
        assertFalse(KitMemory.ONE.isTouched(), "something was written at an address of a call that had ended");
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "worker-not-blocked", contract = "package-info",
            says = "a worker must never be blocked: calls return at once, also when there is nothing to do")
    public void callsReturnAtOnce() throws Exception {
        needsFrames();
        BackendFixture.Network n = network(1);
        FramePort p = runningFrames(backend(n), 1);
        FrameQueue q = p.queue(0);
        drain(q, new KitWindow(64, LARGEST, header(p)), number -> { });
        long transmit = Long.MAX_VALUE;
        long receive = Long.MAX_VALUE;
        // the best of a few: one may have waited for a processor
        for (int i = 0; i < 5; i++) {
            KitBatch b = new KitBatch(16, LARGEST, header(p));
            while (!b.isFull()) {
                b.add(KitFrame.fromGuest(1, FRAME));
            }
            b.transmit(q);
            transmit = Math.min(transmit, b.longestNanos());
            KitWindow w = new KitWindow(16, LARGEST, header(p));
            w.receive(q);
            receive = Math.min(receive, w.longestNanos());
        }
        assertTrue(transmit < HELD, "transmit took " + transmit / 1_000_000 + " ms each time");
        assertTrue(receive < HELD, "receive took " + receive / 1_000_000 + " ms each time, with nothing to receive");
        seen("transmit " + transmit / 1000 + " us, receive " + receive / 1000 + " us");
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "transmit-drops-unsendable", contract = "FrameQueue.transmit",
            says = "a frame that cannot be sent is dropped, counts as taken, and the next ones go")
    public void unsendableFrameIsDropped() throws Exception {
        needsFrames();
        BackendFixture.Network n = network(1);
        FramePort p = runningFrames(backend(n), 1);
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
    @Rule(id = "transmit-short-when-full", contract = "FrameQueue.transmit",
            says = "fewer than size() when full, then EPOLLOUT; nothing is lost or doubled")
    public void shortTransmitWhenFull() throws Exception {
        needsFrames();
        BackendFixture.CongestedNetwork n = kit().congestedNetwork();
        Assumptions.assumeTrue(n != null, "this backend is never full");
        opensLater(n);
        FramePort p = runningFrames(backend(n), 1);
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
            assertTrue(Poll.writable((int) limit().toMillis(), q.events().number()) != 0, "not writable again");
            b.removeFirst(b.transmit(q));
        }
        expectTransmitted(n, 1, next - 1);
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "receive-until-it-would-block", contract = "FrameQueue.receive",
            says = "goes on until it would block; the descriptor is readable while a frame waits, and then no more")
    public void receiveUntilItWouldBlock() throws Exception {
        needsFrames();
        BackendFixture.Network n = network(1);
        FramePort p = runningFrames(backend(n), 1);
        FrameQueue q = p.queue(0);
        KitWindow w = new KitWindow(256, LARGEST, header(p));
        drain(q, w, number -> { });
        send(n, 1, 100);
        expectReceived(p, 1, 1, 100);
        drain(q, w, number -> assertTrue(false, "frame " + number + " came again"));
        w.receive(q); // frames that are not of the kit
        assertEquals(0, Poll.readable(0, q.events().number()), "nothing to receive, but readable");
        assertTrue(oneCallTakesSeveral(n, q, w), "with 20 frames waiting each call delivered one and stopped: polled edge-triggered, "
                + "the others would wait for ever");
    }

    /** Whether a call ever went on to the next frame: frames may arrive later than they are sent, but not always. */
    private static boolean oneCallTakesSeveral(BackendFixture.Network n, FrameQueue q, KitWindow w) throws Exception {
        boolean several = false;
        int last = 100;
        for (int round = 0; round < 10 && !several; round++) {
            send(n, last + 1, last + 20);
            for (int i = 0; i < 20;) {
                assertTrue(Poll.readable((int) limit().toMillis(), q.events().number()) != 0, "received " + i + " of 20 frames");
                int got = w.receive(q);
                several |= got > 1;
                for (int k = 0; k < got; k++) {
                    i += KitFrame.number(w.frame(k)) > 0 ? 1 : 0;
                }
            }
            last += 20;
        }
        return several;
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "receive-stops-when-full", contract = "FrameQueue.receive",
            says = "stops when the window is full; the rest waits and stays readable")
    public void receiveStopsWhenTheWindowIsFull() throws Exception {
        needsFrames();
        BackendFixture.Network n = network(1);
        FramePort p = runningFrames(backend(n), 1);
        FrameQueue q = p.queue(0);
        drain(q, new KitWindow(256, LARGEST, header(p)), number -> { });
        send(n, 1, 40);
        KitWindow one = new KitWindow(1, LARGEST, header(p));
        int last = 0;
        while (last < 40) {
            assertTrue(Poll.readable((int) limit().toMillis(), q.events().number()) != 0, "frame " + (last + 1) + " does not wait");
            assertEquals(1, one.receive(q), "frames received into a window for one");
            int number = KitFrame.number(one.frame(0));
            if (number >= 0) {
                assertEquals(++last, number, "number of the next frame");
            }
        }
        assertEquals(0, one.lost());
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "pairs-in-use", contract = "PortSettings.enabled",
            says = "frames arrive on pairs in use only, and on all of these together none is lost")
    public void framesArriveOnPairsInUse() throws Exception {
        needsFrames();
        int pairs = kit().maxPairs();
        Assumptions.assumeTrue(pairs > 1, "one pair only");
        BackendFixture.Network n = network(pairs);
        FramePort p = runningFrames(backend(n), pairs);
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
    @Rule(id = "transmit-allocates-nothing", contract = "FrameQueue",
            says = "transmit allocates nothing")
    public void transmitAllocatesNothing() throws Exception {
        needsFrames();
        BackendFixture.Network n = network(1);
        FramePort p = runningFrames(backend(n), 1);
        FrameQueue q = p.queue(0);
        KitBatch b = new KitBatch(50, LARGEST, header(p));
        while (!b.isFull()) {
            b.add(KitFrame.fromGuest(1, FRAME));
        }
        allocatesNothing(b::allocated, () -> {
            for (int i = 0; i < MANY;) {
                i += b.transmit(q);
                if (Poll.writable(0, q.events().number()) == 0) {
                    empty(n);
                }
            }
        });
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "receive-allocates-nothing", contract = "FrameQueue",
            says = "receive allocates nothing")
    public void receiveAllocatesNothing() throws Exception {
        needsFrames();
        BackendFixture.Network n = network(1);
        FramePort p = runningFrames(backend(n), 1);
        FrameQueue q = p.queue(0);
        KitWindow w = new KitWindow(100, LARGEST, header(p));
        allocatesNothing(w::allocated, () -> {
            for (int i = 0; i < MANY;) {
                send(n, 1, 100);
                assertTrue(Poll.readable((int) limit().toMillis(), q.events().number()) != 0, "nothing arrived");
                i += w.receive(q);
            }
        });
    }

    /** A round of many frames. */
    private interface Round {
        void run() throws Exception;
    }

    /** What the JVM allocates until it has compiled the code is not the backend's: the best of the rounds counts. */
    private void allocatesNothing(LongSupplier allocated, Round round) throws Exception {
        long least = Long.MAX_VALUE;
        long begin = System.nanoTime();
        long compiled = Math.max(COMPILED, COMPILED_LIMITS * limit().toNanos());
        for (int i = 0; least > NOTHING && (i < ROUNDS || System.nanoTime() - begin < compiled); i++) {
            long before = allocated.getAsLong();
            round.run();
            least = Math.min(least, allocated.getAsLong() - before);
        }
        assertTrue(least <= NOTHING, least + " bytes for " + MANY + " frames");
        seen(least + " bytes for " + MANY + " frames");
    }

    /** Takes what waits at the network. */
    private static void empty(BackendFixture.Network n) {
        while (n.take(Duration.ZERO) != null) {
            continue;
        }
    }
}
