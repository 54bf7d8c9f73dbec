// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.slot;

import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.frontend.virtionet.worker.BackendException;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.PortListener;

/**
 * Passes one port's news to the NIC that holds the slot, until the port is closed. Each is passed on once until it is handled, however
 * often it is said.
 */
final class PortNews implements PortListener {
    private static final Logger LOG = LoggerFactory.getLogger(PortNews.class);

    private final NetdevSlot slot;
    private final Candidate of;
    private final AtomicReference<Boolean> link = new AtomicReference<>();
    private final AtomicBoolean failing = new AtomicBoolean();
    private volatile boolean ended;

    PortNews(NetdevSlot slot, Candidate of) {
        this.slot = slot;
        this.of = of;
    }

    @Override
    public void link(boolean up) {
        SlotUser u = receiver();
        if (u != null && link.getAndSet(up) == null) {
            u.portLink(() -> {
                Boolean last = link.getAndSet(null);
                return ended ? Optional.empty() : Optional.ofNullable(last);
            });
        }
    }

    @Override
    public void stateChanged() {
        LOG.debug("netdev {}: state changed", slot.id());
    }

    @Override
    public void failed(Exception why) {
        SlotUser u = receiver();
        if (u != null && failing.compareAndSet(false, true)) {
            Exception told = why == null ? new NetdevException("its backend says that it failed, and gives no reason")
                    : BackendException.of(why);
            u.portFailed(told, () -> {
                failing.set(false);
                return !ended && slot.isServing(of);
            });
        }
    }

    /** From now on nothing is passed on; what was and has not been handled counts no more. */
    void end() {
        ended = true;
    }

    private SlotUser receiver() {
        return ended ? null : slot.receiver(of);
    }
}
