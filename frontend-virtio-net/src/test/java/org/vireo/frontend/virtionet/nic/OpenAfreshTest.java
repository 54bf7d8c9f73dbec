// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.vireo.guest.GuestNic;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.NicState;
import org.vireo.posix.Errno;
import org.vireo.testsupport.Await;
import org.vireo.vhostuser.VirtioNet;

/** A backend that cannot read the state of the one that serves opens a port of its own, if that does not cut the guest off. */
class OpenAfreshTest extends SwapScene {
    @BeforeEach
    void start() throws Exception {
        h.bind("neta", first, 0);
    }

    private void begin() throws Exception {
        serve("mac", "52:54:00:00:00:0a");
    }

    private FakeBackend stranger() {
        FakeBackend b = new FakeBackend(net);
        b.format = "strange";
        return b;
    }

    /** A RARP request (EtherType 0x8035) from the NIC's address. */
    private void expectAnnouncement() {
        byte[] b = net.take(0);
        assertEquals(12 + 60, b.length);
        assertEquals(0x8035, (b[12 + 12] & 0xff) << 8 | b[12 + 13] & 0xff);
        assertEquals(0x0a, b[12 + 11]);
    }

    /** Virtio 1.2, section 5.1.4. */
    private boolean isLinkUp() {
        try {
            return (guest.frontEnd().config(6, 2)[0] & 1) != 0;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Test
    void besideTheOneThatServesAndAnnounced() throws Exception {
        begin();
        FakeBackend next = stranger();
        h.bind("neta", next, 0);
        expectAnnouncement();
        Await.until(Harness.LIMIT, "the former port closed", () -> first.port == null);
        assertTrue(first.calls.contains("close LEAVE"), "the same configuration is connected to the same: " + first.calls);
        assertTrue(next.calls.contains("open") && !next.calls.contains("load"), next.calls.toString());
        net.passBothWays(guest, 2);
        assertEquals(1, happened("BACKEND_SWAPPED"));
    }

    @Test
    void anotherTypeIsConnectedToSomethingElseWhichTheFormerGivesUp() throws Exception {
        begin();
        h.bind("neta", stranger(), 0, "other");
        h.registry.swap("neta", "other", 0, Harness.soon());
        expectAnnouncement();
        assertTrue(first.calls.contains("close RELEASE"), first.calls.toString());
        net.passBothWays(guest, 2);
    }

    @Test
    void oneThatFailsBeforeItsFirstFrameGivesTheFormerPortBack() throws Exception {
        begin();
        FakeBackend.Port port = first.port;
        FakeBackend next = stranger();
        next.transmitError = () -> Errno.EBADFD;
        h.bind("neta", next, 0);
        Await.until(Harness.LIMIT, "it serves", () -> happened("BACKEND_SWAPPED") == 1);
        net.passBothWays(guest, 2);
        assertSame(port, first.port);
        Await.until(Harness.LIMIT, "what it opened is closed", () -> next.calls.contains("close LEAVE"));
        assertEquals(1, happened("BACKEND_SWAP_FAILED"));
    }

    @Test
    void whatVanishesWhenItIsClosedIsNotClosed() throws Exception {
        net.exclusive();
        begin();
        FakeBackend.Port port = first.port;
        h.bind("neta", stranger(), 0, "other");
        NicException e = assertThrows(NicException.class, () -> h.registry.swap("neta", "other", 0, Harness.soon()));
        assertTrue(e.getMessage().contains("EBUSY"), e.getMessage());
        assertTrue(e.getMessage().contains("closing it first would cut the guest off"), e.getMessage());
        assertSame(port, first.port);
        Await.until(Harness.LIMIT, "it is told", () -> happened("BACKEND_SWAP_FAILED") == 1);
        net.passBothWays(guest, 2);
    }

    @Test
    void whatLastsIsClosedOpenedAndAnnounced() throws Exception {
        net.exclusive();
        first.lasting = true;
        begin();
        FakeBackend next = stranger();
        h.bind("neta", next, 0, "other");
        h.registry.swap("neta", "other", 0, Harness.soon());
        assertNull(first.port);
        assertNotNull(next.port);
        expectAnnouncement();
        net.passBothWays(guest, 2);
        assertEquals(1, happened("BACKEND_SWAPPED"));
    }

    /** It has opened what is its own, which is nothing that the former one could go on with. */
    @Test
    void ifItLacksWhatTheGuestHasTheFormerOneOpensAgain() throws Exception {
        net.exclusive();
        first.lasting = true;
        h.nic("a");
        guest = h.guest("a", GuestNic.options().features(GuestNic.RING_FEATURES | VirtioNet.CSUM));
        net.passBothWays(guest, 1);
        FakeBackend next = stranger();
        next.features = 0;
        h.bind("neta", next, 0, "other");
        NicException e = assertThrows(NicException.class, () -> h.registry.swap("neta", "other", 0, Harness.soon()));
        assertTrue(e.getMessage().contains("lacks CSUM, which the guest acknowledged"), e.getMessage());
        assertNull(next.port);
        assertFalse(next.calls.contains("save"), next.calls.toString());
        assertNotNull(first.port);
        net.passBothWays(guest, 2);
        h.awaitState("a", NicState.RUNNING);
    }

    /** Who asked for it is told, and asks again when its other side is there. */
    @Test
    void oneThatIsNotThereYetIsRefusedAndMayBeAskedForAgain() throws Exception {
        begin();
        FakeBackend.Port port = first.port;
        FakeBackend next = stranger();
        next.unavailable = true;
        h.bind("neta", next, 0, "other");
        NicException e = assertThrows(NicException.class, () -> h.registry.swap("neta", "other", 0, Harness.soon()));
        assertTrue(e.getMessage().contains("nobody listens yet"), e.getMessage());
        assertTrue(e.getMessage().contains("; then ask again, until then the backend that serves goes on"), e.getMessage());
        assertSame(port, first.port);
        net.passBothWays(guest, 2);
        next.unavailable = false;
        h.registry.swap("neta", "other", 0, Harness.soon());
        expectAnnouncement();
        net.passBothWays(guest, 3);
    }

    /** A better one that came by itself takes over as soon as it can; that it could not is told once. */
    @Test
    void oneThatIsNotThereYetTakesOverWhenItIs() throws Exception {
        begin();
        FakeBackend next = stranger();
        next.unavailable = true;
        h.bind("neta", next, 10);
        Await.until(Harness.LIMIT, "it is told", () -> happened("BACKEND_SWAP_FAILED") == 1);
        Await.until(Harness.LIMIT, "it is tried again", () -> next.calls.stream().filter("open"::equals).count() > 1);
        net.passBothWays(guest, 2);
        next.unavailable = false;
        expectAnnouncement();
        net.passBothWays(guest, 3);
        assertEquals(1, happened("BACKEND_SWAP_FAILED"));
    }

    /** The former one was closed to make room for it. */
    @Test
    void ifItIsNotThereAfterAllTheFormerOneOpensAgain() throws Exception {
        net.exclusive();
        first.lasting = true;
        begin();
        FakeBackend next = stranger();
        next.unavailable = true;
        h.bind("neta", next, 0, "other");
        NicException e = assertThrows(NicException.class, () -> h.registry.swap("neta", "other", 0, Harness.soon()));
        assertTrue(e.getMessage().contains("nobody listens yet"), e.getMessage());
        h.awaitState("a", NicState.RUNNING);
        assertNotNull(first.port);
        net.passBothWays(guest, 2);
    }

    /** A state that nobody reads keeps what it holds busy: it is given up where that costs nothing. */
    @Test
    void whoCannotReadWhatIsParkedOpensInItsPlace() throws Exception {
        net.exclusive();
        first.lasting = true;
        begin();
        h.unbind(first);
        FakeBackend next = stranger();
        // what is parked has it open
        next.busy.set(1);
        h.bind("neta", next, 0);
        h.awaitState("a", NicState.RUNNING);
        assertEquals(2, next.calls.stream().filter("open"::equals).count(), next.calls.toString());
        assertFalse(next.calls.contains("load"), next.calls.toString());
        net.passBothWays(guest, 2);
    }

    @Test
    void whatIsParkedAndWouldVanishIsKeptForWhoReadsIt() throws Exception {
        net.exclusive();
        begin();
        h.unbind(first);
        FakeBackend next = stranger();
        next.openFails = true;
        h.bind("neta", next, 0);
        h.awaitState("a", NicState.FAILED);
        FakeBackend reads = new FakeBackend(net);
        h.bind("neta", reads, 0);
        h.awaitState("a", NicState.RUNNING);
        assertTrue(reads.calls.contains("load"), reads.calls.toString());
        net.passBothWays(guest, 2);
    }

    /** The guest's link is that of the port that serves, whatever was told when. */
    @Test
    void theLinkIsThatOfThePortThatServes() throws Exception {
        begin();
        first.listener.link(false);
        Await.until(Harness.LIMIT, "the link is down", () -> !isLinkUp());
        FakeBackend next = stranger();
        h.bind("neta", next, 0, "other");
        h.registry.swap("neta", "other", 0, Harness.soon());
        Await.until(Harness.LIMIT, "the link is up", this::isLinkUp);
        FakeBackend broken = stranger();
        broken.linkUp = false;
        broken.transmitError = () -> Errno.EBADFD;
        h.bind("neta", broken, 5, "other");
        Await.until(Harness.LIMIT, "it serves", () -> happened("BACKEND_SWAPPED") == 2);
        assertTrue(guest.transmit(0).send(FakeBackend.frame(0, 60, 2), Harness.soon()));
        Await.until(Harness.LIMIT, "it is taken back", () -> happened("BACKEND_SWAP_FAILED") == 1);
        Await.until(Harness.LIMIT, "the link is up", this::isLinkUp);
    }

    /** Nothing would be better for it if the former one were closed. */
    @Test
    void whatFailsForAnotherReasonThanAnInterfaceInUseCostsNoFrame() throws Exception {
        first.lasting = true;
        begin();
        FakeBackend.Port port = first.port;
        FakeBackend next = new FakeBackend(h.network(0));
        next.format = "strange";
        h.bind("neta", next, 0, "other");
        NicException e = assertThrows(NicException.class, () -> h.registry.swap("neta", "other", 0, Harness.soon()));
        assertTrue(e.getMessage().contains("netdev neta"), e.getMessage());
        assertSame(port, first.port);
        assertFalse(first.calls.contains("close LEAVE"), first.calls.toString());
        net.passBothWays(guest, 2);
    }

    @Test
    void ifItDoesNotOpenTheFormerOneOpensAgain() throws Exception {
        net.exclusive();
        first.lasting = true;
        begin();
        FakeBackend next = stranger();
        next.openFails = true;
        h.bind("neta", next, 0, "other");
        NicException e = assertThrows(NicException.class, () -> h.registry.swap("neta", "other", 0, Harness.soon()));
        assertTrue(e.getMessage().contains("open: EBUSY"), e.getMessage());
        assertNotNull(first.port);
        assertFalse(first.calls.contains("close RELEASE"), first.calls.toString());
        net.passBothWays(guest, 2);
        h.awaitState("a", NicState.RUNNING);
        Await.until(Harness.LIMIT, "it is told", () -> happened("BACKEND_SWAP_FAILED") == 1);
    }
}
