// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.vireo.guest.GuestNic;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.NicState;

/** A netdev gets another configuration under a running guest: a service with a higher revision takes the place of the one that serves. */
class ConfigurationChangeTest extends SwapScene {
    @BeforeEach
    void start() throws Exception {
        h.bind("neta", first, 0);
        serve();
    }

    @Test
    void theNewOneGoesOnWithWhatIsOpen() throws Exception {
        FakeBackend next = new FakeBackend(net);
        h.bind("neta", next, 0, "fake", 1);
        h.registry.swap("neta", "fake", 1, Harness.soon());
        assertNotNull(next.port);
        assertNull(first.port, "when it is said to be done the former port is closed");
        assertTrue(next.calls.contains("load") && !next.calls.contains("open"), next.calls.toString());
        h.unbind(first);
        net.passBothWays(guest, 2);
    }

    /** Nothing can be lost: the NIC waits with it, as one does that is added so. */
    @Test
    void whereNothingServesItIsTakenAlsoIfItsOtherSideIsNotThereYet() throws Exception {
        first.listener.failed(new NetdevException("it has gone"));
        h.awaitState("a", NicState.FAILED);
        FakeBackend next = new FakeBackend(net);
        next.unavailable = true;
        h.bind("neta", next, 0, "fake", 1);
        h.registry.swap("neta", "fake", 1, Harness.soon());
        h.awaitState("a", NicState.NO_BACKEND);
        assertEquals("open: nobody listens yet; this is tried again every second", h.status("a").why());
        h.unbind(first);
        next.unavailable = false;
        h.awaitState("a", NicState.RUNNING);
        net.passBothWays(guest, 2);
    }

    @Test
    void itComesBeforeAHigherRanking() throws Exception {
        FakeBackend ranked = new FakeBackend(net);
        h.bind("neta", ranked, 5, "fake", 0);
        FakeBackend next = new FakeBackend(net);
        h.bind("neta", next, 0, "fake", 1);
        h.registry.swap("neta", "fake", 1, Harness.soon());
        assertNotNull(next.port);
        net.passBothWays(guest, 2);
    }

    @Test
    void whatIsWrongWithItIsSaidAndTheFormerGoesOn() throws Exception {
        FakeBackend.Port port = first.port;
        FakeBackend wrong = new FakeBackend(net);
        wrong.validationFails = true;
        h.bind("neta", wrong, 0, "fake", 1);
        NicException e = assertThrows(NicException.class, () -> h.registry.swap("neta", "fake", 1, Harness.soon()));
        assertTrue(e.getMessage().contains("wrong=yes: is not an option"), e.getMessage());
        h.unbind(wrong);
        FakeBackend other = new FakeBackend(net);
        other.loadFails = true;
        h.bind("neta", other, 0, "fake", 1);
        e = assertThrows(NicException.class, () -> h.registry.swap("neta", "fake", 1, Harness.soon()));
        assertTrue(e.getMessage().contains("another value is configured"), e.getMessage());
        h.unbind(other);
        e = assertThrows(NicException.class, () -> h.registry.swap("neta", "fake", 1, System.nanoTime() + 100_000_000));
        assertTrue(e.getMessage().contains("no backend of type fake with the new configuration came"), e.getMessage());
        net.passBothWays(guest, 2);
        assertEquals(NicState.RUNNING, h.status("a").state());
        // a taken back trial may have loaded anew; the port of the first is the same in all other cases
        assertSame(port, first.port);
    }

    /** What can only be done with the port's settings is tried before a frame has moved, also where no guest has started. */
    @Test
    void whatItRefusesInItsFirstSettingsIsSaidAndTheFormerGoesOn() throws Exception {
        FakeBackend.Port port = first.port;
        FakeBackend next = new FakeBackend(net);
        next.applyFails = "br=nowhere: there is no such bridge";
        h.bind("neta", next, 0, "fake", 1);
        NicException e = assertThrows(NicException.class, () -> h.registry.swap("neta", "fake", 1, Harness.soon()));
        assertTrue(e.getMessage().contains("br=nowhere: there is no such bridge"), e.getMessage());
        assertSame(port, first.port);
        assertEquals(0, h.events.stream().filter(x -> x.startsWith("BACKEND_SWAPPED")).count());
        net.passBothWays(guest, 2);
        h.unbind(next);
        h.registry.remove("a");
        h.nic("a");
        h.bind("neta", next, 0, "fake", 2);
        e = assertThrows(NicException.class, () -> h.registry.swap("neta", "fake", 2, Harness.soon()));
        assertTrue(e.getMessage().contains("br=nowhere: there is no such bridge"), e.getMessage());
        net.passBothWays(h.guest("a", GuestNic.options()), 3);
    }

    /** It may be handed over while somebody waits for its change. */
    @Test
    void whoWaitsHearsThatTheNicHasGone() throws Exception {
        FakeBackend next = new FakeBackend(net);
        next.stall("load");
        h.bind("neta", next, 0, "fake", 1);
        AtomicReference<Exception> thrown = new AtomicReference<>();
        Thread waits = Thread.ofPlatform().start(() -> {
            try {
                h.registry.swap("neta", "fake", 1, System.nanoTime() + 60_000_000_000L);
            } catch (NicException e) {
                thrown.set(e);
            }
        });
        next.awaitStalled("load");
        h.registry.remove("a");
        waits.join(10_000);
        assertFalse(waits.isAlive());
        assertNull(thrown.get(), "the next NIC is served by it");
    }

    @Test
    void whereNobodyUsesItThereIsNothingToWaitFor() throws Exception {
        h.registry.remove("a");
        FakeBackend next = new FakeBackend(net);
        h.bind("neta", next, 0, "fake", 1);
        h.registry.swap("neta", "fake", 1, Harness.soon());
        h.unbind(first);
        h.nic("a");
        net.passBothWays(h.guest("a", GuestNic.options()), 2);
        assertNotNull(next.port);
    }

    @Test
    void aNicWhoseNetdevDidNotOpenGoesOnWithAConfigurationThatDoes() throws Exception {
        h.registry.remove("a");
        first.openFails = true;
        assertThrows(NicException.class, () -> h.nic("a"));
        h.unbind(first);
        first = h.backend("neta", net);
        h.nic("a");
        GuestNic g = h.guest("a", GuestNic.options());
        first.listener.failed(new java.io.IOException("broken"));
        h.awaitState("a", NicState.FAILED);
        FakeBackend next = new FakeBackend(net);
        h.bind("neta", next, 0, "fake", 1);
        h.registry.swap("neta", "fake", 1, Harness.soon());
        h.awaitState("a", NicState.RUNNING);
        net.passBothWays(g, 2);
        assertFalse(next.calls.contains("load"), next.calls.toString());
    }
}
