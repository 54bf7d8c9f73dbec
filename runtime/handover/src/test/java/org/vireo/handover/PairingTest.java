// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.vireo.handover.wire.Channel;
import org.vireo.handover.wire.Message;
import org.vireo.handover.wire.RecordType;
import org.vireo.net.api.Fd;
import org.vireo.net.api.nic.NicException;
import org.vireo.posix.Descriptors;
import org.vireo.posix.linux.UnixSockets;
import org.vireo.testsupport.Await;

/** Two services in one process stand by for one another. */
@Timeout(60)
class PairingTest {
    private static final Duration LIMIT = Duration.ofSeconds(20);

    @TempDir
    Path dir;
    private final Descriptors fds = new Descriptors();
    private final FakeHost here = new FakeHost(fds);
    private final FakeHost there = new FakeHost(fds);
    private final List<String> events = Collections.synchronizedList(new ArrayList<>());
    private HandoverService a;
    private HandoverService b;

    @BeforeEach
    void start() throws Exception {
        Rehearsal.run(fds, Deadlines.in(Deadlines.STANDARD.prepare()));
        a = new HandoverService(here, fds, Deadlines.STANDARD);
        b = new HandoverService(there, fds, Deadlines.STANDARD);
        a.addSink((name, data) -> events.add(name + " " + data));
    }

    @AfterEach
    void stop() {
        b.stop();
        a.stop();
        here.close();
        there.close();
    }

    private String uri() {
        return "unix:" + dir.resolve("sockets").resolve("pair");
    }

    private Path path() {
        return dir.resolve("sockets").resolve("pair");
    }

    @SuppressWarnings("unchecked")
    private List<Map<String, Object>> standbys() {
        return (List<Map<String, Object>>) a.standbyStatus().get("standbys");
    }

