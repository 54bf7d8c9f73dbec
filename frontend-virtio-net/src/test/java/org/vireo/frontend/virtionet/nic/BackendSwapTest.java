// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.vireo.guest.GuestNic;
import org.vireo.guest.SequenceCheck;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.NicState;
import org.vireo.posix.Errno;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.OpenFiles;
import org.vireo.vhostuser.VirtioNet;

/** A better backend comes while one serves: it takes its place, or the old one goes on. */
class BackendSwapTest extends SwapScene {
    @BeforeEach
    void start() throws Exception {
        h.bind("neta", first, 0);
        serve();
    }

    /** A swap whose trial is over. */
    private FakeBackend swapTo(FakeBackend next, FakeBackend former) {
        long before = happened("BACKEND_SWAPPED");
        h.bind("neta", next, 0);
        awaitEvents("BACKEND_SWAPPED", before + 1);
        Await.until(Harness.LIMIT, "the former port closed", () -> former.calls.contains("close LEAVE"));
        return next;
    }

    @Test
    void aNewerOneTakesOverUnderTrafficAndNothingIsLost() throws Exception {
        int swaps = 4;
        AtomicBoolean ends = new AtomicBoolean();
        SequenceCheck out = new SequenceCheck();
        SequenceCheck in = new SequenceCheck();
        long[] sent = new long[2];
        FutureTask<?> sendsOut = new FutureTask<>(() -> {
            for (long i = 0; !ends.get(); i++) {
                assertTrue(guest.transmit(0).send(FakeBackend.frame(0, 60, i), Harness.soon()));
                sent[0] = i + 1;
            }
        }, null);
        FutureTask<?> sendsIn = new FutureTask<>(() -> {
            for (long i = 0; !ends.get(); i++) {
                net.sendSurely(0, FakeBackend.frame(12, 60, i));
                sent[1] = i + 1;
            }
        }, null);
        Thread.ofPlatform().start(sendsOut);
        Thread.ofPlatform().start(sendsIn);
        Thread takesOut = Thread.ofPlatform().start(() -> {
            while (!ends.get() || out.lost(sent[0]) > 0) {
                byte[] b = net.poll(0);
                if (b == null) {
                    net.awaitFrame(0);
                } else {
                    out.frame(FakeBackend.number(b, 12));
                }
            }
        });
        Thread takesIn = Thread.ofPlatform().start(() -> {
            while (!ends.get() || in.lost(sent[1]) > 0) {
                byte[] b = guest.receive(0).take(System.nanoTime() + 100_000_000);
                if (b != null) {
                    in.frame(FakeBackend.number(b, 12));
                }
            }
        });
        FakeBackend serving = first;
        for (int i = 0; i < swaps; i++) {
            FakeBackend former = serving;
            serving = swapTo(new FakeBackend(net), former);
            assertTrue(serving.calls.contains("load") && !serving.calls.contains("open"), serving.calls.toString());
            h.unbind(former);
        }
        ends.set(true);
        sendsOut.get(20, TimeUnit.SECONDS);
        sendsIn.get(20, TimeUnit.SECONDS);
        takesOut.join(20_000);
        takesIn.join(20_000);
        assertFalse(takesOut.isAlive() || takesIn.isAlive(), out.lost(sent[0]) + " and " + in.lost(sent[1]) + " frames are missing");
        assertEquals(List.of(0L, 0L, 0L, 0L), List.of(out.duplicated(), out.reordered(), in.duplicated(), in.reordered()));
        assertEquals(0, happened("BACKEND_SWAP_FAILED"));
        h.awaitState("a", NicState.RUNNING);
    }

    /** The very object goes on, of which nothing was called. */
    @Test
    void oneThatFailsBeforeItsFirstFrameGivesTheFormerPortBack() throws Exception {
        FakeBackend.Port port = first.port;
        List<String> before = List.copyOf(first.calls);
        FakeBackend broken = new FakeBackend(net);
        broken.transmitError = () -> Errno.EBADFD;
        h.bind("neta", broken, 0);
        awaitEvents("BACKEND_SWAPPED", 1);
        net.passBothWays(guest, 2);
        awaitEvents("BACKEND_SWAP_FAILED", 1);
        assertSame(port, first.port);
        List<String> since = new ArrayList<>(first.calls.subList(before.size(), first.calls.size()));
        since.removeAll(List.of("check", "save"));
        assertEquals(List.of(), since, "of the former one's port nothing else is called");
        Await.until(Harness.LIMIT, "the new port closed", () -> broken.calls.contains("close LEAVE"));
        net.passBothWays(guest, 3);
        // it is not tried again
        assertEquals(1, happened("BACKEND_SWAPPED"));
    }

