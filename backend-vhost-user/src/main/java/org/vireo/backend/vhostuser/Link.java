// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import java.io.IOException;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantLock;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.net.api.Fd;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.OpenContext;
import org.vireo.net.api.StatisticsSink;
import org.vireo.vhostuser.FlapDamping;

/**
 * A port's link to its back-end: notices that it goes, waits for the next one, and brings that up. The {@link Watcher} does that on its
 * thread; it speaks with a new back-end without the lock, and takes it to make it the port's.
 *
 * <p>With the port's lock, but for what says otherwise.
 */
final class Link implements Watcher.Duty {
    private static final Logger LOG = LoggerFactory.getLogger(Link.class);
    /** How long a new back-end has for its side of the negotiation, and as long again for being told. */
    private static final long ATTEMPT_NANOS = TimeUnit.SECONDS.toNanos(1);
    /** Quiesce has 200 ms. */
    private static final long PAUSE_MILLIS = 150;
    private static final long END_MILLIS = 2_000;
    /** How often the same complaint is repeated. */
    private static final long QUIET_NANOS = TimeUnit.SECONDS.toNanos(10);
    /** How often it is said that the listening socket was removed, at most. */
    private static final long REMOVAL_NANOS = TimeUnit.SECONDS.toNanos(1);
    /** When this side has hung up itself, it calls again, also where it would not do so otherwise. */
    private static final long AFRESH_NANOS = TimeUnit.SECONDS.toNanos(5);
    /** How often who waits for a former back-end says so, at most. */
    private static final int FORMER_MILLIS = 1_000;
    /** How often who waits for a back-end to connect looks whether it still can. */
    private static final int LISTENER_MILLIS = 1_000;

    private final VhostUserOptions options;
    private final OpenContext context;
    private final ReentrantLock lock;
    private final Device device;
    private final Endpoint endpoint;
    /** Lost ones, which the watcher may still be polling: it closes them. */
    private final List<Connection> lost = new ArrayList<>();
    private volatile Connection connection;
    /** One that did not answer when it had rings: until it is over, nobody else gets them. Null: there is none. */
    private Connection former;
    private Offer offer;
    private final Backoff backoff;
    /** What is logged of back-ends that come and go. */
    private final FlapDamping news;
    private Watcher watcher;
    private Exception failure;
    /** Null: nothing that is still true. */
    private Saved saved;
    private volatile long connects;
    /** Until when this side calls again since it has hung up itself; 0: it has not. */
    private long afreshUntil;
    private long nextAttempt = System.nanoTime();
    private long pauseMillis;
    /** How the last back-end went. */
    private String gone;
    private String complaint = "";
    /** Why the link is down, as it was told; empty: it is up. */
    private String downTold = "";
    private long complained;
    private long removalTold = System.nanoTime() - REMOVAL_NANOS;
    /** A connection that is being brought up. */
    private volatile Connection attempt;
    private volatile boolean standing;

    /** A link that nobody looks after yet: where it goes on is known. */
    record Beginning(Endpoint endpoint, Connection connection, Offer offer, Pace pace) { }

    Link(VhostUserOptions options, OpenContext context, ReentrantLock lock, Device device, Beginning b) {
        this.options = options;
        this.context = context;
        this.lock = lock;
        this.device = device;
        endpoint = b.endpoint();
        connection = b.connection();
        offer = b.offer();
        backoff = b.pace().backoff(options);
        news = b.pace().damping(LOG::info);
        connects = connection == null ? 0 : 1;
        gone = "no back-end is at " + options.path();
    }

    /** Without the lock if nobody else knows the port. */
    void start() throws IOException {
        watcher = Watcher.start("vireo-vhost-user-" + options.id(), context.fds(), this);
        if (connection == null) {
            tellWhatIsWaitedFor();
        }
    }

    /** The connection, or null: no back-end is there. */
    Connection connection() {
        return connection;
    }

    /** What the back-end that is there, or was there last, can do. */
    Offer offer() {
        return offer;
    }

    Fd listener() {
        return endpoint.listener();
    }

    /** Sends a back-end away that is being brought up. It is tried again. Any thread. */
    void abortAttempt() {
        Connection a = attempt;
        if (a != null) {
            a.abort();
        }
    }

