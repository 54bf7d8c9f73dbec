// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.vireo.handover.wire.Channel;
import org.vireo.handover.wire.Message;
import org.vireo.handover.wire.RecordType;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Section;
import org.vireo.net.api.StateFormat;
import org.vireo.net.api.nic.NicImage;
import org.vireo.net.api.nic.Ownership;
import org.vireo.net.api.nic.Ownership.Phase;
import org.vireo.posix.Descriptors;
import org.vireo.posix.linux.EventFd;
import org.vireo.posix.linux.MessageSocket;
import org.vireo.posix.linux.Poll;
import org.vireo.posix.linux.Processes;
import org.vireo.posix.linux.UnixSockets;
import org.vireo.testsupport.OpenFiles;

/** One side is the service; the other is made by hand: it is silent, dies, breaks off, or sends garbage. */
@Timeout(60)
class RawPeerTest {
    private static final StateFormat FORMAT = StateFormat.of("nic", 1, 1).build();
    /** As the standard ones, but a peer here is a thread of a test, which a busy machine lets wait. */
    private static final Deadlines PATIENT = Deadlines.STANDARD.withOffers(3_000, 4_000);

    @TempDir
    Path dir;
    private final Descriptors fds = new Descriptors();
    private final FakeHost host = new FakeHost(fds);
    private HandoverService service;
    private Process other;

    @BeforeEach
    void start() throws Exception {
        Rehearsal.run(fds, Deadlines.in(PATIENT.prepare()));
        service = new HandoverService(host, fds, PATIENT);
        other = new ProcessBuilder("sleep", "600").start();
    }

    @AfterEach
    void stop() throws InterruptedException {
        service.stop();
        other.destroyForcibly().waitFor(10, TimeUnit.SECONDS);
        host.close();
    }

    private static void until(String what, java.util.function.BooleanSupplier condition) {
        for (long end = System.nanoTime() + 20_000_000_000L; !condition.getAsBoolean();) {
            if (System.nanoTime() > end) {
                throw new AssertionError("did not happen: " + what);
            }
            LockSupport.parkNanos(1_000_000);
        }
    }

    private Message hello(String role, long pid, Fd pidfd) {
        Message m = Greeting.hello(role, FORMAT, Parameters.STANDARD, pidfd);
        if (pid == ProcessHandle.current().pid()) {
            return m;
        }
        Section.Builder b = Section.builder("HELLO");
        for (String f : m.head().names()) {
            switch (m.head().value(f)) {
                case Long n -> b.number(f, f.equals("pid") ? pid : n);
                case Boolean v -> b.flag(f, v);
                case String t -> b.text(f, t);
                default -> b.descriptor(f, pidfd);
            }
        }
        return Message.of(RecordType.HELLO, b.build(), m.sections());
    }

