// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.vireo.handover.wire.Message;
import org.vireo.handover.wire.RecordType;
import org.vireo.net.api.Section;
import org.vireo.net.api.nic.NicImage;
import org.vireo.net.api.nic.Ownership;
import org.vireo.net.api.nic.Ownership.Phase;

/** A standby whose active process is made by hand: another process that dies in this way or that. */
@Timeout(60)
class StandbyTest {
    private final CountDownLatch synced = new CountDownLatch(1);
    private Deadlines deadlines = Deadlines.STANDBY;
    private SessionFixture f;
    private FakeHost host;

    @BeforeEach
    void start() throws Exception {
        f = new SessionFixture();
        host = f.host;
        begin(false);
    }

    private void begin(boolean fences) {
        Context context = f.context(deadlines);
        f.start(new StandbySession(context, f.mine(), f.peer(), f.cancel, new Report("standby", context.events()), fences,
                synced::countDown)::run);
    }

    /** The same, but one that fences. */
    private void fencing() throws Exception {
        f.connect();
        begin(true);
    }

    @AfterEach
    void stop() throws InterruptedException {
        f.end();
    }

    private static void until(String what, BooleanSupplier condition) {
        org.vireo.testsupport.Await.until(java.time.Duration.ofSeconds(20), what, condition::getAsBoolean);
    }

    private void change(String id, long seq) throws IOException {
        NicImage i = NicImage.of(id, 1, seq, List.of(Section.builder("ring 0").number("size", 256).build()), null);
        f.theirs().send(Message.of(RecordType.CHANGE, i), Deadlines.in(1_000));
    }

    private void tell(RecordType type, String id, String why) throws IOException {
        f.tell(type, Message.about(type, id).text("why", why).build());
    }

    private List<String> calls(int nic) {
        return host.incoming.get(nic).calls;
    }

    /** After the death of the active process. */
    private void assertOwned(FakeBlock block) throws InterruptedException {
        until("the standby owns", () -> {
            Ownership w = Ownership.decode(block.word());
            return w.phase() == Phase.OWNED && w.holder() == 1;
        });
        // with what it does once it owns
        f.awaitEnd();
        assertFalse(block.wasReadByTwo());
    }

    @Test
    void theNicsOfADeadProcessGoOn() throws Exception {
        FakeBlock one = f.prepare("nic0");
        FakeBlock two = f.prepare("nic1");
        f.tell(RecordType.PING, Section.builder("PING").build());
        assertEquals(RecordType.PONG, f.next().type());
        f.tell(RecordType.SYNCED, Section.builder("SYNCED").number("nics", 2).build());
        assertTrue(synced.await(10, TimeUnit.SECONDS));
        f.kill();
        assertOwned(one);
        assertOwned(two);
        assertEquals(List.of("take", "own"), calls(0));
        assertEquals(List.of("take", "own"), calls(1));
    }

    /** What ends is the channel; the process goes on, with its heartbeat, and keeps its NICs. */
    @Test
    void aBrokenChannelIsNoDeath() throws Exception {
        FakeBlock block = f.prepare("nic0");
        f.theirs().close();
        until("let go", () -> calls(0).contains("close"));
        assertEquals(new Ownership(1, Phase.OWNED, 0, Ownership.NONE), Ownership.decode(block.word()));
    }

    /** The owner died after it had said in the block what the standby had not heard. */
    @Test
    void whoIsBehindDoesNotTake() throws Exception {
        FakeBlock block = f.prepare("nic0");
        block.seq(block.seq() + 1);
        f.kill();
        until("let go", () -> calls(0).contains("close"));
        assertEquals(List.of("close"), calls(0));
        assertEquals(Phase.OWNED, Ownership.decode(block.word()).phase());
    }

    /** The owner died after it had announced what it had not yet brought into effect. */
    @Test
    void whoIsOneAheadTakes() throws Exception {
        FakeBlock block = f.prepare("nic0");
        change("nic0", block.seq() + 1);
        f.kill();
        assertOwned(block);
        assertEquals(List.of("change", "take", "own"), calls(0));
    }

    @Test
    void aDeletedNicIsGoneHereToo() throws Exception {
        FakeBlock gone = f.prepare("nic0");
        FakeBlock stays = f.prepare("nic1");
        long w = gone.word();
        assertTrue(gone.compareAndSet(w, Ownership.decode(w).next(Phase.CLOSED, 0, Ownership.NONE).encode()));
        tell(RecordType.GONE, "nic0", "it has ended");
        until("let go", () -> calls(0).contains("close"));
        until("forgotten", () -> host.removed.equals(List.of("nic0")));
        f.kill();
        assertOwned(stays);
        assertEquals(List.of("close"), calls(0));
    }