    private void stateChanged() {
        saved = null;
        context.listener().stateChanged();
    }

    /** What was saved last, of what may change without the connection. */
    private record Saved(long acknowledged, int status, Inflight inflight, BitSet foreign) {
        static Saved of(Connection c, Device d) {
            BitSet foreign = new BitSet();
            d.rings().stream().filter(Ring::isForeignNext).forEach(r -> foreign.set(r.index));
            return new Saved(d.acknowledged(), c == null ? 0 : c.status(), d.inflight(), foreign);
        }

        /** Whether it can still be gone on with. A ring that was stopped meanwhile is where the back-end says, as before. */
        boolean holds(Saved now) {
            BitSet more = (BitSet) now.foreign.clone();
            more.andNot(foreign);
            return acknowledged == now.acknowledged && status == now.status && inflight == now.inflight && more.isEmpty();
        }
    }

    /** The state is being saved. */
    void saved() {
        saved = Saved.of(connection, device);
    }

    /** Something was told: is what was saved still true? */
    void told() {
        if (saved != null && !saved.holds(Saved.of(connection, device))) {
            stateChanged();
        }
    }

    /** Takes a connection over that its former owner may have left in the middle of something. */
    void adopt(Connection c) {
        try {
            String trouble = c.trouble();
            if (trouble != null) {
                throw new IOException(trouble);
            }
            device.adopt(c);
        } catch (IOException e) {
            startAfresh(c, "it cannot be gone on with: " + e.getMessage());
        }
    }

    /** Hangs up and connects again. */
    void startAfresh(Connection c, String why) {
        afreshUntil = System.nanoTime() + AFRESH_NANOS;
        pause(0);
        drop(c, why);
    }

    /** The connection is of no further use. */
    void lose(Connection c, String why) {
        if (c == connection) {
            pause(backoff.lost());
            drop(c, c.explained(why));
        }
    }

    private void drop(Connection c, String why) {
        boolean survives = device.survives();
        letGo(c);
        connection = null;
        device.lost();
        news.say(options.prefix() + "the back-end at " + options.path() + " has gone: " + why);
        gone = "the back-end at " + options.path() + " has gone (" + why + ")";
        complaint = "";
        tellWhatIsWaitedFor();
        // who asked what was not answered wants to know now, also while nobody watches
        stillHeld().ifPresent(this::waitForFormer);
        stateChanged();
        if (!survives) {
            fail(new NetdevException(options.prefix() + RingPositions.notFound("a ring") + " (" + why + "); restart the guest's driver"));
        } else if (!comesBack()) {
            fail(new NetdevException(options.prefix() + gone + remedy()));
        }
        if (watcher != null) {
            watcher.wake();
        }
    }

    /** Ends a connection; if its other side does not answer and may still touch rings, it is not forgotten before that has let go, too. */
    private void letGo(Connection c) {
        if (device.runs() && !c.isOver()) {
            c.hangUp();
            former = c;
        } else {
            c.shutdown();
            lost.add(c);
        }
    }

    /** The former back-end's connection, or null. */
    Connection former() {
        return former;
    }

    /** Takes over what somebody else waited for. */
    void former(Connection c) {
        former = c;
    }

    /** The link is down, and who looks at the NIC sees why. */
    private void tellWhatIsWaitedFor() {
        String what = former != null ? "" : options.server() ? "; Vireo listens until it connects again"
                : !comesBack() ? "; Vireo does not connect again" : "; Vireo connects again " + (pauseMillis == 0 ? "at once"
                        : "every " + pauseMillis + " ms" + (backoff.isFlapping() ? ", since it comes and goes" : ""));
        String now = gone + what + (complaint.isEmpty() ? "" : ": " + complaint);
        if (!now.equals(downTold)) {
            downTold = now;
            context.listener().linkDown(now);
        }
    }

    /** What makes it go on where this side does not call again. */
    private String remedy() {
        return ", and without reconnect-ms Vireo does not connect again: start it, then 'vireo netdev change " + options.id()
                + " reconnect-ms=200'";
    }

    private boolean comesBack() {
        return options.server() || options.reconnectMillis() > 0 || afreshUntil != 0;
    }