    @Test
    void oneThatLacksWhatTheGuestAcknowledgedIsRefusedWithTheList() throws Exception {
        h.registry.remove("a");
        h.nic("a");
        GuestNic g = h.guest("a", GuestNic.options().features(GuestNic.RING_FEATURES | VirtioNet.CSUM | VirtioNet.HOST_TSO4));
        net.passBothWays(g, 1);
        FakeBackend poor = new FakeBackend(net);
        poor.features = VirtioNet.CSUM;
        h.bind("neta", poor, 10);
        awaitEvents("BACKEND_SWAP_FAILED", 1);
        String said = h.events.stream().filter(e -> e.startsWith("BACKEND_SWAP_FAILED")).findFirst().orElseThrow();
        assertTrue(said.contains("lacks HOST_TSO4, which the guest acknowledged"), said);
        assertNull(poor.port, "what it has loaded is closed");
        assertEquals(0, happened("BACKEND_SWAPPED"));
        net.passBothWays(g, 2);
        // it could not go on with a guest that wants more; when nobody else is there it serves who is content with it
        h.registry.remove("a");
        h.nic("a");
        GuestNic content = h.guest("a", GuestNic.options().features(GuestNic.RING_FEATURES | VirtioNet.CSUM));
        net.passBothWays(content, 3);
        h.unbind(first);
        h.awaitState("a", NicState.RUNNING);
        net.passBothWays(content, 4);
        assertNotNull(poor.port);
    }

    @Test
    void oneThatLeavesOnTrialGivesTheFormerPortBack() throws Exception {
        FakeBackend.Port port = first.port;
        FakeBackend next = new FakeBackend(net);
        h.bind("neta", next, 0);
        awaitEvents("BACKEND_SWAPPED", 1);
        h.unbind(next);
        // a frame may have moved, for whatever reason: then it is loaded anew
        net.passBothWays(guest, 2);
        assertTrue(next.calls.contains("close LEAVE"), next.calls.toString());
        assertSame(port, first.port);
    }

    @Test
    void oneThatLeavesBeforeItIsMadeReadyKeepsNobodyOut() throws Exception {
        FakeBackend hasty = new FakeBackend(net);
        first.stall("save");
        h.bind("neta", hasty, 0);
        first.awaitStalled("save");
        h.unbind(hasty);
        first.wake("save");
        swapTo(new FakeBackend(net), first);
        net.passBothWays(guest, 2);
        assertFalse(hasty.calls.contains("load"), hasty.calls.toString());
    }

    @Test
    void whoeverWasReplacedMayLeaveAtOnce() throws Exception {
        FakeBackend next = new FakeBackend(net);
        h.bind("neta", next, 0);
        awaitEvents("BACKEND_SWAPPED", 1);
        h.unbind(first);
        assertTrue(first.calls.contains("close LEAVE"), first.calls.toString());
        net.passBothWays(guest, 2);
        h.awaitState("a", NicState.RUNNING);
    }

    /** The one that serves leaves while its successor is being made ready: what it had open is parked, and the successor goes on. */
    @Test
    void whoServesMayLeaveWhileItsSuccessorIsMadeReady() throws Exception {
        FakeBackend next = new FakeBackend(net);
        next.stall("rehearse");
        h.bind("neta", next, 0);
        next.awaitStalled("rehearse");
        h.unbind(first);
        next.wake("rehearse");
        h.awaitState("a", NicState.RUNNING);
        net.passBothWays(guest, 2);
        assertNotNull(next.port);
    }

    @Test
    void aNicThatIsDeletedMeanwhileLeavesNothing() throws Exception {
        h.unbind(first);
        h.registry.remove("a");
        long before = OpenFiles.count();
        for (String at : List.of("rehearse", "load", "none")) {
            first = h.backend("neta", net);
            h.nic("a");
            FakeBackend next = new FakeBackend(net);
            next.stall(at);
            h.bind("neta", next, 0);
            if (at.equals("none")) {
                awaitEvents("BACKEND_SWAPPED", 1);
            } else {
                next.awaitStalled(at);
            }
            Thread waker = Thread.ofPlatform().start(() -> next.wake(at));
            h.registry.remove("a");
            waker.join();
            h.unbind(next);
            h.unbind(first);
            Await.until(Harness.LIMIT, "all descriptors closed, at " + at, () -> OpenFiles.count() <= before);
        }
    }

