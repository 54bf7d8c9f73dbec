// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.frontend.virtionet.device.EngineException;
import org.vireo.frontend.virtionet.device.RingEngine;
import org.vireo.frontend.virtionet.nic.Actor.Urgency;

/** What happens while a NIC's backend is away: after some time nothing waits for it any more. Used by the NIC's actor. */
final class PortAbsence {
    private static final Logger LOG = LoggerFactory.getLogger(PortAbsence.class);
    /** A guest's own watchdog bites after 5 s without a transmitted frame. */
    private static final long DISCARD_AFTER_MILLIS = 4000;
    private static final long PARK_LIMIT_MILLIS = 60_000;

    private final NicOptions options;
    private final Environment env;
    private final Actor actor;
    private final RingEngine engine;
    private final PortBinding binding;
    private ScheduledFuture<?> discard;
    private ScheduledFuture<?> drop;

    PortAbsence(NicOptions options, Environment env, Actor actor, RingEngine engine, PortBinding binding) {
        this.options = options;
        this.env = env;
        this.actor = actor;
        this.engine = engine;
        this.binding = binding;
    }

    /** The port has gone; what it held is parked, or not. */
    void begin(boolean parked) {
        cancel();
        discard = after(DISCARD_AFTER_MILLIS, Urgency.QUERY, this::discard);
        if (parked) {
            drop = after(PARK_LIMIT_MILLIS, Urgency.UNBIND, this::drop);
        }
    }

    private ScheduledFuture<?> after(long millis, Urgency urgency, Runnable what) {
        return env.timer().schedule(() -> actor.post(urgency, what), millis, TimeUnit.MILLISECONDS);
    }

    /** A port is there again. */
    void end() throws EngineException {
        boolean began = discard != null;
        cancel();
        if (began) {
            engine.discard(false);
        }
    }

    /** Nothing will happen any more. */
    void cancel() {
        if (discard != null) {
            discard.cancel(false);
            discard = null;
        }
        if (drop != null) {
            drop.cancel(false);
            drop = null;
        }
    }

    private void discard() {
        // null: cancelled after it was posted
        if (discard != null && binding.port() == null) {
            try {
                engine.discard(true);
            } catch (EngineException e) {
                LOG.warn("{}", e.getMessage());
            }
        }
    }

    private void drop() {
        if (drop != null && binding.port() == null) {
            LOG.warn("NIC {}: no backend came for {} s: what netdev {} held is released", options.id(), PARK_LIMIT_MILLIS / 1000,
                    options.netdev());
            binding.slot().dropParked();
        }
    }
}
