// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.io.IOException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.handover.FencedNic.End;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.TransferableNic;
import org.vireo.posix.linux.Poll;
import org.vireo.posix.linux.Threads;

/**
 * Sees to it that a process which stood still, and lives again, lets go of the NICs at which its standby has fenced it, before it is ended
 * for them. One thread.
 */
final class FenceWatch implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(FenceWatch.class);
    private static final int LOOK_MILLIS = 50;

    private final Context context;
    private final Runnable nothingLeft;
    private final Cancel stop;
    private final Peer others;
    private final List<FencedNic> fenced = new ArrayList<>();
    /** Those of which it has been said that they do not stop. */
    private final Set<String> stubborn = new HashSet<>();
    private final Thread thread;

    /**
     * Begins.
     *
     * @param context whose NICs are looked at
     * @param nothingLeft told when the last NIC has gone that way
     * @throws IOException no descriptor left
     */
    FenceWatch(Context context, Runnable nothingLeft) throws IOException {
        this.context = context;
        this.nothingLeft = nothingLeft;
        others = Peer.self(context.fds());
        stop = new Cancel(context.fds());
        thread = Thread.ofPlatform().daemon().name("fence-watch").start(this::run);
    }

    private void run() {
        Threads.urgent();
        while (!stop.asked() || !fenced.isEmpty()) {
            try {
                look();
            } catch (IllegalStateException e) {
                // a NIC was deleted at this very moment
                LOG.debug("fence", e);
            }
            Poll.readable(LOOK_MILLIS, stop.number());
        }
    }

    private void look() {
        context.nics().fenced().stream().filter(this::isNew).forEach(this::begin);
        boolean deleted = false;
        for (FencedNic f : List.copyOf(fenced)) {
            try {
                f.advance();
            } catch (IllegalStateException e) {
                LOG.warn("NIC {}: was deleted while a standby fenced it", f.id());
                deleted |= fenced.remove(f);
            }
        }
        if ((fenced.removeIf(this::ended) || deleted) && fenced.isEmpty() && hasNothing()) {
            nothingLeft.run();
        }
    }

    private boolean hasNothing() {
        return context.nics().transferable().isEmpty() && context.nics().fenced().isEmpty();
    }

    private boolean isNew(TransferableNic nic) {
        return fenced.stream().noneMatch(f -> f.id().equals(nic.id()));
    }

    private void begin(TransferableNic nic) {
        try {
            fenced.add(FencedNic.stop(nic, others, context.deadlines()));
            LOG.warn("NIC {}: fenced by a standby, since this process stood still; it has let go", nic.id());
            stubborn.remove(nic.id());
        } catch (NicException e) {
            if (stubborn.add(nic.id())) {
                LOG.warn("NIC {}: fenced by a standby, since this process stood still, and does not stop: {}", nic.id(), e.getMessage());
            }
        }
    }

    private boolean ended(FencedNic f) {
        if (f.end() == End.BACK) {
            LOG.info("NIC {}: runs here again: who fenced is dead", f.id());
        } else if (f.end() == End.GONE) {
            context.events().accept("NIC_FENCED", Map.of("nic", f.id()));
        }
        return f.end() != null;
    }

    /** Stops looking when nothing is under way. */
    @Override
    public void close() {
        stop.now("end");
        if (Thread.currentThread() != thread) {
            try {
                thread.join(context.deadlines().prepare());
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }
        stop.close();
        others.close();
    }
}
