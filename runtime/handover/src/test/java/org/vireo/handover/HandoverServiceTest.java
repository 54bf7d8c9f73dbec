// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vireo.handover.wire.Message;
import org.vireo.handover.wire.RecordType;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Section;
import org.vireo.net.api.StateFormat;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.Ownership;
import org.vireo.net.api.nic.Ownership.Phase;
import org.vireo.posix.Descriptors;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.OpenFiles;

/** Two services in one process hand fake NICs to each other over a real socket. */
class HandoverServiceTest {
    /** As the standard ones, but a busy machine does not turn an orderly handover into a failed one. */
    private static final Deadlines PATIENT =
            new Deadlines(5_000, 20_000, 2_000, 5_000, 5_000, 9_000, 9_000, 9_000, 200, 5_000, 5_000, 60_000, 300, 2_000, 1_000);

    @TempDir
    Path dir;
    private final Descriptors fds = new Descriptors();
    private final FakeHost here = new FakeHost(fds);
    private final FakeHost there = new FakeHost(fds);
    private final List<String> events = Collections.synchronizedList(new ArrayList<>());
    private HandoverService a;
    private HandoverService b;

    @BeforeEach
    void start() throws NicException, IOException {
        // what is opened once a process does not count as a leak
        Rehearsal.run(fds, Deadlines.in(PATIENT.prepare()));
        begin(PATIENT);
    }

    private void begin(Deadlines d) throws NicException {
        a = new HandoverService(here, fds, d);
        b = new HandoverService(there, fds, d);
        a.addSink((name, data) -> events.add(name + " " + data));
        b.listen(uri("b"));
    }

    private void restart(Deadlines d) throws NicException {
        a.stop();
        b.stop();
        begin(d);
    }

    @AfterEach
    void stop() {
        a.stop();
        b.stop();
        here.close();
        there.close();
    }

    private String uri(String name) {
        return "unix:" + dir.resolve("sockets").resolve(name);
    }

    static Map<String, Object> await(HandoverService s) {
        for (long end = System.nanoTime() + 30_000_000_000L; System.nanoTime() < end; Thread.onSpinWait()) {
            Map<String, Object> m = s.status();
            if (!List.of("setup", "active", "none").contains(m.get("status"))) {
                return m;
            }
            java.util.concurrent.locks.LockSupport.parkNanos(1_000_000);
        }
        throw new AssertionError("no end: " + s.status());
    }

    @SuppressWarnings("unchecked")
    static Map<String, Object> nic(Map<String, Object> status, int i) {
        return ((List<Map<String, Object>>) status.get("nics")).get(i);
    }

    private Map<String, Object> handOver(String... nics) throws NicException {
        a.start(uri("b"), List.of(nics));
        return await(a);
    }

    /** What the last handover closes after it has told its end is closed soon. */
    private static void assertDescriptors(int expected) {
        Await.until(Duration.ofSeconds(10), "no more than " + expected + " descriptors", () -> OpenFiles.count() <= expected);
    }

    private static void assertOwnedBySlot(FakeBlock block, int slot) {
        Ownership w = Ownership.decode(block.word());
        assertEquals(Phase.OWNED, w.phase());
        assertEquals(slot, w.holder());
        assertEquals(1, block.readers());
        assertFalse(block.wasReadByTwo());
    }

    @Test
    void severalNicsMoveInGoodOrderAndBack() throws Exception {
        List<FakeHost.Nic> nics = List.of(here.make("nic0"), here.make("nic1"), here.make("nic2"));
        a.listen(uri("a"));
        int before = OpenFiles.count();
        for (int round = 0; round < 3; round++) {
            Map<String, Object> s = handOver();
            assertEquals("completed", s.get("status"), s.toString());
            assertEquals(3, ((List<?>) s.get("nics")).size());
            for (int i = 0; i < 3; i++) {
                assertEquals("moved", nic(s, i).get("result"), s.toString());
                assertTrue((long) nic(s, i).get("freeze-micros") > 0);
                assertEquals("12 rounds, 3 ms", nic(s, i).get("rehearsal"));
                for (String part : List.of("stop-micros", "offer-micros", "take-micros", "answer-micros")) {
                    assertTrue(nic(s, i).containsKey(part), part + " in " + s);
                }
                assertTrue(nic(s, i).containsKey("own-micros"));
            }
            assertEquals("completed", await(b).get("status"));
            assertTrue(here.transferable().isEmpty());
            assertEquals(3, there.transferable().size());
            b.start(uri("a"), List.of());
            assertEquals("completed", await(b).get("status"), b.status().toString());
            assertEquals("completed", await(a).get("status"));
            assertEquals(3, here.transferable().size());
        }
        assertEquals(List.of("begin", "freeze", "letGo"), nics.get(0).calls);
        assertOwnedBySlot(nics.get(0).block, 6);
        assertDescriptors(before);
        assertTrue(events.stream().anyMatch(e -> e.startsWith("NIC_HANDOVER") && e.contains("moved")), events.toString());
        assertTrue(events.stream().anyMatch(e -> e.startsWith("MIGRATION") && e.contains("completed")), events.toString());
    }

