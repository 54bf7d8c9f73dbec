// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.function.LongUnaryOperator;
import org.junit.jupiter.api.Assumptions;
import org.vireo.net.api.NetBackend;
import org.vireo.net.api.NetPort;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.RingPosition;
import org.vireo.posix.linux.EventFd;
import org.vireo.testsupport.Await;

/** Rings, for ports that take them. The kit is the guest's driver, and the frontend. */
public abstract class VringTck extends TransferTck {
    static final LongUnaryOperator PLAIN = TckSupport::ringFeatures;
    private static final byte[] MAC = {2, 0x56, 0x54, 0x43, 0x4b, 9};
    /** CSUM, packed rings, IN_ORDER, and USO: what a port may not offer. */
    private static final long CANDIDATES = 1L | 1L << 34 | 1L << 35 | 1L << 54 | 1L << 56;

    /** For the kit's parts only. */
    VringTck() {
    }

    /** A guest with one pair of running rings, on a network. */
    final RingGuest runningRings(BackendFixture.Network n) throws Exception {
        RingGuest g = rings(backend(n), 1, PLAIN, 0);
        g.begin();
        return g;
    }

    /** Frames both ways, which nobody has seen before. */
    static void bothWays(RingGuest g, BackendFixture.Network n, int first, int last) throws Exception {
        g.transmit(0, first, last);
        expectTransmitted(n, first, last);
        send(n, first, last);
        g.expectReceived(first, last);
    }

    /** The number of the next frame of the kit at the network, or -1: none comes. */
    static int next(BackendFixture.Network n, Duration limit) {
        for (byte[] frame = n.take(limit); frame != null; frame = n.take(limit)) {
            int number = KitFrame.number(frame);
            if (number >= 0) {
                return number;
            }
        }
        return -1;
    }

