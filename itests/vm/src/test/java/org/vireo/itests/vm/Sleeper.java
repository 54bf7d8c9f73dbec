// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.time.Duration;
import java.util.concurrent.atomic.AtomicBoolean;
import org.vireo.guest.GuestNic;
import org.vireo.guest.TransmitQueue;

/**
 * A guest that fills its transmit ring, and then sleeps on its call descriptor until something comes back: it never looks by itself, so a
 * call that is lost is a sleep without end. A thread of its own.
 */
final class Sleeper implements AutoCloseable {
    /** A sleep that takes so long has no end. */
    private static final long ENDLESS_NANOS = Duration.ofSeconds(10).toNanos();
    private static final int FRAME = 60;

    private final GuestNic guest;
    private final AtomicBoolean stop = new AtomicBoolean();
    private final Thread thread = Thread.ofPlatform().name("sleeper").unstarted(this::run);
    private volatile long began;
    private volatile long longest;
    private volatile long sleeps;
    private volatile Throwable failed;

    Sleeper(GuestNic guest) {
        this.guest = guest;
        thread.start();
    }

    private void run() {
        try {
            TransmitQueue q = guest.transmit(0);
            while (!stop.get()) {
                for (int slot = q.claim(); slot >= 0; slot = q.claim()) {
                    q.submit(slot, q.headerBytes() + FRAME);
                }
                q.publish();
                began = System.nanoTime();
                boolean woken = q.awaitUsed(began + ENDLESS_NANOS);
                long slept = System.nanoTime() - began;
                longest = Math.max(longest, slept);
                sleeps++;
                if (!woken || slept >= ENDLESS_NANOS) {
                    throw new IllegalStateException("the guest slept " + slept / 1_000_000 + " ms with " + q.outstanding()
                            + " frames out, " + q.pending() + " of them returned: a call was lost");
                }
            }
        } catch (RuntimeException | Error e) {
            failed = e;
        }
    }

    /** The longest sleep since this was asked last, one that is not over included. */
    long longestNanos() {
        assertEquals(null, failed);
        long now = Math.max(longest, System.nanoTime() - began);
        longest = 0;
        return now;
    }

    /** How often it has slept: it goes on as long as this grows. */
    long sleeps() {
        assertEquals(null, failed);
        return sleeps;
    }

    /** Ends it; the guest is the caller's. */
    @Override
    public void close() {
        stop.set(true);
        try {
            thread.join(2 * ENDLESS_NANOS / 1_000_000);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
