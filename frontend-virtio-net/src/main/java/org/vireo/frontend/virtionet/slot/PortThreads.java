// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.slot;

import java.util.Collections;
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

    private enum Stage { ASKED, STILL }

    private final PortMaker maker;
    private final Map<NetPort, Stage> stages = Collections.synchronizedMap(new IdentityHashMap<>());

    PortThreads(PortMaker maker) {
        this.maker = maker;
    }

    /**
     * Stops a port's own threads.
     *
     * @throws NetdevException it cannot, or not in time; {@link #resume} is due in the latter case too
     */
    void quiesce(Candidate c, NetPort p, long deadlineNanos) throws NetdevException {
        if (p instanceof ThreadedPort t) {
            stages.put(t, Stage.ASKED);
            maker.calls(c).run("quiesce", c.bundle(), deadlineNanos, () -> {
                try {
                    t.quiesce();
                    stages.replace(t, Stage.STILL);
                } catch (Throwable e) {
                    // it goes on as before
                    stages.remove(t);
                    throw e;
                }
            });
        }
    }

    /**
     * Lets a port's own threads go on, if they stand still; behind a {@link #quiesce} that hangs when that has returned, for which nobody
     * waits.
     *
     * @throws NetdevException they do not go on
     */
    void resume(Candidate c, NetPort p) throws NetdevException {
        Stage stage = stages.get(p);
        if (stage == null) {
            return;
        }
        try {
            maker.calls(c).finish("resume", c.bundle(), System.nanoTime() + RESUME_NANOS, () -> {
                if (stages.remove(p) != null) {
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

    /** The port is closed. */
    void forget(NetPort p) {
        stages.remove(p);
    }
}
