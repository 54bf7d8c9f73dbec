// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.util.Set;
import org.vireo.handover.WordRules.Decision;
import org.vireo.net.api.nic.NicBlock;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.NicFollower;
import org.vireo.net.api.nic.NicImage;
import org.vireo.net.api.nic.Ownership;
import org.vireo.net.api.nic.TransferableNic;
import org.vireo.posix.linux.Poll;

/**
 * One NIC at its source: its changes on their way to the target, and its commit. Changes come from the NIC's actor; all else is of
 * the source's thread.
 */
final class SourceNic {
    private static final int TRIES = 5;
    private static final int PAUSE_MILLIS = 20;

    private final SourceSession session;
    private final TransferableNic nic;
    private final NicBlock block;
    private WordWatch watch;
    private final ChangeRelay changes;
    private volatile long fedSeq;

    /** What the target said. */
    private boolean prepared;
    private long preparedSeq;
    private int slot = Ownership.NONE;
    private volatile String failure;
    private boolean targetRuns;
    private boolean targetOwns;

    /** Of the offer. */
    private String withdrawal;
    private boolean vmmSpoke;
    private boolean tookBack;
    private long freezeBegan;
    private long frozen;
    private long took;
    private long take;
    private long dropped;
    private long ownedSince;
    private LooseNic loose;

    /** What became of a NIC; READY: it was to stay, and could have moved. */
    enum Result { MOVED, STAYED, LOST, READY }

    private Result result;
    private String reason = "";

    SourceNic(SourceSession session, TransferableNic nic) {
        this.session = session;
        this.nic = nic;
        this.block = nic.block();
        this.watch = new WordWatch(block, session.deadlines(), this::gather);
        changes = new ChangeRelay(session::feed);
    }

    String id() {
        return nic.id();
    }

    TransferableNic nic() {
        return nic;
    }

    /** Whom the NIC tells. On the NIC's actor. */
    NicFollower follower() {
        return new NicFollower() {
            @Override
            public void change(NicImage image) {
                fedSeq = image.seq();
                changes.change(image);
            }

            @Override
            public void lost(String why) {
                failed(why);
            }
        };
    }

    /**
     * PREPARE was sent: changes follow.
     *
     * @param breaks whether the target opens its own backend only when it has taken, for which it is given the time
     */
    void opened(boolean breaks) {
        if (breaks) {
            watch = new WordWatch(block, session.deadlines().opening(), this::gather);
        }
        changes.prepareSent();
    }

    /** No more changes are sent. */
    void unfeed() {
        changes.end();
    }

    void prepared(long seq, long atSlot) throws HandoverException {
        if (atSlot < 0 || atSlot >= Ownership.NONE || atSlot == block.self()) {
            throw new HandoverException("NIC " + id() + ": the target says that it has slot " + atSlot + " of the NIC block");
        }
        long pid = block.holder((int) atSlot).pid();
        if (pid != session.peer().pid()) {
            throw new HandoverException("NIC " + id() + ": slot " + atSlot + " of the NIC block belongs to process " + pid
                    + ", not to the target, " + session.peer());
        }
        prepared = true;
        preparedSeq = seq;
        slot = (int) atSlot;
    }

    synchronized void failed(String why) {
        if (failure == null) {
            failure = why;
        }
    }

    /** With the monotonic clock, which is the same in all processes. */
    void targetRuns(long tookNanos, long takeMicros) {
        targetRuns = true;
        took = tookNanos;
        take = takeMicros;
        if (dropped != 0) {
            reportFreeze();
        }
    }

    void targetOwns() {
        targetOwns = true;
    }

    boolean isPrepared() {
        return prepared;
    }

    String failure() {
        return failure;
    }

    Result result() {
        return result;
    }

    String reason() {
        return reason;
    }

    private boolean isPreparedForAll() {
        return failure != null || Long.compareUnsigned(preparedSeq, block.seq()) >= 0
                && Long.compareUnsigned(preparedSeq, fedSeq) >= 0;
    }

    /**
     * Moves the NIC, or leaves it running here. Afterwards {@link #result()} says which.
     *
     * @throws HandoverException nothing more can be moved
     */
    void commit() throws HandoverException {
        for (int i = 0; i < TRIES; i++) {
            session.await(this::isPreparedForAll, session.deadlines().record(), "NIC " + id() + ": the target does not follow its changes");
            if (failure != null) {
                end(Result.STAYED, failure);
                return;
            }
            vmmSpoke = false;
            withdrawal = null;
            if (freeze()) {
                offer();
            }
            if (result != null) {
                return;
            }
            // the VMM's message comes first: it is handled, announced and confirmed, then the next try
            session.pump(PAUSE_MILLIS * Deadlines.NANOS, -1);
        }
        end(Result.STAYED, "the VMM sent a message or a change came in at each of " + TRIES + " tries; try again");
    }

    private boolean freeze() {
        long before = block.seq();
        freezeBegan = System.nanoTime();
        try {
            nic.freeze(Deadlines.in(session.deadlines().freeze()));
        } catch (NicException e) {
            if (block.seq() == before && Long.compareUnsigned(fedSeq, preparedSeq) <= 0) {
                end(Result.STAYED, e.getMessage());
            }
            return false;
        }
        frozen = System.nanoTime();
        loose = new LooseNic(nic, session.peer(), session.deadlines(), session::warn);
        // seq, the VMM's socket and a cancel may have moved until the workers stood still
        boolean vmmSpeaks = nic.connection() >= 0 && Poll.readable(0, nic.connection()) != 0;
        if (failure != null || !isPreparedForAll() || session.cancel().asked() || vmmSpeaks) {
            nic.resume();
            if (session.cancel().asked()) {
                end(Result.STAYED, session.cancel().why());
            }
            return false;
        }
        return true;
    }

