// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.io.IOException;
import java.util.Set;
import org.vireo.handover.WordRules.Decision;
import org.vireo.net.api.nic.IncomingNic;
import org.vireo.net.api.nic.NicBlock;
import org.vireo.net.api.nic.Ownership;
import org.vireo.posix.linux.Processes;

/** One NIC at its target: prepared, it watches the word; it takes when the word lets it. Of the session's thread. */
final class TargetNic {
    private static final long POISON_NANOS = 60_000 * Deadlines.NANOS;

    private final TargetSession session;
    private final IncomingNic nic;
    private final NicBlock block;
    private final WordWatch watch;
    private boolean reading;
    private boolean passed;
    private boolean unable;
    private boolean keeps;
    private boolean killFailed;
    private boolean done;
    private String why = "";
    private long tookNanos;
    private long takeMicros;
    /** The owner's heartbeat when the channel ended, and since when. */
    private boolean orphaned;
    private long orphanedAt;
    private long heartbeat;
    /** Whose death was looked at, and what it means. */
    private int judged = Ownership.NONE;
    private Suspicion suspicion = Suspicion.NONE;

    /** What a NIC had to do with its owner's death. */
    private enum Suspicion {
        /** Nothing. */
        NONE,
        /** The owner died in it. */
        ONCE,
        /** The one before did too, a short while ago. */
        AGAIN
    }

    TargetNic(TargetSession session, IncomingNic nic) {
        this.session = session;
        this.nic = nic;
        this.block = nic.block();
        this.watch = new WordWatch(block, session.deadlines(), this::gather);
    }

    String id() {
        return nic.id();
    }

    IncomingNic nic() {
        return nic;
    }

    /** Whether there is nothing more to watch: it is owned, or let go. */
    boolean isDone() {
        return done;
    }

    boolean isTaken() {
        return reading;
    }

    /** Whether the word offers it to this process, so that the source waits for nothing else. */
    Ownership word() {
        return Ownership.decode(block.word());
    }

    /** Whether its owner has ended it. */
    boolean isClosed() {
        return word().phase() == Ownership.Phase.CLOSED;
    }

    /** Whether a worker of its owner is in it, or was when the owner died. */
    boolean wasEntered() {
        return block.entered();
    }

    boolean isOwnerDead() {
        return session.peer().isDead(block, word().holder());
    }

    /** The channel is at its end. */
    void orphaned() {
        orphaned = true;
        orphanedAt = System.nanoTime();
        heartbeat = block.heartbeat();
    }

    /**
     * Does what the word lets it do.
     *
     * @return after how many nanoseconds to look again at the latest
     */
    long advance() {
        while (!done) {
            Decision d = watch.step();
            if (suspicion == Suspicion.AGAIN) {
                String reason = "two processes died in it within " + POISON_NANOS / 1_000_000_000 + " s: nobody takes it";
                session.poisoned(id(), reason);
                close(reason);
                break;
            }
            switch (d.act()) {
                case WAIT -> {
                    if (!reading || passed || unable || !letsGo()) {
                        return Math.min(d.waitNanos(), session.lookAgainNanos());
                    }
                    unable = true;
                }
                case TAKE -> take();
                case RUN -> session.sendRunning(id(), tookNanos, takeMicros);
                case OWN -> {
                    done = true;
                    session.own(this);
                }
                case STOP_READING -> {
                    if (!stopsReading()) {
                        return session.lookAgainNanos();
                    }
                }
                case GIVE_BACK -> {
                    session.sendFailed(id(), why);
                    close(why);
                }
                case YIELD -> {
                    why = "it was fenced: it did not go on in time after it took";
                    session.sendFailed(id(), why);
                }
                case FENCE -> session.warn("NIC " + id() + ": fenced: " + word());
                case KILL -> {
                    kill();
                    return session.lookAgainNanos();
                }
                case LET_GO, RESUME -> close(why.isEmpty() ? "not taken" : why);
                default -> throw new IllegalStateException(d.toString());
            }
        }
        return Long.MAX_VALUE;
    }

    private void take() {
        if (judged != Ownership.NONE) {
            block.succeed(suspicion == Suspicion.ONCE ? System.nanoTime() : block.death());
        }
        reading = true;
        tookNanos = System.nanoTime();
        try {
            nic.take();
            passed = true;
        } catch (Exception | LinkageError | StackOverflowError | AssertionError e) {
            // whatever a third party's code throws: the NIC goes back to where it ran
            why = e.getMessage() == null ? e.toString() : e.getMessage();
            unable = letsGo();
        }
        takeMicros = (System.nanoTime() - tookNanos) / 1_000;
    }

    private boolean stopsReading() {
        if (!letsGo()) {
            return false;
        }
        reading = false;
        passed = false;
        unable = false;
        return true;
    }

    /** If something here cannot let go, the word stays as it is, and who waits for it ends this process. */
    private boolean letsGo() {
        try {
            nic.giveBack();
            return true;
        } catch (Exception | LinkageError | StackOverflowError | AssertionError e) {
            if (!keeps) {
                keeps = true;
                session.warn("NIC " + id() + " cannot be let go: " + e.getMessage());
            }
            return false;
        }
    }

    private void kill() {
        try {
            session.peer().kill(block, word().peer());
        } catch (IOException e) {
            if (!killFailed) {
                killFailed = true;
                session.warn("NIC " + id() + " is fenced and its holder does not let go: " + e.getMessage());
            }
        }
    }

    /**
     * Once for each death. A process that somebody killed did not die of a NIC, unless we were it because it did not let go; where it
     * cannot be told how it died, it may have.
     */
    private void judge(Ownership w, int slot) {
        if (judged == slot) {
            return;
        }
        judged = slot;
        if (!block.entered()) {
            return;
        }
        if (w.phase() != Ownership.Phase.FENCED && session.peer().endedBy(block, slot) == Processes.KILL) {
            return;
        }
        long before = block.death();
        boolean again = before != 0 && System.nanoTime() - before < POISON_NANOS;
        suspicion = again ? Suspicion.AGAIN : Suspicion.ONCE;
    }

    private void gather(Ownership w, Set<Fact> facts) {
        Peer peer = session.peer();
        if (peer.isDead(block, w.holder())) {
            facts.add(Fact.HOLDER_DEAD);
            judge(w, w.holder());
        }
        if (peer.isDead(block, w.peer())) {
            facts.add(Fact.PEER_DEAD);
            if (w.phase() == Ownership.Phase.FENCED) {
                judge(w, w.peer());
            }
        }
        // what the source sent before its death is read first
        if (suspicion != Suspicion.AGAIN && session.isDrained() && Long.compareUnsigned(nic.seq(), block.seq()) >= 0) {
            facts.add(Fact.CURRENT);
        }
        if (!orphaned) {
            facts.add(Fact.FED);
        } else if (block.heartbeat() != heartbeat || System.nanoTime() - orphanedAt > session.deadlines().orphaned() * Deadlines.NANOS) {
            facts.add(Fact.OWNER_LIVES_ON);
        }
        if (reading) {
            facts.add(Fact.READING);
        }
        if (passed) {
            facts.add(Fact.PASSED);
        }
        if (unable) {
            facts.add(Fact.UNABLE);
        }
    }

    /** Ends the preparation, without side effects. */
    void close(String reason) {
        done = true;
        nic.close();
        session.notTaken(id(), reason);
    }
}
