// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.slot;

import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import org.vireo.frontend.virtionet.worker.BackendException;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.PortListener;
import org.vireo.net.api.PortProfile;

/**
 * Passes one port's news to the NIC that holds the slot, until the port is closed. Each is passed on once until it is handled, however
 * often it is said.
 */
final class PortNews implements PortListener {
    private final NetdevSlot slot;
    private final Candidate of;
    private final AtomicReference<PortLink> link = new AtomicReference<>();
    private final AtomicBoolean failing = new AtomicBoolean();
    private final AtomicBoolean changing = new AtomicBoolean();
    private volatile boolean changed;
    private volatile PortLink latestLink;
    private volatile PortProfile latestProfile;
    private volatile Exception failure;
    private volatile boolean ended;

    PortNews(NetdevSlot slot, Candidate of) {
        this.slot = slot;
        this.of = of;
    }

    /** What it said last of its link, also when nobody was told. */
    Optional<PortLink> latestLink() {
        return Optional.ofNullable(latestLink);
    }

    /** What it said last of what it can do, also when nobody was told. */
    Optional<PortProfile> latestProfile() {
        return Optional.ofNullable(latestProfile);
    }

    /** Why it failed, if it has said so, also when nobody was told. */
    Optional<Exception> failure() {
        return Optional.ofNullable(failure);
    }

    @Override
    public void link(boolean up) {
        tell(new PortLink(up, ""));
    }

    @Override
    public void linkDown(String why) {
        tell(PortLink.down(why));
    }

    private void tell(PortLink now) {
        latestLink = now;
        SlotUser u = receiver();
        if (u != null && link.getAndSet(now) == null) {
            u.portLink(() -> {
                PortLink last = link.getAndSet(null);
                return counts() ? Optional.ofNullable(last) : Optional.empty();
            });
        }
    }

    @Override
    public void profile(PortProfile now) {
        // looked at by who negotiates
        latestProfile = now;
    }

    /** Its state is being saved: what it says from now on is of another one. */
    void saves() {
        changed = false;
    }

    /** Whether it has said that its state is no more what was saved last. */
    boolean isStateChanged() {
        return changed;
    }

    @Override
    public void stateChanged() {
        changed = true;
        SlotUser u = receiver();
        if (u != null && changing.compareAndSet(false, true)) {
            u.portStateChanged(() -> {
                changing.set(false);
                return counts();
            });
        }
    }

    @Override
    public void failed(Exception why) {
        Exception told = why == null ? new NetdevException("its backend says that it failed, and gives no reason")
                : BackendException.of(why);
        failure = told;
        SlotUser u = receiver();
        if (u != null && failing.compareAndSet(false, true)) {
            u.portFailed(told, () -> {
                failing.set(false);
                return counts();
            });
        }
    }

    /** From now on nothing is passed on; what was and has not been handled counts no more. */
    void end() {
        ended = true;
    }

    private boolean counts() {
        return !ended && slot.isServing(of);
    }

    private SlotUser receiver() {
        return ended ? null : slot.receiver(of);
    }
}