    /** The source has said that it is over; the target is about to say so. */
    @Test
    void whoHasJustTakenNicsHandsThemOnAtOnce() throws Exception {
        restart(new Deadlines(40_000, 20_000, 2_000, 5_000, 5_000, 9_000, 9_000, 9_000, 200, 50, 5_000, 60_000, 300, 2_000, 1_000));
        here.make("nic0");
        a.listen(uri("a"));
        CountDownLatch settled = new CountDownLatch(1);
        there.onOwn = i -> waitFor(settled);
        assertEquals("completed", handOver().get("status"));
        assertEquals("active", b.status().get("status"));
        FutureTask<Void> back = new FutureTask<>(() -> {
            b.start(uri("a"), List.of());
            return null;
        });
        Thread t = Thread.ofPlatform().start(back);
        Await.until(Duration.ofSeconds(10), "it waits for the end of the first one, or has an answer",
                () -> t.getState() == Thread.State.TIMED_WAITING || back.isDone());
        // nothing else waits for it
        b.cancel();
        settled.countDown();
        back.get(10, TimeUnit.SECONDS);
        assertEquals("completed", await(b).get("status"), b.status().toString());
        assertEquals(1, here.transferable().size());
    }

    @Test
    void rehearsalsEndSoonHoweverBusyTheMachineIs() throws Exception {
        List<FakeHost.Nic> nics = List.of(here.make("nic0"), here.make("nic1"));
        assertEquals("completed", handOver().get("status"));
        for (FakeHost.Incoming i : there.incoming) {
            assertEquals(2, i.rehearsalNanos.size(), "at low priority, and once more right before");
            assertTrue(i.rehearsalNanos.get(0) <= PATIENT.rehearsal() * Deadlines.NANOS, i.rehearsalNanos.toString());
            assertTrue(i.rehearsalNanos.get(1) <= PATIENT.freeze() * Deadlines.NANOS, i.rehearsalNanos.toString());
        }
        assertTrue(nics.stream().allMatch(n -> n.rehearsals.get() > 0), "the source's side too");
    }

    @Test
    void aCheckMovesNothingAndRehearsesNothingHere() throws Exception {
        FakeHost.Nic nic = here.make("nic0");
        a.check(uri("b"), List.of());
        Map<String, Object> s = await(a);
        assertEquals("completed", s.get("status"), s.toString());
        assertEquals("ready", nic(s, 0).get("result"));
        assertEquals(0, nic.rehearsals.get());
        assertEquals(List.of("begin", "end"), nic.calls);
        assertEquals(1, here.transferable().size());
        await(b);
        assertEquals(List.of("close"), there.incoming.get(0).calls);
    }

    @Test
    void socketIsForThisUserAlone() throws Exception {
        assertEquals("rwx------", PosixFilePermissions.toString(Files.getPosixFilePermissions(dir.resolve("sockets"))));
        assertEquals("rw-------", PosixFilePermissions.toString(Files.getPosixFilePermissions(dir.resolve("sockets/b"))));
        b.stop();
        assertFalse(Files.exists(dir.resolve("sockets/b")));
    }

    @Test
    void refusalBeforeTheOfferLeavesTheSourceUntouchedAndItCanTryAgain() throws Exception {
        FakeHost.Nic n0 = here.make("nic0");
        FakeHost.Nic n1 = here.make("nic1");
        there.onPrepare = image -> {
            if (image.nic().equals("nic1")) {
                throw new NicException("no netdev net1 here");
            }
        };
        int before = OpenFiles.count();
        Map<String, Object> s = handOver();
        assertEquals("failed", s.get("status"));
        assertTrue(s.get("error-desc").toString().contains("NIC nic1: no netdev net1 here"), s.toString());
        assertTrue(s.get("error-desc").toString().contains("moved: none, stayed: nic0 nic1"), s.toString());
        assertEquals(List.of("begin", "end"), n0.calls);
        assertEquals(List.of("begin", "end"), n1.calls);
        assertOwnedBySlot(n0.block, 0);
        await(b);
        assertEquals(List.of("close"), there.incoming.get(0).calls);
        assertDescriptors(before);

        there.onPrepare = i -> { };
        assertEquals("completed", handOver().get("status"), a.status().toString());
    }

