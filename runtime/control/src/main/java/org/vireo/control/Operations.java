// SPDX-License-Identifier: Apache-2.0
package org.vireo.control;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.net.api.nic.Handovers;
import org.vireo.net.api.nic.NetdevStatus;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.NicState;
import org.vireo.net.api.nic.NicStatus;
import org.vireo.net.api.nic.Nics;

/**
 * What can be done to NICs and netdevs, whoever asks: the command line at the start, QMP, or files. Looking never waits. Any thread.
 */
final class Operations {
    private static final Logger LOG = LoggerFactory.getLogger(Operations.class);
    /** The framework's thread that brings a backend its configuration may be kept by another backend for some seconds. */
    private static final long NETDEV_DEADLINE_NANOS = TimeUnit.SECONDS.toNanos(10);
    private static final long LEAVE_NANOS = TimeUnit.SECONDS.toNanos(3);
    private static final long SWAP_DEADLINE_NANOS = TimeUnit.SECONDS.toNanos(30);

    private final NetdevStore netdevs;
    private final Supplier<Nics> nics;
    private final Supplier<Handovers> handovers;
    private final Changes changes = new Changes();
    private volatile boolean incoming;

    /**
     * Operations.
     *
     * @param netdevs keeps the netdevs' configurations
     * @param nics gives the frontend, or null while there is none
     * @param handovers gives the handover, or null while there is none
     */
    Operations(NetdevStore netdevs, Supplier<Nics> nics, Supplier<Handovers> handovers) {
        this.netdevs = netdevs;
        this.nics = nics;
        this.handovers = handovers;
    }

    /** There is no NIC or netdev of this id. */
    static final class NotFoundException extends Exception {
        private static final long serialVersionUID = 1L;

        NotFoundException(String id) {
            super(id);
        }
    }

    NetdevStore netdevs() {
        return netdevs;
    }

    Nics frontend() throws NicException {
        Nics n = nics.get();
        if (n == null) {
            throw new NicException("no frontend is installed: without it there are no NICs");
        }
        return n;
    }

    Handovers handovers() throws NicException {
        Handovers h = handovers.get();
        if (h == null) {
            throw new NicException("no handover is installed: without it NICs cannot move");
        }
        return h;
    }

    /** The NICs; none without a frontend. */
    List<NicStatus> nics() {
        Nics n = nics.get();
        return n == null ? List.of() : n.list();
    }

    /** The NICs with the counters of their ports, for which each backend is asked. */
    List<NicStatus> measuredNics() {
        Nics n = nics.get();
        return n == null ? List.of() : n.measure();
    }

    /** The netdevs that have a backend or a NIC; none without a frontend. */
    List<NetdevStatus> netdevStates() {
        Nics n = nics.get();
        return n == null ? List.of() : n.netdevs();
    }

    Changes changes() {
        return changes;
    }

    /** What {@link Changes} calls a netdev. */
    static List<String> netdev(String id) {
        return List.of("netdev " + id);
    }

    /** What {@link Changes} calls a NIC, and its netdev if it has one. */
    static List<String> nic(String id, String netdev) {
        return netdev == null || netdev.isEmpty() ? List.of("NIC " + id) : List.of("NIC " + id, "netdev " + netdev);
    }

    void addNetdev(String type, String id, Map<String, String> options) throws NicException {
        changes.make(netdev(id), "is being added: its backend has not come yet", () -> {
            Nics frontend = frontend();
            netdevs.create(type, id, options);
            changes.aside(() -> {
                try {
                    frontend.awaitNetdev(id, System.nanoTime() + NETDEV_DEADLINE_NANOS);
                } catch (NicException | RuntimeException e) {
                    takeBack(id);
                    throw e;
                }
            });
        });
    }

    /** Its backend is told on the framework's thread: one of this id that is added at once must not be taken for the former one. */
    private boolean delete(String id) throws NicException {
        boolean there = netdevs.delete(id);
        Nics frontend = nics.get();
        if (there && frontend != null) {
            frontend.awaitNetdevGone(id, System.nanoTime() + LEAVE_NANOS);
        }
        return there;
    }

    private void takeBack(String id) {
        try {
            delete(id);
        } catch (NicException e) {
            LOG.error("netdev {} was refused, but its configuration stays", id, e);
        }
    }

    /**
     * Another type of backend goes on with what a netdev has open.
     *
     * @param type the type
     * @param options of the new one; none: those that the netdev has
     */
    void swapNetdev(String id, String type, Map<String, String> options) throws NicException, NotFoundException {
        change(id, now -> {
            if (now.type().equals(type)) {
                throw new NicException("netdev " + id + ": is of type " + type + " already; its options are changed by netdev-change"
                        + " (vireo netdev change)");
            }
            replace(now, type, options.isEmpty() ? now.options() : options);
        });
    }

    /**
     * A netdev gets other options, under running guests.
     *
     * @param options all of them; the same as it has: nothing happens
     */
    void changeNetdev(String id, Map<String, String> options) throws NicException, NotFoundException {
        change(id, now -> replaceOptions(now, options));
    }

    /**
     * Some options of a netdev change, under running guests.
     *
     * @param changes the new values; an empty one takes an option back
     */
    void changeOptions(String id, Map<String, String> changes) throws NicException, NotFoundException {
        change(id, now -> {
            Map<String, String> options = new LinkedHashMap<>(now.options());
            options.putAll(changes);
            options.values().removeIf(String::isEmpty);
            replaceOptions(now, options);
        });
    }

    /** What becomes of a netdev's configuration. */
    private interface NetdevChange {
        void make(NetdevStore.Netdev now) throws NicException;
    }

