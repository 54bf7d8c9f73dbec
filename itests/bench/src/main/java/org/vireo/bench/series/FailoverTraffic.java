// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.series;

import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Daemon;
import org.vireo.guest.GuestNic;
import org.vireo.guest.TransmitQueue;

/** Frames that a guest sends at a steady pace on all its pairs, and the longest time in which none was taken. */
final class FailoverTraffic {
    private static final long PACE_NANOS = 100_000;
    private static final long LIMIT_NANOS = TimeUnit.SECONDS.toNanos(30);

    private final GuestNic guest;
    private final byte[] frame = new byte[60];
    private volatile boolean running;
    private volatile String failed;
    private volatile long longest;
    private volatile boolean forget;
    private volatile long sent;
    private Thread thread;

    FailoverTraffic(GuestNic guest) {
        this.guest = guest;
        java.util.Arrays.fill(frame, 0, 6, (byte) 0xff);
        frame[6] = 2;
        frame[12] = (byte) 0x88;
        frame[13] = (byte) 0xb5;
    }

    /** Uses each transmit buffer of each pair once. */
    void touchAll() throws BenchException {
        for (int p = 0; p < guest.pairs(); p++) {
            TransmitQueue q = guest.transmit(p);
            for (int i = 0; i < q.slots(); i++) {
                send(q);
            }
            if (!q.awaitAll(System.nanoTime() + LIMIT_NANOS)) {
                throw new BenchException("the guest's first frames are not taken");
            }
        }
    }

    private void send(TransmitQueue q) throws BenchException {
        if (!q.send(frame, System.nanoTime() + LIMIT_NANOS)) {
            throw new BenchException("a frame of the guest is not taken within " + TimeUnit.NANOSECONDS.toSeconds(LIMIT_NANOS) + " s");
        }
        sent++;
    }

    void start() {
        running = true;
        thread = Thread.ofPlatform().daemon().name("failover-traffic").start(() -> {
            try {
                run();
            } catch (BenchException e) {
                failed = e.getMessage();
            }
        });
    }

    private void run() throws BenchException {
        long last = System.nanoTime();
        for (int p = 0; running; p = (p + 1) % guest.pairs()) {
            TransmitQueue q = guest.transmit(p);
            send(q);
            if (!q.awaitAll(System.nanoTime() + LIMIT_NANOS)) {
                throw new BenchException("frames of the guest are not given back within " + TimeUnit.NANOSECONDS.toSeconds(LIMIT_NANOS)
                        + " s: " + q.outstanding() + " of " + q.slots());
            }
            long now = System.nanoTime();
            if (forget) {
                forget = false;
                longest = 0;
            } else {
                longest = Math.max(longest, now - last);
            }
            last = now;
            LockSupport.parkNanos(PACE_NANOS);
        }
    }

    /** What was before does not count. */
    void forgetGaps() throws BenchException {
        forget = true;
        while (forget) {
            check();
            Daemon.pause(1);
        }
    }

    double longestGapMillis() throws BenchException {
        check();
        return longest / 1e6;
    }

    private void check() throws BenchException {
        if (failed != null) {
            throw new BenchException(failed);
        }
    }

    /** Frames sent so far; all have been given back when it has stopped. */
    long sent() throws BenchException {
        check();
        return sent;
    }

    void stop() {
        running = false;
        if (thread != null) {
            try {
                thread.join(LIMIT_NANOS / 1_000_000);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            thread = null;
        }
    }
}
