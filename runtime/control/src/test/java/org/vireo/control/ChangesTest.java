// SPDX-License-Identifier: Apache-2.0
package org.vireo.control;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.vireo.net.api.nic.NicException;
import org.vireo.testsupport.Await;

/** One change at a time, and nobody waits for somebody else's backend. */
@Timeout(60)
class ChangesTest {
    private static final Duration LIMIT = Duration.ofSeconds(20);

    private final Changes changes = new Changes();
    private final List<String> done = new CopyOnWriteArrayList<>();
    private final List<Thread> threads = new ArrayList<>();
    private final CountDownLatch backend = new CountDownLatch(1);
    private final CountDownLatch waits = new CountDownLatch(1);

    @AfterEach
    void end() throws InterruptedException {
        backend.countDown();
        for (Thread t : threads) {
            t.join(LIMIT);
        }
    }

    private Thread start(Runnable what) {
        Thread t = Thread.ofPlatform().daemon().start(what);
        threads.add(t);
        return t;
    }

    private void change(String what, String... things) {
        try {
            changes.make(List.of(things), "is being changed", () -> done.add(what));
        } catch (NicException e) {
            done.add(e.getMessage());
        }
    }

    /** A change that waits for a backend that does not come yet. */
    private void slow(String... things) {
        try {
            changes.make(List.of(things), "is being added", () -> {
                changes.aside(() -> {
                    waits.countDown();
                    awaitBackend();
                });
                done.add("slow");
            });
        } catch (NicException e) {
            done.add(e.getMessage());
        }
    }

    private void awaitBackend() {
        try {
            assertTrue(backend.await(20, TimeUnit.SECONDS));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private void awaitDone(String... expected) {
        Await.until(LIMIT, List.of(expected).toString(), () -> done.equals(List.of(expected)));
    }

    private static void awaitParked(Thread t) {
        Await.until(LIMIT, "it waits", () -> t.getState() == Thread.State.WAITING || t.getState() == Thread.State.TIMED_WAITING);
    }

    @Test
    void whatWaitsForABackendLetsOthersPass() throws Exception {
        start(() -> slow("netdev a", "NIC a"));
        waits.await();
        change("b", "netdev b");
        assertEquals(List.of("b"), done);
    }

    @Test
    void theSameThingWaitsUntilItsTurn() throws Exception {
        start(() -> slow("netdev a", "NIC a"));
        waits.await();
        Thread same = start(() -> change("a", "NIC a"));
        awaitParked(same);
        assertEquals(List.of(), done);
        backend.countDown();
        awaitDone("slow", "a");
    }

    /** As files do it: whoever makes several changes lets others pass too. */
    @Test
    void severalChangesLetOthersPassWhereOneWaits() throws Exception {
        start(() -> changes.exclusively(List.of(), () -> {
            slow("netdev a");
            change("after", "netdev a");
            return 1;
        }));
        waits.await();
        change("b", "netdev b");
        backend.countDown();
        awaitDone("b", "slow", "after");
    }

    @Test
    void aHoldWaitsForWhatIsUnderWayAndRefusesTheRest() throws Exception {
        start(() -> slow("netdev a"));
        waits.await();
        Thread same = start(() -> change("a", "netdev a"));
        awaitParked(same);
        Thread holder = start(() -> {
            changes.hold("an upgrade is under way");
            done.add("held");
        });
        awaitDone("an upgrade is under way");
        assertEquals("an upgrade is under way", assertThrows(NicException.class, () -> changes.make(List.of("netdev b"), "", () -> { }))
                .getMessage());
        assertEquals(Optional.empty(), changes.exclusively(List.of(), () -> 1));
        awaitParked(holder);
        backend.countDown();
        awaitDone("an upgrade is under way", "slow", "held");
        changes.hold(null);
        change("b", "netdev b");
        assertEquals("b", done.getLast());
    }

    /** What was seen before would not be so any more. */
    @Test
    void whoLooksFirstLooksWhenNothingOfItIsBeingChanged() throws Exception {
        start(() -> slow("netdev a"));
        waits.await();
        Thread looks = start(() -> changes.exclusively(List.of("NIC x", "netdev a"), () -> done.add("looks")));
        awaitParked(looks);
        backend.countDown();
        awaitDone("slow", "looks");
    }

    /** Half of a file's change would be a NIC that is gone. */
    @Test
    void severalChangesThatHaveBegunComeToTheirEndBeforeAHold() throws Exception {
        start(() -> changes.exclusively(List.of(), () -> {
            slow("NIC a");
            change("after", "NIC a");
            return 1;
        }));
        waits.await();
        Thread holder = start(() -> {
            changes.hold("an upgrade is under way");
            done.add("held");
        });
        awaitParked(holder);
        backend.countDown();
        awaitDone("slow", "after", "held");
    }

    @Test
    void whatFailsIsNoMoreUnderWay() throws Exception {
        assertThrows(IllegalStateException.class, () -> changes.make(List.of("netdev a"), "is being added", () -> changes.aside(() -> {
            throw new IllegalStateException("a backend");
        })));
        change("a", "netdev a");
        assertEquals(List.of("a"), done);
    }
}