    @Test
    void oneNicThatCannotBeTakenIsGivenBackAndStopsTheRest() throws Exception {
        FakeHost.Nic n0 = here.make("nic0");
        FakeHost.Nic n1 = here.make("nic1");
        FakeHost.Nic n2 = here.make("nic2");
        there.onTake = i -> {
            if (i.id.equals("nic1")) {
                throw new NicException("TUNSETIFF failed");
            }
        };
        Map<String, Object> s = handOver();
        assertEquals("failed", s.get("status"));
        assertTrue(s.get("error-desc").toString().contains("TUNSETIFF failed"), s.toString());
        assertTrue(s.get("error-desc").toString().contains("moved: nic0, stayed: nic1 nic2"), s.toString());
        assertEquals("moved", nic(s, 0).get("result"));
        assertEquals("stayed", nic(s, 1).get("result"));
        assertEquals("stayed", nic(s, 2).get("result"));
        assertEquals(List.of("begin", "freeze", "letGo"), n0.calls);
        assertEquals(List.of("begin", "freeze", "resume", "end"), n1.calls);
        assertEquals(List.of("begin", "end"), n2.calls);
        assertOwnedBySlot(n0.block, 1);
        assertOwnedBySlot(n1.block, 0);
        assertOwnedBySlot(n2.block, 0);

        there.onTake = i -> { };
        assertEquals("completed", handOver().get("status"), a.status().toString());
        assertEquals(3, there.transferable().size());
    }

    /** InternalError is a fault of memory that a VMM has cut off. */
    static List<Error> errors() {
        return List.of(new NoClassDefFoundError("com/example/Missing"), new InternalError("a fault occurred"));
    }

    @ParameterizedTest
    @MethodSource("errors")
    void anErrorInTakeIsGivenBackToo(Error error) throws Exception {
        FakeHost.Nic n = here.make("nic0");
        there.onTake = i -> {
            throw error;
        };
        Map<String, Object> s = handOver();
        assertTrue(s.get("error-desc").toString().contains(error.getMessage()), s.toString());
        assertOwnedBySlot(n.block, 0);
        // once more, for who looks again
        there.onTake = i -> {
            there.onGiveBack = back -> {
                there.onGiveBack = again -> { };
                throw error;
            };
            throw error;
        };
        s = handOver();
        assertTrue(s.get("error-desc").toString().contains(error.getMessage()), s.toString());
        assertOwnedBySlot(n.block, 0);
    }

    @Test
    void changesWhileItIsPreparedArriveBeforeTheOffer() throws Exception {
        FakeHost.Nic n = here.make("nic0");
        there.onRehearse = i -> {
            // it is asked for once more right before the offer
            there.onRehearse = again -> { };
            for (int k = 0; k < 20; k++) {
                n.change();
            }
        };
        assertEquals("completed", handOver("nic0").get("status"), a.status().toString());
        assertEquals(20, there.incoming.get(0).calls.stream().filter("change"::equals).count());
        assertEquals((1L << 32) + 20, there.incoming.get(0).seq());
    }

    /** Without an answer to a change that was never told, the reason would be the target's silence. */
    @Test
    void whatNoChangeCanTellIsTheReasonThatANicStays() throws Exception {
        FakeHost.Nic n = here.make("nic0");
        there.onRehearse = i -> {
            there.onRehearse = again -> { };
            n.lose("the VMM hung up");
        };
        assertEquals("failed", handOver("nic0").get("status"));
        assertTrue(a.status().get("error-desc").toString().contains("NIC nic0: the VMM hung up"), a.status().toString());
        assertEquals(List.of("begin", "end"), n.calls);
    }

    @Test
    void aChangeInTheFreezeMeansThawingAndAnotherTry() throws Exception {
        FakeHost.Nic n = here.make("nic0");
        List<String> once = new ArrayList<>(List.of("once"));
        here.onFreeze = x -> {
            if (!once.isEmpty()) {
                once.clear();
                x.change();
            }
        };
        assertEquals("completed", handOver("nic0").get("status"), a.status().toString());
        assertEquals(List.of("begin", "freeze", "resume", "freeze", "letGo"), n.calls);
    }

