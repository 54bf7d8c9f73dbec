// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

/**
 * How a standby came to refuse a NIC, when the NIC is offered to it again, and what has been told of that. The pause grows from one offer
 * to the next. A NIC that the standby has had for a while has a clean sheet; until then one that comes and goes is nothing new. One thread.
 */
final class Refusals {
    private static final int LONGEST = 10;
    private static final int SETTLED = 5;

    private final long firstPauseNanos;
    private String why = "";
    private long pauseNanos;
    private long againNanos;
    private boolean prepared;
    private long preparedNanos;

    /**
     * None yet.
     *
     * @param firstPauseNanos from the first refusal to the next offer; the longest pause is ten times that, a while five times
     */
    Refusals(long firstPauseNanos) {
        this.firstPauseNanos = firstPauseNanos;
    }

    /** The last reason, or an empty text. */
    String why() {
        return why;
    }

    /**
     * The standby refused the NIC, or failed with it.
     *
     * @param reason why
     * @param now as System.nanoTime()
     * @return whether that is news
     */
    boolean refused(String reason, long now) {
        overcome(now);
        prepared = false;
        pauseNanos = pauseNanos == 0 ? firstPauseNanos : Math.min(2 * pauseNanos, LONGEST * firstPauseNanos);
        againNanos = now + pauseNanos;
        boolean news = !reason.equals(why);
        why = reason;
        return news;
    }

    /** The standby has the NIC. */
    void prepared(long now) {
        if (!prepared) {
            prepared = true;
            preparedNanos = now;
        }
    }

    /** For how long the NIC is not to be offered yet, after a refusal; 0 or less: it may be. */
    long leftNanos(long now) {
        return againNanos - now;
    }

    /**
     * Whether the standby has had the NIC for a while, after refusals that are forgotten with this.
     *
     * @return whether; once only
     */
    boolean overcome(long now) {
        if (why.isEmpty() || !prepared || now - preparedNanos < SETTLED * firstPauseNanos) {
            return false;
        }
        why = "";
        pauseNanos = 0;
        return true;
    }
}