    private void fail(Exception why) {
        if (failure == null) {
            failure = why;
            news.end();
            LOG.error("{}", why.getMessage());
            context.listener().failed(why);
        }
    }

    @Override
    public Watcher.Wait next() {
        lock.lock();
        try {
            lost.forEach(Connection::close);
            lost.clear();
            Watcher.Wait w = nextAttempt();
            long untold = news.leftNanos();
            return untold == FlapDamping.NOTHING ? w : w.atMost(millis(untold));
        } finally {
            lock.unlock();
        }
    }

    private static int millis(long nanos) {
        return nanos <= 0 ? 0 : (int) Math.min(Integer.MAX_VALUE, TimeUnit.NANOSECONDS.toMillis(nanos) + 1);
    }

    /** What to wait for before a back-end is looked for, or that the one that is there goes. */
    private Watcher.Wait nextAttempt() {
        if (connection != null) {
            return new Watcher.Wait(connection.socket().number(), -1);
        }
        if (failure != null) {
            return new Watcher.Wait(-1, -1);
        }
        if (former != null) {
            return new Watcher.Wait(former.socket().number(), FORMER_MILLIS);
        }
        long left = pauseNanos();
        return endpoint.listener() != null && left <= 0 ? new Watcher.Wait(endpoint.listener().number(), LISTENER_MILLIS)
                : new Watcher.Wait(-1, millis(left));
    }

    private void pause(long nanos) {
        nextAttempt = System.nanoTime() + nanos;
        pauseMillis = TimeUnit.NANOSECONDS.toMillis(nanos);
    }

    /** What is left of the pause before the next attempt. */
    private long pauseNanos() {
        return nextAttempt - System.nanoTime();
    }

    @Override
    public void handle() {
        lock.lock();
        try {
            news.flush();
            if (failure != null) {
                return;
            }
            if (connection != null) {
                String trouble = connection.trouble();
                if (trouble != null) {
                    lose(connection, trouble);
                }
                return;
            }
            Optional<String> held = stillHeld();
            if (held.isPresent()) {
                waitForFormer(held.get());
                return;
            }
            forgetFormer();
            if (pauseNanos() > 0) {
                return; // only something was to be told
            }
            if (!standing) {
                renewListener();
            }
        } finally {
            lock.unlock();
        }
        reconnect();
    }

    private void renewListener() {
        try {
            if (endpoint.renew()) {
                warnOfRemoval();
                stateChanged();
            }
        } catch (IOException e) {
            String why = "back-ends cannot connect, since the socket was removed and cannot be made anew: " + e.getMessage();
            if (isNews(why)) {
                LOG.warn("{}{}", options.prefix(), why);
                tellWhatIsWaitedFor();
            }
        }
    }

    /** Somebody's mistake, so it is not damped away among what comes and goes; who makes it over and over fills no log either. */
    private void warnOfRemoval() {
        long now = System.nanoTime();
        if (now - removalTold >= REMOVAL_NANOS) {
            removalTold = now;
            LOG.warn("{}{} was removed by somebody: Vireo listens there anew", options.prefix(), options.path());
        }
    }

    /** Who had rings, did not answer when they were to be stopped, and has not let go. With the lock. */
    Optional<String> stillHeld() {
        return Optional.ofNullable(former).filter(f -> !f.isOver()).map(f -> "the back-end that had the rings, " + f.peer()
                + ", does not answer and may still use them: end it, no other gets the rings before it has closed its connection");
    }

    private void waitForFormer(String why) {
        if (isNews(why)) {
            LOG.warn("{}{}", options.prefix(), why);
            tellWhatIsWaitedFor();
        }
    }

    private void forgetFormer() {
        if (former != null) {
            former.close();
            former = null;
        }
    }

    /** Without the lock, on the watcher's thread. */
    private void reconnect() {
        Connection c = null;
        boolean done = false;
        try {
            Fd socket = standing ? null : endpoint.next();
            if (socket == null) {
                return;
            }
            backoff.connected();
            c = new Connection(socket, context.fds(), options.prefix() + "back-end");
            attempt = c;
            if (standing) {
                return;
            }
            c.until(System.nanoTime() + ATTEMPT_NANOS);
            c.negotiate(options.prefix(), options.queues());
            lock.lock();
            try {
                done = !standing && bringUp(c);
            } finally {
                lock.unlock();
            }
        } catch (NetdevException e) {
            complain(c, e.getMessage());
        } catch (IOException e) {
            complain(c, endpoint.reason(c, e).told());
        } finally {
            attempt = null;
            if (c != null && !done) {
                giveUp(c);
            }
        }
    }