    @Test
    void aNicWhoseWorkerDoesNotStopStays() throws Exception {
        FakeHost.Nic n = here.make("nic0");
        here.onFreeze = x -> {
            throw new NicException("worker 3 did not stop within 50 ms");
        };
        Map<String, Object> s = handOver("nic0");
        assertTrue(s.get("error-desc").toString().contains("worker 3 did not stop"), s.toString());
        assertEquals(List.of("begin", "freeze", "end"), n.calls);
        assertOwnedBySlot(n.block, 0);
    }

    @Test
    void cancelInPrepareLeavesAllInPlace() throws Exception {
        FakeHost.Nic n = here.make("nic0");
        CountDownLatch preparing = new CountDownLatch(1);
        CountDownLatch cancelled = new CountDownLatch(1);
        there.onPrepare = i -> {
            preparing.countDown();
            waitFor(cancelled);
        };
        a.start(uri("b"), List.of());
        waitFor(preparing);
        assertEquals("active", a.status().get("status"));
        NicException e = assertThrows(NicException.class, () -> a.start(uri("b"), List.of()));
        assertTrue(e.getMessage().contains("under way"));
        a.cancel();
        Map<String, Object> s = await(a);
        cancelled.countDown();
        assertEquals("cancelled", s.get("status"));
        assertEquals(List.of("begin", "end"), n.calls);
        await(b);
        there.onPrepare = i -> { };
        assertEquals("completed", handOver().get("status"), a.status().toString());
    }

    private static void waitFor(CountDownLatch latch) throws NicException {
        try {
            if (!latch.await(20, TimeUnit.SECONDS)) {
                throw new NicException("did not happen in time");
            }
        } catch (InterruptedException e) {
            throw new NicException("interrupted", e);
        }
    }

    @Test
    void whoTakesAndHangsIsFencedAndGivesBack() throws Exception {
        restart(PATIENT.withTaken(100));
        FakeHost.Nic n = here.make("nic0");
        there.onTake = i -> {
            // returns only after the fence
            for (long end = System.nanoTime() + 20_000_000_000L; System.nanoTime() < end;) {
                if (Ownership.decode(n.block.word()).phase() == Phase.FENCED) {
                    return;
                }
                java.util.concurrent.locks.LockSupport.parkNanos(1_000_000);
            }
            throw new NicException("was not fenced");
        };
        Map<String, Object> s = handOver("nic0");
        assertEquals("stayed", nic(s, 0).get("result"), s.toString());
        assertTrue(s.get("error-desc").toString().contains("fenced"), s.toString());
        await(b);
        assertEquals(List.of("take", "giveBack", "close"), there.incoming.get(0).calls);
        assertEquals(List.of("begin", "freeze", "resume", "end"), n.calls);
        assertEquals(1, n.block.readers());
        assertEquals(0, Ownership.decode(n.block.word()).holder());
    }

    /** Two that read one port would be worse than one that is ended. */
    @Test
    void whoCannotLetGoKeepsTheWordUntilItCan() throws Exception {
        restart(PATIENT.withTaken(100));
        FakeHost.Nic n = here.make("nic0");
        there.onTake = i -> {
            throw new NicException("TUNSETIFF failed");
        };
        List<String> words = new ArrayList<>();
        there.onGiveBack = i -> {
            Ownership w = Ownership.decode(n.block.word());
            words.add(w.phase() + " " + w.holder());
            if (Collections.frequency(words, "FENCED 0") < 3) {
                throw new NicException("a worker has not let go of its rings");
            }
        };
        Map<String, Object> s = handOver("nic0");
        assertEquals("stayed", nic(s, 0).get("result"), s.toString());
        await(b);
        assertEquals("TAKEN 1", words.getFirst());
        assertEquals("FENCED 0", words.getLast());
        assertEquals(3, Collections.frequency(words, "FENCED 0"), words.toString());
        assertEquals(1, n.block.readers());
        assertOwnedBySlot(n.block, 0);
    }

    @Test
    void noNicAtAllIsAnOrderlyHandoverToo() throws Exception {
        assertEquals("completed", handOver().get("status"), a.status().toString());
    }

    @Test
    void wrongRequestsAreRefusedAtOnce() throws Exception {
        here.make("nic0");
        assertTrue(assertThrows(NicException.class, () -> a.start("tcp:1.2.3.4:5", List.of())).getMessage().contains("tcp:1.2.3.4:5"));
        assertTrue(assertThrows(NicException.class, () -> a.start(uri("b"), List.of("nic9"))).getMessage().contains("nic9"));
        assertTrue(assertThrows(NicException.class, () -> b.start(uri("b"), List.of())).getMessage().contains("itself"));
        assertTrue(assertThrows(NicException.class, () -> a.listen(uri("b"))).getMessage().contains("another process listens"));
        a.start(uri("nobody"), List.of());
        Map<String, Object> s = await(a);
        assertEquals("failed", s.get("status"));
        assertTrue(s.get("error-desc").toString().contains("nobody"), s.toString());
    }

