// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.NicImage;
import org.vireo.net.api.nic.NicState;
import org.vireo.net.api.nic.TransferableNic;
import org.vireo.posix.Errno;
import org.vireo.testsupport.Await;

/** A backend with threads of its own: they stand still whenever what it has open becomes somebody else's, and go on if it does not. */
class ThreadedPortTest extends SwapScene {
    @BeforeEach
    void start() throws Exception {
        first.threads = true;
        h.bind("neta", first, 0);
        serve();
        first.calls.clear();
    }

    private TransferableNic begun() throws NicException {
        TransferableNic t = h.registry.transferable("a").orElseThrow();
        t.begin(1, true, false, NicImage::close).close();
        return t;
    }

    /** A swap for which a worker did not stop at once is tried again. */
    private void assertLastTry(String... calls) {
        List<String> all = List.copyOf(first.calls);
        assertEquals(List.of(calls), all.subList(Math.max(0, all.size() - calls.length), all.size()), all.toString());
    }

    /** A freeze for which they did not stand still in time is undone, and tried again. */
    private void assertCalls(String expression) {
        String all = String.join(" ", first.calls);
        assertTrue(all.matches(expression), all);
    }

    @Test
    void theyStandStillFromTheSwapOn() throws Exception {
        FakeBackend next = new FakeBackend(net);
        next.threads = true;
        h.bind("neta", next, 0);
        awaitEvents("BACKEND_SWAPPED", 1);
        Await.until(Harness.LIMIT, "the former port closed", () -> first.calls.contains("close LEAVE"));
        assertLastTry("check", "save", "quiesce", "close", "close LEAVE");
        assertFalse(next.calls.contains("quiesce") || next.calls.contains("resume"), next.calls.toString());
        net.passBothWays(guest, 2);
    }

    /** One that does not stand still in its rehearsal is closed there; to open it would take what the one that serves has. */
    @Test
    void whatIsClosedInARehearsalIsNotOpened() throws Exception {
        FakeBackend next = new FakeBackend(net);
        next.threads = true;
        next.quiesceFails = true;
        h.bind("neta", next, 0);
        awaitEvents("BACKEND_SWAPPED", 1);
        assertFalse(next.calls.contains("open"), next.calls.toString());
        net.passBothWays(guest, 2);
    }

    @Test
    void aStateThatChangesWithTheFramesIsSavedWhenTheyStandStill() throws Exception {
        first.live = true;
        FakeBackend next = new FakeBackend(net);
        h.bind("neta", next, 0);
        awaitEvents("BACKEND_SWAPPED", 1);
        Await.until(Harness.LIMIT, "the former port closed", () -> first.calls.contains("close LEAVE"));
        // once to rehearse with, once to load
        assertLastTry("check", "save", "quiesce", "check", "save", "close", "close LEAVE");
        net.passBothWays(guest, 2);
    }

    @Test
    void theyGoOnIfTheNextOneFailsBeforeItsFirstFrame() throws Exception {
        FakeBackend.Port port = first.port;
        FakeBackend broken = new FakeBackend(net);
        broken.transmitError = () -> Errno.EBADFD;
        h.bind("neta", broken, 0);
        awaitEvents("BACKEND_SWAPPED", 1);
        net.passBothWays(guest, 2);
        awaitEvents("BACKEND_SWAP_FAILED", 1);
        assertSame(port, first.port);
        assertLastTry("check", "save", "quiesce", "resume");
    }

    @Test
    void oneWhoseThreadsDoNotStandStillIsNotReplacedAndGoesOn() throws Exception {
        first.quiesceFails = true;
        h.bind("neta", new FakeBackend(net), 0);
        for (int i = 1; i <= 3; i++) {
            int tries = i;
            Await.until(Harness.LIMIT, "try " + i, () -> first.calls.stream().filter("quiesce"::equals).count() >= tries
                    || happened("BACKEND_SWAP_FAILED") > 0);
        }
        awaitEvents("BACKEND_SWAP_FAILED", 1);
        String said = h.events.stream().filter(e -> e.startsWith("BACKEND_SWAP_FAILED")).findFirst().orElseThrow();
        assertTrue(said.contains("quiesce: a thread is in a system call"), said);
        assertEquals(3, first.calls.stream().filter("quiesce"::equals).count(), "it may have been a moment's: " + first.calls);
        net.passBothWays(guest, 2);
        TransferableNic t = begun();
        Harness.freezeRefused(t, "quiesce: a thread is in a system call");
        t.end();
        net.passBothWays(guest, 3);
        assertFalse(first.calls.contains("resume"), first.calls.toString());
    }

