// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.vireo.handover.wire.Message;
import org.vireo.handover.wire.RecordType;
import org.vireo.net.api.Section;
import org.vireo.net.api.nic.NicException;
import org.vireo.testsupport.Await;

/** An active process whose standby is made by hand: one that refuses. */
@Timeout(60)
class FeedSessionTest {
    private static final Duration LIMIT = Duration.ofSeconds(15);
    private static final int AGAIN_MILLIS = 50;

    private SessionFixture f;
    private FakeHost host;
    private Wake wake;
    private FeedSession session;

    @BeforeEach
    void start() throws Exception {
        f = new SessionFixture();
        host = f.host;
        wake = new Wake(f.fds);
    }

    @AfterEach
    void stop() throws InterruptedException {
        f.end();
        wake.close();
    }

    private void feed(int againMillis) {
        session = new FeedSession(f.context(Deadlines.STANDBY.withAgain(againMillis)), f.mine(), f.peer(), f.cancel, wake);
        host.watch(session::changed);
        f.start(session::run);
    }

    /** The next record that is no PING. */
    private RecordType next() throws IOException {
        long end = System.nanoTime() + LIMIT.toNanos();
        while (System.nanoTime() - end < 0) {
            Message m = f.theirs().receive(Deadlines.in(10_000)).orElse(null);
            if (m != null && m.type() != RecordType.PING) {
                m.close();
                return m.type();
            }
            if (m != null) {
                f.tell(RecordType.PONG, Section.builder("PONG").build());
            }
        }
        throw new AssertionError("the active process says nothing but PING; it counts " + nics());
    }

    private void answer(RecordType type, String nic, String why) throws IOException {
        Section.Builder b = Message.about(type, nic);
        f.tell(type, (type == RecordType.PREPARED ? b : b.text("why", why)).build());
    }

    private void refuse(String nic, String why) throws IOException {
        assertEquals(RecordType.PREPARE, next());
        answer(RecordType.REFUSED, nic, why);
    }

    private String nics() {
        return session.toMap().get("nics").toString();
    }

    @Test
    void whatIsRefusedTwiceIsTakenThen() throws Exception {
        FakeHost.Nic nic = host.make("nic0");
        feed(AGAIN_MILLIS);
        refuse("nic0", "not free yet");
        assertEquals(RecordType.SYNCED, next());
        assertEquals("[{id=nic0, state=refused, why=not free yet}]", nics());
        nic.change();
        assertEquals(RecordType.GONE, next());
        long refused = System.nanoTime();
        refuse("nic0", "not free yet");
        assertEquals(RecordType.GONE, next());
        assertTrue(System.nanoTime() - refused >= 2 * AGAIN_MILLIS * Deadlines.NANOS, "it is left alone for longer each time");
        assertEquals(RecordType.PREPARE, next());
        assertEquals("[{id=nic0, state=refused, why=not free yet}]", nics(), "that it is offered again is no better yet");
        answer(RecordType.PREPARED, "nic0", "");
        Await.until(LIMIT, "prepared", () -> nics().equals("[{id=nic0, state=prepared}]"));
        nic.change();
        assertEquals(RecordType.CHANGE, next());
        Await.until(LIMIT, "it is told", () -> f.events("STANDBY_PREPARED").size() == 1);
        assertEquals(1, f.events("STANDBY_REFUSED").size(), f.events.toString());
        assertEquals(List.of("STANDBY_READY {pid=" + f.other.pid() + ", nics=1, without=[nic0]}"),
                f.events("STANDBY_READY").stream().map(e -> e.replaceAll("nics=1, pid=(\\d+)", "pid=$1, nics=1")).toList());
        assertEquals(List.of(), session.without());
    }

    /** What the standby lacks when it is offered again is what there is then. */
    @Test
    void whatIsOfferedAgainIsOfThePresent() throws Exception {
        FakeHost.Nic nic = host.make("nic0");
        feed(AGAIN_MILLIS);
        refuse("nic0", "not free yet");
        assertEquals(RecordType.SYNCED, next());
        nic.change();
        nic.change();
        assertEquals(RecordType.GONE, next());
        Message m = f.theirs().receive(Deadlines.in(10_000)).orElseThrow();
        assertEquals(RecordType.PREPARE, m.type());
        assertEquals(nic.block().seq(), m.image().seq());
        m.close();
    }

    @Test
    void anotherReasonIsTold() throws Exception {
        host.make("nic0");
        feed(AGAIN_MILLIS);
        refuse("nic0", "not free yet");
        assertEquals(RecordType.SYNCED, next());
        assertEquals(RecordType.GONE, next());
        refuse("nic0", "no such backend");
        Await.until(LIMIT, "told", () -> f.events("STANDBY_REFUSED").size() == 2);
        assertTrue(f.events("STANDBY_REFUSED").getLast().contains("no such backend"), f.events.toString());
    }

    /** A change that the standby could not apply is a refusal too. */
    @Test
    void whatFailedThereIsOfferedAgain() throws Exception {
        FakeHost.Nic nic = host.make("nic0");
        feed(AGAIN_MILLIS);
        assertEquals(RecordType.PREPARE, next());
        answer(RecordType.PREPARED, "nic0", "");
        assertEquals(RecordType.SYNCED, next());
        nic.change();
        assertEquals(RecordType.CHANGE, next());
        answer(RecordType.FAILED, "nic0", "no memory");
        assertEquals(RecordType.GONE, next());
        assertEquals(RecordType.PREPARE, next());
        answer(RecordType.PREPARED, "nic0", "");
        Await.until(LIMIT, "prepared", () -> nics().equals("[{id=nic0, state=prepared}]"));
    }

    /** The pause is the former NIC's. */
    @Test
    void anotherNicOfTheSameIdIsOfferedAtOnce() throws Exception {
        host.make("nic0");
        feed(600_000);
        refuse("nic0", "not free yet");
        assertEquals(RecordType.SYNCED, next());
        host.owned.remove("nic0");
        host.changed();
        assertEquals(RecordType.GONE, next());
        assertEquals("[]", nics());
        host.make("nic0");
        host.changed();
        assertEquals(RecordType.PREPARE, next());
        assertEquals("[{id=nic0, state=preparing}]", nics());
    }

    /** The refusal of an offer that is void already: the standby may have accepted the next one. */
    @Test
    void whatTheStandbyHasWithoutThatThisIsKnownIsMadeAnew() throws Exception {
        FakeHost.Nic nic = host.make("nic0");
        feed(AGAIN_MILLIS);
        assertEquals(RecordType.PREPARE, next());
        nic.lose("its backend leaves");
        assertEquals(RecordType.GONE, next());
        assertEquals(RecordType.PREPARE, next());
        answer(RecordType.REFUSED, "nic0", "not free yet");
        answer(RecordType.PREPARED, "nic0", "");
        assertEquals(RecordType.SYNCED, next());
        assertEquals(RecordType.GONE, next());
        assertEquals(RecordType.PREPARE, next());
    }

    @Test
    void whatCannotBeFollowedIsTold() throws Exception {
        host.make("nic0");
        host.onFollow = n -> {
            throw new NicException("its backend is away");
        };
        feed(AGAIN_MILLIS);
        assertEquals(RecordType.SYNCED, next());
        assertEquals("[{id=nic0, state=unavailable, why=its backend is away}]", nics());
        assertEquals(List.of("nic0"), session.without());
        host.onFollow = n -> { };
        host.changed();
        assertEquals(RecordType.PREPARE, next());
        Await.until(LIMIT, "it is told", () -> nics().equals("[{id=nic0, state=preparing}]"));
    }
}
