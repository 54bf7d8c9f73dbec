// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.LongSupplier;
import org.vireo.frontend.virtionet.nic.Actor.Urgency;
import org.vireo.vhostuser.FlapDamping;

/** What a NIC logs of something that comes and goes as often as others like: damped, and in the end always the last of it. Of its actor. */
final class NicNews {
    private final Actor actor;
    private final ScheduledExecutorService timer;
    private final FlapDamping damping;
    private boolean waiting;

    /**
     * Nothing was said yet.
     *
     * @param first how many changes are said at once
     * @param clock nanoseconds
     * @param log where it is said
     */
    NicNews(Actor actor, ScheduledExecutorService timer, int first, LongSupplier clock, Consumer<String> log) {
        this.actor = actor;
        this.timer = timer;
        damping = new FlapDamping(first, clock, log);
    }

    void say(String what) {
        damping.say(what);
        later();
    }

    private void later() {
        if (!waiting && damping.leftNanos() != FlapDamping.NOTHING) {
            waiting = true;
            timer.schedule(() -> actor.post(Urgency.QUERY, () -> {
                waiting = false;
                damping.flush();
                later();
            }), Math.max(0, damping.leftNanos()), TimeUnit.NANOSECONDS);
        }
    }

    /** Says what is held back. */
    void end() {
        damping.end();
    }
}