    @Test
    void theyStandStillInAHandoverAndGoOnIfItFails() throws Exception {
        TransferableNic t = begun();
        Harness.freeze(t);
        assertCalls("check save (quiesce resume )*quiesce");
        t.resume();
        t.end();
        net.passBothWays(guest, 2);
        assertCalls("check save (quiesce resume ?)+");
        h.awaitState("a", NicState.RUNNING);
    }

    @Test
    void aHandoverOfAStateThatChangesWithTheFramesIsRefused() throws Exception {
        first.live = true;
        NicException e = assertThrows(NicException.class, this::begun);
        assertTrue(e.getMessage().contains("netdev neta: the state of its backend changes with the frames (LIVE)"), e.getMessage());
        net.passBothWays(guest, 2);
    }

    /** What never had its turn is not undone. */
    @Test
    void aQuiesceThatWaitsForAnotherCallInVainIsNotMade() throws Exception {
        TransferableNic t = begun();
        first.stall("statistics");
        Thread asks = Thread.ofPlatform().start(h.registry::measure);
        first.awaitStalled("statistics");
        Harness.freezeRefused(t, "statistics of ");
        net.passBothWays(guest, 2);
        first.wake("statistics");
        asks.join(10_000);
        t.end();
        // behind whatever was left
        Harness.freeze(t);
        t.resume();
        net.passBothWays(guest, 3);
        assertCalls("check save (quiesce resume ?)+");
    }

    /** Its threads may say so in their last moment. */
    @Test
    void aStateThatHasChangedMeanwhileIsSavedAnew() throws Exception {
        first.lastWords = l -> l.stateChanged();
        TransferableNic t = begun();
        Harness.freezeRefused(t, "state has changed since it was sent; hand the NIC over again");
        t.end();
        net.passBothWays(guest, 2);
        FakeBackend next = new FakeBackend(net);
        h.bind("neta", next, 0);
        Await.until(Harness.LIMIT, "a second try", () -> first.calls.stream().filter("save"::equals).count() >= 3);
        first.lastWords = l -> { };
        awaitEvents("BACKEND_SWAPPED", 1);
        net.passBothWays(guest, 3);
    }

    /** One that has lost its other side says that, and not only that something is different now. */
    @Test
    void whyAStateHasChangedIsSaid() throws Exception {
        first.lastWords = l -> {
            l.linkDown("process 7 does not answer: end it");
            l.stateChanged();
        };
        TransferableNic t = begun();
        Harness.freezeRefused(t, "state has changed since it was sent: process 7 does not answer: end it; hand the NIC over again");
        t.end();
        first.lastWords = l -> { };
        TransferableNic again = begun();
        first.listener.stateChanged();
        Harness.freezeRefused(again, "its backend's state has changed: process 7 does not answer: end it");
        again.end();
        first.listener.link(true);
    }

    /** However often a backend says so while a swap is prepared, one is prepared at a time. */
    @Test
    void stateChangesWithoutEndHoldNobodyUp() throws Exception {
        FakeBackend next = new FakeBackend(net);
        next.stall("rehearse");
        h.bind("neta", next, 0);
        next.awaitStalled("rehearse");
        long threads = swapThreads();
        for (int i = 0; i < 1_000; i++) {
            first.listener.stateChanged();
        }
        Await.until(Harness.LIMIT, "it is handled", () -> h.status("a").state() == NicState.RUNNING);
        assertTrue(swapThreads() <= threads + 1, swapThreads() + " threads");
        next.wake("rehearse");
        awaitEvents("BACKEND_SWAPPED", 1);
        net.passBothWays(guest, 2);
    }

    private static long swapThreads() {
        return Thread.getAllStackTraces().keySet().stream().filter(t -> t.getName().equals("vireo-swap")).count();
    }

    @Test
    void theyStandStillBeforeItIsParked() throws Exception {
        h.unbind(first);
        assertEquals(List.of("quiesce", "check", "save", "close", "close LEAVE"), first.calls);
        FakeBackend next = new FakeBackend(net);
        h.bind("neta", next, 0);
        h.awaitState("a", NicState.RUNNING);
        net.passBothWays(guest, 2);
        assertTrue(next.calls.contains("load"), next.calls.toString());
    }
}
