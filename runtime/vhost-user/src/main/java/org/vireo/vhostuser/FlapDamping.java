// SPDX-License-Identifier: Apache-2.0
package org.vireo.vhostuser;

import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.LongSupplier;

/**
 * Says what comes and goes so that a log stays readable: the first changes at once; while they go on, one line an interval with the last
 * of them and how many there were. The last one is always said, an interval late at most. After an interval without a change the next
 * ones are first ones again. The peer at the other end of a socket decides how often that is, hence this; named after what routers do
 * with routes (RFC 2439), but only what is said is damped.
 *
 * <p>It has no thread: its owner calls {@link #flush} when {@link #leftNanos} have passed, and {@link #end} in the end. Not for several
 * threads at once.
 */
public final class FlapDamping {
    /** The interval. */
    public static final long INTERVAL_NANOS = TimeUnit.SECONDS.toNanos(10);
    /** {@link #leftNanos}: nothing is held back. */
    public static final long NOTHING = Long.MAX_VALUE;

    private final int first;
    private final LongSupplier clock;
    private final Consumer<String> log;
    private int free;
    private long changed;
    private String held;
    private int count;
    private long since;

    /**
     * Nothing was said yet.
     *
     * @param first how many changes are said at once
     * @param clock nanoseconds, as {@link System#nanoTime()}
     * @param log where it is said
     */
    public FlapDamping(int first, LongSupplier clock, Consumer<String> log) {
        this.first = first;
        this.clock = clock;
        this.log = log;
        free = first;
    }

    /**
     * Something has changed: it is said now or, as long as nothing else changes, with {@link #flush}.
     *
     * @param what the line
     */
    public void say(String what) {
        flush();
        long now = clock.getAsLong();
        if (held == null && now - changed >= INTERVAL_NANOS) {
            free = first;
        }
        changed = now;
        if (held == null && free > 0) {
            free--;
            log.accept(what);
            return;
        }
        if (held == null) {
            since = now;
        }
        held = what;
        count++;
    }

    /** Says what is due. */
    public void flush() {
        if (leftNanos() <= 0) {
            end();
        }
    }

    /**
     * For how long there is nothing to flush.
     *
     * @return nanoseconds, 0 or less: it is due; {@link #NOTHING}
     */
    public long leftNanos() {
        return held == null ? NOTHING : since + INTERVAL_NANOS - clock.getAsLong();
    }

    /** Says what is held back, due or not. */
    public void end() {
        if (held != null) {
            long seconds = Math.max(1, Math.round((clock.getAsLong() - since) / 1e9));
            log.accept(count == 1 ? held : held + " (it comes and goes: the last of " + count + " changes within " + seconds + " s)");
            held = null;
            count = 0;
        }
    }
}
