// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

/**
 * How long each step may take. They are tuned; nothing but time rests on their length.
 *
 * @param hello milliseconds for the greeting
 * @param prepare milliseconds for a NIC's preparation
 * @param rehearsal milliseconds for a NIC's rehearsal at low priority, which gets little of a busy machine
 * @param freeze milliseconds for the source's workers to stop
 * @param offered milliseconds until an offer is withdrawn
 * @param othersOffer milliseconds until somebody whom it was not made to takes an offer
 * @param taken milliseconds until who took and does not run is fenced
 * @param fenced milliseconds until who is fenced and does not let go is killed
 * @param running milliseconds until a target that runs owns without the source's word
 * @param owning milliseconds that the source waits for the report that everything is in use
 * @param record milliseconds for the rest of a record, and for a peer that does not read
 * @param silence milliseconds without a record after which the target gives up
 * @param orphaned milliseconds after a channel's end within which its source must have died to be succeeded
 * @param still milliseconds for which a heartbeat may stand still, where that is looked at
 * @param again milliseconds until a NIC that a standby refused is offered again for the first time
 */
record Deadlines(int hello, int prepare, int rehearsal, int freeze, int offered, int othersOffer, int taken, int fenced, int running,
        int owning, int record, int silence, int orphaned, int still, int again) {
    static final Deadlines STANDARD =
            new Deadlines(2_000, 30_000, 2_000, 50, 200, 500, 500, 500, 200, 5_000, 2_000, 60_000, 5_000, 2_000, 1_000);

    /** Of a standby: it hears a PING each second, and keeps its sets until an owner whose guest's memory is large is seen to be dead. */
    static final Deadlines STANDBY =
            new Deadlines(2_000, 30_000, 30_000, 50, 200, 500, 500, 500, 200, 5_000, 2_000, 5_000, 60_000, 2_000, 1_000);

    /** What a backend may take to open, and for its settings. */
    private static final int OPENING_MILLIS = 10_000;

    static final long NANOS = 1_000_000L;

    /** With time for a target that opens its backend between TAKEN and RUNNING. */
    Deadlines opening() {
        return withTaken(taken + OPENING_MILLIS);
    }

    Deadlines withTaken(int millis) {
        return with(offered, othersOffer, millis, fenced);
    }

    Deadlines withFenced(int millis) {
        return with(offered, othersOffer, taken, millis);
    }

    Deadlines withOffers(int offeredMillis, int othersOfferMillis) {
        return with(offeredMillis, othersOfferMillis, taken, fenced);
    }

    private Deadlines with(int newOffered, int newOthersOffer, int newTaken, int newFenced) {
        return new Deadlines(hello, prepare, rehearsal, freeze, newOffered, newOthersOffer, newTaken, newFenced, running, owning, record,
                silence, orphaned, still, again);
    }

    Deadlines withAgain(int millis) {
        return new Deadlines(hello, prepare, rehearsal, freeze, offered, othersOffer, taken, fenced, running, owning, record, silence,
                orphaned, still, millis);
    }

    /** The moment that lies this many milliseconds ahead. */
    static long in(int millis) {
        return System.nanoTime() + millis * NANOS;
    }

    /** Milliseconds that a VMM may wait for somebody to be told of a change. */
    int change() {
        return 2 * freeze;
    }
}
