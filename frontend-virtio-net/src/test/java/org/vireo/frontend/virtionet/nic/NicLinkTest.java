// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.vireo.guest.FrontEnd;
import org.vireo.guest.GuestNic;
import org.vireo.net.api.Fd;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.nic.IncomingNic;
import org.vireo.net.api.nic.NicImage;
import org.vireo.net.api.nic.NicState;
import org.vireo.net.api.nic.TransferableNic;
import org.vireo.posix.linux.Poll;
import org.vireo.posix.linux.UnixSockets;
import org.vireo.testsupport.Await;
import org.vireo.vhostuser.BackendRequest;
import org.vireo.vhostuser.Message;
import org.vireo.vhostuser.MessageChannel;
import org.vireo.vhostuser.ProtocolFeatures;
import org.vireo.vhostuser.Request;

/** The link's state on its way from the port to the guest: virtio 1.2, section 5.1.4, VIRTIO_NET_S_LINK_UP. */
class NicLinkTest {
    private static final int STATUS_OFFSET = 6;

    private Harness h;
    private FakeNetwork net;
    private FakeBackend backend;
    private MessageChannel requests;
    private Fd requestsFd;

    @BeforeEach
    void start() throws Exception {
        h = new Harness(1);
        net = h.network(1);
        backend = h.backend("neta", net);
    }

    @AfterEach
    void stop() {
        h.close();
        if (requestsFd != null) {
            requestsFd.close();
        }
    }

    /** A guest whose VMM gives a channel for requests. */
    private GuestNic guest(long protocol) throws Exception {
        GuestNic g = h.guest("a", GuestNic.options().protocol(protocol | ProtocolFeatures.BACKEND_REQ));
        Fd[] pair = UnixSockets.pair(h.fds, 1, false, "requests to the VMM");
        requestsFd = pair[0];
        requests = MessageChannel.ofBackendRequests(pair[0], h.fds, "requests to the VMM");
        g.frontEnd().tell(Request.SET_BACKEND_REQ_FD, MemorySegment.ofArray(new byte[0]), List.of(pair[1]));
        pair[1].close();
        return g;
    }

    private void awaitConfigChange() throws Exception {
        try (Message m = requests.receive(Harness.soon()).orElseThrow()) {
            assertEquals(BackendRequest.CONFIG_CHANGE_MSG.id(), m.id());
        }
    }

    private static boolean linkUp(FrontEnd f) throws Exception {
        return (f.config(STATUS_OFFSET, 2)[0] & 1) != 0;
    }

    @Test
    void theGuestSeesTheLinkGoDownAndUp() throws Exception {
        h.nic("a");
        GuestNic g = guest(GuestNic.PROTOCOL);
        assertTrue(linkUp(g.frontEnd()));
        for (boolean up : new boolean[] {false, true, false}) {
            backend.listener.link(up);
            backend.listener.link(up);
            awaitConfigChange();
            assertEquals(up, linkUp(g.frontEnd()));
        }
        assertEquals(0, Poll.readable(0, requestsFd.number()), "a state that stays is told once");
    }

    /** What the backend says of it is the NIC's reason; the guest is told of the link alone. */
    @Test
    void whyItIsDownIsTheNicsReason() throws Exception {
        h.nic("a");
        GuestNic g = guest(GuestNic.PROTOCOL);
        assertEquals("", h.status("a").why());
        for (String why : new String[] {"it has gone, 10 ms", "it has gone, 20 ms"}) {
            backend.listener.linkDown(why);
            Await.until(Harness.LIMIT, "the reason", () -> h.status("a").why().equals("its link is down: " + why));
        }
        backend.listener.linkDown(null);
        Await.until(Harness.LIMIT, "no reason", () -> h.status("a").why().equals("its link is down"));
        awaitConfigChange();
        assertFalse(linkUp(g.frontEnd()));
        assertEquals(0, Poll.readable(0, requestsFd.number()), "a state that stays is told once");
        backend.listener.link(true);
        awaitConfigChange();
        assertEquals("", h.status("a").why());
    }

    /** Who makes it go up and down does not fill the log. */
    @Test
    void ofALinkThatGoesUpAndDownTheFirstChangesAreLoggedAndTheLastOne() throws Exception {
        try (Logged log = new Logged(NicLink.class)) {
            h.nic("a");
            for (int i = 0; i < 10; i++) {
                backend.listener.linkDown("down " + i);
                Await.until(Harness.LIMIT, "the link to be down", () -> !h.status("a").why().isEmpty());
                backend.listener.link(true);
                Await.until(Harness.LIMIT, "the link to be up", () -> h.status("a").why().isEmpty());
            }
            assertEquals(List.of("NIC a: link down", "NIC a: link up", "NIC a: link down", "NIC a: link up"), log.lines());
            h.registry.remove("a");
            assertEquals(5, log.lines().size(), log::text);
            assertTrue(log.lines().getLast().startsWith("NIC a: link up (it comes and goes: the last of 16 changes within "), log::text);
        }
    }

