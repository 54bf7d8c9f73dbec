// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import org.vireo.net.api.Fd;
import org.vireo.net.api.NetBackend;
import org.vireo.net.api.NetPort;
import org.vireo.net.api.NetdevException;
import org.vireo.posix.linux.EventFd;
import org.vireo.testsupport.Await;

/** What a port that takes rings is lent for a while: memory, a log, descriptors. */
public abstract class VringLoanTck extends VringTck {
    private static final long LOG_ALL = 1L << 26;
    private static final int PAGE = 4096;

    /** For the kit's parts only. */
    VringLoanTck() {
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "descriptors-of-the-call", contract = "VringPort",
            says = "descriptors are the caller's and valid during the call: what is kept is duplicated")
    public void descriptorsEndWithTheCall() throws Exception {
        needsRings();
        BackendFixture.Network n = network(1);
        RingGuest g = rings(backend(n), 1, PLAIN, 0);
        KitLog log = closeLater(new KitLog(g.driver().fds()));
        boolean logs = (g.rings().profile().features() & LOG_ALL) != 0;
        try (KitLoan loan = new KitLoan(g.driver().fds())) {
            g.rings().features(g.driver().features());
            g.rings().memory(g.driver().ram().memory(loan));
            if (logs) {
                g.rings().log(log.lent(loan));
            }
            for (int i = 0; i < 2; i++) {
                g.enable(i, true);
                g.start(i, loan.of(g.driver().ring(i).kick()), loan.of(g.driver().ring(i).call()));
            }
            g.rings().call(0, loan.of(g.driver().ring(0).call()));
            loan.end();
            g.driver().transmit(0, 1, 20);
            expectTransmitted(n, 1, 20);
            send(n, 1, 20);
            g.driver().expectReceived(1, 1, 20);
            g.memory(g.driver().ram().memory());
            g.still();
            g.begin();
            bothWays(g, n, 21, 40);
            loan.expectUntouched();
        }
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "memory-added", contract = "VringPort.memory",
            says = "memory is added and taken away while rings run")
    public void memoryIsAddedAndTakenAway() throws Exception {
        needsRings();
        BackendFixture.Network n = network(1);
        RingGuest g = runningRings(n);
        bothWays(g, n, 1, 5);
        for (int i = 1; i <= 2; i++) {
            g.driver().ram().addMore(KitRam.BUFFER_BYTES);
            g.memory(g.driver().ram().memory());
            g.driver().ring(1).buffersAt(KitRam.MORE);
            bothWays(g, n, 10 * i, 10 * i + 4);
            g.driver().ring(1).buffersAt(KitRam.BUFFERS + KitRam.BUFFER_BYTES);
            g.driver().ram().removeMore();
            g.memory(g.driver().ram().memory());
            bothWays(g, n, 10 * i + 5, 10 * i + 9);
        }
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "memory-moved", contract = "VringPort.memory",
            says = "started rings go on in other memory at the same addresses; the former is touched no more")
    public void ringsGoOnInOtherMemory() throws Exception {
        needsRings();
        BackendFixture.Network n = network(1);
        RingGuest g = runningRings(n);
        bothWays(g, n, 1, 20);
        g.driver().ram().move();
        g.memory(g.driver().ram().memory());
        List<byte[]> former = g.driver().ram().formerContent();
        bothWays(g, n, 21, 40);
        untilItWouldHaveHappened();
        List<byte[]> now = g.driver().ram().formerContent();
        for (int i = 0; i < now.size(); i++) {
            assertEquals(-1, Arrays.mismatch(former.get(i), now.get(i)), "first byte that was written of the former memory's region " + i);
        }
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "memory-gone", contract = "VringPort.memory",
            says = "without a region the guest has gone: nothing holds or touches its memory; another guest may come")
    public void theGuestsMemoryIsGivenBack() throws Exception {
        needsRings();
        BackendFixture.Network n = network(1);
        RingGuest g = rings(backend(n), 1, PLAIN, 0);
        Census census = Census.take();
        g.begin();
        bothWays(g, n, 1, 10);
        g.still();
        g.enable(0, false);
        g.enable(1, false);
        g.memory(KitRam.none());
        Await.until(limit(), "the guest's memory is not mapped any more", () -> !census.mapsMore());
        List<byte[]> before = g.driver().ram().content();
        send(n, 11, 12);
        untilItWouldHaveHappened();
        assertNull(g.driver().ram().difference(before), "what was written after the guest had gone");
        g.memory(g.driver().ram().memory());
        g.enable(0, true);
        g.enable(1, true);
        g.begin();
        g.transmit(0, 11, 20);
        expectTransmitted(n, 11, 20);
        send(n, 13, 20);
        g.driver().receiveUpTo(20);
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "log-marks", contract = "VringPort.log",
            says = "what is written is marked, buffers and used rings; who cannot log says so")
    public void writtenPagesAreMarked() throws Exception {
        needsRings();
        BackendFixture.Network n = network(1);
        RingGuest g = runningRings(n);
        bothWays(g, n, 1, 5);
        KitLog log = closeLater(new KitLog(g.driver().fds()));
        if ((g.rings().profile().features() & LOG_ALL) == 0) {
            try (KitLoan loan = new KitLoan(g.driver().fds())) {
                NetdevException e = assertThrows(NetdevException.class, () -> g.rings().log(log.lent(loan)),
                        "a log, though the profile does not offer LOG_ALL");
                assertTrue(e.getMessage() != null && !e.getMessage().isBlank(), "a refusal without a message");
            }
            seen("it does not log, and says so");
            return;
        }
        begin(g, log);
        g.driver().takeWritten();
        bothWays(g, n, 6, 15);
        expectMarked(g, log, g.driver().takeWritten());
        // also of rings that are started now
        g.still();
        log.clear();
        g.begin();
        bothWays(g, n, 16, 20);
        expectMarked(g, log, g.driver().takeWritten());
    }

