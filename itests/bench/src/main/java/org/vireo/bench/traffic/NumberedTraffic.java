// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.traffic;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.DatagramChannel;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Daemon;
import org.vireo.guest.FrontEnd;
import org.vireo.guest.GuestNic;
import org.vireo.guest.SequenceCheck;
import org.vireo.posix.Descriptors;

/**
 * A guest with its VMM, in this process, and numbered datagrams between it and the host's end of a TAP, both ways at a steady pace. The
 * TAP has to be in this process's network namespace, with {@link UdpFrame#HOST} and a neighbour {@link UdpFrame#GUEST}. One thread, beside
 * its own four.
 */
public final class NumberedTraffic implements AutoCloseable {
    private static final int PAYLOAD = 32;
    private static final long PACE_NANOS = 2_000_000;
    private static final Duration LIMIT = Duration.ofSeconds(20);

    private final Path socket;
    private final int pairs;
    private final boolean packed;
    private final DatagramChannel host;
    private final List<Thread> threads = new ArrayList<>();
    private final Direction out = new Direction();
    private final Direction in = new Direction();
    private volatile GuestNic guest;
    private volatile boolean ended;
    private volatile boolean paused = true;
    private volatile String failed;

    /** One direction: what was sent and what came. */
    private static final class Direction {
        private long sent;
        private boolean idle = true;
        private SequenceCheck check = new SequenceCheck();
        private long came;
        private long last;
        private long longest;

        synchronized void arrived(long number) {
            check.frame(number);
            came++;
            long now = System.nanoTime();
            longest = Math.max(longest, now - last);
            last = now;
        }

        synchronized void forgetGaps() {
            last = System.nanoTime();
            longest = 0;
        }

        synchronized long longest() {
            return Math.max(longest, System.nanoTime() - last);
        }

        synchronized long came() {
            return came;
        }

        synchronized long sent() {
            return sent;
        }

        synchronized long next() {
            idle = false;
            return sent++;
        }

        synchronized void idle() {
            idle = true;
        }

        synchronized boolean isIdle() {
            return idle;
        }

        synchronized Counts counts() {
            return new Counts(check.lost(sent), check.duplicated(), check.reordered());
        }

        synchronized void restart() {
            sent = 0;
            check = new SequenceCheck();
        }
    }

    /**
     * What became of numbered frames.
     *
     * @param lost never came
     * @param repeated came again
     * @param reordered came after a later one
     */
    public record Counts(long lost, long repeated, long reordered) {
        Counts less(Counts o) {
            return new Counts(lost - o.lost, repeated - o.repeated, reordered - o.reordered);
        }
    }

    /**
     * Counts of both directions.
     *
     * @param out from the guest
     * @param in to the guest
     */
    public record Both(Counts out, Counts in) {
        /** What was counted since then. */
        public Both less(Both o) {
            return new Both(out.less(o.out), in.less(o.in));
        }

        /** In both directions. */
        public long lost() {
            return out.lost + in.lost;
        }

        /** In both directions. */
        public long repeated() {
            return out.repeated + in.repeated;
        }

        /** In both directions. */
        public long reordered() {
            return out.reordered + in.reordered;
        }
    }

    /**
     * Starts the guest and its traffic, paused.
     *
     * @param socket of the NIC
     * @param pairs queue pairs that the guest has started
     * @param packed whether they have packed rings
     */
    public NumberedTraffic(Path socket, int pairs, boolean packed) throws BenchException {
        this.socket = socket;
        this.pairs = pairs;
        this.packed = packed;
        try {
            host = DatagramChannel.open();
            host.setOption(StandardSocketOptions.SO_RCVBUF, 4 << 20);
            host.bind(new InetSocketAddress(InetAddress.getByName(UdpFrame.HOST), UdpFrame.PORT));
        } catch (IOException e) {
            throw new BenchException("the host's socket: " + e.getMessage(), e);
        }
        connect();
        thread("host-receive", this::hostReceives);
        thread("host-send", () -> send(in, this::hostSends));
        startGuest();
    }

    private void startGuest() {
        GuestNic g = guest;
        thread("guest-send", () -> send(out, n -> {
            while (!ended && guest == g && !g.transmit(0).send(frame(n), System.nanoTime() + 100_000_000)) {
                // its ring is full: nobody serves it
            }
        }));
        thread("guest-receive", () -> {
            while (!ended && guest == g) {
                byte[] b = g.receive(0).take(System.nanoTime() + 100_000_000);
                if (b != null) {
                    guestReceived(ByteBuffer.wrap(b, 12, b.length - 12).slice());
                }
            }
        });
    }

    private void connect() throws BenchException {
        long end = System.nanoTime() + LIMIT.toNanos();
        while (true) {
            try {
                guest = GuestNic.options().pairs(pairs).enabledPairs(pairs).packed(packed)
                        .start(new Descriptors(), FrontEnd.connect(new Descriptors(), socket, Duration.ofSeconds(10)));
                return;
            } catch (IOException e) {
                if (System.nanoTime() - end > 0) {
                    throw new BenchException("the guest does not start: " + e.getMessage(), e);
                }
                Daemon.pause(20);
            }
        }
    }

    /** What a thread does; an exception ends the traffic. */
    private interface Work {
        void run() throws IOException, InterruptedException;
    }

    private interface Sender {
        void send(long number) throws IOException;
    }

