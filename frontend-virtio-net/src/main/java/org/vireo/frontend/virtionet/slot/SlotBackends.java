// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.slot;

import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.net.api.NetPort;
import org.vireo.net.api.NetPort.Disposal;
import org.vireo.net.api.NetdevException;

/**
 * The backends of a netdev as they come and go: services whose activation begins, that are there, that leave as soon as what they have
 * open is closed; and those who wait for that. Any thread. Everything is guarded by the slot; backends and NICs are called without its
 * lock.
 */
final class SlotBackends {
    private static final Logger LOG = LoggerFactory.getLogger(SlotBackends.class);
    private static final long VALIDATE_LEAST_NANOS = TimeUnit.SECONDS.toNanos(2);
    private static final long VALIDATE_MOST_NANOS = TimeUnit.SECONDS.toNanos(5);
    private static final long CLOSE_NANOS = TimeUnit.SECONDS.toNanos(3);

    private final NetdevSlot slot;
    private final Arrivals arrivals = new Arrivals();
    private final Closing closing = new Closing();

    SlotBackends(NetdevSlot slot) {
        this.slot = slot;
    }

    /** A service whose activation begins. */
    void arrives(long serviceId, Arrivals.Arrival a) {
        synchronized (slot) {
            arrivals.begin(serviceId, a);
        }
    }

    /** Its activation failed: it never serves. */
    void arrivesNot(long serviceId, String why) {
        SlotUser waits;
        synchronized (slot) {
            arrivals.fail(serviceId, why);
            waits = slot.opened() == null ? slot.user() : null;
            slot.swap().refused("netdev " + slot.id() + ": " + why);
        }
        LOG.warn("netdev {}: {}", slot.id(), why);
        if (waits != null) {
            waits.backendUnusable("netdev " + slot.id() + ": " + why);
        }
    }

    void add(Candidate c, boolean configured) {
        SlotUser arrived;
        synchronized (slot) {
            arrivals.end(c.serviceId());
            slot.candidates().add(c, configured);
            arrived = slot.user();
            slot.notifyAll();
        }
        LOG.info("netdev {}: backend {} is there", slot.id(), c);
        if (arrived != null) {
            arrived.backendArrived();
        }
    }

    /** When this returns, nobody calls it any more, except for what hangs. */
    void remove(long serviceId) {
        Candidate leaving;
        SlotUser holder = null;
        OpenedPort beside = null;
        Disposal how = Disposal.LEAVE;
        synchronized (slot) {
            arrivals.end(serviceId);
            leaving = slot.candidates().remove(serviceId);
            slot.notifyAll();
            if (leaving == null) {
                return;
            }
            if (hasOpen(leaving)) {
                holder = slot.user();
            } else {
                how = slot.swap().disposal();
                beside = slot.swap().leaves(leaving);
            }
        }
        LOG.info("netdev {}: backend {} leaves", slot.id(), leaving);
        if (beside != null) {
            slot.maker().dispose(leaving, beside.port(), how);
        }
        for (SlotUser told = null; holder != null && holder != told;) {
            told = holder;
            told.backendLeaving();
            synchronized (slot) {
                // the port may have gone to another NIC meanwhile
                holder = hasOpen(leaving) ? slot.user() : null;
            }
        }
        awaitClosed(leaving);
        slot.maker().forget(leaving);
    }

    /** With the lock. */
    private boolean hasOpen(Candidate c) {
        return c == slot.serving() && slot.opened() != null;
    }

    private void awaitClosed(Candidate leaving) {
        synchronized (slot) {
            long end = System.nanoTime() + CLOSE_NANOS;
            boolean interrupted = false;
            for (long left = CLOSE_NANOS; closing.of(leaving) && left > 0; left = end - System.nanoTime()) {
                try {
                    slot.wait(1 + TimeUnit.NANOSECONDS.toMillis(left));
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    /** With the lock: {@link #dispose} follows, and whoever removes the backend's service waits for it. */
    void closes(Candidate c) {
        closing.begin(c);
    }

    /** Closes a port, after {@link #closes}. */
    void dispose(Candidate c, NetPort p, Disposal how) {
        try {
            slot.maker().dispose(c, p, how);
        } finally {
            synchronized (slot) {
                closing.end(c);
                slot.notifyAll();
            }
        }
    }

    /** See {@link Slots#await}. */
    void await(long deadlineNanos, long activatedNanos) throws NetdevException {
        Candidate c;
        synchronized (slot) {
            while (slot.candidates().isEmpty()) {
                long until = arrivals.isUnderWay() ? activatedNanos : deadlineNanos;
                long left = TimeUnit.NANOSECONDS.toMillis(until - System.nanoTime());
                if (left <= 0 || !arrivals.isUnderWay() && arrivals.isFailed()) {
                    throw new NetdevException("netdev " + slot.id() + ": " + absence());
                }
                slot.pause(left);
            }
            c = slot.choose();
        }
        long now = System.nanoTime();
        // its activation may have taken what there was
        long until = now + Math.clamp(deadlineNanos - now, VALIDATE_LEAST_NANOS, VALIDATE_MOST_NANOS);
        slot.maker().calls(c).run("validate", c.bundle(), until, c.backend()::validate);
    }

    /** See {@link Slots#awaitGone}. */
    void awaitGone(long deadlineNanos) {
        synchronized (slot) {
            try {
                long left;
                while (!isEmpty() && (left = TimeUnit.NANOSECONDS.toMillis(deadlineNanos - System.nanoTime())) > 0) {
                    slot.wait(left);
                }
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }
    }

    // ---- with the lock

    Arrivals arrivals() {
        return arrivals;
    }

    /** Whether there is none, and none was to come. */
    boolean isEmpty() {
        return slot.candidates().isEmpty() && arrivals.isEmpty();
    }

    /** Why nobody serves. */
    String absence() {
        return arrivals.why().isEmpty() ? "no backend serves it" : arrivals.why();
    }
}
