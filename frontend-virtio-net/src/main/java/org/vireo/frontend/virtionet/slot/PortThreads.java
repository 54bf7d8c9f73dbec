// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.slot;

import java.util.IdentityHashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.net.api.NetPort;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.ThreadedPort;

/** Ports' own threads: which ports' stand still. A port without any costs nothing. Any thread, for one port one at a time. */
final class PortThreads {
    private static final Logger LOG = LoggerFactory.getLogger(PortThreads.class);
    private static final long RESUME_NANOS = TimeUnit.SECONDS.toNanos(2);

    /** What a port's threads were asked to do: not yet, it is being done, it is so. */
    private enum Stage { WAITING, STOPPING, STILL }

    private final PortMaker maker;
    /** By identity: a port's own equals is the backend's. */
    private final Map<NetPort, Stage> stages = new IdentityHashMap<>();

    PortThreads(PortMaker maker) {
        this.maker = maker;
    }

    /**
     * Stops a port's own threads.
     *
     * @throws NetdevException it cannot, or not in time; {@link #resume} is due in the latter case too
     */
    void quiesce(Candidate c, NetPort p, long deadlineNanos) throws NetdevException {
        if (!(p instanceof ThreadedPort t)) {
            return;
        }
        if (!begin(c, p)) {
            return;
        }
        maker.calls(c).run("quiesce", c.bundle(), deadlineNanos, () -> {
            if (!advance(p, Stage.WAITING, Stage.STOPPING)) {
                // nobody waits any more
                return;
            }
            try {
                t.quiesce();
                advance(p, Stage.STOPPING, Stage.STILL);
            } catch (Throwable e) {
                // it goes on as before
                forget(p);
                throw e;
            }
        });
    }

    private synchronized boolean begin(Candidate c, NetPort p) throws NetdevException {
        if (stages.get(p) == Stage.STOPPING) {
            // the resume that is due comes after it
            throw new NetdevException("netdev " + maker.id() + ": quiesce of " + c.bundle() + " has not returned");
        }
        return stages.putIfAbsent(p, Stage.WAITING) == null;
    }

    private synchronized boolean advance(NetPort p, Stage from, Stage to) {
        boolean is = stages.get(p) == from;
        if (is) {
            stages.put(p, to);
        }
        return is;
    }

    /** What a resume finds; what was not begun does not begin any more. */
    private synchronized Stage begun(NetPort p) {
        stages.remove(p, Stage.WAITING);
        return stages.get(p);
    }

    /**
     * Lets a port's own threads go on, if they stand still; behind a {@link #quiesce} that hangs when that has returned, for which nobody
     * waits.
     *
     * @throws NetdevException they do not go on
     */
    void resume(Candidate c, NetPort p) throws NetdevException {
        Stage stage = begun(p);
        if (stage == null) {
            return;
        }
        try {
            maker.calls(c).finish("resume", c.bundle(), System.nanoTime() + RESUME_NANOS, () -> {
                if (forget(p)) {
                    ((ThreadedPort) p).resume();
                }
            });
        } catch (NetdevException e) {
            if (stage == Stage.STILL) {
                throw e;
            }
            LOG.warn("{}", e.getMessage());
        }
    }

    /**
     * The port is closed, or its threads run.
     *
     * @return whether they had been asked to stand still
     */
    synchronized boolean forget(NetPort p) {
        return stages.remove(p) != null;
    }
}