    /** Nothing is logged, and as little as may be is allocated, until the target runs. */
    private void offer() {
        if (watch.offer(slot)) {
            session.sendOffer(id(), loose.seq());
        }
        while (true) {
            Decision d = watch.step();
            switch (d.act()) {
                case WAIT -> await(d.waitNanos());
                case TAKE -> {
                    loose.takeBack();
                    tookBack = true;
                }
                case RUN, FENCE, YIELD -> {
                    // the word has changed: look on
                }
                case STOP_READING -> loose.stopReading();
                case KILL -> {
                    loose.kill();
                    session.pump(PAUSE_MILLIS * Deadlines.NANOS, -1);
                }
                case RESUME, OWN -> {
                    resumed();
                    return;
                }
                case DROP -> {
                    moved();
                    session.sendDropped(id());
                }
                case LET_GO, GIVE_BACK -> {
                    letGo();
                    return;
                }
                default -> throw new IllegalStateException(d.toString());
            }
        }
    }

    private void moved() {
        if (dropped == 0) {
            dropped = System.nanoTime();
            reportFreeze();
        }
    }

    /** Whether it is the target's for good: this process stood still meanwhile, and the target went on without its DROP. */
    private boolean isTargets() {
        Ownership w = Ownership.decode(block.word());
        return w.phase() == Ownership.Phase.OWNED && w.holder() == slot;
    }

    /**
     * How long nobody served the guest, and where that time went; then how long the target's answer took. The word may tell of the end
     * before the target's record does, which has the details.
     */
    private void reportFreeze() {
        Report r = session.report();
        if (took == 0) {
            r.nic(id(), "freeze-micros", (dropped - freezeBegan) / 1_000);
            return;
        }
        r.nic(id(), "freeze-micros", (took - freezeBegan) / 1_000 + take);
        r.nic(id(), "stop-micros", (frozen - freezeBegan) / 1_000);
        r.nic(id(), "offer-micros", (took - frozen) / 1_000);
        r.nic(id(), "take-micros", take);
        r.nic(id(), "answer-micros", (dropped - took) / 1_000 - take);
    }

    private void await(long waitNanos) {
        int vmm = withdrawal == null && dropped == 0 ? nic.connection() : -1;
        if (session.pump(waitNanos, vmm)) {
            vmmSpoke = true;
        }
    }

    private void gather(Ownership w, Set<Fact> facts) {
        facts.add(Fact.SOURCE);
        if (session.isCutOff()) {
            loose.cutOff();
        }
        loose.gather(w, facts);
        if (w.holder() == slot && facts.contains(Fact.HOLDER_DEAD) || w.peer() == slot && facts.contains(Fact.PEER_DEAD)) {
            session.peerDied();
        }
        if (isSettled(w)) {
            facts.add(Fact.SETTLED);
        }
        if (withdrawal == null) {
            withdrawal = failure != null ? failure : vmmSpoke ? "the VMM sent a message or hung up" : session.trouble();
        }
        if (withdrawal != null) {
            facts.add(Fact.WITHDRAW);
        }
    }

    /** Until then it could die of what it has just begun to run, and the copies here are good. */
    private boolean isSettled(Ownership w) {
        if (w.phase() != Ownership.Phase.OWNED || w.holder() != slot) {
            return false;
        }
        long now = System.nanoTime();
        if (ownedSince == 0) {
            ownedSince = now;
        }
        return targetOwns || now - ownedSince > session.deadlines().owning() * Deadlines.NANOS;
    }

    private void resumed() {
        loose.resume();
        boolean again = vmmSpoke && !tookBack && failure == null && session.trouble() == null;
        if (!again) {
            end(Result.STAYED, whyStayed());
        }
    }

    /** What the target said comes first; it may have arrived after the word told that the NIC came back. */
    private String whyStayed() {
        if (failure != null) {
            return failure;
        }
        if (tookBack && session.isPeerDead()) {
            return "the target, " + session.peer() + ", is dead: it had taken the NIC, which runs here again";
        }
        if (withdrawal != null) {
            return withdrawal;
        }
        return tookBack ? "the target took it and did not go on"
                : "the target did not take within " + session.deadlines().offered() + " ms";
    }

    /** It is somebody else's, or nobody's. */
    private void letGo() {
        boolean moved = dropped != 0 || targetRuns || isTargets();
        boolean died = session.isPeerDead();
        if (moved) {
            moved();
        }
        unfeed();
        nic.letGo();
        end(moved && !died ? Result.MOVED : Result.LOST, moved && !died ? "" : "the word says " + Ownership.decode(block.word())
                + (died ? ", the target is dead" : ""));
    }

    /** Ends it; a NIC that stayed is no longer fed. */
    void end(Result r, String why) {
        if (result == null) {
            result = r;
            reason = why;
            unfeed();
            if (r == Result.STAYED || r == Result.READY) {
                nic.end();
            }
        }
    }
}
