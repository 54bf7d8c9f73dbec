// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import org.vireo.guest.GuestNic;
import org.vireo.testsupport.Await;

/** Numbered frames both ways, each way by a thread of its own that never waits for the other. */
final class NumberedTraffic {
    private final AtomicBoolean stop = new AtomicBoolean();
    private final AtomicReference<Throwable> failed = new AtomicReference<>();
    private final Thread thread;
    private volatile long received;
    private volatile long longestNanos;

    NumberedTraffic(GuestNic g, FakeNetwork n) {
        thread = Thread.ofPlatform().start(() -> {
            try {
                run(g, n);
            } catch (Throwable t) {
                failed.set(t);
            }
        });
    }

    private void run(GuestNic g, FakeNetwork n) {
        long in = 0;
        long out = 0;
        long sent = 0;
        long next = System.nanoTime();
        long last = next;
        while (!stop.get() || in < sent || out < sent) {
            long now = System.nanoTime();
            if (!stop.get() && now >= next) {
                assertTrue(g.transmit(0).send(FakeBackend.frame(0, 60, sent), Harness.soon()));
                n.sendSurely(0, FakeBackend.frame(12, 60, sent));
                sent++;
                next += 1_000_000;
            }
            for (byte[] b = n.poll(0); b != null; b = n.poll(0)) {
                assertEquals(out++, FakeBackend.number(b, 12), "transmitted");
            }
            while (g.receive(0).pending() > 0) {
                assertEquals(in++, FakeBackend.number(g.receive(0).take(Harness.soon()), 12), "received");
                longestNanos = Math.max(longestNanos, System.nanoTime() - last);
                last = System.nanoTime();
            }
            received = in;
            if (now - last > 15_000_000_000L) {
                throw new AssertionError("nothing received for 15 s: " + sent + " sent, " + out + " out, " + in + " in");
            }
            LockSupport.parkNanos(100_000);
        }
    }

    /** It goes on: so many frames from now on. */
    void more(int frames) {
        long from = received;
        Await.until(Harness.LIMIT, frames + " more frames of the neighbour", () -> received >= from + frames || failed.get() != null);
        assertNull(failed.get(), () -> "the neighbour: " + failed.get());
    }

    void end() throws InterruptedException {
        stop.set(true);
        thread.join(30_000);
        assertNull(failed.get(), () -> "the neighbour: " + failed.get());
    }

    /** The longest time between two frames received. */
    long longestNanos() {
        return longestNanos;
    }
}
