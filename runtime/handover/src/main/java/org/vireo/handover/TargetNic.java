// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.util.Set;
import org.vireo.handover.WordRules.Decision;
import org.vireo.net.api.nic.IncomingNic;
import org.vireo.net.api.nic.NicBlock;
import org.vireo.net.api.nic.Ownership;

/** One NIC at its target: prepared, it watches the word; it takes when the word lets it. Of the session's thread. */
final class TargetNic {
    private final TargetSession session;
    private final IncomingNic nic;
    private final NicBlock block;
    private final WordWatch watch;
    private boolean reading;
    private boolean passed;
    private boolean unable;
    private boolean keeps;
    private boolean done;
    private String why = "";
    private long tookNanos;
    private long takeMicros;
    private final Lifeline lifeline;
    private final Autopsy autopsy;
    private final FencedPeer fenced;
    /** Null where nobody is fenced for standing still. */
    private final Heartbeat heartbeat;

    TargetNic(TargetSession session, IncomingNic nic) {
        this.session = session;
        this.nic = nic;
        this.block = nic.block();
        this.watch = new WordWatch(block, session.deadlines(), this::gather);
        lifeline = new Lifeline(block, session.deadlines().orphaned());
        autopsy = new Autopsy(block, session.peer());
        fenced = new FencedPeer(id(), block, session.peer(), session::warn);
        heartbeat = session.fences() ? new Heartbeat(block) : null;
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

    /** Whether it is fed no more, though the channel may go on. */
    boolean isOrphaned() {
        return lifeline.isCut();
    }

    /** The channel is at its end. */
    void orphaned() {
        lifeline.cut();
    }

    /**
     * Does what the word lets it do.
     *
     * @return after how many nanoseconds to look again at the latest
     */
    long advance() {
        while (!done) {
            Decision d = watch.step();
            if (autopsy.isPoison()) {
                String reason = "two processes died in it within " + Autopsy.POISON_SECONDS + " s: nobody takes it";
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
                    fenced.kill();
                    return session.lookAgainNanos();
                }
                case LET_GO, RESUME -> close(why.isEmpty() ? "not taken" : why);
                default -> throw new IllegalStateException(d.toString());
            }
        }
        return Long.MAX_VALUE;
    }

    private void take() {
        autopsy.succeed();
        reading = true;
        tookNanos = System.nanoTime();
        try {
            nic.take();
            passed = true;
        } catch (Exception | LinkageError | StackOverflowError | InternalError | AssertionError e) {
            // whatever a third party's code throws, or memory that a VMM has cut off: the NIC goes back to where it ran
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
        } catch (Exception | LinkageError | StackOverflowError | InternalError | AssertionError e) {
            if (!keeps) {
                keeps = true;
                session.warn("NIC " + id() + " cannot be let go: " + e.getMessage());
            }
            return false;
        }
    }

    private void gather(Ownership w, Set<Fact> facts) {
        if (heartbeat != null && heartbeat.still(System.nanoTime()) > session.deadlines().still() * Deadlines.NANOS) {
            facts.add(Fact.STILL);
        }
        autopsy.look(w, facts);
        // what the source sent before its death is read first
        if (!autopsy.isPoison() && session.isDrained() && Long.compareUnsigned(nic.seq(), block.seq()) >= 0) {
            facts.add(Fact.CURRENT);
        }
        lifeline.tell(facts);
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