    private static void await(CountDownLatch l) {
        try {
            assertTrue(l.await(LIMIT.toSeconds(), TimeUnit.SECONDS));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private String fed() {
        return standbys().isEmpty() ? "none" : standbys().getFirst().get("nics").toString();
    }

    @Test
    void theFirstIsActiveAndTheSecondHasAllItsNics() throws Exception {
        assertEquals(Map.of("role", "none"), a.standbyStatus());
        FakeHost.Nic nic0 = here.make("nic0");
        List<String> active = new ArrayList<>();
        a.standBy(uri(), true, problems -> active.add("active" + problems));
        assertEquals(List.of("active[]"), active);
        assertEquals("active", a.standbyStatus().get("role"));
        b.standBy(uri(), true, problems -> active.add("wrong"));
        // it returns when what there is has been prepared
        assertEquals("standby", b.standbyStatus().get("role"));
        assertEquals(ProcessHandle.current().pid(), b.standbyStatus().get("active-pid"));
        assertEquals("[{id=nic0, state=prepared}]", fed());
        assertEquals(true, standbys().getFirst().get("ready"));
        nic0.change();
        Await.until(LIMIT, "the change", () -> there.incoming.getFirst().seq() == nic0.block().seq());
        here.make("nic1");
        here.changed();
        Await.until(LIMIT, "a NIC that came later", () -> fed().equals("[{id=nic0, state=prepared}, {id=nic1, state=prepared}]"));
        here.owned.remove("nic0");
        here.changed();
        Await.until(LIMIT, "a NIC that went", () -> fed().equals("[{id=nic1, state=prepared}]"));
        Await.until(LIMIT, "which the standby lets go", () -> there.incoming.getFirst().calls.contains("close"));
        assertEquals(1, active.size());
        assertTrue(events.stream().anyMatch(e -> e.startsWith("STANDBY_JOINED")), events.toString());
        assertTrue(events.stream().anyMatch(e -> e.startsWith("STANDBY_READY")), events.toString());
        b.stop();
        Await.until(LIMIT, "the standby's end is noticed", () -> standbys().isEmpty());
        Await.until(LIMIT, "and told", () -> events.stream().anyMatch(e -> e.startsWith("STANDBY_LOST")));
    }

    /** It still has what it was prepared with, longer than who ends waits for an answer: as on a machine that is busy. */
    @Test
    void whoEndsTriesAgainWhenItsStandbyIsBusy() throws Exception {
        CountDownLatch refused = new CountDownLatch(1);
        a.addSink((name, data) -> {
            if (name.equals("MIGRATION") && data.containsValue("failed")) {
                refused.countDown();
            }
        });
        here.make("nic0");
        a.standBy(uri(), true, problems -> { });
        b.standBy(uri(), true, problems -> { });
        assertEquals("[{id=nic0, state=prepared}]", fed());
        there.onClose = i -> await(refused);
        a.stop();
        assertEquals(0, refused.getCount());
        assertEquals(Set.of("nic0"), there.owned.keySet());
    }

    @Test
    void whoMayNotBeginWaits() throws Exception {
        b.standBy(uri(), false, problems -> { });
        assertEquals("waiting", b.standbyStatus().get("role"));
        here.make("nic0");
        a.standBy(uri(), true, problems -> { });
        Await.until(LIMIT, "it joins", () -> fed().equals("[{id=nic0, state=prepared}]"));
    }

    @Test
    void whatTheStandbyCannotDoIsTold() throws Exception {
        here.make("nic0");
        here.make("nic1");
        there.onPrepare = i -> {
            if (i.nic().equals("nic0")) {
                throw new NicException("no such backend here");
            }
        };
        a.standBy(uri(), true, problems -> { });
        b.standBy(uri(), true, problems -> { });
        assertEquals("[{id=nic0, state=refused, why=no such backend here}, {id=nic1, state=prepared}]", fed());
        assertTrue(events.stream().anyMatch(e -> e.startsWith("STANDBY_REFUSED") && e.contains("no such backend here")), events.toString());
    }

    /** It comes to have it by itself, and neither side says more than once that it does not. */
    @Test
    void whatTheStandbyCannotDoNowItDoesLater() throws Exception {
        List<String> its = Collections.synchronizedList(new ArrayList<>());
        b.addSink((name, data) -> its.add(name + " " + data));
        FakeHost.Nic nic = here.make("nic0");
        AtomicInteger offers = new AtomicInteger();
        there.onPrepare = i -> {
            if (offers.incrementAndGet() <= 2) {
                throw new NicException("not free yet");
            }
        };
        a.standBy(uri(), true, problems -> { });
        b.standBy(uri(), true, problems -> { });
        assertTrue(b.standbyStatus().get("nics").toString().contains("result=refused"), b.standbyStatus().toString());
        Await.until(LIMIT, "prepared", () -> fed().equals("[{id=nic0, state=prepared}]"));
        assertEquals(3, offers.get());
        assertFalse(b.standbyStatus().get("nics").toString().contains("refused"), b.standbyStatus().toString());
        assertEquals(1, its.stream().filter(e -> e.contains("not free yet")).count(), its.toString());
        assertEquals(1, events.stream().filter(e -> e.startsWith("STANDBY_REFUSED")).count(), events.toString());
        nic.change();
        Await.until(LIMIT, "the change", () -> there.incoming.getFirst().seq() == nic.block().seq());
    }

    /** A standby that does not read keeps nobody waiting for long: it is expelled. */
    @Test
    void whoLagsIsExpelled() throws Exception {
        FakeHost.Nic nic = here.make("nic0");
        a.standBy(uri(), true, problems -> { });
        try (Channel c = new Channel(UnixSockets.connect(fds, path(), "raw standby"), fds); Fd self = Greeting.self(fds)) {
            c.send(Greeting.hello("standby", here.format, Parameters.STANDARD, self), Deadlines.in(2_000));
            Message hello = c.receive(Deadlines.in(2_000)).orElseThrow();
            assertEquals("active", hello.text("role"));
            hello.close();
            Message prepare = c.receive(Deadlines.in(2_000)).orElseThrow();
            assertEquals(RecordType.PREPARE, prepare.type());
            prepare.close();
            for (int i = 0; i < 100_000 && !standbys().isEmpty(); i++) {
                nic.change();
            }
            Await.until(LIMIT, "expelled", () -> standbys().isEmpty());
        }
        assertTrue(events.stream().anyMatch(e -> e.startsWith("STANDBY_LOST") && e.contains("does not read")), events.toString());
        // and the next one is welcome
        b.standBy(uri(), true, problems -> { });
        assertEquals("[{id=nic0, state=prepared}]", fed());
    }

    @Test
    void whoeverIsNoStandbyIsRefused() throws Exception {
        a.standBy(uri(), true, problems -> { });
        try (Channel c = new Channel(UnixSockets.connect(fds, path(), "raw source"), fds); Fd self = Greeting.self(fds)) {
            c.send(Greeting.hello("source", here.format, Parameters.STANDARD, self), Deadlines.in(2_000));
            Message m = c.receive(Deadlines.in(2_000)).orElseThrow();
            assertEquals(RecordType.REFUSED, m.type());
            assertTrue(m.text("why").contains("is a source, not a standby"), m.text("why"));
        }
    }

    @Test
    void wrongCallsAreRefused() throws Exception {
        assertThrows(NicException.class, () -> a.standBy("tcp:host", true, problems -> { }));
        Files.writeString(dir.resolve("file"), "");
        NicException e = assertThrows(NicException.class, () -> a.standBy("unix:" + dir.resolve("file/x"), true, problems -> { }));
        assertTrue(e.getMessage().contains("cannot stand by on"), e.getMessage());
        a.standBy(uri(), true, problems -> { });
        e = assertThrows(NicException.class, () -> a.standBy(uri(), true, problems -> { }));
        assertTrue(e.getMessage().contains("stands by on " + path() + " already"), e.getMessage());
    }
}