    private Message next(Channel c) {
        try {
            while (true) {
                var m = c.receive(Deadlines.in(10_000));
                if (m.isPresent()) {
                    return m.get();
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private interface OnOffer {
        void offered(Channel c, FakeBlock block) throws Exception;
    }

    /** A target that says it is the other process, gets the NIC ready, and then does what the test wants. */
    private Map<String, Object> handOverTo(FakeHost.Nic nic, OnOffer onOffer) throws Exception {
        Path path = dir.resolve("raw");
        List<Throwable> wrong = new ArrayList<>();
        try (Fd listener = UnixSockets.listen(fds, path, 0600, "raw target")) {
            service.start("unix:" + path, List.of(nic.id()));
            Poll.readable(10_000, listener.number());
            try (Channel c = new Channel(UnixSockets.accept(listener, fds, true, "raw channel"), fds);
                    Fd pidfd = Processes.open(fds, other.pid())) {
                next(c).close();
                c.send(hello("target", other.pid(), pidfd), Deadlines.in(5_000));
                FakeBlock block = null;
                try (NicImage image = next(c).image()) {
                    block = new FakeBlock(image.section("device").orElseThrow().descriptor("block"));
                    block.setHolder(block.self(), other.pid());
                    c.send(Message.of(RecordType.PREPARED, Message.about(RecordType.PREPARED, nic.id())
                            .number("seq", image.seq()).number("slot", block.self()).build()), Deadlines.in(5_000));
                }
                for (Message m = next(c); m.type() != RecordType.END; m = next(c)) {
                    if (m.type() == RecordType.OFFER) {
                        onOffer.offered(c, block);
                    }
                }
            } catch (UncheckedIOException | IllegalStateException e) {
                // the test closed the channel
                wrong.add(e);
            }
            return HandoverServiceTest.await(service);
        }
    }

    private static void assertWentOn(FakeHost.Nic n, Map<String, Object> status, String reason) {
        assertEquals("failed", status.get("status"));
        assertTrue(status.get("error-desc").toString().contains(reason), status.toString());
        Ownership w = Ownership.decode(n.block.word());
        assertEquals(Phase.OWNED, w.phase());
        assertEquals(0, w.holder());
        assertEquals(1, n.block.readers());
        assertFalse(n.block.wasReadByTwo());
        assertEquals("end", n.calls.getLast());
    }

    @Test
    void aSilentTargetsOfferIsTakenBackAfter200Ms() throws Exception {
        service.stop();
        service = new HandoverService(host, fds, Deadlines.STANDARD);
        FakeHost.Nic n = host.make("nic0");
        long[] at = new long[2];
        Map<String, Object> s = handOverTo(n, (c, block) -> {
            at[0] = System.nanoTime();
            until("taken back", () -> Ownership.decode(block.word()).phase() == Phase.OWNED);
            at[1] = System.nanoTime();
        });
        assertWentOn(n, s, "did not take within 200 ms");
        assertTrue((at[1] - at[0]) / 1_000_000 >= 150, "too early: " + (at[1] - at[0]) / 1_000_000 + " ms");
    }

    @Test
    void aDeadTargetsOfferIsTakenBackAtOnce() throws Exception {
        FakeHost.Nic n = host.make("nic0");
        Map<String, Object> s = handOverTo(n, (c, block) -> other.destroyForcibly().waitFor());
        assertWentOn(n, s, "the target, process " + other.pid() + ", is dead");
    }

    @Test
    void aBrokenChannelMeansTakingBack() throws Exception {
        FakeHost.Nic n = host.make("nic0");
        Map<String, Object> s = handOverTo(n, (c, block) -> c.close());
        assertWentOn(n, s, "closed the channel");
    }

    @Test
    void failedMeansTakingBack() throws Exception {
        FakeHost.Nic n = host.make("nic0");
        Map<String, Object> s = handOverTo(n, (c, block) -> c.send(Message.of(RecordType.FAILED,
                Message.about(RecordType.FAILED, "nic0").text("why", "no memory").build()), Deadlines.in(1_000)));
        assertWentOn(n, s, "no memory");
    }

    @Test
    void aMessageOfTheVmmMeansTakingBackAndTryingAgain() throws Exception {
        FakeHost.Nic n = host.make("nic0");
        int[] offers = new int[1];
        Map<String, Object> s = handOverTo(n, (c, block) -> {
            if (++offers[0] == 1) {
                EventFd.signal(n.connection.number());
                until("taken back", () -> Ownership.decode(block.word()).phase() == Phase.OWNED);
                // the VMM's message is handled
                EventFd.drain(n.connection.number());
            }
        });
        assertWentOn(n, s, "did not take within 3000 ms");
        assertEquals(2, offers[0]);
        assertEquals(List.of("begin", "freeze", "resume"), n.calls.subList(0, 3));
    }

    @Test
    void aVmmThatHungUpKeepsTheNic() throws Exception {
        FakeHost.Nic n = host.make("nic0");
        EventFd.signal(n.connection.number());
        Map<String, Object> s = handOverTo(n, (c, block) -> { });
        assertWentOn(n, s, "the VMM sent a message or a change came in at each of 5 tries");
        assertEquals(0L, 1 - Ownership.decode(n.block.word()).epoch(), "it was never offered");
    }

    @Test
    void whoDiesAfterItTookIsSucceededByTheSource() throws Exception {
        FakeHost.Nic n = host.make("nic0");
        Map<String, Object> s = handOverTo(n, (c, block) -> {
            long w = block.word();
            assertTrue(block.compareAndSet(w, Ownership.decode(w).next(Phase.TAKEN, block.self(), 0).encode()));
            other.destroyForcibly().waitFor();
        });
        assertWentOn(n, s, "dead");
    }

    private static void run(FakeBlock block, Phase phase, int peer) {
        long w = block.word();
        assertTrue(block.compareAndSet(w, Ownership.decode(w).next(phase, block.self(), peer).encode()));
    }

    private void runUntilDropped(Channel c, FakeBlock block) {
        run(block, Phase.RUNNING, 0);
        assertEquals(RecordType.DROPPED, next(c).type());
    }

    /** The end of its channel is seen before its death: the source waits for either a sign of life or the death. */
    @Test
    void whoDiesWhenItRunsIsSucceededByTheSource() throws Exception {
        FakeHost.Nic n = host.make("nic0");
        Map<String, Object> s = handOverTo(n, (c, block) -> {
            block.still();
            run(block, Phase.RUNNING, 0);
            UnixSockets.shutdown(c.socket());
            // longer than the source needs to look; it may have dropped the word before the channel's end, but has its copies
            assertFalse(other.waitFor(100, TimeUnit.MILLISECONDS));
            assertEquals(block.self(), Ownership.decode(block.word()).holder());
            assertFalse(n.calls.contains("letGo"), n.calls.toString());
            other.destroyForcibly().waitFor();
            until("succeeded", () -> {
                Ownership w = Ownership.decode(block.word());
                return w.phase() == Phase.OWNED && w.holder() == 0;
            });
        });
        assertWentOn(n, s, "is dead: it had taken the NIC, which runs here again");
    }

    @Test
    void whoDiesBeforeAllIsInUseIsSucceededByTheSource() throws Exception {
        FakeHost.Nic n = host.make("nic0");
        Map<String, Object> s = handOverTo(n, (c, block) -> {
            runUntilDropped(c, block);
            assertEquals(block.self(), Ownership.decode(block.word()).holder());
            assertFalse(n.calls.contains("letGo"), n.calls.toString());
            other.destroyForcibly().waitFor();
        });
        assertWentOn(n, s, "is dead: it had taken the NIC, which runs here again");
    }

    @Test
    void copiesThatAreBehindAreLetGoAtOnce() throws Exception {
        FakeHost.Nic n = host.make("nic0");
        Map<String, Object> s = handOverTo(n, (c, block) -> {
            runUntilDropped(c, block);
            // a change that the target has brought into effect
            block.seq(block.seq() + 1);
            until("let go", () -> n.calls.contains("letGo"));
        });
        assertEquals("completed", s.get("status"), s.toString());
        assertEquals(0, n.block.readers());
    }

    /** A channel that breaks is no death: a heartbeat that goes on says so. */
    @Test
    void whoRunsOnWithoutAChannelHasTheNic() throws Exception {
        FakeHost.Nic n = host.make("nic0");
        Map<String, Object> s = handOverTo(n, (c, block) -> {
            run(block, Phase.RUNNING, 0);
            UnixSockets.shutdown(c.socket());
            until("dropped", () -> Ownership.decode(block.word()).phase() == Phase.OWNED);
            until("let go", () -> n.calls.contains("letGo"));
        });
        assertEquals("completed", s.get("status"), s.toString());
        assertEquals(1, Ownership.decode(n.block.word()).holder());
        assertEquals(0, n.block.readers());
    }

    /** The source stood still and wakes when the target has taken, run and owned: the NIC has moved, and that is what it says. */
    @Test
    void aSourceThatWakesWhenTheTargetOwnsHasHandedOver() throws Exception {
        FakeHost.Nic n = host.make("nic0");
        Map<String, Object> s = handOverTo(n, (c, block) -> {
            long w = block.word();
            assertTrue(block.compareAndSet(w, Ownership.decode(w).next(Phase.OWNED, block.self(), Ownership.NONE).encode()));
        });
        assertEquals("completed", s.get("status"), s.toString());
        assertEquals("letGo", n.calls.getLast(), n.calls.toString());
        assertEquals(0, n.block.readers());
    }

    @Test
    void whoTakesAndStandsStillIsFencedAndEnded() throws Exception {
        FakeHost.Nic n = host.make("nic0");
        Map<String, Object> s = handOverTo(n, (c, block) -> {
            long w = block.word();
            assertTrue(block.compareAndSet(w, Ownership.decode(w).next(Phase.TAKEN, block.self(), 0).encode()));
        });
        assertWentOn(n, s, "");
        assertTrue(other.waitFor(10, TimeUnit.SECONDS), "the fenced process was ended");
    }

    @Test
    void aTargetThatIsNotWhoItSaysIsRefused() throws Exception {
        FakeHost.Nic n = host.make("nic0");
        Path path = dir.resolve("raw");
        try (Fd listener = UnixSockets.listen(fds, path, 0600, "raw target");
                Fd wrong = Processes.open(fds, ProcessHandle.current().pid())) {
            service.start("unix:" + path, List.of());
            Poll.readable(10_000, listener.number());
            try (Channel c = new Channel(UnixSockets.accept(listener, fds, true, "raw channel"), fds)) {
                next(c).close();
                c.send(hello("target", other.pid(), wrong), Deadlines.in(5_000));
                Message m = next(c);
                assertEquals(RecordType.REFUSED, m.type());
                assertTrue(m.text("why").contains("says that it is process " + other.pid()), m.text("why"));
            }
        }
        assertEquals("failed", HandoverServiceTest.await(service).get("status"));
        assertEquals(List.of(), n.calls);
    }

    private NicImage image(Fd block, Fd connection) {
        return NicImage.of("nic0", 1, 1L << 32, List.of(Section.builder("device").descriptor("block", block)
                .descriptor("connection", connection).build()), null);
    }

    private void sendBytes(Path path, byte[] bytes, int descriptors) throws IOException {
        try (Fd socket = UnixSockets.connect(fds, path, "hostile"); Arena a = Arena.ofConfined();
                Fd surplus = EventFd.create(fds, "surplus")) {
            if (bytes.length > 0) {
                MemorySegment m = a.allocate(bytes.length);
                MemorySegment.copy(bytes, 0, m, java.lang.foreign.ValueLayout.JAVA_BYTE, 0, bytes.length);
                new MessageSocket(socket, fds, "hostile").sendAll(m, bytes.length, java.util.Collections.nCopies(descriptors, surplus));
            }
            // until the service closes it; half a record takes the deadline of the greeting
            Poll.readable(10_000, socket.number());
        }
    }

    @Test
    void garbageHalfARecordAndManyConnectionsLeaveTheSocketUsable() throws Exception {
        Path path = dir.resolve("service");
        service.listen("unix:" + path);
        FakeHost mine = new FakeHost(fds);
        HandoverService source = new HandoverService(mine, fds, Deadlines.STANDARD);
        try {
            mine.make("nic0");
            sendBytes(path, "GET / HTTP/1.1\r\n\r\n and so on".getBytes(StandardCharsets.US_ASCII), 1);
            int before = OpenFiles.count();
            sendBytes(path, "VRHO".getBytes(StandardCharsets.US_ASCII), 1);
            sendBytes(path, new byte[4096], 0);
            List<Fd> flood = new ArrayList<>();
            for (int i = 0; i < 100; i++) {
                flood.add(UnixSockets.connect(fds, path, "flood"));
            }
            flood.forEach(Fd::close);
            until("all closed", () -> OpenFiles.count() <= before);
            source.start("unix:" + path, List.of());
            assertEquals("completed", HandoverServiceTest.await(source).get("status"), source.status().toString());
        } finally {
            source.stop();
            mine.close();
        }
    }
}
