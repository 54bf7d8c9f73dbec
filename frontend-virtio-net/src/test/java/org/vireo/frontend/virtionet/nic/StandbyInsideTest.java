// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.vireo.guest.FrontEnd;
import org.vireo.guest.GuestNic;
import org.vireo.net.api.nic.IncomingNic;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.NicFollower;
import org.vireo.net.api.nic.NicImage;
import org.vireo.net.api.nic.NicState;
import org.vireo.net.api.nic.Nics;
import org.vireo.net.api.nic.Ownership;
import org.vireo.net.api.nic.Ownership.Phase;
import org.vireo.net.api.nic.TransferableNic;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.OpenFiles;

/** A frontend follows another one's NIC, here in one JVM, and goes on with it from whatever moment. */
class StandbyInsideTest {
    private Harness active;
    private Harness standby;
    private FakeNetwork net;
    private FakeBackend activeBackend;
    private FakeBackend standbyBackend;

    @BeforeEach
    void start() throws Exception {
        active = new Harness(1);
        standby = new Harness(1);
        net = active.network(1);
        activeBackend = active.backend("neta", net);
        standbyBackend = standby.backend("neta", net);
    }

    @AfterEach
    void stop() {
        standby.close();
        active.close();
    }

    /** Changes go to a prepared NIC at once. */
    private static final class Following implements NicFollower {
        final List<String> lost = Collections.synchronizedList(new ArrayList<>());
        final List<Exception> failed = Collections.synchronizedList(new ArrayList<>());
        TransferableNic nic;
        IncomingNic to;

        @Override
        public void change(NicImage change) {
            try {
                to.change(change);
            } catch (NicException e) {
                failed.add(e);
            }
        }

        @Override
        public void lost(String why) {
            lost.add(why);
        }

        /** Who takes it is never behind. */
        void assertCurrent() {
            assertEquals(List.of(), failed);
            assertEquals(nic.block().seq(), to.seq());
        }
    }

    private static long deadline() {
        return System.nanoTime() + TimeUnit.SECONDS.toNanos(15);
    }

    private Following follow() throws NicException {
        Following f = new Following();
        f.nic = active.registry.transferable("a").orElseThrow();
        f.to = standby.registry.prepare(f.nic.follow(1, f), true, deadline());
        return f;
    }

    private static void move(TransferableNic from, Phase phase, int holder) {
        long word = from.block().word();
        assertTrue(from.block().compareAndSet(word, Ownership.decode(word).next(phase, holder, Ownership.NONE).encode()));
    }

    /** As if the active process had died: it reads nothing any more, and says nothing. */
    private static void takeOver(Following f) throws NicException {
        f.nic.freeze(deadline());
        move(f.nic, Phase.TAKEN, f.to.block().self());
        f.to.take();
        move(f.nic, Phase.RUNNING, f.to.block().self());
        move(f.nic, Phase.OWNED, f.to.block().self());
        f.to.own();
        f.nic.letGo();
    }

    @Test
    void aVmmThatCameAfterThePictureGoesOn() throws Exception {
        active.nic("a");
        Following f = follow();
        GuestNic g = active.guest("a", GuestNic.options());
        net.passBothWays(g, 1);
        f.assertCurrent();
        assertTrue(standbyBackend.calls.stream().noneMatch(c -> c.equals("apply") || c.equals("open")), "a standby touches nothing: "
                + standbyBackend.calls);
        takeOver(f);
        net.passBothWays(g, 2);
        standby.awaitState("a", NicState.RUNNING);
        assertTrue(standbyBackend.calls.contains("apply"), "settings that the dead process may have changed are applied anew");
        // and the next VMM finds it
        g.close();
        standby.awaitState("a", NicState.LISTENING);
        GuestNic next = active.guest("a", GuestNic.options());
        net.passBothWays(next, 3);
    }

