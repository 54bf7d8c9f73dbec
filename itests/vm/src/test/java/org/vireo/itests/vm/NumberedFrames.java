// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Arrays;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;
import org.vireo.guest.GuestNic;
import org.vireo.guest.SequenceCheck;
import org.vireo.testsupport.Await;

/** Frames from one guest to another, numbered, by a thread of its own. */
final class NumberedFrames implements AutoCloseable {
    private static final Duration LIMIT = Duration.ofSeconds(30);
    private static final int SECOND = 500;

    private final GuestNic from;
    private final GuestNic to;
    private final AtomicBoolean stop = new AtomicBoolean();
    private final SequenceCheck check = new SequenceCheck();
    private final Thread thread = Thread.ofPlatform().name("traffic").unstarted(this::run);
    private volatile long sent;
    private volatile long received;
    private volatile Throwable failed;

    NumberedFrames(GuestNic from, GuestNic to) {
        this.from = from;
        this.to = to;
        thread.start();
    }

    private void run() {
        try {
            long next = System.nanoTime();
            byte[] frame = new byte[60];
            Arrays.fill(frame, 0, 6, (byte) 0xff);
            frame[6] = 2;
            frame[12] = (byte) 0x88;
            frame[13] = (byte) 0xb5;
            while (!stop.get()) {
                if (System.nanoTime() - next >= 0) {
                    ByteBuffer.wrap(frame).putLong(16, sent);
                    if (!from.transmit(0).send(frame, System.nanoTime() + LIMIT.toNanos())) {
                        throw new IllegalStateException("frame " + sent + " is not taken");
                    }
                    sent++;
                    next += TimeUnit.SECONDS.toNanos(1) / SECOND;
                }
                receive();
                LockSupport.parkNanos(200_000);
            }
            // what is under way
            long least = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(200);
            long most = least + TimeUnit.SECONDS.toNanos(2);
            while (System.nanoTime() < least || check.unique() < sent && System.nanoTime() < most) {
                receive();
                LockSupport.parkNanos(200_000);
            }
        } catch (RuntimeException | Error e) {
            failed = e;
        }
    }

    private void receive() {
        while (to.receive(0).pending() > 0) {
            byte[] f = to.receive(0).take(System.nanoTime() + LIMIT.toNanos());
            int at = to.receive(0).headerBytes();
            if (f.length >= at + 24 && f[at + 12] == (byte) 0x88 && f[at + 13] == (byte) 0xb5) {
                check.frame(ByteBuffer.wrap(f).getLong(at + 16));
                received = check.unique();
            }
        }
    }

    void goesOn() {
        long before = received;
        Await.until(LIMIT, "frames to go on", () -> received > before + 20 || failed != null);
        assertEquals(null, failed);
    }

    /** What became of it. */
    String end() throws InterruptedException {
        finish();
        return "lost " + check.lost(sent) + ", doubled " + check.duplicated() + ", reordered " + check.reordered();
    }

    /** Ends it: what came is {@link #check} then. */
    void finish() throws InterruptedException {
        stop.set(true);
        thread.join(LIMIT.toMillis());
        assertEquals(null, failed);
    }

    long sent() {
        return sent;
    }

    SequenceCheck check() {
        return check;
    }

    @Override
    public void close() {
        stop.set(true);
        try {
            thread.join(LIMIT.toMillis());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        from.close();
        to.close();
    }
}