    /** A NIC of which the picture is void may come again under the same id. */
    @Test
    void aNicThatCannotBeFollowedComesAgain() throws Exception {
        f.prepare("nic0");
        tell(RecordType.GONE, "nic0", "its backend leaves");
        until("let go", () -> calls(0).contains("close"));
        assertEquals(List.of(), host.removed);
        FakeBlock again = f.prepare("nic0");
        f.kill();
        assertOwned(again);
        assertEquals(List.of("take", "own"), calls(1));
    }

    /** It moved away and came back before this process had seen whose it was meanwhile. */
    @Test
    void aNicThatCameBackIsPreparedAnew() throws Exception {
        FakeBlock block = f.prepare("nic0");
        // a third process has it, and nothing can be said of that one's life
        long w = block.word();
        assertTrue(block.compareAndSet(w, Ownership.decode(w).next(Phase.RUNNING, 7, 0).encode()));
        tell(RecordType.GONE, "nic0", "it has moved");
        FakeBlock again = f.prepare("nic0");
        assertEquals(List.of("close"), calls(0));
        f.kill();
        assertOwned(again);
    }

    /** The process died by itself, in this NIC: once may be chance, twice within a minute is not. */
    @Test
    void aNicThatKillsTwiceIsNotTaken() throws Exception {
        FakeBlock once = f.prepare("once");
        FakeBlock twice = f.prepare("twice");
        FakeBlock other = f.prepare("other");
        FakeBlock longAgo = f.prepare("long-ago");
        for (FakeBlock b : List.of(once, twice, longAgo)) {
            b.entered(true);
        }
        twice.succeed(System.nanoTime() - 30_000_000_000L);
        twice.entered(true);
        longAgo.succeed(System.nanoTime() - 61_000_000_000L);
        longAgo.entered(true);
        f.exit();
        assertOwned(once);
        assertOwned(other);
        assertOwned(longAgo);
        until("not taken", () -> calls(1).contains("close"));
        assertEquals(List.of("close"), calls(1));
        assertTrue(once.death() != 0, "the death is noted for the next one");
        assertEquals(0, other.death());
        until("it is said", () -> f.events.stream().anyMatch(e -> e.startsWith("NIC_POISONED") && e.contains("nic=twice")));
        until("it does not wait any more", () -> host.removed.equals(List.of("twice")));
    }

    /** Who was killed from outside did not die of the NIC that it was in. */
    @Test
    void sigkillIsNotTheNicsFault() throws Exception {
        FakeBlock block = f.prepare("nic0");
        block.succeed(System.nanoTime());
        long before = block.death();
        block.entered(true);
        f.kill();
        assertOwned(block);
        assertEquals(before, block.death());
    }

    /** It lives, and does not let go. */
    @Test
    void whoStandsStillIsFencedAndEnded() throws Exception {
        fencing();
        FakeBlock block = f.prepare("nic0");
        block.still();
        assertTrue(f.other.waitFor(20, TimeUnit.SECONDS), "it was ended");
        f.theirs().close();
        assertOwned(block);
        assertEquals(List.of("take", "own"), calls(0));
    }

    @Test
    void whoIsFencedAndLetsGoLives() throws Exception {
        // the test is who lets go, and it may have to wait for a processor
        deadlines = Deadlines.STANDBY.withFenced(10_000);
        fencing();
        FakeBlock block = f.prepare("nic0");
        block.still();
        until("fenced", () -> Ownership.decode(block.word()).equals(new Ownership(2, Phase.FENCED, 1, 0)));
        long w = block.word();
        assertTrue(block.compareAndSet(w, Ownership.decode(w).next(Phase.TAKEN, 1, 0).encode()));
        until("the standby owns", () -> Ownership.decode(block.word()).phase() == Phase.OWNED);
        f.theirs().close();
        assertOwned(block);
        assertTrue(f.other.isAlive());
    }

    /** The heartbeat goes on, and somebody who asks for nothing else is not fenced. */
    @Test
    void whoBeatsIsNotFenced() throws Exception {
        fencing();
        FakeBlock block = f.prepare("nic0");
        assertFalse(f.other.waitFor(3, TimeUnit.SECONDS));
        assertEquals(new Ownership(1, Phase.OWNED, 0, Ownership.NONE), Ownership.decode(block.word()));
    }

    @Test
    void aStandbyThatEndsLeavesEverythingAlone() throws Exception {
        FakeBlock block = f.prepare("nic0");
        f.cancel.now("this process is ending");
        Message m = f.next();
        assertEquals(RecordType.REFUSED, m.type());
        assertEquals("this process is ending", m.text("why"));
        f.awaitEnd();
        assertEquals(List.of("close"), calls(0));
        assertEquals(new Ownership(1, Phase.OWNED, 0, Ownership.NONE), Ownership.decode(block.word()));
    }
}