    /** Ends an attempt, unless somebody waits for its other side or closes it later. */
    private void giveUp(Connection c) {
        lock.lock();
        try {
            if (c != former && !lost.contains(c)) {
                c.shutdown();
                c.close();
            }
        } finally {
            lock.unlock();
        }
    }

    /** Makes it the port's; false: it went, or was sent away, before that was done, which was said. With the lock. */
    private boolean bringUp(Connection c) throws NetdevException {
        String lacks = device.lacks(c.offer());
        if (lacks != null) {
            throw new NetdevException(options.prefix() + "the back-end at " + options.path() + " is not taken: " + lacks);
        }
        boolean done = false;
        String why = "";
        try {
            c.until(System.nanoTime() + ATTEMPT_NANOS);
            device.bringUp(c);
            done = true;
        } catch (IOException e) {
            // before this side ends it, which would look as if the other had
            why = endpoint.reason(c, e).told();
        } finally {
            if (!done) {
                letGo(c);
                device.lost();
            }
        }
        if (!done) {
            complain(c, why);
            return false;
        }
        c.take();
        boolean same = c.offer().sameProfile(offer);
        connection = c;
        offer = c.offer();
        afreshUntil = 0;
        connects++;
        complaint = "";
        news.say(options.prefix() + "the back-end at " + options.path() + " is there: " + offer);
        if (!same) {
            context.listener().profile(offer.profile(options.queues(), true));
        }
        downTold = "";
        context.listener().link(true);
        stateChanged();
        return true;
    }

    /** Whether this was not said lately; then it is to be said now. With the lock. */
    private boolean isNews(String why) {
        long now = System.nanoTime();
        if (complaint.equals(why) && now - complained <= QUIET_NANOS) {
            return false;
        }
        complaint = why;
        complained = now;
        return true;
    }

    private void complain(Connection c, String why) {
        lock.lock();
        try {
            long now = System.nanoTime();
            boolean aborted = c != null && c.isAborted();
            pause(c == null ? backoff.absent() : aborted ? backoff.aborted() : backoff.lost());
            if (isNews(why)) {
                news.say(options.prefix() + "no back-end at " + options.path() + " yet: " + why);
            }
            tellWhatIsWaitedFor();
            if (!aborted && !options.server() && options.reconnectMillis() == 0 && now - afreshUntil > 0) {
                fail(new NetdevException(options.prefix() + "the back-end at " + options.path() + " did not come back (" + why + ")"
                        + remedy()));
            }
        } finally {
            lock.unlock();
        }
    }

    @Override
    public void broken(Throwable why) {
        lock.lock();
        try {
            fail(new NetdevException(options.prefix() + "the back-end is not watched any more: " + why, why));
        } finally {
            lock.unlock();
        }
    }

    /** Makes the watcher stand still; a back-end that is being brought up is sent away. Without the lock. */
    boolean pause() {
        standing = true;
        abortAttempt();
        if (watcher == null || watcher.pause(PAUSE_MILLIS)) {
            return true;
        }
        standing = false;
        return false;
    }

    /** Without the lock. */
    void goOn() {
        standing = false;
        if (watcher != null) {
            watcher.goOn();
        }
    }

    /** Ends the watcher. Without the lock. */
    void end() {
        standing = true;
        abortAttempt();
        if (watcher != null) {
            watcher.end(END_MILLIS);
        }
    }

    /** Closes this process's copies, after {@link #end}. */
    void close(boolean last) {
        news.end();
        lost.forEach(Connection::close);
        lost.clear();
        forgetFormer();
        if (connection != null) {
            connection.close();
            connection = null;
        }
        endpoint.close(last);
    }

    void statistics(StatisticsSink to) {
        to.counter("connects", connects);
        to.counter("reconnects", Math.max(0, connects - 1));
        to.counter("connected", connection == null ? 0 : 1);
    }
}
