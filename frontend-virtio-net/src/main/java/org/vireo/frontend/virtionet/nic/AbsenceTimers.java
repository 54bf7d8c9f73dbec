// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;

/** What happens to a NIC whose port is away, the longer it is. Used by the NIC's actor. */
final class AbsenceTimers {
    /** A guest's own watchdog bites after 5 s without a transmitted frame: from here on frames are discarded. */
    private static final long DISCARD_AFTER_MILLIS = 4000;
    /** From here on what a parked netdev holds is released. */
    static final long PARK_LIMIT_MILLIS = 60_000;

    private final ScheduledExecutorService timer;
    private final List<ScheduledFuture<?>> pending = new ArrayList<>();

    AbsenceTimers(ScheduledExecutorService timer) {
        this.timer = timer;
    }

    /** The port has gone. Both actions must only post. */
    void start(Runnable discard, Runnable drop) {
        cancel();
        pending.add(timer.schedule(discard, DISCARD_AFTER_MILLIS, TimeUnit.MILLISECONDS));
        pending.add(timer.schedule(drop, PARK_LIMIT_MILLIS, TimeUnit.MILLISECONDS));
    }

    /**
     * The port is back, or nobody waits for it any more.
     *
     * @return whether it was away
     */
    boolean cancel() {
        boolean away = !pending.isEmpty();
        pending.forEach(f -> f.cancel(false));
        pending.clear();
        return away;
    }
}
