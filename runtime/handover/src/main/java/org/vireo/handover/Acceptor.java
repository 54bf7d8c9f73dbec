// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Optional;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.handover.wire.Channel;
import org.vireo.handover.wire.Message;
import org.vireo.handover.wire.RecordType;
import org.vireo.handover.wire.WireException;
import org.vireo.net.api.Fd;
import org.vireo.posix.linux.Poll;
import org.vireo.posix.linux.Threads;
import org.vireo.posix.linux.UnixSockets;

/**
 * Listens for other processes. Whoever connects has to greet properly first, a few at a time: so neither garbage nor silence nor many
 * connections keep anybody away for longer than a greeting takes.
 */
final class Acceptor implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Acceptor.class);
    private static final int GREETINGS = 16;
    private static final int BACK_OFF_MILLIS = 100;
    private static final long LOG_NANOS = 1_000_000_000L;

    private final Context context;
    private final Path path;
    private final String what;
    private final Visitor visitor;
    private final Fd listener;
    private final Cancel stop;
    private final Semaphore visits = new Semaphore(GREETINGS);
    private final Thread thread;
    private long lastWarning;
    private long unsaid;

    /** What is done with a connection. */
    interface Visitor {
        /**
         * Greets and serves; returns at the end. On a thread of its own.
         *
         * @param channel closed by the caller
         * @throws HandoverException it is refused, and was told so
         * @throws IOException the channel broke
         */
        void serve(Channel channel) throws HandoverException, IOException;
    }

    /**
     * Begins to listen.
     *
     * @param context what sessions run in
     * @param path of the socket; a missing folder is made, for this user alone
     * @param what the socket's name for people
     * @param visitor serves connections
     * @throws IOException the socket is taken, or the folder cannot be made
     */
    Acceptor(Context context, Path path, String what, Visitor visitor) throws IOException {
        this.context = context;
        this.path = path;
        this.what = what + " " + path;
        this.visitor = visitor;
        makeFolder(path);
        stop = new Cancel(context.fds());
        try {
            listener = UnixSockets.listen(context.fds(), path, 0600, this.what);
        } catch (IOException | RuntimeException e) {
            stop.close();
            throw e;
        }
        thread = Thread.ofPlatform().daemon().name(what.replace(' ', '-')).start(this::accept);
    }

    /** Makes the folder of a path, for this user alone, if it is missing. */
    static void makeFolder(Path path) throws IOException {
        Path folder = path.toAbsolutePath().getParent();
        if (!Files.isDirectory(folder)) {
            Files.createDirectories(folder.getParent());
            Files.createDirectory(folder, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
        }
    }

    Path path() {
        return path;
    }

    /** Why it stops, or null. */
    String stopped() {
        return stop.why();
    }

    private void accept() {
        while (!stop.asked()) {
            Poll.readable(-1, listener.number(), stop.number());
            if (stop.asked()) {
                return;
            }
            try {
                Fd socket = UnixSockets.accept(listener, context.fds(), true, "handover channel");
                if (socket != null) {
                    accepted(socket);
                }
            } catch (IOException | RuntimeException e) {
                warn(e.getMessage());
                // no descriptor left, most likely: the connection stays in the queue, so do not spin
                Poll.readable(BACK_OFF_MILLIS, stop.number());
            }
        }
    }

    private void accepted(Fd socket) {
        if (!visits.tryAcquire()) {
            socket.close();
            warn("more than " + GREETINGS + " connections at once; closed");
            return;
        }
        Thread.ofPlatform().daemon().name(thread.getName() + "-visit").start(() -> {
            Channel channel = new Channel(socket, context.fds());
            Threads.urgent();
            try {
                visitor.serve(channel);
            } catch (WireException.Ended e) {
                LOG.debug("{}: a connection that said nothing", what);
            } catch (HandoverException | IOException e) {
                warn("refused: " + e.getMessage());
            } catch (RuntimeException e) {
                LOG.error(what, e);
            } finally {
                channel.close();
                visits.release();
            }
        });
    }

    /** Something to do with who greeted, before it is answered. */
    interface Check {
        void run() throws HandoverException;
    }

    /**
     * Reads the greeting of who connected.
     *
     * @param channel the connection
     * @param role what the other side must be
     * @param parameters as they are here
     * @param check may refuse it too
     * @return the other side
     * @throws HandoverException it does not fit; it was told so
     * @throws WireException the channel broke, or no greeting came
     */
    Peer greeted(Channel channel, String role, Parameters parameters, Check check) throws HandoverException, IOException {
        UnixSockets.Peer connected = Greeting.checkUser(channel.socket());
        Peer peer = null;
        try {
            peer = read(channel, connected.pid(), role, parameters);
            check.run();
            return peer;
        } catch (HandoverException | WireException e) {
            if (peer != null) {
                peer.close();
            }
            if (!(e instanceof WireException.Ended)) {
                refuse(channel, e.getMessage());
            }
            if (e instanceof HandoverException) {
                throw new HandoverException("process " + connected.pid() + ": " + e.getMessage(), e);
            }
            throw e instanceof WireException.Ended ended ? ended
                    : new WireException("process " + connected.pid() + ": " + e.getMessage(), e);
        }
    }

    private Peer read(Channel channel, int connected, String role, Parameters parameters) throws HandoverException, WireException {
        long deadline = Deadlines.in(context.deadlines().hello());
        Optional<Message> m = Optional.empty();
        while (m.isEmpty()) {
            m = channel.receive(deadline);
        }
        return Greeting.hear(m.get(), context, role, parameters, connected).process();
    }

    private void refuse(Channel channel, String why) {
        try {
            channel.send(Message.of(RecordType.REFUSED, Message.about(RecordType.REFUSED, "").text("why", why).build()),
                    Deadlines.in(context.deadlines().freeze()));
        } catch (WireException e) {
            LOG.debug("{}: {}", what, e.getMessage());
        }
    }

    /** Answers a greeting. */
    void answer(Channel channel, String role, Parameters parameters) throws IOException {
        Greeting.say(channel, context, role, parameters);
    }

    /** At most one line a second, with the number of those that were not said. Any thread. */
    private synchronized void warn(String why) {
        long now = System.nanoTime();
        if (lastWarning != 0 && now - lastWarning < LOG_NANOS) {
            unsaid++;
            return;
        }
        LOG.warn("{}: {}{}", what, why, unsaid == 0 ? "" : " (and " + unsaid + " more before)");
        lastWarning = now;
        unsaid = 0;
    }

    /** No more connections are accepted; those that there are go on. */
    void stop(String why) {
        stop.now(why);
    }

    /** Stops listening, removes the socket, and waits for those who are served: they have been asked to end. */
    @Override
    public void close() {
        stop.now("this process is ending");
        try {
            thread.join();
            // a session ends by itself, within the deadlines
            visits.tryAcquire(GREETINGS, context.deadlines().hello() + context.deadlines().record(), TimeUnit.MILLISECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        listener.close();
        stop.close();
        try {
            Files.deleteIfExists(path);
        } catch (IOException e) {
            LOG.warn("cannot remove {}: {}", path, e.getMessage());
        }
    }
}
