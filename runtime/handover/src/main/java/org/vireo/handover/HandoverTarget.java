// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Optional;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.handover.wire.Channel;
import org.vireo.handover.wire.Message;
import org.vireo.handover.wire.RecordType;
import org.vireo.handover.wire.WireException;
import org.vireo.net.api.Fd;
import org.vireo.net.api.StateFormat;
import org.vireo.posix.linux.Poll;
import org.vireo.posix.linux.Threads;
import org.vireo.posix.linux.UnixSockets;

/**
 * Listens for sources. Whoever connects has to greet properly first, a few at a time; the first who did is served, others are told
 * to wait. So neither garbage nor silence nor many connections keep a source away for longer than a greeting takes.
 */
final class HandoverTarget implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(HandoverTarget.class);
    private static final int GREETINGS = 16;
    private static final int BACK_OFF_MILLIS = 100;
    private static final long LOG_NANOS = 1_000_000_000L;

    private final Context context;
    private final Path path;
    private final BooleanSupplier backendTransfer;
    private final Consumer<Report> reports;
    private final Semaphore serving;
    private final Fd listener;
    private final Cancel stop;
    private final Semaphore greetings = new Semaphore(GREETINGS);
    private final Thread acceptor;
    private volatile Cancel session;
    private long lastWarning;
    private long unsaid;

    /**
     * Begins to listen.
     *
     * @param context what sessions run in
     * @param path of the socket; a missing folder is made, for this user alone
     * @param backendTransfer the parameter, as it is when somebody connects
     * @param serving one permit: one handover at a time in a process
     * @param reports takes the report of each session
     * @throws IOException the socket is taken, or the folder cannot be made
     */
    HandoverTarget(Context context, Path path, BooleanSupplier backendTransfer, Semaphore serving, Consumer<Report> reports)
            throws IOException {
        this.context = context;
        this.path = path;
        this.backendTransfer = backendTransfer;
        this.serving = serving;
        this.reports = reports;
        Path folder = path.toAbsolutePath().getParent();
        if (!Files.isDirectory(folder)) {
            Files.createDirectories(folder.getParent());
            Files.createDirectory(folder, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
        }
        stop = new Cancel(context.fds());
        try {
            listener = UnixSockets.listen(context.fds(), path, 0600, "handover socket " + path);
        } catch (IOException | RuntimeException e) {
            stop.close();
            throw e;
        }
        acceptor = Thread.ofPlatform().daemon().name("handover-listener").start(this::accept);
    }

    Path path() {
        return path;
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
                warn("handover socket " + path + ": " + e.getMessage());
                // no descriptor left, most likely: the connection stays in the queue, so do not spin
                Poll.readable(BACK_OFF_MILLIS, stop.number());
            }
        }
    }

    private void accepted(Fd socket) {
        if (!greetings.tryAcquire()) {
            socket.close();
            warn("handover socket " + path + ": more than " + GREETINGS + " connections at once; closed");
            return;
        }
        Thread.ofPlatform().daemon().name("handover-target").start(() -> {
            Channel channel = new Channel(socket, context.fds());
            Threads.urgent();
            try {
                greet(channel);
            } catch (WireException.Ended e) {
                LOG.debug("handover socket {}: a connection that said nothing", path);
            } catch (HandoverException | IOException e) {
                warn("handover socket " + path + ": refused: " + e.getMessage());
            } catch (RuntimeException e) {
                LOG.error("handover", e);
            } finally {
                channel.close();
                greetings.release();
            }
        });
    }

    private void greet(Channel channel) throws HandoverException, IOException {
        UnixSockets.Peer connected = Greeting.checkUser(channel.socket());
        boolean transfer = backendTransfer.getAsBoolean();
        StateFormat format = context.nics().imageFormat();
        Peer peer = null;
        try {
            peer = greeted(channel, connected.pid(), format, transfer);
            // the one before may be about to end
            if (!acquire(context.deadlines().hello() / 2)) {
                throw new HandoverException("another handover is under way in process " + ProcessHandle.current().pid()
                        + "; try again later");
            }
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
        try {
            serve(channel, peer, format, transfer);
        } finally {
            serving.release();
        }
    }

    private boolean acquire(int millis) throws HandoverException {
        try {
            return serving.tryAcquire(millis, TimeUnit.MILLISECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new HandoverException("interrupted", e);
        }
    }

    private Peer greeted(Channel channel, int connected, StateFormat format, boolean transfer) throws HandoverException, WireException {
        long deadline = Deadlines.in(context.deadlines().hello());
        Optional<Message> m = Optional.empty();
        while (m.isEmpty()) {
            m = channel.receive(deadline);
        }
        try {
            Greeting g = Greeting.of(m.get());
            g.agree("source", format, transfer);
            return g.peer(connected);
        } catch (HandoverException | WireException e) {
            m.get().close();
            throw e;
        }
    }

    private void refuse(Channel channel, String why) {
        try {
            channel.send(Message.of(RecordType.REFUSED, Message.about(RecordType.REFUSED, "").text("why", why).build()),
                    Deadlines.in(context.deadlines().freeze()));
        } catch (WireException e) {
            LOG.debug("handover socket {}: {}", path, e.getMessage());
        }
    }

    private void serve(Channel channel, Peer peer, StateFormat format, boolean transfer) throws IOException {
        LOG.info("handover from {} begins", peer);
        try (Cancel cancel = new Cancel(context.fds())) {
            session = cancel;
            if (stop.asked()) {
                cancel.now(stop.why());
            }
            try (Fd self = Greeting.self(context.fds())) {
                channel.send(Greeting.hello("target", format, transfer, self), Deadlines.in(context.deadlines().hello()));
            }
            Report report = new Report("target", context.events());
            reports.accept(report);
            new TargetSession(context, channel, peer, cancel, report, transfer).run();
        } finally {
            session = null;
            peer.close();
        }
    }

    /** Lets go of what the session under way has not taken. */
    void cancelSession(String why) {
        Cancel c = session;
        if (c != null) {
            c.now(why);
        }
    }

    /** At most one line a second, with the number of those that were not said. Any thread. */
    private synchronized void warn(String what) {
        long now = System.nanoTime();
        if (lastWarning != 0 && now - lastWarning < LOG_NANOS) {
            unsaid++;
            return;
        }
        LOG.warn("{}{}", what, unsaid == 0 ? "" : " (and " + unsaid + " more before)");
        lastWarning = now;
        unsaid = 0;
    }

    /** Stops listening, removes the socket, and cancels the session under way. */
    @Override
    public void close() {
        stop.now("this process does not take NICs any more");
        cancelSession(stop.why());
        try {
            acceptor.join();
            // a session ends by itself, within the deadlines
            greetings.tryAcquire(GREETINGS, context.deadlines().hello() + context.deadlines().record(),
                    TimeUnit.MILLISECONDS);
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