    /** The VMM's in-flight memory moves along: given before the picture was made, or after. */
    @ParameterizedTest
    @CsvSource({"false, false", "false, true", "true, false", "true, true"})
    void inflightMemoryMovesAlong(boolean packed, boolean before) throws Exception {
        active.nic("a");
        GuestNic.Options options = GuestNic.options().packed(packed).inflight(true).ringSize(16);
        Following f = before ? null : follow();
        GuestNic g = active.guest("a", options);
        f = before ? follow() : f;
        for (int i = 0; i < 20; i++) {
            net.passBothWays(g, i);
        }
        takeOver(f);
        for (int i = 0; i < 20; i++) {
            net.passBothWays(g, i);
        }
        // nobody but the memory knows any more
        g.frontEnd().close();
        standby.awaitState("a", NicState.LISTENING);
        g.reconnect(FrontEnd.connect(standby.fds, active.socket("a"), Harness.LIMIT));
        for (int i = 0; i < 20; i++) {
            net.passBothWays(g, i);
        }
        assertTrue(g.transmit(0).awaitAll(Harness.soon()));
        assertEquals(16, g.transmit(0).freeDescriptors());
    }

    @Test
    void aVmmThatLeftIsNotHeld() throws Exception {
        active.nic("a");
        GuestNic first = active.guest("a", GuestNic.options());
        net.passBothWays(first, 1);
        Following f = follow();
        long with = OpenFiles.count();
        first.close();
        active.awaitState("a", NicState.LISTENING);
        f.assertCurrent();
        // connection, memory, kick and call descriptors: of the guest, the active one and the standby
        assertTrue(OpenFiles.count() <= with - 3 * 6, OpenFiles.count() + " descriptors after " + with);
        GuestNic second = active.guest("a", GuestNic.options());
        net.passBothWays(second, 2);
        f.assertCurrent();
        takeOver(f);
        net.passBothWays(second, 3);
    }

    /** A backend that leaves cannot be told as a change: the picture is void, a new one is good. */
    @Test
    void whatCannotBeFollowedIsSaid() throws Exception {
        active.nic("a");
        GuestNic g = active.guest("a", GuestNic.options());
        Following f = follow();
        active.unbind(activeBackend);
        Await.until(Harness.LIMIT, "it is said", () -> !f.lost.isEmpty());
        assertEquals(List.of("its backend leaves"), f.lost);
        f.nic.end();
        f.to.close();
        TransferableNic out = active.registry.transferable("a").orElseThrow();
        assertThrows(NicException.class, () -> out.follow(1, f));
        activeBackend = active.backend("neta", net);
        active.awaitState("a", NicState.RUNNING);
        Following again = follow();
        net.passBothWays(g, 1);
        takeOver(again);
        net.passBothWays(g, 2);
    }

    /** Two standbys and a handover at once: each hears of everything, one of them gets the NIC. */
    @Test
    void severalFollowBesideAHandover() throws Exception {
        active.nic("a");
        GuestNic g = active.guest("a", GuestNic.options());
        Following one = follow();
        List<NicImage> told = Collections.synchronizedList(new ArrayList<>());
        TransferableNic second = active.registry.transferable("a").orElseThrow();
        second.follow(1, told::add).close();
        TransferableNic handover = active.registry.transferable("a").orElseThrow();
        handover.begin(1, true, false, told::add).close();
        assertEquals(0, g.frontEnd().stop(1));
        assertEquals(2, told.size());
        assertEquals(told.get(0).seq(), told.get(1).seq());
        one.assertCurrent();
        told.forEach(NicImage::close);
        handover.end();
        second.end();
        g.frontEnd().vringDescriptor(org.vireo.vhostuser.Request.SET_VRING_KICK, 1, g.transmit(0).kickFd());
        net.passBothWays(g, 1);
        one.assertCurrent();
        takeOver(one);
        net.passBothWays(g, 2);
        assertNull(active.registry.transferable("a").orElse(null));
    }

    @Test
    void aNicIsToldOfAndWaitingOnesStart() throws Exception {
        List<String> changes = Collections.synchronizedList(new ArrayList<>());
        Nics.Registration watch = active.registry.watch(() -> changes.add("changed"));
        active.nic("a");
        assertTrue(changes.size() > 0);
        changes.clear();
        active.registry.remove("a");
        assertTrue(changes.size() > 0);
        watch.close();
        changes.clear();
        active.registry.add(active.options("a"), true);
        assertEquals(NicState.AWAITING, active.status("a").state());
        assertEquals(List.of(), active.registry.startAwaiting());
        active.awaitState("a", NicState.LISTENING);
        assertEquals(List.of(), active.registry.startAwaiting());
        assertEquals(List.of(), changes, "the watch has ended");
        net.passBothWays(active.guest("a", GuestNic.options()), 1);
    }
}
