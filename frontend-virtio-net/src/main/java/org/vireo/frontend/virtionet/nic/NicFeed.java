// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.io.IOException;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.frontend.virtionet.block.NicBlockMemory;
import org.vireo.net.api.nic.NicFollower;
import org.vireo.net.api.nic.NicImage;

/**
 * Tells those who could go on with a NIC of changes before they take effect: the target of a handover, standbys. Used by the NIC's
 * actor.
 */
final class NicFeed {
    private static final Logger LOG = LoggerFactory.getLogger(NicFeed.class);

    private static final long BEAT_MILLIS = 50;
    private static final long STANDBY_BEAT_MILLIS = 250;
    /** A source that hears nothing more asks within 5 s. */
    private static final long TAKEN_NANOS = TimeUnit.SECONDS.toNanos(10);

    private final String nic;
    private final NicBlockMemory block;
    private final ScheduledExecutorService timer;
    private final Runnable look;
    private final List<Following> all = new CopyOnWriteArrayList<>();
    /** Guarded by this, as is what follows. */
    private ScheduledFuture<?> beat;
    private long takenUntil;
    private boolean takenNow;

    /**
     * A feed that feeds nobody.
     *
     * @param look called now and then while somebody follows who hurries
     */
    NicFeed(String nic, NicBlockMemory block, ScheduledExecutorService timer, Runnable look) {
        this.nic = nic;
        this.look = look;
        this.block = block;
        this.timer = timer;
    }

    /** Makes the picture of a change, once for each who is told: each gets descriptors of its own. */
    interface Picture {
        NicImage of(long seq) throws IOException;
    }

    /** One who is told. */
    static final class Following {
        private final NicFollower follower;
        private final boolean handover;
        private String aborted;

        private Following(NicFollower follower, boolean handover) {
            this.follower = follower;
            this.handover = handover;
        }

        /** Why it cannot go on, or null. */
        String aborted() {
            return aborted;
        }
    }

    /** Any thread. */
    boolean inHandover() {
        return all.stream().anyMatch(f -> f.handover);
    }

    /** Whether somebody follows who waits for this process's death. Any thread. */
    boolean hasStandby() {
        return all.stream().anyMatch(f -> !f.handover);
    }

    /** From here on a successor may ask whether this process still lives: the block's heartbeat goes on. */
    Following begin(NicFollower to, boolean handover) {
        Following f = new Following(to, handover);
        all.add(f);
        pace();
        return f;
    }

    void end(Following f) {
        if (all.remove(f)) {
            pace();
        }
    }

    /** The NIC was taken: for a while its source may ask whether this process lives. */
    synchronized void taken() {
        takenUntil = System.nanoTime() + TAKEN_NANOS;
        takenNow = true;
        pace();
    }

    private synchronized void pace() {
        if (beat != null) {
            beat.cancel(false);
            beat = null;
        }
        if (takenNow || !all.isEmpty()) {
            long millis = takenNow || inHandover() ? BEAT_MILLIS : STANDBY_BEAT_MILLIS;
            beat = timer.scheduleAtFixedRate(this::beat, takenNow ? millis : 0, millis, TimeUnit.MILLISECONDS);
        }
    }

    /** An exception would end it for good, and who waits for it would take this process for dead. */
    private void beat() {
        block.beat();
        try {
            synchronized (this) {
                if (takenNow && System.nanoTime() - takenUntil > 0) {
                    takenNow = false;
                    pace();
                }
            }
            if (all.stream().anyMatch(f -> !f.handover && f.follower.hurries())) {
                look.run();
            }
        } catch (RuntimeException e) {
            LOG.warn("NIC {}: beside its heartbeat", nic, e);
        }
    }

    /** The NIC ends here. */
    void end() {
        all.clear();
        synchronized (this) {
            takenNow = false;
            pace();
        }
    }

    /** Something happened that nobody can follow. */
    void abort(String why) {
        all.forEach(f -> abort(f, why));
    }

    /** Something happened in which a handover is not to go on, though others may follow. */
    void abortHandover(String why) {
        all.stream().filter(f -> f.handover).forEach(f -> abort(f, why));
    }

    private static void abort(Following f, String why) {
        if (f.aborted == null) {
            f.aborted = why;
            f.follower.lost(why);
        }
    }

    /**
     * Announces what is about to change, under the next number, and then says in the block that this is the state in effect: in this
     * order, or a successor would find itself behind.
     */
    void announce(Picture change) {
        long seq = block.nextSeq();
        for (Following f : all) {
            if (f.aborted == null) {
                try {
                    f.follower.change(change.of(seq));
                } catch (IOException e) {
                    LOG.warn("NIC {}: a change could not be announced: {}", nic, e.getMessage());
                    abort(f, "a change could not be announced: " + e.getMessage());
                }
            }
        }
        block.seq(seq);
    }
}
