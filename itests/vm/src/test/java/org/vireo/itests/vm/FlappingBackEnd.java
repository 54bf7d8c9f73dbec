// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.vireo.net.api.Fd;
import org.vireo.posix.Descriptors;
import org.vireo.posix.linux.Poll;
import org.vireo.posix.linux.UnixSockets;
import org.vireo.vhostuser.Look;
import org.vireo.vhostuser.MalformedMessageException;
import org.vireo.vhostuser.Message;
import org.vireo.vhostuser.MessageChannel;
import org.vireo.vhostuser.ProtocolFeatures;
import org.vireo.vhostuser.VringState;

/**
 * An external back-end that hangs up after some milliseconds, in the middle of whatever it is told, and is there again at once. It takes no
 * frame out of a ring. A thread of its own.
 */
final class FlappingBackEnd implements AutoCloseable {
    private static final long PROTOCOL = ProtocolFeatures.MQ | ProtocolFeatures.REPLY_ACK | ProtocolFeatures.RESET_DEVICE;
    private static final int RINGS = 2;

    private final Descriptors fds = new Descriptors();
    private final Random random = new Random(71);
    private final Path path;
    private final long features;
    private final int mostMillis;
    private final Fd listener;
    private final int[] bases = new int[RINGS];
    private final Thread thread;
    private volatile boolean ending;
    private volatile int connections;
    private volatile Throwable failed;

    /**
     * Listens.
     *
     * @param features that it offers
     * @param mostMillis how long a connection lasts
     */
    FlappingBackEnd(Path path, long features, int mostMillis) throws IOException {
        this.path = path;
        this.features = features;
        this.mostMillis = mostMillis;
        Files.deleteIfExists(path);
        listener = UnixSockets.listen(fds, path, 0600, "back-end");
        thread = Thread.ofPlatform().daemon().name("flapping back-end").start(this::run);
    }

    private void run() {
        try {
            while (!ending) {
                Fd s = Poll.readable(10, listener.number()) == 0 ? null : UnixSockets.accept(listener, fds, true, "front-end");
                if (s != null) {
                    connections++;
                    try (s) {
                        serve(MessageChannel.of(s, fds, "front-end"), System.nanoTime()
                                + TimeUnit.MICROSECONDS.toNanos(random.nextInt(1_000 * mostMillis)));
                    } catch (IOException e) {
                        // the other side has hung up before
                    }
                }
            }
        } catch (IOException | MalformedMessageException | RuntimeException | Error e) {
            failed = e;
        }
    }

    private void serve(MessageChannel c, long end) throws IOException, MalformedMessageException {
        while (!ending && System.nanoTime() - end < 0) {
            switch (c.peek()) {
                case Look.Whole(Message m) -> {
                    try (m) {
                        answer(c, m);
                        c.consume(m);
                    }
                }
                case Look.End over -> {
                    return;
                }
                case Look.Nothing nothing -> Poll.readable(1, c.socket().number());
                case Look.Partial partial -> Poll.readable(1, c.socket().number());
            }
        }
    }

    private void answer(MessageChannel c, Message m) throws IOException, MalformedMessageException {
        long soon = System.nanoTime() + TimeUnit.SECONDS.toNanos(1);
        switch (m.request().orElseThrow()) {
            case GET_FEATURES -> c.replyU64(m, features, soon);
            case GET_PROTOCOL_FEATURES -> c.replyU64(m, PROTOCOL, soon);
            case GET_QUEUE_NUM -> c.replyU64(m, 1, soon);
            case SET_VRING_BASE -> bases[m.vringState().index()] = m.vringState().num();
            case GET_VRING_BASE -> {
                int ring = m.vringState().index();
                c.reply(m, new VringState(ring, bases[ring]).payload(), List.of(), soon);
            }
            default -> { /* taken, nothing to do */ }
        }
        if (m.needsReply() && m.request().orElseThrow().replyShape() == null) {
            c.replyU64(m, 0, soon);
        }
    }

    /** How often somebody has connected. */
    int connections() {
        if (failed != null) {
            throw new AssertionError("the back-end did not understand what it was told", failed);
        }
        return connections;
    }

    @Override
    public void close() throws IOException {
        ending = true;
        try {
            thread.join(10_000);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        listener.close();
        Files.deleteIfExists(path);
    }
}
