// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.Ownership;
import org.vireo.net.api.nic.Ownership.Phase;
import org.vireo.posix.Descriptors;
import org.vireo.testsupport.Await;

/** The process that stood still: its words say that it is fenced, by another process that lives or dies. */
@Timeout(60)
class FenceWatchTest {
    private static final int OTHER = 1;

    /** As a standby's, but who took has time: a busy machine must not have it fenced before the test has looked. */
    private static final Deadlines PATIENT = Deadlines.STANDBY.withTaken(10_000);

    private final Descriptors fds = new Descriptors();
    private final FakeHost host = new FakeHost(fds);
    private final List<String> events = Collections.synchronizedList(new ArrayList<>());
    private final CountDownLatch nothingLeft = new CountDownLatch(1);
    private Process other;
    private FenceWatch watch;

    @BeforeEach
    void start() throws Exception {
        other = new ProcessBuilder("sleep", "600").start();
        Context context = new Context(host, fds, PATIENT, (name, data) -> events.add(name + " " + data), false);
        watch = new FenceWatch(context, nothingLeft::countDown);
    }

    @AfterEach
    void stop() throws InterruptedException {
        watch.close();
        other.destroyForcibly().waitFor(10, TimeUnit.SECONDS);
        host.close();
    }

    private static void until(String what, BooleanSupplier condition) {
        Await.until(Duration.ofSeconds(20), what, condition::getAsBoolean);
    }

    private FakeHost.Nic make(String id) throws Exception {
        FakeHost.Nic n = host.make(id);
        n.block.setHolder(OTHER, other.pid());
        return n;
    }

    private static void change(FakeBlock block, Phase phase, int holder, int peer) {
        long w = block.word();
        assertTrue(block.compareAndSet(w, Ownership.decode(w).next(phase, holder, peer).encode()));
    }

    private static Ownership word(FakeHost.Nic n) {
        return Ownership.decode(n.block.word());
    }

    @Test
    void whatIsFencedIsLetGoAndTheRestStays() throws Exception {
        FakeHost.Nic gone = make("gone");
        FakeHost.Nic stays = make("stays");
        change(gone.block, Phase.FENCED, OTHER, 0);
        until("given to who fenced", () -> word(gone).equals(new Ownership(3, Phase.TAKEN, OTHER, 0)));
        assertEquals(List.of("freeze"), gone.calls);
        assertEquals(0, gone.block.readers());
        change(gone.block, Phase.RUNNING, OTHER, 0);
        change(gone.block, Phase.OWNED, OTHER, Ownership.NONE);
        until("let go", () -> gone.calls.equals(List.of("freeze", "letGo")));
        until("said", () -> events.contains("NIC_FENCED {nic=gone}"));
        assertEquals(List.of(), stays.calls);
        assertEquals(1, nothingLeft.getCount());
        change(stays.block, Phase.FENCED, OTHER, 0);
        until("given to who fenced", () -> word(stays).phase() == Phase.TAKEN);
        change(stays.block, Phase.OWNED, OTHER, Ownership.NONE);
        assertTrue(nothingLeft.await(10, TimeUnit.SECONDS));
    }

    /** Who fenced dies before it has taken: this process, which has all of it, goes on. */
    @Test
    void whoeverFencedAndDiesIsSucceeded() throws Exception {
        FakeHost.Nic n = make("nic0");
        change(n.block, Phase.FENCED, OTHER, 0);
        until("given to who fenced", () -> word(n).phase() == Phase.TAKEN);
        other.destroyForcibly().waitFor();
        until("back", () -> word(n).phase() == Phase.OWNED);
        assertEquals(0, word(n).holder());
        until("served", () -> n.calls.equals(List.of("freeze", "resume")));
        assertEquals(1, n.block.readers());
        assertFalse(n.block.wasReadByTwo());
        assertEquals(1, nothingLeft.getCount());
    }

    /** It is in use still; the word stays as it is until it is not. */
    @Test
    void whatDoesNotStopIsTriedAgain() throws Exception {
        int[] tries = new int[1];
        host.onFreeze = nic -> {
            if (++tries[0] < 3) {
                throw new NicException("NIC nic0: worker 1 does not answer");
            }
        };
        FakeHost.Nic n = make("nic0");
        change(n.block, Phase.FENCED, OTHER, 0);
        until("given to who fenced", () -> word(n).phase() == Phase.TAKEN);
        assertEquals(3, tries[0]);
    }
}
