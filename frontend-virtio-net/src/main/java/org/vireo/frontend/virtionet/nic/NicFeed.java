// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.io.IOException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.frontend.virtionet.block.NicBlockMemory;
import org.vireo.frontend.virtionet.session.DeviceState;
import org.vireo.net.api.Fd;
import org.vireo.net.api.nic.NicImage;

/** Tells a successor of changes before they take effect. Used by the NIC's actor. */
final class NicFeed {
    private static final Logger LOG = LoggerFactory.getLogger(NicFeed.class);

    private static final long BEAT_MILLIS = 50;

    private final NicBlockMemory block;
    private final ScheduledExecutorService timer;
    private volatile Consumer<NicImage> taker;
    private ScheduledFuture<?> beat;
    private String aborted;
    private long announced;

    NicFeed(NicBlockMemory block, ScheduledExecutorService timer) {
        this.block = block;
        this.timer = timer;
    }

    boolean active() {
        return taker != null;
    }

    /** From here on a successor may ask whether this process still lives: the block's heartbeat goes on. */
    void begin(Consumer<NicImage> to) {
        end();
        taker = to;
        beat = timer.scheduleAtFixedRate(block::beat, 0, BEAT_MILLIS, TimeUnit.MILLISECONDS);
    }

    void end() {
        taker = null;
        aborted = null;
        if (beat != null) {
            beat.cancel(false);
            beat = null;
        }
    }

    /** Something happened that a successor cannot follow: the handover will find the reason. */
    void abort(String why) {
        if (taker != null && aborted == null) {
            aborted = why;
        }
    }

    /** Why the handover cannot go on, or null. */
    String aborted() {
        return aborted;
    }

    /** Announces the state that is about to take effect. */
    void announce(Nic nic, DeviceState next, Fd backendSocket) {
        announced = 0;
        if (taker == null || aborted != null) {
            return;
        }
        long seq = nic.block().nextSeq();
        try {
            taker.accept(NicImages.change(nic, nic.state(), next, backendSocket, seq));
            announced = seq;
        } catch (IOException e) {
            LOG.warn("NIC {}: a change could not be announced: {}", nic.id(), e.getMessage());
            abort("a change could not be announced: " + e.getMessage());
        }
    }

    /** The number under which the state was announced, or another one. */
    long seqOr(long other) {
        return announced != 0 ? announced : other;
    }
}