    @Test
    void versionsWithNoneInCommonAreRefusedWithNumbers() throws Exception {
        FakeHost.Nic n = here.make("nic0");
        here.format = StateFormat.of("nic", 3, 4).build();
        Map<String, Object> s = handOver();
        assertTrue(s.get("error-desc").toString().contains("section nic: versions 3 to 4 on one side, 1 to 1 on the other"), s.toString());
        assertEquals(List.of(), n.calls);
    }

    @Test
    void aDifferentParameterIsRefusedWithBothValues() throws Exception {
        here.make("nic0");
        a.backendTransfer(false);
        Map<String, Object> s = handOver();
        assertTrue(s.get("error-desc").toString().contains("backend-transfer is on here and off at the other side"), s.toString());
        a.backendTransfer(true);
        a.breakBeforeMake(true);
        s = handOver();
        assertTrue(s.get("error-desc").toString().contains("break-before-make is off here and on at the other side"), s.toString());
        a.breakBeforeMake(false);
        b.breakBeforeMake(true);
        s = handOver();
        assertTrue(s.get("error-desc").toString().contains("break-before-make is on here and off at the other side"), s.toString());
    }

    /** A target that opens its backend after it took is not fenced for it; and the parameter reaches the NIC. */
    @Test
    void whoOpensAfterItTookIsGivenTheTime() throws Exception {
        restart(PATIENT.withOffers(PATIENT.offered(), 100).withTaken(100).withFenced(100));
        for (HandoverService s : List.of(a, b)) {
            s.backendTransfer(false);
            s.breakBeforeMake(true);
            assertTrue(s.breakBeforeMake());
        }
        FakeHost.Nic n = here.make("nic0");
        there.onTake = i -> {
            try {
                // three times as long as another one that took may stand still
                assertFalse(new CountDownLatch(1).await(300, TimeUnit.MILLISECONDS));
            } catch (InterruptedException e) {
                throw new NicException(e.toString());
            }
        };
        Map<String, Object> s = handOver();
        assertEquals("completed", s.get("status"), s.toString());
        assertEquals("begin breaking", n.calls.getFirst());
        assertOwnedBySlot(n.block, 1);
    }

    /** The way back when the target cannot open. */
    @Test
    void whoCannotOpenAfterItTookGivesBack() throws Exception {
        for (HandoverService s : List.of(a, b)) {
            s.backendTransfer(false);
            s.breakBeforeMake(true);
        }
        FakeHost.Nic n = here.make("nic0");
        there.onTake = i -> {
            throw new NicException("NIC nic0: cannot open tap0: EBUSY");
        };
        Map<String, Object> s = handOver();
        assertEquals("failed", s.get("status"), s.toString());
        assertEquals("stayed", nic(s, 0).get("result"));
        assertTrue(s.get("error-desc").toString().contains("EBUSY"), s.toString());
        assertEquals(List.of("begin breaking", "freeze", "resume", "end"), n.calls);
        assertOwnedBySlot(n.block, 0);
    }

    /** A peer of a former version says nothing of break-before-make: it does not do it. */
    @Test
    void aGreetingWithoutTheNewerParameterMeansOff() throws Exception {
        StateFormat format = StateFormat.of("nic", 1, 1).build();
        try (Fd self = Greeting.self(fds); Message m = Greeting.hello("target", format, Parameters.STANDARD, self)) {
            Section.Builder old = Section.builder(m.head().name());
            for (String field : m.head().names()) {
                switch (m.head().value(field)) {
                    case Long v -> old.number(field, v);
                    case Boolean v when !field.equals("break-before-make") -> old.flag(field, v);
                    case String v -> old.text(field, v);
                    case Fd v -> old.descriptor(field, v);
                    default -> assertEquals("break-before-make", field);
                }
            }
            Greeting g = Greeting.of(Message.of(RecordType.HELLO, old.build(), m.sections()));
            assertEquals(1, g.agree("target", format, Parameters.STANDARD));
            HandoverException e = assertThrows(HandoverException.class,
                    () -> g.agree("target", format, Parameters.STANDARD.withBreakBeforeMake(true)));
            assertTrue(e.getMessage().contains("break-before-make is on here and off at the other side"), e.getMessage());
            assertTrue(m.head().optional("break-before-make"), "a peer that does not know it has to skip it");
        }
    }
}