    @Test
    void anotherTypeThatReadsTheStateTakesOverWhenItIsAskedFor() throws Exception {
        FakeBackend other = new FakeBackend(net);
        h.bind("neta", other, 100, "other");
        net.passBothWays(guest, 2);
        assertNull(other.port, "a type that nobody asked for does not serve, whatever its ranking");
        h.registry.swap("neta", "other", 0, Harness.soon());
        assertNotNull(other.port);
        assertNull(first.port, "when it is said to be done the former port is closed");
        net.passBothWays(guest, 3);
        h.unbind(first);
        net.passBothWays(guest, 4);
    }

    /** A swap that names no options gives the other type those that there are. */
    @Test
    void whereTheOptionsWereTheOtherTypesThatIsSaid() throws Exception {
        h.netdevOptions.put("ifname", "tap0");
        FakeBackend tap = new FakeBackend(net);
        h.bind("neta", tap, 1);
        Await.until(Harness.LIMIT, "it serves", () -> tap.port != null);
        FakeBackend same = new FakeBackend(net);
        same.validationFails = true;
        h.bind("neta", same, 0, "other");
        String said = assertThrows(NicException.class, () -> h.registry.swap("neta", "other", 0, Harness.soon())).getMessage();
        assertEquals("wrong=yes: is not an option; it was given the options that the netdev has as type fake: name those of type other"
                + " (vireo backend swap neta --to other,OPTION=VALUE,...)", said);
        h.unbind(same);
        h.netdevOptions.put("ifname", "tap1");
        h.bind("neta", same, 0, "other");
        said = assertThrows(NicException.class, () -> h.registry.swap("neta", "other", 0, Harness.soon())).getMessage();
        assertEquals("wrong=yes: is not an option", said, "they were named");
        net.passBothWays(guest, 2);
    }

    @Test
    void aTypeThatCannotIsRefusedWithTheReasonAndTheFormerStaysAskedFor() throws Exception {
        FakeBackend other = new FakeBackend(net);
        other.headerLengths = new int[] {10};
        h.bind("neta", other, 0, "other");
        NicException e = assertThrows(NicException.class, () -> h.registry.swap("neta", "other", 0, Harness.soon()));
        assertTrue(e.getMessage().contains("has headers of [10] bytes, the driver wants 12"), e.getMessage());
        Await.until(Harness.LIMIT, "what it had loaded to be closed", () -> other.port == null);
        net.passBothWays(guest, 2);
        e = assertThrows(NicException.class, () -> h.registry.swap("neta", "none", 0, System.nanoTime() + 100_000_000));
        assertTrue(e.getMessage().contains("netdev neta: no backend of type none came"), e.getMessage());
        // newer, of the former type
        swapTo(new FakeBackend(net), first);
        net.passBothWays(guest, 3);
    }

    /** Calls of one backend do not wait for those of another one of the same netdev. */
    @Test
    void oneThatHangsWhileItLoadsHoldsNobodyUp() throws Exception {
        FakeBackend hangs = new FakeBackend(net);
        hangs.stall("load");
        h.bind("neta", hangs, 0);
        hangs.awaitStalled("load");
        assertEquals(7L, h.registry.measure().getFirst().counters().get("port-fake"));
        guest.enablePair(0, false);
        guest.enablePair(0, true);
        net.passBothWays(guest, 2);
        hangs.wake("load");
        awaitEvents("BACKEND_SWAPPED", 1);
        net.passBothWays(guest, 3);
    }

    /** Whatever the order of arrival: in the end the best one serves. */
    @Test
    void theBestOneServesInTheEnd() throws Exception {
        Random random = new Random(7);
        List<FakeBackend> all = new ArrayList<>(List.of(first));
        List<Integer> rankings = new ArrayList<>(List.of(0));
        for (int round = 0; round < 10; round++) {
            if (all.size() > 1 && random.nextInt(3) == 0) {
                int gone = random.nextInt(all.size());
                h.unbind(all.remove(gone));
                rankings.remove(gone);
            } else {
                all.add(new FakeBackend(net));
                rankings.add(random.nextInt(-2, 3));
                h.bind("neta", all.getLast(), rankings.getLast());
            }
            int best = 0;
            for (int i = 1; i < all.size(); i++) {
                best = rankings.get(i) >= rankings.get(best) ? i : best;
            }
            FakeBackend expected = all.get(best);
            Await.until(Harness.LIMIT, "the best one serves, and no other", () -> expected.port != null
                    && all.stream().allMatch(b -> b == expected || b.port == null));
            net.passBothWays(guest, 100 + round);
        }
    }
}
