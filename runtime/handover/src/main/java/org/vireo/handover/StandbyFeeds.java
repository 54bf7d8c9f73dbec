// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.locks.LockSupport;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.handover.wire.Channel;
import org.vireo.net.api.nic.Nics;

/** The active side: listens for standbys and feeds each of them. */
final class StandbyFeeds implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(StandbyFeeds.class);

    private static final long END_NANOS = 2_000 * Deadlines.NANOS;
    private static final long LOOK_NANOS = Deadlines.NANOS;

    private final Context context;
    private final Acceptor acceptor;
    private final Nics.Registration watch;
    private final FenceWatch fences;
    private final List<FeedSession> sessions = new CopyOnWriteArrayList<>();

    /**
     * Begins to listen.
     *
     * @param context what sessions run in
     * @param path of the socket
     * @param nothingLeft told when a standby has taken the last NIC because this process stood still
     * @throws IOException the socket is taken
     */
    StandbyFeeds(Context context, Path path, Runnable nothingLeft) throws IOException {
        this.context = context;
        acceptor = new Acceptor(context, path, "standby socket", this::serve);
        try {
            fences = new FenceWatch(context, nothingLeft);
        } catch (IOException | RuntimeException e) {
            acceptor.close();
            throw e;
        }
        watch = context.nics().watch(() -> sessions.forEach(FeedSession::changed));
    }

    private void serve(Channel channel) throws HandoverException, IOException {
        try (Peer peer = acceptor.greeted(channel, "standby", Parameters.STANDARD, () -> { }); Cancel cancel = new Cancel(context.fds());
                Wake wake = new Wake(context.fds())) {
            acceptor.answer(channel, "active", Parameters.STANDARD);
            FeedSession s = new FeedSession(context, channel, peer, cancel, wake);
            sessions.add(s);
            if (acceptor.stopped() != null) {
                s.end(acceptor.stopped());
            }
            LOG.info("standby {} joins", peer);
            context.events().accept("STANDBY_JOINED", Map.of("pid", peer.pid()));
            String why = "";
            try {
                why = s.run();
            } finally {
                sessions.remove(s);
                LOG.warn("standby {} has gone: {}", peer, why);
                context.events().accept("STANDBY_LOST", Map.of("pid", peer.pid(), "reason", why));
            }
        }
    }

    /** As query-standby tells them. */
    List<Map<String, Object>> toList() {
        return sessions.stream().map(FeedSession::toMap).toList();
    }

    /**
     * Ends all feeds. A standby that was ready may be handed the NICs now, as in any handover; best one that has them all.
     *
     * @return where it waits for that, or null if there is none
     */
    Path bequeath() {
        Path heir = sessions.stream().filter(FeedSession::isReady).min(Comparator.comparingInt(s -> s.without().size()))
                .map(s -> heir(acceptor.path(), s.peer().pid())).orElse(null);
        end();
        long deadline = System.nanoTime() + END_NANOS;
        while (!sessions.isEmpty() && System.nanoTime() < deadline) {
            LockSupport.parkNanos(LOOK_NANOS);
        }
        return heir;
    }

    /** Where a standby can be handed NICs. */
    static Path heir(Path pairing, long pid) {
        return Path.of(pairing + "." + pid);
    }

    private void end() {
        String why = "the active process ends";
        acceptor.stop(why);
        sessions.forEach(s -> s.end(why));
    }

    @Override
    public void close() {
        end();
        watch.close();
        acceptor.close();
        fences.close();
    }
}