    /** These frames arrive at the network, each once and in order; former ones may do so before. */
    static void expectTransmittedAfterOthers(BackendFixture.Network n, int first, int last) {
        int before = 0;
        while (before < last) {
            int number = next(n, limit());
            assertTrue(number > before && (number < first || number == Math.max(first, before + 1)),
                    "frame " + number + " came after " + before + " at the network, which waits for " + first + " to " + last);
            before = number;
        }
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "rings-move-frames", contract = "VringPort",
            says = "ring 2k receives and ring 2k+1 transmits: frames of all lengths, in order, none lost or doubled")
    public void ringsMoveFrames() throws Exception {
        needsRings();
        int pairs = kit().maxPairs();
        BackendFixture.Network n = network(pairs);
        RingGuest g = rings(backend(n), pairs, PLAIN, 0);
        g.begin();
        for (int i = 0; i < pairs; i++) {
            g.transmit(i, 1, 100);
            expectTransmitted(n, 1, 100);
        }
        send(n, 1, 100);
        g.expectReceived(1, 100);
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "ring-features", contract = "VringPort.features",
            says = "what the profile offers of rings works: indirect descriptors, event index, mergeable buffers, each and all")
    public void offeredRingFeaturesWork() throws Exception {
        needsRings();
        long own = KitDriver.INDIRECT | KitDriver.EVENT_INDEX | KitDriver.MERGEABLE;
        BackendFixture.Network n = network(1);
        NetBackend b = backend(n);
        long offered = 0;
        for (long some : new long[] {KitDriver.INDIRECT, KitDriver.EVENT_INDEX, KitDriver.MERGEABLE, own}) {
            RingGuest g = rings(b, 1, f -> f & (KitDriver.VERSION_1 | some), 0);
            offered = g.rings().profile().features() & own;
            g.begin();
            bothWays(g, n, 1, 40);
            g.close(NetPort.Disposal.RELEASE);
        }
        seen("offered of these: 0x" + Long.toHexString(offered));
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "features-refused", contract = "VringPort.features",
            says = "features that are not possible are refused, with the list; then others can be told")
    public void impossibleFeaturesAreRefused() throws Exception {
        needsRings();
        BackendFixture.Network n = network(1);
        RingGuest g = rings(backend(n), 1, PLAIN, 0);
        long missing = CANDIDATES & ~g.rings().profile().features();
        Assumptions.assumeTrue(missing != 0, "it offers all features that the kit knows");
        NetdevException e = assertThrows(NetdevException.class, () -> g.rings().features(g.driver().features() | missing),
                "features 0x" + Long.toHexString(missing) + ", which the profile does not offer, are taken");
        assertTrue(e.getMessage() != null && !e.getMessage().isBlank(), "a refusal without a message");
        g.begin();
        bothWays(g, n, 1, 5);
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "start-disabled", contract = "VringPort.start",
            says = "a ring is disabled until it was enabled: then it does nothing to the guest or the network")
    public void ringsStartDisabled() throws Exception {
        needsRings();
        BackendFixture.Network n = network(1);
        RingGuest g = rings(backend(n), 1, PLAIN, 0);
        g.tell();
        g.start(0);
        g.start(1);
        send(n, 1, 5);
        g.driver().offer(0, 1, 3, true);
        untilItWouldHaveHappened();
        assertEquals(0, g.driver().ring(0).usedIndex(), "buffers that came back of a receive ring that was never enabled");
        assertEquals(-1, next(n, Duration.ZERO), "frame at the network from a ring that was never enabled");
        g.enable(0, true);
        g.enable(1, true);
        g.driver().transmit(0, 4, 9);
        expectTransmittedAfterOthers(n, 4, 9);
        send(n, 6, 9);
        g.driver().receiveUpTo(9);
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "start-looks-at-once", contract = "VringPort.start",
            says = "a ring is looked at at once, whether it is kicked or not, and called once")
    public void startedRingsAreLookedAtAtOnce() throws Exception {
        needsRings();
        BackendFixture.Network n = network(1);
        RingGuest g = rings(backend(n), 1, PLAIN, 0);
        g.driver().offer(0, 1, 8, false);
        g.begin();
        expectTransmitted(n, 1, 8);
        Await.until(limit(), "a call of the receive ring when it was started", () -> g.driver().ring(0).takeCalls() > 0);
        g.transmit(0, 9, 12);
        expectTransmitted(n, 9, 12);
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "start-without-descriptors", contract = "VringSpec.kick",
            says = "without a kick descriptor a ring is polled, without a call descriptor the driver polls")
    public void ringsWithoutDescriptors() throws Exception {
        needsRings();
        BackendFixture.Network n = network(1);
        RingGuest g = rings(backend(n), 1, PLAIN, 0);
        g.tell();
        for (int i = 0; i < 2; i++) {
            g.enable(i, true);
            g.start(i, null, null);
        }
        g.driver().polls(true);
        // a driver does not kick here
        for (int i = 1; i <= 30; i += 10) {
            g.driver().offer(0, i, i + 9, false);
            expectTransmitted(n, i, i + 9);
            send(n, i, i + 9);
            g.driver().receiveUpTo(i + 9);
        }
        assertEquals(0, g.driver().ring(0).takeCalls() + g.driver().ring(1).takeCalls(), "calls through descriptors that were not given");
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "start-anywhere", contract = "VringSpec.position",
            says = "a ring goes on at any position, and its indices wrap at 16 bits")
    public void ringsGoOnAnywhere() throws Exception {
        needsRings();
        BackendFixture.Network n = network(1);
        RingGuest g = rings(backend(n), 1, PLAIN, 65_530);
        g.begin();
        bothWays(g, n, 1, 50);
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "stop-untouched", contract = "VringPort.stop",
            says = "when it returns nothing touches the ring or its buffers, nor calls, until it is started again")
    public void stoppedRingsAreNotTouched() throws Exception {
        needsRings();
        BackendFixture.Network n = network(1);
        RingGuest g = runningRings(n);
        bothWays(g, n, 1, 20);
        g.still();
        g.driver().offer(0, 21, 25, false);
        List<byte[]> before = g.driver().ram().content();
        g.driver().rings().forEach(KitRing::takeCalls);
        g.driver().rings().forEach(r -> EventFd.signal(r.kick().number()));
        send(n, 21, 25);
        untilItWouldHaveHappened();
        assertNull(g.driver().ram().difference(before), "what was written after stop()");
        assertEquals(0, g.driver().ring(0).takeCalls() + g.driver().ring(1).takeCalls(), "calls after stop()");
        assertEquals(-1, next(n, Duration.ZERO), "frame at the network from a stopped ring");
        g.begin();
        g.transmit(0, 26, 30);
        expectTransmitted(n, 21, 30);
        send(n, 26, 30);
        g.driver().receiveUpTo(30);
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "stop-says-where", contract = "VringPort.stop",
            says = "the position is where the ring goes on: also if it is stopped under traffic, no frame is lost or doubled")
    public void stoppedRingsSayWhereTheyGoOn() throws Exception {
        needsRings();
        BackendFixture.Network n = network(1);
        RingGuest g = runningRings(n);
        int offered = 0;
        int received = 0;
        for (int i = 0; i < 20; i++) {
            offered = g.driver().offer(0, offered + 1, offered + 3, true);
            send(n, 3 * i + 1, 3 * i + 3);
            g.still();
            for (int ring = 0; ring < 2; ring++) {
                expectPosition(g.position(ring), g.driver().ring(ring));
            }
            g.begin();
            received = 3 * i + 3;
        }
        g.transmit(0, offered + 1, offered + 5);
        expectTransmitted(n, 1, offered + 5);
        send(n, received + 1, received + 5);
        g.driver().receiveUpTo(received + 5);
    }

