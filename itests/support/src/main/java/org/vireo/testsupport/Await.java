// SPDX-License-Identifier: Apache-2.0
package org.vireo.testsupport;

import java.time.Duration;
import java.util.concurrent.Callable;
import java.util.concurrent.locks.LockSupport;

/** Bounded waits for a condition. */
public final class Await {
    private static final long FIRST_PAUSE_NANOS = 200_000;
    private static final long LONGEST_PAUSE_NANOS = 20_000_000;

    private Await() {
    }

    /**
     * Waits for a condition.
     *
     * @param limit at most this long
     * @param what is waited for, for the message
     * @param condition true at last; an exception of it ends the wait
     * @throws AssertionError it did not come true
     */
    public static void until(Duration limit, String what, Callable<Boolean> condition) {
        value(limit, what, () -> Boolean.TRUE.equals(condition.call()) ? Boolean.TRUE : null);
    }

    /**
     * Waits for a value.
     *
     * @param <T> its type
     * @param limit at most this long
     * @param what is waited for, for the message
     * @param source null until it is there; an exception of it ends the wait
     * @return the value
     * @throws AssertionError it did not come
     */
    public static <T> T value(Duration limit, String what, Callable<T> source) {
        long start = System.nanoTime();
        long pause = FIRST_PAUSE_NANOS;
        while (true) {
            // the clock is read before the condition: a condition that takes long is looked at once more after the limit
            boolean late = System.nanoTime() - start > limit.toNanos();
            T v = call(source, what);
            if (v != null) {
                return v;
            }
            if (late || Thread.currentThread().isInterrupted()) {
                throw new AssertionError("waited " + (System.nanoTime() - start) / 1_000_000 + " ms in vain for: " + what);
            }
            LockSupport.parkNanos(pause);
            pause = Math.min(2 * pause, LONGEST_PAUSE_NANOS);
        }
    }

    private static <T> T call(Callable<T> source, String what) {
        try {
            return source.call();
        } catch (RuntimeException | Error e) {
            throw e;
        } catch (Exception e) {
            throw new AssertionError("while waiting for " + what + ": " + e, e);
        }
    }
}
