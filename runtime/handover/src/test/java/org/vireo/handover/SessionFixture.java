// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.vireo.handover.wire.Channel;
import org.vireo.handover.wire.Message;
import org.vireo.handover.wire.RecordType;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Section;
import org.vireo.net.api.nic.NicImage;
import org.vireo.posix.Descriptors;
import org.vireo.posix.linux.EventFd;
import org.vireo.posix.linux.Processes;
import org.vireo.posix.linux.UnixSockets;

/**
 * A session of this process, and the other side made by hand: a process that does nothing, and its end of the channel after the greeting.
 * The test speaks for it. The session has a thread of its own, all else is the test's.
 */
final class SessionFixture {
    private static final long END_MILLIS = 20_000;

    final Descriptors fds = new Descriptors();
    final FakeHost host = new FakeHost(fds);
    /** What this process told its operator, as name and data. */
    final List<String> events = Collections.synchronizedList(new ArrayList<>());
    /** The other process; it exits with 3 at the end of its input. */
    final Process other;
    final Cancel cancel;
    private Channel theirs;
    private Channel mine;
    private Peer peer;
    private Thread thread;

    SessionFixture() throws IOException {
        other = new ProcessBuilder("sh", "-c", "read x; exit 3").start();
        cancel = new Cancel(fds);
        connect();
    }

    /** A channel, and a view of the other process; if there was one before, it breaks, and its session has to end. */
    void connect() throws IOException {
        if (theirs != null) {
            theirs.close();
            awaitEnd();
        }
        Fd[] pair = UnixSockets.pair(fds, 1, false, "channel of a test");
        theirs = new Channel(pair[0], fds);
        mine = new Channel(pair[1], fds);
        peer = new Peer(fds, other.pid(), Processes.open(fds, other.pid()));
    }

    /** The other process's end. */
    Channel theirs() {
        return theirs;
    }

    /** This process's end, for the session. */
    Channel mine() {
        return mine;
    }

    /** The other process, for the session. */
    Peer peer() {
        return peer;
    }

    Context context(Deadlines deadlines) {
        return new Context(host, fds, deadlines, (name, data) -> events.add(name + " " + data), false);
    }

    /** The events of these names. */
    List<String> events(String start) {
        synchronized (events) {
            return events.stream().filter(e -> e.startsWith(start)).toList();
        }
    }

    /** Starts the session. */
    void start(Runnable session) {
        thread = Thread.ofPlatform().start(session);
    }

    /** Waits for the session's end. */
    void awaitEnd() {
        if (thread == null) {
            return;
        }
        try {
            thread.join(END_MILLIS);
        } catch (InterruptedException e) {
            throw new AssertionError("interrupted", e);
        }
        assertFalse(thread.isAlive(), "the session does not end");
    }

    /** The next record from this process. */
    Message next() throws IOException {
        while (true) {
            var m = theirs.receive(Deadlines.in(10_000));
            if (m.isPresent()) {
                return m.get();
            }
        }
    }

    /** Sends a record without descriptors. */
    void tell(RecordType type, Section head) throws IOException {
        theirs.send(Message.of(type, head), Deadlines.in(1_000));
    }

    /** The other process has a NIC, and this one accepts to prepare it. */
    FakeBlock prepare(String id) throws IOException {
        FakeBlock block;
        try (Fd file = FakeBlock.create(fds, id); Fd connection = EventFd.create(fds, "connection")) {
            block = new FakeBlock(file);
            block.initialise();
            block.setHolder(0, other.pid());
            try (NicImage i = NicImage.of(id, 1, 1L << 32, List.of(Section.builder("device").descriptor("block", file)
                    .descriptor("connection", connection).build()), null)) {
                theirs.send(Message.of(RecordType.PREPARE, i), Deadlines.in(5_000));
            }
        }
        Message m = next();
        assertEquals(RecordType.PREPARED, m.type(), m.toString());
        return block;
    }

    /** The other process is killed. */
    void kill() throws InterruptedException {
        other.destroyForcibly().waitFor();
        theirs.close();
    }

    /** The other process exits by itself, with 3. */
    void exit() throws IOException, InterruptedException {
        other.getOutputStream().close();
        other.waitFor();
        theirs.close();
    }

    /** Ends both sides. */
    void end() throws InterruptedException {
        cancel.now("the test ends");
        other.destroyForcibly().waitFor(10, TimeUnit.SECONDS);
        theirs.close();
        awaitEnd();
        mine.close();
        peer.close();
        cancel.close();
        host.close();
    }
}