    private static void expectPosition(RingPosition p, KitRing r) {
        assertEquals(r.usedIndex(), p.used(), "the used position that stop() told, of " + r);
        int ahead = p.available() - p.used() & 0xffff;
        int most = r.availableIndex() - p.used() & 0xffff;
        assertTrue(ahead <= most, "stop() told position " + p + ", but only " + most + " buffers are available from there, of " + r);
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "stop-twice", contract = "VringPort.stop",
            says = "stopping a ring that is not started changes nothing")
    public void stoppingAStoppedRingChangesNothing() throws Exception {
        needsRings();
        BackendFixture.Network n = network(1);
        RingGuest g = rings(backend(n), 1, PLAIN, 0);
        g.tell();
        g.rings().stop(0);
        g.enable(0, true);
        g.enable(1, true);
        g.begin();
        bothWays(g, n, 1, 5);
        g.still();
        RingPosition where = g.position(0);
        List<byte[]> before = g.driver().ram().content();
        g.rings().stop(0);
        g.rings().stop(1);
        assertNull(g.driver().ram().difference(before), "what was written when a stopped ring was stopped");
        assertEquals(where, g.position(0));
        g.begin();
        bothWays(g, n, 6, 10);
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "enable-there-and-back", contract = "VringPort.enable",
            says = "a started ring can be disabled and enabled, and so can a stopped one")
    public void ringsAreDisabledAndEnabled() throws Exception {
        needsRings();
        BackendFixture.Network n = network(1);
        RingGuest g = runningRings(n);
        bothWays(g, n, 1, 5);
        g.enable(0, false);
        expectNothingReceived(g, n, 6);
        g.enable(0, true);
        send(n, 11, 15);
        g.driver().receiveUpTo(15);
        g.still();
        g.enable(0, false);
        g.begin();
        expectNothingReceived(g, n, 16);
        g.enable(0, true);
        send(n, 21, 25);
        g.driver().receiveUpTo(25);
        g.transmit(0, 6, 10);
        expectTransmitted(n, 6, 10);
    }

    private static void expectNothingReceived(RingGuest g, BackendFixture.Network n, int first) {
        int before = g.driver().ring(0).usedIndex();
        send(n, first, first + 4);
        untilItWouldHaveHappened();
        assertEquals(before, g.driver().ring(0).usedIndex(), "used index of a disabled receive ring");
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "calls-in-time", contract = "VringPort",
            says = "each call returns within two seconds: guests wait meanwhile")
    public void callsReturnInTime() throws Exception {
        needsRings();
        BackendFixture.Network n = network(1);
        RingGuest g = runningRings(n);
        bothWays(g, n, 1, 5);
        g.call(() -> g.rings().call(0, g.driver().ring(0).call()));
        g.memory(g.driver().ram().memory());
        g.enable(0, false);
        g.enable(0, true);
        g.still();
        g.begin();
        g.still();
        g.memory(KitRam.none());
        assertTrue(g.longestNanos() < RingGuest.deadlineNanos(), "a call took " + g.longestNanos() / 1_000_000 + " ms");
        seen("the longest took " + g.longestNanos() / 1000 + " us");
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "announce", contract = "VringPort.announce",
            says = "the network is told where the guest is: a frame comes from its address")
    public void theGuestIsAnnounced() throws Exception {
        needsRings();
        BackendFixture.Network n = network(1);
        RingGuest g = runningRings(n);
        try {
            g.call(() -> g.rings().announce(MAC.clone()));
        } catch (NetdevException e) {
            assertTrue(e.getMessage() != null && !e.getMessage().isBlank(), "a refusal without a message");
            Assumptions.abort("it cannot: " + e.getMessage());
        }
        byte[] frame;
        do {
            frame = n.take(limit());
            assertTrue(frame != null, "no frame from the announced address came to the network");
        } while (frame.length < KitFrame.HEAD || !Arrays.equals(frame, MAC.length, 2 * MAC.length, MAC, 0, MAC.length));
    }
}