    private void thread(String name, Work work) {
        threads.add(Thread.ofPlatform().daemon().name(name).start(() -> {
            try {
                work.run();
            } catch (IOException | RuntimeException e) {
                if (!ended) {
                    failed = name + ": " + e;
                }
            } catch (InterruptedException e) {
                // told to end
            }
        }));
    }

    private void send(Direction d, Sender sender) throws IOException {
        GuestNic g = guest;
        while (!ended && (guest == g || d == in)) {
            if (paused) {
                d.idle();
            } else {
                sender.send(d.next());
            }
            LockSupport.parkNanos(PACE_NANOS);
        }
        d.idle();
    }

    private void hostSends(long number) throws IOException {
        ByteBuffer b = ByteBuffer.allocate(PAYLOAD);
        b.putLong(0, number);
        host.send(b, new InetSocketAddress(InetAddress.getByName(UdpFrame.GUEST), UdpFrame.PORT));
    }

    private void hostReceives() throws IOException {
        ByteBuffer b = ByteBuffer.allocate(2048);
        while (!ended) {
            b.clear();
            host.receive(b);
            out.arrived(b.getLong(0));
        }
    }

    private static byte[] frame(long number) {
        return UdpFrame.withHeaders(PAYLOAD).putLong(number).array();
    }

    private void guestReceived(ByteBuffer f) {
        // broadcasts of the namespace are none of ours
        if (f.remaining() >= UdpFrame.HEADERS + 8 && f.getShort(12) == UdpFrame.IPV4 && f.get(23) == UdpFrame.UDP
                && f.getShort(36) == UdpFrame.PORT) {
            in.arrived(f.getLong(UdpFrame.HEADERS));
        }
    }

    /** Lets it flow, and waits until it does. */
    public void resume() throws BenchException {
        paused = false;
        awaitFlow(LIMIT);
        forgetGaps();
    }

    /** The longest gap begins anew. */
    public void forgetGaps() {
        out.forgetGaps();
        in.forgetGaps();
    }

    /** The longest time since {@link #forgetGaps} in which nothing came, in either direction. */
    public double longestGapMillis() {
        return Math.max(out.longest(), in.longest()) / 1e6;
    }

    private void check() throws BenchException {
        if (failed != null) {
            throw new BenchException(failed);
        }
    }

    /** Waits until some more frames have come both ways. Returns whether they have. */
    public boolean flows(Duration limit) throws BenchException {
        long end = System.nanoTime() + limit.toNanos();
        long o = out.came();
        long i = in.came();
        while (out.came() < o + 5 || in.came() < i + 5) {
            check();
            if (System.nanoTime() - end > 0) {
                return false;
            }
            Daemon.pause(2);
        }
        return true;
    }

    private void awaitFlow(Duration limit) throws BenchException {
        if (!flows(limit)) {
            throw new BenchException("no traffic: sent " + out.sent() + " and " + in.sent() + ", came " + out.came() + " and " + in.came());
        }
    }

    /** Stops it, and waits until all that can still come has come. */
    public Both pause() throws BenchException {
        paused = true;
        long end = System.nanoTime() + LIMIT.toNanos();
        while (!(out.isIdle() && in.isIdle())) {
            check();
            if (System.nanoTime() - end > 0) {
                throw new BenchException("the guest's frames are not taken: " + guest.transmit(0).outstanding() + " are with the device");
            }
            Daemon.pause(5);
        }
        long seen = -1;
        for (int quiet = 0; quiet < 10;) {
            Both c = counts();
            if (c.out.lost <= 0 && c.in.lost <= 0) {
                break;
            }
            long now = out.came() + in.came();
            quiet = now == seen ? quiet + 1 : 0;
            seen = now;
            Daemon.pause(60);
        }
        return counts();
    }

    private Both counts() {
        return new Both(out.counts(), in.counts());
    }

    /** The VMM's side of the connection. */
    public GuestNic guest() {
        return guest;
    }

    /** Whether the VMM sees the end of its connection. */
    public boolean isConnectionEnded() {
        try {
            return guest.frontEnd().awaitClosed(System.nanoTime() + TimeUnit.SECONDS.toNanos(1));
        } catch (IOException e) {
            return true;
        }
    }

    /** The VMM is gone: closes the guest. Paused before. */
    public void hangUp() throws BenchException {
        paused = true;
        GuestNic old = guest;
        guest = null;
        List<Thread> its = threads.subList(threads.size() - 2, threads.size());
        for (Thread t : its) {
            try {
                if (!t.join(Duration.ofSeconds(5))) {
                    throw new BenchException(t.getName() + " does not end");
                }
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new BenchException("interrupted", e);
            }
        }
        its.clear();
        old.close();
    }

    /** A VMM connects anew, with a guest whose rings are fresh; counts begin anew. */
    public void connectAnew() throws BenchException {
        connect();
        pauseHost();
        out.restart();
        in.restart();
        startGuest();
    }

    private void pauseHost() throws BenchException {
        paused = true;
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(5);
        while (!in.isIdle() && System.nanoTime() - end < 0) {
            Daemon.pause(2);
        }
        // what is still on its way to the host's socket
        Daemon.pause(50);
    }

    @Override
    public void close() {
        ended = true;
        try {
            host.close();
        } catch (IOException e) {
            // nothing depends on it
        }
        for (Thread t : threads) {
            t.interrupt();
            try {
                t.join(2_000);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                return;
            }
        }
        GuestNic g = guest;
        if (g != null) {
            g.close();
        }
    }
}
