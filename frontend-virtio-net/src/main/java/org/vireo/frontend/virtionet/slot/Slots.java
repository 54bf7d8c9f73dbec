// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.slot;

import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ExecutorService;
import org.osgi.framework.BundleContext;
import org.osgi.framework.Constants;
import org.osgi.framework.ServiceReference;
import org.osgi.framework.Version;
import org.vireo.net.api.Fds;
import org.vireo.net.api.NetBackend;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.nic.NetdevStatus;

/** All netdev slots of the process. Any thread. */
public final class Slots {
    private final Fds fds;
    private final ExecutorService threads = BackendThreads.ordinary();
    private final Map<String, NetdevSlot> slots = new TreeMap<>();

    /**
     * No slots yet.
     *
     * @param fds makes descriptors for ports
     */
    public Slots(Fds fds) {
        this.fds = fds;
    }

    /** No NIC uses a slot any more: threads that wait for work end now, not seconds later with the code of a bundle that has gone. */
    public void end() {
        threads.shutdown();
    }

    /**
     * The slot of a netdev; made if there is none.
     *
     * @param netdev its id
     * @return the slot
     */
    public synchronized NetdevSlot slot(String netdev) {
        return slots.computeIfAbsent(netdev, id -> new NetdevSlot(id, fds, threads));
    }

    /**
     * The slot of a netdev for a NIC: it stays the netdev's until {@link #giveBack}, whoever comes and leaves.
     *
     * @param netdev its id
     * @return the slot
     */
    public synchronized NetdevSlot reserve(String netdev) {
        NetdevSlot slot = slot(netdev);
        slot.waits(1);
        return slot;
    }

    /**
     * The NIC ends.
     *
     * @param slot what {@link #reserve} gave
     */
    public void giveBack(NetdevSlot slot) {
        slot.waits(-1);
        forgetIfUnused(slot);
    }

    /**
     * Whether two NICs name one netdev, as for a guest that is to go from one VMM to another.
     *
     * @return whether
     */
    public boolean areShared() {
        List<NetdevSlot> all;
        synchronized (this) {
            all = List.copyOf(slots.values());
        }
        return all.stream().map(NetdevSlot::users).anyMatch(SlotUsers::isShared);
    }

    /**
     * One slot alone, for a rehearsal: its backend is told that its descriptors are stand-ins.
     *
     * @param netdev its id
     * @return slots that nobody else uses
     * @throws NetdevException no backend serves it
     */
    public Slots twin(String netdev) throws NetdevException {
        Slots twin = new Slots(fds);
        twin.slots.put(netdev, slot(netdev).twin(fds));
        return twin;
    }

    /**
     * One slot alone, for a rehearsal of a backend that is to replace another one.
     *
     * @param netdev its id
     * @param r the replacement
     * @return slots that nobody else uses
     */
    public Slots twin(String netdev, Replacement r) {
        Slots twin = new Slots(fds);
        twin.slots.put(netdev, NetdevSlot.twin(netdev, fds, r.to));
        return twin;
    }

    /**
     * One slot alone, for a rehearsal.
     *
     * @param netdev its id
     * @param backend serves it; it is told that its descriptors are stand-ins
     * @param fds makes descriptors
     * @return slots that nobody else uses
     */
    public static Slots of(String netdev, NetBackend backend, Fds fds) {
        Slots s = new Slots(fds);
        s.slots.put(netdev, NetdevSlot.twin(netdev, fds,
                new Candidate(backend, netdev, "a stand-in", -1, 0, Version.emptyVersion, 0, 0, Map.of())));
        return s;
    }

    /**
     * Services whose objects are fetched and given back beside.
     *
     * @param context of this bundle
     * @return they serve these netdevs
     */
    public BackendServices services(BundleContext context) {
        return new BackendServices(this, context, threads);
    }

    /**
     * Waits for a netdev's backend and checks its configuration.
     *
     * @param netdev its id
     * @param deadlineNanos until when
     * @param activatedNanos until when, if its activation goes on
     * @throws NetdevException none came, or its configuration is wrong
     */
    public void await(String netdev, long deadlineNanos, long activatedNanos) throws NetdevException {
        wait(netdev, slot -> slot.backends().await(deadlineNanos, activatedNanos));
    }

    /**
     * Waits until a netdev has no backend any more.
     *
     * @param netdev its id
     * @param deadlineNanos until when; afterwards it returns all the same
     */
    public void awaitGone(String netdev, long deadlineNanos) {
        NetdevSlot slot;
        synchronized (this) {
            slot = slots.get(netdev);
        }
        if (slot != null) {
            slot.backends().awaitGone(deadlineNanos);
        }
    }

    /**
     * Another configuration of a netdev serves from now on, with what the one before has open.
     *
     * @param netdev its id
     * @param type its type, the same or another one
     * @param revision its number
     * @param deadlineNanos until when
     * @throws NetdevException its service did not come, or it cannot, and why; the type that was asked for before is asked for again
     */
    public void swapTo(String netdev, String type, int revision, long deadlineNanos) throws NetdevException {
        wait(netdev, slot -> slot.swap().swapTo(type, revision, deadlineNanos));
    }

    private interface Waiting {
        void at(NetdevSlot slot) throws NetdevException;
    }

    private void wait(String netdev, Waiting w) throws NetdevException {
        // its former backend may be leaving: the slot that is waited at has to be the one that the next comes to
        NetdevSlot slot = reserve(netdev);
        try {
            w.at(slot);
        } finally {
            giveBack(slot);
        }
    }

    /** A service whose activation begins. */
    synchronized void arrives(ServiceReference<?> reference, String who) {
        slot(Candidate.netdev(reference)).backends().arrives((Long) reference.getProperty(Constants.SERVICE_ID),
                Candidate.arrival(reference, who));
    }

    /**
     * A backend's service came.
     *
     * @param backend the service
     * @param reference its properties
     */
    public void add(NetBackend backend, ServiceReference<?> reference) {
        slot(Candidate.netdev(reference)).backends().add(Candidate.of(backend, reference), Candidate.isConfigured(reference));
    }

    /**
     * A backend's service leaves: when this returns, nobody calls it any more.
     *
     * @param reference its properties
     */
    public void remove(ServiceReference<?> reference) {
        NetdevSlot slot = slot(Candidate.netdev(reference));
        slot.backends().remove((Long) reference.getProperty(Constants.SERVICE_ID));
        forgetIfUnused(slot);
    }

    /** Forgets a slot that has neither backend nor NIC. */
    private synchronized void forgetIfUnused(NetdevSlot slot) {
        if (slot.unused()) {
            slots.remove(slot.id(), slot);
        }
    }

    /**
     * All slots.
     *
     * @return a snapshot by id
     */
    public List<NetdevStatus> status() {
        List<NetdevSlot> all;
        synchronized (this) {
            all = List.copyOf(slots.values());
        }
        // without the lock: it asks backends
        return all.stream().filter(s -> !s.unused()).map(NetdevSlot::status).toList();
    }
}
