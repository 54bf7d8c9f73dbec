// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.vm;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.DatagramChannel;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Daemon;
import org.vireo.bench.traffic.UdpFrame;

/** Sends {@link VmBlock}s at a steady pace and hears the answers. In this process's network namespace. One thread, beside its two. */
final class VmTraffic implements AutoCloseable {
    private static final long TICK_NANOS = 1_000_000;
    private static final int ENOUGH = 50;

    private final DatagramChannel socket;
    /** One a flow, since a TAP with several queues chooses by flow. */
    private final List<DatagramChannel> flows = new ArrayList<>();
    private final InetSocketAddress guest;
    private final Thread sender;
    private final Thread receiver;
    private final AtomicLong sent = new AtomicLong();
    private final AtomicLong answers = new AtomicLong();
    private volatile boolean ended;
    private volatile boolean paused;
    private volatile long last = System.nanoTime();
    private volatile long longest;
    private volatile String failed;

    /**
     * Begins.
     *
     * @param rate blocks a second
     * @param count flows that they are in
     */
    VmTraffic(int rate, int count) throws BenchException {
        try {
            socket = DatagramChannel.open();
            socket.setOption(StandardSocketOptions.SO_RCVBUF, 4 << 20);
            socket.bind(new InetSocketAddress(InetAddress.getByName(UdpFrame.HOST), UdpFrame.PORT));
            for (int i = 0; i < count; i++) {
                flows.add(DatagramChannel.open());
            }
            guest = new InetSocketAddress(InetAddress.getByName(UdpFrame.GUEST), UdpFrame.PORT);
        } catch (IOException e) {
            throw new BenchException("the host's socket: " + e.getMessage(), e);
        }
        sender = Thread.ofPlatform().daemon().name("sender").start(() -> run(() -> send(rate)));
        receiver = Thread.ofPlatform().daemon().name("receiver").start(() -> run(this::receive));
    }

    private interface Work {
        void run() throws IOException;
    }

    private void run(Work w) {
        try {
            w.run();
        } catch (IOException e) {
            if (!ended) {
                failed = e.toString();
            }
        }
    }

    private void send(int rate) throws IOException {
        double owed = 0;
        long before = System.nanoTime();
        while (!ended) {
            long now = System.nanoTime();
            // what a busy machine kept it from sending is not made up for at once
            owed = Math.min(owed + rate * (now - before) / 1e9, rate / 50.0);
            before = now;
            for (; owed >= 1 && !paused; owed--) {
                long n = sent.getAndIncrement();
                flows.get((int) (n % flows.size())).send(VmBlock.of(n), guest);
            }
            LockSupport.parkNanos(TICK_NANOS);
        }
    }

    private void receive() throws IOException {
        ByteBuffer b = ByteBuffer.allocate(2048);
        while (!ended) {
            b.clear();
            socket.receive(b);
            long now = System.nanoTime();
            longest = Math.max(longest, now - last);
            last = now;
            answers.incrementAndGet();
        }
    }

    long sent() {
        return sent.get();
    }

    long answers() {
        return answers.get();
    }

    /** Forgets the gaps so far. */
    void forgetGaps() {
        last = System.nanoTime();
        longest = 0;
    }

    /** The longest time without an answer since {@link #forgetGaps}. */
    double longestGapMillis() {
        return Math.max(longest, System.nanoTime() - last) / 1e6;
    }

    /** Waits until the guest answers, and more than what may have been on its way. */
    void awaitFlow(Duration limit) throws BenchException {
        paused = false;
        long end = System.nanoTime() + limit.toNanos();
        long to = answers.get() + ENOUGH;
        while (answers.get() < to) {
            if (failed != null) {
                throw new BenchException("the host's socket: " + failed);
            }
            if (System.nanoTime() > end) {
                throw new BenchException("the guest does not answer: " + sent + " blocks were sent, " + answers + " answered");
            }
            Daemon.pause(1);
        }
    }

    /** Sends no more, and waits until all that was on its way has come. */
    void pause() throws BenchException {
        paused = true;
        long seen = -1;
        for (int quiet = 0; quiet < 3;) {
            Daemon.pause(30);
            long now = answers.get();
            quiet = now == seen ? quiet + 1 : 0;
            seen = now;
        }
    }

    @Override
    public void close() {
        ended = true;
        try {
            socket.close();
            for (DatagramChannel f : flows) {
                f.close();
            }
            sender.join(2_000);
            receiver.join(2_000);
        } catch (IOException e) {
            // nothing depends on it
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
