// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.handover.wire.Channel;
import org.vireo.handover.wire.Message;
import org.vireo.handover.wire.WireException;
import org.vireo.net.api.Fd;
import org.vireo.net.api.nic.Handovers.StandbyListener;
import org.vireo.posix.linux.Poll;
import org.vireo.posix.linux.Threads;
import org.vireo.posix.linux.UnixSockets;

/**
 * Processes that stand by for one another, at one socket. Whoever holds the lock beside it is the active one and listens there; the others
 * connect and are its standbys. When the active one dies a standby takes its NICs, by their words, and then the lock, and is the active
 * one; the lock decides only who listens, never who owns a NIC. One thread until this process is active.
 */
final class Pairing implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Pairing.class);
    private static final int RETRY_MILLIS = 200;
    private static final int LOOK_MILLIS = 50;
    /** A standby that took nothing leaves the place to one that did. */
    private static final int YIELD_MILLIS = 2_000;
    private static final Set<PosixFilePermission> OWN = PosixFilePermissions.fromString("rw-------");

    /** Listens for handovers, for one that comes before the active process ends in good order. */
    interface Targets {
        /** @param standing whose permit is there when this process has let go of all that it stood by with */
        HandoverTarget listen(Path path, Semaphore standing) throws IOException;
    }

    /** What this process is. */
    private enum Role { WAITING, STANDBY, ACTIVE }

    private final Context context;
    private final Path path;
    private final boolean begins;
    private final boolean fences;
    private final Targets targets;
    private final StandbyListener listener;
    private final Cancel stop;
    /** What a NIC was prepared with for the death of its owner must be gone before the owner hands it over. */
    private final Semaphore standing = new Semaphore(1);
    private final CountDownLatch settled = new CountDownLatch(1);
    private final Thread thread;
    private volatile Role role = Role.WAITING;
    private volatile Peer active;
    private volatile Report report;
    private FileChannel lockFile;
    private FileLock lock;
    private StandbyFeeds feeds;
    private HandoverTarget inheritance;

    /**
     * Begins.
     *
     * @param context what sessions run in
     * @param path of the socket; its folder is made if it is missing
     * @param fences whether an active process that stands still is fenced
     * @param begins whether this process may be the first: it has NICs of its own, or is told to serve
     * @param targets makes what the active process can hand its NICs to, when it ends
     * @param listener told when this process has become the active one
     * @throws IOException no descriptor left, or the folder cannot be made
     */
    Pairing(Context context, Path path, boolean fences, boolean begins, Targets targets, StandbyListener listener) throws IOException {
        this.context = new Context(context.nics(), context.fds(), Deadlines.STANDBY, context.events(), false);
        this.path = path;
        this.fences = fences;
        this.begins = begins;
        this.targets = targets;
        this.listener = listener;
        Acceptor.makeFolder(path);
        stop = new Cancel(context.fds());
        thread = Thread.ofPlatform().daemon().name("standby").start(this::run);
    }

    Path path() {
        return path;
    }

    /** Waits until this process is active, or a standby that has all that there is, or waits for an active one. */
    boolean settle(long millis) throws InterruptedException {
        return settled.await(millis, TimeUnit.MILLISECONDS);
    }

    private void run() {
        Threads.urgent();
        boolean mayBegin = begins;
        boolean said = false;
        while (!stop.asked() && role != Role.ACTIVE) {
            try {
                Fd socket = connect();
                if (socket != null) {
                    said = false;
                    stand(socket);
                    mayBegin = true;
                    // whoever took NICs comes first
                    long end = Deadlines.in(YIELD_MILLIS);
                    while (!owns() && !stop.asked() && System.nanoTime() < end) {
                        pause(LOOK_MILLIS);
                    }
                } else if ((mayBegin || owns()) && claim()) {
                    begin();
                } else {
                    if (!said) {
                        said = true;
                        LOG.info("no active process listens on {}: waiting for one", path);
                    }
                    settled.countDown();
                    pause(RETRY_MILLIS);
                }
            } catch (WireException.Ended e) {
                // the active process is about to end
                pause(RETRY_MILLIS);
            } catch (HandoverException | IOException e) {
                LOG.warn("standby on {}: {}", path, e.getMessage());
                pause(YIELD_MILLIS);
            } catch (RuntimeException | Error e) {
                // who protects the NICs goes on
                LOG.error("standby on {}", path, e);
                pause(YIELD_MILLIS);
            }
        }
    }

    private boolean owns() {
        return !context.nics().transferable().isEmpty();
    }

    private void pause(int millis) {
        Poll.readable(millis, stop.number());
    }

    private Fd connect() {
        try {
            return UnixSockets.connect(context.fds(), path, "standby channel");
        } catch (IOException e) {
            LOG.debug("{}", e.getMessage());
            return null;
        }
    }

    /** Stands by until the active process is dead, or does not feed this one any more. */
    private void stand(Fd socket) throws HandoverException, IOException {
        if (inheritance == null) {
            inheritance = targets.listen(StandbyFeeds.heir(path, ProcessHandle.current().pid()), standing);
        }
        standing.acquireUninterruptibly();
        try (Channel channel = new Channel(socket, context.fds()); Peer peer = greet(channel)) {
            active = peer;
            report = new Report("standby", context.events());
            StandbySession session = new StandbySession(context, channel, peer, stop, report, fences, settled::countDown);
            role = Role.STANDBY;
            LOG.info("standby of {}", peer);
            session.run();
            if (session.taken() > 0) {
                context.events().accept("STANDBY_TAKEOVER", Map.of("from", peer.pid(), "nics", session.taken()));
            }
        } finally {
            standing.release();
            role = Role.WAITING;
            active = null;
        }
    }

    private Peer greet(Channel channel) throws HandoverException, IOException {
        Greeting.checkUser(channel.socket());
        Greeting.say(channel, context, "standby", Parameters.STANDARD);
        Message m = channel.receive(Deadlines.in(context.deadlines().hello())).orElseThrow(() -> new WireException("no HELLO"));
        return Greeting.hearAnswer(m, context, "active", Parameters.STANDARD).process();
    }

    private boolean claim() throws IOException {
        if (lockFile == null) {
            lockFile = FileChannel.open(Path.of(path + ".lock"), Set.of(StandardOpenOption.CREATE, StandardOpenOption.WRITE),
                    PosixFilePermissions.asFileAttribute(OWN));
        }
        try {
            lock = lockFile.tryLock();
        } catch (OverlappingFileLockException e) {
            return false;
        }
        return lock != null;
    }

    /** This process is the active one: it starts what nobody has, and feeds who comes. */
    private void begin() throws IOException {
        synchronized (this) {
            if (stop.asked()) {
                return;
            }
            feeds = new StandbyFeeds(context, path, this::nothingLeft);
        }
        role = Role.ACTIVE;
        disinherit();
        List<String> problems = context.nics().startAwaiting();
        LOG.info("active: standbys may join on {}", path);
        context.events().accept("STANDBY_ACTIVE", Map.of("nics", context.nics().transferable().size()));
        listener.active(problems);
        settled.countDown();
    }

    /** A process that hung and has nothing more to serve keeps nobody else from being the active one. */
    private void nothingLeft() {
        LOG.warn("a standby has taken all NICs, since this process stood still");
        listener.fenced();
    }

    private void disinherit() {
        if (inheritance != null) {
            inheritance.close();
            inheritance = null;
        }
    }

    /**
     * This process is about to end in good order: nobody stands by for it any more.
     *
     * @return where a standby can be handed the NICs, or null
     */
    Path bequeath() {
        StandbyFeeds f;
        synchronized (this) {
            f = feeds;
        }
        return f == null ? null : f.bequeath();
    }

    /** As query-standby tells it. */
    synchronized Map<String, Object> toMap() {
        Map<String, Object> m = new LinkedHashMap<>();
        m.put("role", role.name().toLowerCase(Locale.ROOT));
        m.put("socket", path.toString());
        m.put("fence", fences ? "auto" : "off");
        if (feeds != null) {
            m.put("standbys", feeds.toList());
        }
        Peer a = active;
        if (a != null) {
            m.put("active-pid", a.pid());
        }
        Report r = report;
        if (r != null && role != Role.ACTIVE) {
            m.put("nics", r.toMap().get("nics"));
        }
        return m;
    }

    @Override
    public void close() {
        stop.now("this process is ending");
        StandbyFeeds f;
        synchronized (this) {
            f = feeds;
        }
        try {
            thread.join(context.deadlines().prepare());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        if (f != null) {
            f.close();
        }
        disinherit();
        stop.close();
        try {
            if (lockFile != null) {
                lockFile.close();
            }
        } catch (IOException e) {
            LOG.debug("lock of {}", path, e);
        }
    }
}
