// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.io.IOException;
import java.nio.file.Path;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.handover.wire.Channel;

/** Listens for sources. The first who greets properly is served, others are told to wait. */
final class HandoverTarget implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(HandoverTarget.class);

    private final Context context;
    private final Supplier<Parameters> parameters;
    private final Consumer<Report> reports;
    private final Semaphore before;
    private final Semaphore serving;
    private final Acceptor acceptor;
    private volatile Cancel session;

    /**
     * Begins to listen.
     *
     * @param context what sessions run in
     * @param path of the socket; a missing folder is made, for this user alone
     * @param parameters as they are when somebody connects
     * @param before whose permit is there when what comes before a handover here is over
     * @param serving one permit: one handover at a time in a process
     * @param reports takes the report of each session
     * @throws IOException the socket is taken, or the folder cannot be made
     */
    HandoverTarget(Context context, Path path, Supplier<Parameters> parameters, Semaphore before, Semaphore serving,
            Consumer<Report> reports) throws IOException {
        this.context = context;
        this.parameters = parameters;
        this.before = before;
        this.serving = serving;
        this.reports = reports;
        acceptor = new Acceptor(context, path, "handover socket", this::greet);
    }

    Path path() {
        return acceptor.path();
    }

    private void greet(Channel channel) throws HandoverException, IOException {
        Parameters p = parameters.get();
        Peer peer = acceptor.greeted(channel, "source", p, this::acquire);
        try {
            serve(channel, peer, p);
        } finally {
            serving.release();
        }
    }

    private void acquire() throws HandoverException {
        try {
            // the one before may be about to end
            if (before.tryAcquire(context.deadlines().hello() / 4, TimeUnit.MILLISECONDS)) {
                before.release();
                if (serving.tryAcquire(context.deadlines().hello() / 4, TimeUnit.MILLISECONDS)) {
                    return;
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        throw new HandoverException("another handover is under way in process " + ProcessHandle.current().pid() + "; try again later");
    }

    private void serve(Channel channel, Peer peer, Parameters p) throws IOException {
        LOG.info("handover from {} begins", peer);
        try (Cancel cancel = new Cancel(context.fds())) {
            session = cancel;
            if (acceptor.stopped() != null) {
                cancel.now(acceptor.stopped());
            }
            acceptor.answer(channel, "target", p);
            Report report = new Report("target", context.events());
            reports.accept(report);
            new TargetSession(context, channel, peer, cancel, report, p).run();
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

    /** Stops listening, removes the socket, and cancels the session under way. */
    @Override
    public void close() {
        String why = "this process does not take NICs any more";
        acceptor.stop(why);
        cancelSession(why);
        acceptor.close();
    }
}