    private void change(String id, NetdevChange change) throws NicException, NotFoundException {
        changes.make(netdev(id), "is being changed",
                () -> change.make(netdevs.netdev(id).orElseThrow(() -> new NotFoundException(id))));
    }

    private void replaceOptions(NetdevStore.Netdev now, Map<String, String> options) throws NicException {
        if (!now.options().equals(options)) {
            replace(now, now.type(), options);
        }
    }

    private void replace(NetdevStore.Netdev now, String type, Map<String, String> options) throws NicException {
        Nics frontend = frontend();
        int revision = netdevs.nextRevision(now);
        netdevs.createBeside(type, now.id(), revision, options);
        changes.aside(() -> {
            boolean changed = false;
            try {
                frontend.swap(now.id(), type, revision, System.nanoTime() + SWAP_DEADLINE_NANOS);
                changed = true;
            } finally {
                netdevs.deleteOthers(now.id(), changed ? revision : now.revision());
            }
        });
    }

    void deleteNetdev(String id) throws NicException, NotFoundException {
        changes.make(netdev(id), "is being deleted", () -> {
            for (NicStatus n : nics()) {
                if (n.netdev().equals(id)) {
                    throw new NicException("netdev " + id + " is in use by NIC " + n.id() + "; delete that first");
                }
            }
            changes.aside(() -> {
                if (!delete(id)) {
                    throw new NotFoundException(id);
                }
            });
        });
    }

    void addNic(Map<String, String> options) throws NicException {
        String id = options.get("id");
        if (id == null) {
            throw new NicException("a NIC needs an id: id=NAME");
        }
        NetdevStore.requireId("NIC", id);
        changes.make(nic(id, options.get("netdev")), "is being added", () -> {
            Nics frontend = frontend();
            boolean waits = awaiting();
            if (!waits) {
                // a NIC that waits for its state gets its netdev's configuration with it
                requireNetdev(id, options.get("netdev"));
            }
            requireOwnSocket(id, options.get("socket"));
            Map<String, String> copy = new LinkedHashMap<>(options);
            if (waits) {
                frontend.add(copy, true);
            } else {
                changes.aside(() -> frontend.add(copy, false));
            }
        });
    }

    private void requireNetdev(String nic, String netdev) throws NicException {
        if (netdev == null) {
            return;
        }
        List<String> known = netdevs.list().stream().map(NetdevStore.Netdev::id).sorted().toList();
        if (!known.contains(netdev)) {
            throw new NicException("NIC " + nic + ": netdev=" + netdev + ": there is no such netdev; "
                    + (known.isEmpty() ? "there is none at all, add one first" : "there are " + String.join(", ", known)));
        }
    }

    /** Said here, since whoever tries to listen only sees that somebody does. */
    private void requireOwnSocket(String nic, String socket) throws NicException {
        for (NicStatus n : nics()) {
            if (socket != null && !n.id().equals(nic) && socket.equals(n.options().get("socket"))) {
                throw new NicException("NIC " + nic + ": socket=" + socket + " belongs to NIC " + n.id() + "; choose another path");
            }
        }
    }

    void deleteNic(String id) throws NicException, NotFoundException {
        String netdev = nics().stream().filter(n -> n.id().equals(id)).map(NicStatus::netdev).findFirst().orElse(null);
        changes.make(nic(id, netdev), "is being deleted", () -> {
            Nics frontend = frontend();
            if (frontend.list().stream().noneMatch(n -> n.id().equals(id))) {
                throw new NotFoundException(id);
            }
            changes.aside(() -> frontend.remove(id));
        });
    }

    /** From now on NICs are made to wait for their state from another process, until the first one has arrived. */
    void expectIncoming() {
        incoming = true;
    }

    /** Whether NICs wait for their state from another process, so that a new one has to wait too. */
    boolean awaiting() {
        return incoming && nics().stream().allMatch(n -> n.state() == NicState.AWAITING || n.state() == NicState.PREPARED);
    }

    /** Whether this process serves: no NIC waits for another process, nor is one on its way. */
    boolean serves() {
        if (awaiting() || nics().stream().anyMatch(n -> n.state() == NicState.AWAITING)) {
            return false;
        }
        Handovers h = handovers.get();
        return h == null || !List.of("setup", "active").contains(h.status().get("status"));
    }

    /** NICs are opened when they are made: this process does not wait for any. */
    void expectNothing() {
        incoming = false;
    }

    /**
     * Goes on with what an earlier process left in the descriptor store, and keeps all NICs there.
     *
     * @param startsOthers whether NICs that wait and were not there start
     */
    void restore(boolean startsOthers) throws NicException {
        boolean serves = handovers().restore() > 0;
        handovers().keep(true);
        if (startsOthers) {
            List<String> problems = frontend().startAwaiting();
            expectNothing();
            // those that were taken do not end for those that do not start, which is in the log
            if (!problems.isEmpty() && !serves) {
                throw new NicException(String.join("; ", problems));
            }
        }
    }

    /**
     * Joins those who stand by for one another.
     *
     * @param begins whether this process may be the first
     * @param active told when this process becomes the active one, with why NICs that waited do not start
     * @param fenced told when this process stood still and a standby has taken all its NICs
     */
    void standBy(String uri, boolean begins, Consumer<List<String>> active, Runnable fenced) throws NicException {
        handovers().standBy(uri, begins, new Handovers.StandbyListener() {
            @Override
            public void active(List<String> problems) {
                expectNothing();
                active.accept(problems);
            }

            @Override
            public void fenced() {
                fenced.run();
            }
        });
    }

    void listen(String uri) throws NicException {
        Handovers h = handovers();
        h.listen(uri);
        incoming = true;
    }
}
