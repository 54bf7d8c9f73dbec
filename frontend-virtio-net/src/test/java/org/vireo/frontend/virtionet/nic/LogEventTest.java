// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.vireo.guest.GuestNic;
import org.vireo.guest.RefusedException;
import org.vireo.net.api.Fd;
import org.vireo.net.api.nic.IncomingNic;
import org.vireo.net.api.nic.NicImage;
import org.vireo.net.api.nic.NicState;
import org.vireo.net.api.nic.TransferableNic;
import org.vireo.posix.linux.EventFd;
import org.vireo.posix.linux.Pipe;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.OpenFiles;

/** A VMM that gave SET_LOG_FD is told when something was logged. */
class LogEventTest {
    private Harness h;
    private FakeNetwork net;
    private Fd event;
    private Fd second;

    @BeforeEach
    void start() throws Exception {
        h = new Harness(1);
        net = h.network(1);
        h.backend("neta", net);
        h.nic("a");
        event = EventFd.create(h.fds, "log");
        second = EventFd.create(h.fds, "log");
    }

    @AfterEach
    void stop() {
        h.close();
        event.close();
        second.close();
    }

    private static void awaitSignal(Fd of) {
        Await.until(Harness.LIMIT, "the event", () -> EventFd.drain(of.number()) > 0);
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void itIsSignalledOnceABatchWhileSomethingIsLogged(boolean packed) throws Exception {
        GuestNic g = h.guest("a", GuestNic.options().ringSize(64).packed(packed));
        g.frontEnd().logEvent(event);
        net.passBothWays(g, 1);
        assertEquals(0, EventFd.drain(event.number()), "nothing is logged yet");
        try (VmmMigration m = new VmmMigration(h.fds, g, 0, 0)) {
            m.begin();
            net.passBothWays(g, 2);
            awaitSignal(event);
            EventFd.drain(event.number());
            // many at once, of which the NIC makes a batch or two
            g.frontEnd().enable(0, false);
            EventFd.drain(event.number());
            for (int i = 0; i < 50; i++) {
                net.sendSurely(0, FakeBackend.frame(12, 60, i));
            }
            g.frontEnd().enable(0, true);
            for (int i = 0; i < 50; i++) {
                assertEquals(i, FakeBackend.number(g.receive(0).take(Harness.soon()), 12));
            }
            long[] signals = new long[1];
            Await.until(Harness.LIMIT, "the event", () -> (signals[0] += EventFd.drain(event.number())) > 0);
            assertTrue(signals[0] < 10, signals[0] + " for 50 frames");
            // a later one takes its place
            g.frontEnd().logEvent(second);
            EventFd.drain(event.number());
            net.passBothWays(g, 3);
            awaitSignal(second);
            assertEquals(0, EventFd.drain(event.number()));
            m.end();
            EventFd.drain(second.number());
            net.passBothWays(g, 4);
            assertEquals(0, EventFd.drain(second.number()), "nothing is logged any more");
        }
    }

    @Test
    void whatIsNoEventfdIsRefused() throws Exception {
        GuestNic g = h.guest("a", GuestNic.options());
        long before = OpenFiles.count();
        try (Pipe p = Pipe.create(h.fds, "no event")) {
            assertThrows(RefusedException.class, () -> g.frontEnd().logEvent(p.write()));
        }
        net.passBothWays(g, 1);
        for (int i = 0; i < 5; i++) {
            g.frontEnd().logEvent(event);
        }
        assertEquals(before + 1, OpenFiles.count(), "one copy, the last one");
        g.close();
        h.awaitState("a", NicState.LISTENING);
        Await.until(Harness.LIMIT, "it to be closed", () -> OpenFiles.count() < before);
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void aSuccessorSignalsIt(boolean asAChange) throws Exception {
        GuestNic g = h.guest("a", GuestNic.options().ringSize(64));
        try (Harness target = new Harness(1); VmmMigration m = new VmmMigration(h.fds, g, 0, 0)) {
            target.backend("neta", net);
            if (!asAChange) {
                g.frontEnd().logEvent(event);
            }
            IncomingNic[] in = new IncomingNic[1];
            TransferableNic out = h.registry.transferable("a").orElseThrow();
            NicImage image = out.begin(1, true, false, c -> {
                try {
                    in[0].change(c);
                } catch (org.vireo.net.api.nic.NicException e) {
                    throw new IllegalStateException(e);
                }
            });
            in[0] = target.registry.prepare(image, true, Harness.soon());
            if (asAChange) {
                g.frontEnd().logEvent(event);
            }
            m.begin();
            HandoverInsideTest.handOver(out, in[0]);
            target.awaitState("a", NicState.RUNNING);
            EventFd.drain(event.number());
            net.passBothWays(g, 2);
            awaitSignal(event);
        }
    }

    /** Who has the rings has the log, and its event. */
    @Test
    void whoHasTheRingsIsGivenIt() throws Exception {
        FakeRings rings = new FakeRings(h.network(1));
        h.bind("netb", rings, 0);
        h.nic("b");
        GuestNic g = h.guest("b", GuestNic.options().ringSize(64));
        try (VmmMigration m = new VmmMigration(h.fds, g, 0, 0)) {
            m.begin();
            assertTrue(rings.calls.contains("log true"), rings.calls.toString());
            g.frontEnd().logEvent(event);
            assertTrue(rings.calls.contains("log true with an event"), rings.calls.toString());
            m.end();
            assertEquals("log false", rings.calls.getLast());
        }
    }
}