    private static void begin(RingGuest g, KitLog log) throws Exception {
        try (KitLoan loan = new KitLoan(g.driver().fds())) {
            g.call(() -> g.rings().log(log.lent(loan)));
            loan.end();
        }
    }

    private static void expectMarked(RingGuest g, KitLog log, BitSet pages) {
        g.driver().rings().forEach(r -> pages.set((int) (r.usedGuest() / PAGE)));
        for (int page = pages.nextSetBit(0); page >= 0; page = pages.nextSetBit(page + 1)) {
            long guest = (long) page * PAGE;
            Await.until(limit(), "the page of guest address 0x" + Long.toHexString(guest) + ", which was written, is marked in the log",
                    () -> log.isMarked(guest));
        }
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "log-ends", contract = "VringPort.log",
            says = "after log(null) nothing is marked, and nothing holds the log")
    public void logsEnd() throws Exception {
        needsRings();
        BackendFixture.Network n = network(1);
        RingGuest g = runningRings(n);
        if ((g.rings().profile().features() & LOG_ALL) != 0) {
            Census census = Census.take();
            KitLog log = new KitLog(g.driver().fds());
            try {
                begin(g, log);
                bothWays(g, n, 1, 5);
                g.call(() -> g.rings().log(null));
                log.clear();
                bothWays(g, n, 6, 15);
                assertArrayEquals(new byte[log.content().length], log.content(), "marks after the log was taken away");
            } finally {
                log.close();
            }
            census.expectNothingMore("after log(null)");
        } else {
            g.call(() -> g.rings().log(null));
        }
        bothWays(g, n, 16, 20);
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "call-replaced", contract = "VringPort.call",
            says = "calls go to the new descriptor, which is called once at once, and no more to the former; null: to none")
    public void callDescriptorsAreReplaced() throws Exception {
        needsRings();
        BackendFixture.Network n = network(1);
        RingGuest g = runningRings(n);
        bothWays(g, n, 1, 5);
        KitRing r = g.driver().ring(0);
        Fd second = EventFd.create(g.driver().fds(), "another call");
        Fd first = closeLater(r.replaceCall(second));
        g.call(() -> g.rings().call(0, second));
        Await.until(limit(), "a call through the new descriptor at once", () -> r.takeCalls() > 0);
        EventFd.drain(first.number());
        bothWays(g, n, 6, 15);
        g.call(() -> g.rings().call(0, null));
        r.takeCalls();
        g.driver().polls(true);
        send(n, 16, 25);
        g.driver().receiveUpTo(25);
        assertEquals(0, r.takeCalls(), "calls through a descriptor that was taken away");
        assertEquals(0, EventFd.drain(first.number()), "calls through a descriptor that was replaced");
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "close-with-running-rings", contract = "NetPort.close",
            says = "it stops the rings: then nothing touches or holds what was lent")
    public void closeEndsRunningRings() throws Exception {
        needsRings();
        BackendFixture.Network n = network(1);
        NetBackend b = backend(n);
        RingGuest warm = rings(b, 1, PLAIN, 0);
        warm.begin();
        warm.close(NetPort.Disposal.RELEASE);
        warm.forget();
        Census census = Census.take();
        RingGuest g = rings(b, 1, PLAIN, 0);
        g.begin();
        bothWays(g, n, 1, 10);
        g.close(NetPort.Disposal.RELEASE);
        List<byte[]> before = g.driver().ram().content();
        g.driver().rings().forEach(KitRing::takeCalls);
        g.driver().rings().forEach(r -> EventFd.signal(r.kick().number()));
        untilItWouldHaveHappened();
        assertNull(g.driver().ram().difference(before), "what was written after close()");
        assertEquals(0, g.driver().ring(0).takeCalls() + g.driver().ring(1).takeCalls(), "calls after close()");
        g.forget();
        census.expectNothingMore("after close() with running rings");
    }
}
