// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.vireo.frontend.virtionet.nic.Actor.Urgency;

/** One thing at a time, the most urgent first; driven by hand where order is the subject. */
class ActorTest {
    private final Queue<Runnable> executor = new ArrayDeque<>();
    private final List<String> done = new ArrayList<>();
    private final Actor actor = new Actor("nic0", executor::add);

    private void turn() {
        executor.remove().run();
    }

    @Test
    void theMostUrgentComesFirst() {
        for (Urgency u : List.of(Urgency.QUERY, Urgency.SWAP, Urgency.HANDOVER, Urgency.UNBIND, Urgency.VMM_MESSAGE, Urgency.DISCONNECT)) {
            actor.post(u, () -> done.add(u.name()));
            actor.post(u, () -> done.add(u + " 2"));
        }
        assertEquals(1, executor.size(), "one turn for all");
        turn();
        List<String> wanted = new ArrayList<>();
        for (Urgency u : Urgency.values()) {
            wanted.add(u.name());
            wanted.add(u + " 2");
        }
        assertEquals(wanted, done);
    }

    @Test
    void whatComesDuringATurnIsOrderedToo() {
        actor.post(Urgency.SWAP, () -> {
            done.add("swap");
            actor.post(Urgency.QUERY, () -> done.add("query"));
            actor.post(Urgency.DISCONNECT, () -> done.add("disconnect"));
        });
        actor.post(Urgency.HANDOVER, () -> done.add("handover"));
        turn();
        assertEquals(List.of("handover", "swap", "disconnect", "query"), done);
        assertTrue(executor.isEmpty());
        actor.post(Urgency.QUERY, () -> done.add("later"));
        turn();
        assertEquals("later", done.getLast());
    }

    @Test
    void anExceptionEndsOnlyItsOwnTurn() {
        actor.post(Urgency.SWAP, () -> {
            throw new IllegalStateException("expected by the test");
        });
        actor.post(Urgency.QUERY, () -> done.add("query"));
        turn();
        assertEquals(List.of("query"), done);
    }

    @Test
    void aCallReturnsWhatItWasAskedAndThrowsWhatItThrew() throws Exception {
        try (ExecutorService e = Executors.newSingleThreadExecutor()) {
            Actor a = new Actor("nic0", e);
            assertEquals(7, a.call(Urgency.QUERY, 15_000, () -> 7));
            assertEquals(8, a.call(Urgency.QUERY, 15_000, () -> a.call(Urgency.QUERY, 15_000, () -> 8)), "by the actor itself");
            IOException x = assertThrows(IOException.class, () -> a.call(Urgency.QUERY, 15_000, () -> {
                throw new IOException("why");
            }));
            assertEquals("why", x.getMessage());
        }
    }

    @Test
    void aCallThatWaitedInVainIsNotDoneLater() throws Exception {
        AtomicInteger ran = new AtomicInteger();
        TimeoutException e = assertThrows(TimeoutException.class, () -> actor.call(Urgency.SWAP, 1, ran::incrementAndGet));
        assertTrue(e.getMessage().contains("NIC nic0"), e.getMessage());
        turn();
        assertEquals(0, ran.get());
    }

    @Test
    void whatMustBeDoneIsDoneLater() throws Exception {
        assertThrows(TimeoutException.class, () -> actor.finish(Urgency.DISCONNECT, 1, () -> done.add("end")));
        turn();
        assertEquals(List.of("end"), done);
    }

    @Test
    void whatIsDoneHereTakesNoOtherThread() throws Exception {
        Thread here = Thread.currentThread();
        assertEquals(here, actor.callHere(Urgency.HANDOVER, 15_000, () -> {
            actor.post(Urgency.QUERY, () -> done.add("posted meanwhile"));
            assertTrue(executor.isEmpty(), "its turn is not over");
            return Thread.currentThread();
        }));
        assertEquals(List.of(), done);
        turn();
        assertEquals(List.of("posted meanwhile"), done);
        IOException x = assertThrows(IOException.class, () -> actor.callHere(Urgency.HANDOVER, 15_000, () -> {
            throw new IOException("why");
        }));
        assertEquals("why", x.getMessage());
        assertTrue(executor.isEmpty());
        actor.post(Urgency.QUERY, () -> done.add("later"));
        turn();
        assertEquals("later", done.getLast());
    }

    @Test
    void whatIsDoneHereWaitsForItsTurn() throws Exception {
        actor.post(Urgency.QUERY, () -> done.add("query"));
        TimeoutException e = assertThrows(TimeoutException.class, () -> actor.callHere(Urgency.SWAP, 1, () -> done.add("here")));
        assertTrue(e.getMessage().contains("NIC nic0"), e.getMessage());
        turn();
        assertEquals(List.of("query"), done);
    }

    @Test
    void neverTwoAtATime() throws Exception {
        AtomicInteger inside = new AtomicInteger();
        AtomicInteger most = new AtomicInteger();
        AtomicInteger ran = new AtomicInteger();
        try (ExecutorService e = Executors.newFixedThreadPool(8)) {
            Actor a = new Actor("nic0", e);
            for (int i = 0; i < 20_000; i++) {
                a.post(Urgency.values()[i % 6], () -> {
                    most.accumulateAndGet(inside.incrementAndGet(), Math::max);
                    ran.incrementAndGet();
                    inside.decrementAndGet();
                });
            }
            for (int i = 0; i < 1000; i++) {
                a.callHere(Urgency.HANDOVER, 15_000, () -> {
                    most.accumulateAndGet(inside.incrementAndGet(), Math::max);
                    return inside.decrementAndGet();
                });
            }
            a.call(Urgency.QUERY, 15_000, () -> null);
            e.shutdown();
            assertTrue(e.awaitTermination(15, TimeUnit.SECONDS));
        }
        assertEquals(20_000, ran.get());
        assertEquals(1, most.get());
    }
}