    /** A VMM in a loop, or a driver. */
    @Test
    void ofVmmsThatComeAndGoTheFirstAreLoggedAndWhatIsSoInTheEnd() throws Exception {
        try (Logged log = new Logged(NicReport.class)) {
            h.nic("a");
            for (int i = 0; i < 50; i++) {
                FrontEnd vmm = h.vmm("a");
                Await.until(Harness.LIMIT, "the VMM to be there", () -> h.status("a").vmmPid() != 0);
                vmm.close();
                Await.until(Harness.LIMIT, "the VMM to be gone", () -> h.status("a").vmmPid() == 0);
            }
            assertTrue(log.lines().size() < 35, log::text);
            assertTrue(log.text().contains("NIC a: LISTENING -> CONNECTED") && log.text().contains("NIC a: VMM pid "), log::text);
            h.registry.remove("a");
            assertTrue(log.lines().get(log.lines().size() - 3).contains(" has gone: the peer closed the connection"), log::text);
            assertTrue(log.lines().get(log.lines().size() - 2).contains("CONNECTED -> LISTENING"), log::text);
            assertTrue(log.lines().getLast().contains("LISTENING -> CLOSED"), log::text);
        }
    }

    /** What a backend says in its own words is no fault of its code. */
    @Test
    void aBackendThatSaysThatItFailedCostsNoStackTrace() throws Exception {
        h.nic("a");
        try (Logged log = new Logged(NicBackend.class)) {
            backend.listener.failed(new NetdevException("netdev neta: the back-end has gone"));
            h.awaitState("a", NicState.FAILED);
            assertTrue(log.text().contains("failed: netdev neta: the back-end has gone"), log::text);
            assertFalse(log.hasTrace());
        }
        h.nic("b", "netdev", "netb");
        FakeBackend other = h.backend("netb", net);
        Await.until(Harness.LIMIT, "its port", () -> other.listener != null);
        try (Logged log = new Logged(NicBackend.class)) {
            other.listener.failed(new IllegalStateException("nobody has thought of that"));
            h.awaitState("b", NicState.FAILED);
            assertTrue(log.hasTrace());
        }
    }

    @Test
    void aVmmThatDoesNotAskForItIsToldNothing() throws Exception {
        h.nic("a");
        GuestNic g = guest(GuestNic.PROTOCOL & ~ProtocolFeatures.CONFIG);
        backend.listener.link(false);
        // the actor answers after it has done what was posted before
        g.frontEnd().getFeatures();
        assertEquals(0, Poll.readable(0, requestsFd.number()));
    }

    @Test
    void aPortBringsItsLink() throws Exception {
        backend.linkUp = false;
        h.nic("a");
        GuestNic g = guest(GuestNic.PROTOCOL);
        assertFalse(linkUp(g.frontEnd()));
        backend.listener.link(true);
        awaitConfigChange();
        assertTrue(linkUp(g.frontEnd()));
        // a port that failed is opened anew for the next VMM, and tells its own
        backend.listener.failed(new NetdevException("gone"));
        h.awaitState("a", NicState.FAILED);
        g.close();
        Await.until(Harness.LIMIT, "the VMM to be gone", () -> h.status("a").vmmPid() == 0);
        try (FrontEnd f = h.vmm("a")) {
            f.negotiate(GuestNic.RING_FEATURES, GuestNic.PROTOCOL);
            assertFalse(linkUp(f));
        }
    }

    /** While another process may have the connection nothing is sent on it; who owns it then says so. */
    @Test
    void whatChangesDuringAHandoverIsToldByTheOwner() throws Exception {
        h.nic("a");
        GuestNic g = guest(GuestNic.PROTOCOL);
        try (Harness target = new Harness(1)) {
            FakeBackend there = target.backend("neta", net);
            TransferableNic out = h.registry.transferable("a").orElseThrow();
            IncomingNic in = target.registry.prepare(out.begin(1, true, false, NicImage::close), true, deadline());
            out.freeze(deadline());
            backend.listener.link(false);
            there.listener.link(false);
            in.take();
            assertEquals(0, Poll.readable(0, requestsFd.number()), "told while nobody may use the connection");
            in.giveBack();
            in.close();
            out.resume();
            out.end();
            awaitConfigChange();
            assertFalse(linkUp(g.frontEnd()));

            TransferableNic again = h.registry.transferable("a").orElseThrow();
            there.linkUp = false;
            IncomingNic next = target.registry.prepare(again.begin(1, true, false, NicImage::close), true, deadline());
            there.listener.link(true);
            HandoverInsideTest.handOver(again, next);
            awaitConfigChange();
            assertTrue(linkUp(g.frontEnd()));
            Await.until(Harness.LIMIT, "the port to be told its settings", () -> there.calls.contains("apply"));
            target.registry.remove("a");
        }
    }

    private static long deadline() {
        return System.nanoTime() + TimeUnit.SECONDS.toNanos(15);
    }
}
