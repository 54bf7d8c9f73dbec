// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;

/**
 * How long to wait before the next back-end is tried: as long as was asked for, and longer from one time to the next while connections
 * are lost as soon as they are made, or while nobody is there (exponential backoff, with a bound). Not for several threads at once.
 *
 * <p>One that comes back after it was away waits for no more than {@link #ABSENT_MILLIS}, or what was asked for: who is seen to be
 * away for the longest pause begins anew. Who listens and hears of nobody, sees that when the next one comes.
 */
final class Backoff {
    /** The longest pause after connections that were lost as soon as they were made, unless a longer one was asked for. */
    static final int MOST_MILLIS = 2_000;
    /** The longest pause while nobody is there, unless a longer one was asked for. */
    static final int ABSENT_MILLIS = 100;
    /** A connection that lasts so long was not lost at once: those are so few that nothing has to be done about them. */
    static final long STEADY_NANOS = TimeUnit.SECONDS.toNanos(1);
    /** More doublings reach any bound. */
    private static final int MOST_DOUBLINGS = 16;

    private final long askedNanos;
    private final long mostNanos;
    private final LongSupplier clock;
    private int flaps;
    private int absences;
    private long connected;
    private long absentSince;
    /** When the pause after the last connection was over. */
    private long readySince;

    /**
     * Nothing was tried yet.
     *
     * @param askedMillis the pause that is asked for
     * @param mostMillis the longest one that is not asked for, {@link #MOST_MILLIS} but in tests
     * @param clock nanoseconds, as {@link System#nanoTime()}
     */
    Backoff(int askedMillis, int mostMillis, LongSupplier clock) {
        askedNanos = TimeUnit.MILLISECONDS.toNanos(askedMillis);
        mostNanos = TimeUnit.MILLISECONDS.toNanos(mostMillis);
        this.clock = clock;
        connected = clock.getAsLong();
        readySince = connected;
    }

    /** Somebody is there. */
    void connected() {
        connected = clock.getAsLong();
        if (absences == 0 && connected - readySince >= mostNanos) {
            flaps = 0;
        }
        absences = 0;
    }

    /**
     * The connection is no more, whether it was of any use or not.
     *
     * @return how long to wait now, nanoseconds
     */
    long lost() {
        flaps = clock.getAsLong() - connected < STEADY_NANOS ? flaps + 1 : 0;
        return pause();
    }

    private long pause() {
        long nanos = pauseNanos(flaps, mostNanos);
        readySince = clock.getAsLong() + nanos;
        return nanos;
    }

    /**
     * This side has ended the connection before it was of use, which tells nothing of how long it would have lasted.
     *
     * @return how long to wait now, nanoseconds
     */
    long aborted() {
        return pause();
    }

    /**
     * Nobody is there.
     *
     * @return how long to wait now, nanoseconds
     */
    long absent() {
        long now = clock.getAsLong();
        if (absences == 0) {
            absentSince = now;
        }
        if (now - absentSince >= mostNanos) {
            flaps = 0;
        }
        absences++;
        return Math.max(pauseNanos(flaps, mostNanos), pauseNanos(absences, TimeUnit.MILLISECONDS.toNanos(ABSENT_MILLIS)));
    }

    /** Whether connections were lost at once, more than one in a row. */
    boolean isFlapping() {
        return flaps > 1;
    }

    private long pauseNanos(int times, long most) {
        return times == 0 ? askedNanos : Math.max(askedNanos, Math.min(most, askedNanos << Math.min(times - 1, MOST_DOUBLINGS)));
    }
}
