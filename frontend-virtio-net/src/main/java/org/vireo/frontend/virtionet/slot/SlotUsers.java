// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.slot;

import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.vireo.net.api.NetdevException;
import org.vireo.vhostuser.VirtioNet;

/**
 * The NICs that name one netdev. One of them holds it, with its port; the other one, to which a VMM may migrate the first one's guest,
 * gets it when its rings run and the holder's do not. Guarded by the slot; NICs are told without its lock. Any thread.
 */
public final class SlotUsers {
    private static final int MOST = 2;
    /** For how long a NIC that comes from another process waits for one that is over: whoever sends it tries again anyhow. */
    private static final long LET_GO_NANOS = TimeUnit.MILLISECONDS.toNanos(500);

    private final NetdevSlot slot;
    /** The first one holds. */
    private final List<SlotUser> all = new ArrayList<>();
    private final Set<SlotUser> wanting = new LinkedHashSet<>();
    /** Whether the one that holds it is in another process with the port, and comes here or has gone there: nobody here holds it. */
    private boolean left;

    SlotUsers(NetdevSlot slot) {
        this.slot = slot;
    }

    /**
     * A NIC names the netdev. The first one holds it.
     *
     * @param nic the NIC
     * @throws NetdevException there are two, the other one has another number of pairs, or has ended and is not gone
     */
    public void add(SlotUser nic) throws NetdevException {
        synchronized (slot) {
            boolean waits = left;
            add(nic, false, 0);
            left = waits;
        }
    }

    /**
     * A NIC that comes from another process names the netdev. It may be one that was here before: what is over is waited for, for a moment.
     * Not on a thread that the other one needs for its end.
     *
     * @param nic the NIC
     * @param holds whether it held the netdev there: then it does here too, though another one was here first, unless that has a port
     * @param deadlineNanos until when to wait at most
     * @throws NetdevException there are two, the other one has another number of pairs, or has ended and is not gone
     */
    public void receive(SlotUser nic, boolean holds, long deadlineNanos) throws NetdevException {
        synchronized (slot) {
            add(nic, holds, Math.min(LET_GO_NANOS, deadlineNanos - System.nanoTime()));
        }
    }

    private void add(SlotUser nic, boolean holds, long waitNanos) throws NetdevException {
        synchronized (slot) {
            if (all.contains(nic)) {
                return;
            }
            awaitGone(waitNanos);
            if (all.size() == MOST) {
                String names = all.stream().map(SlotUser::id).collect(Collectors.joining(" and "));
                throw new NetdevException("netdev " + slot.id() + ": is in use by NICs " + names + "; no more than " + MOST
                        + " can name it");
            }
            if (!all.isEmpty() && holder().pairs() != nic.pairs()) {
                throw new NetdevException("netdev " + slot.id() + ": NIC " + holder().id() + " has it with " + holder().pairs()
                        + " queue pairs, NIC " + nic.id() + " wants " + nic.pairs() + ": give both the same queues=");
            }
            boolean first = holds && slot.opened() == null;
            // the one that holds it has not come yet
            left = !first && (left || all.isEmpty());
            all.add(first ? 0 : all.size(), nic);
        }
    }

    /** One that is over lets go in a moment, unless a thread hangs in its backend. */
    private void awaitGone(long waitNanos) throws NetdevException {
        long began = System.nanoTime();
        for (Optional<SlotUser> late = over(); late.isPresent(); late = over()) {
            long left = TimeUnit.NANOSECONDS.toMillis(waitNanos - (System.nanoTime() - began));
            if (left <= 0) {
                throw new NetdevException("netdev " + slot.id() + ": is in use by NIC " + late.get().id()
                        + ", which is over, but whose backend has not let go yet: try again later");
            }
            slot.pause(left);
        }
    }

    private Optional<SlotUser> over() {
        return all.stream().filter(SlotUser::ended).findFirst();
    }

    /**
     * Whether a NIC holds the netdev: no other one may use its port.
     *
     * @param nic the NIC
     * @return whether
     */
    public boolean isHeldBy(SlotUser nic) {
        synchronized (slot) {
            return holder() == nic && !left;
        }
    }

    /**
     * Who has the netdev while a NIC that names it has not.
     *
     * @param nic the NIC
     * @return who, for people; empty: the NIC itself holds it, or does not name it
     */
    public Optional<String> holderBeside(SlotUser nic) {
        synchronized (slot) {
            return isHeldBy(nic) || !all.contains(nic) ? Optional.empty()
                    : Optional.of(left ? "another process" : "NIC " + holder().id());
        }
    }

    /**
     * Whether nobody here holds the netdev, since the NIC that does is in another process.
     *
     * @return whether
     */
    public boolean isElsewhere() {
        synchronized (slot) {
            return left;
        }
    }

    /**
     * A NIC has opened the netdev here, though another process has it too or had it: it holds it here.
     *
     * @param nic the NIC
     */
    public void settle(SlotUser nic) {
        synchronized (slot) {
            if (left && all.remove(nic)) {
                all.addFirst(nic);
                wanting.remove(nic);
                left = false;
            }
        }
    }

    /**
     * A NIC's rings run, and it needs the port: the one that holds it is asked.
     *
     * @param nic the NIC
     * @return who has it, for people; empty: the NIC itself does
     */
    public Optional<String> claim(SlotUser nic) {
        SlotUser holder;
        synchronized (slot) {
            holder = holder();
            if (isHeldBy(nic) || !all.contains(nic)) {
                return Optional.empty();
            }
            wanting.add(nic);
            if (left) {
                return Optional.of("another process");
            }
        }
        holder.portWanted();
        return Optional.of("NIC " + holder.id());
    }

    /**
     * A NIC's rings run no more: it wants the port no more.
     *
     * @param nic the NIC
     */
    public void unclaim(SlotUser nic) {
        synchronized (slot) {
            wanting.remove(nic);
        }
    }

    /** Whether two NICs name the netdev. */
    boolean isShared() {
        synchronized (slot) {
            return all.size() > 1;
        }
    }

    /**
     * Whether a NIC other than the one that holds the netdev wants it.
     *
     * @return whether
     */
    public boolean isClaimed() {
        synchronized (slot) {
            return next() != null;
        }
    }

    private SlotUser next() {
        return wanting.stream().filter(w -> w != holder()).findFirst().orElse(null);
    }

    /**
     * Whether the guests of the NICs that do not hold the netdev could go on with another port, too.
     *
     * @param port the port
     * @throws NetdevException one could not, and why
     */
    public void requireFit(OpenedPort port) throws NetdevException {
        List<SlotUser> waiting;
        synchronized (slot) {
            waiting = others();
        }
        for (SlotUser u : waiting) {
            long missing = u.missing(port);
            if (missing != 0) {
                throw new NetdevException("netdev " + slot.id() + ": lacks " + VirtioNet.names(missing) + ", which the guest of NIC "
                        + u.id() + " acknowledged, to which the netdev may go");
            }
        }
    }

    /**
     * The holder's rings do not run, and it has let go of the port: another NIC has it from now on, if one wants it.
     *
     * @param nic the holder
     * @param use how the holder used it
     */
    public void pass(SlotUser nic, PortUse use) {
        SlotUser next;
        synchronized (slot) {
            next = holder() == nic ? next() : null;
            if (next == null) {
                return;
            }
            wanting.remove(next);
            all.remove(next);
            all.addFirst(next);
        }
        next.portGiven(use);
    }

    // ---- for the slot, with its lock

    /** Who holds the netdev, or null. */
    SlotUser holder() {
        return all.isEmpty() ? null : all.getFirst();
    }

    /** Those that do not hold it. */
    List<SlotUser> others() {
        return all.isEmpty() ? List.of() : List.copyOf(all.subList(1, all.size()));
    }

    boolean isEmpty() {
        return all.isEmpty();
    }

    void remove(SlotUser nic) {
        all.remove(nic);
        wanting.remove(nic);
        left &= !all.isEmpty();
        slot.notifyAll();
    }

    /** The holder ends, and its port is not here any more. */
    void leave(SlotUser nic) {
        remove(nic);
        left = !all.isEmpty();
    }

    /**
     * The holder ends: the other one holds the netdev.
     *
     * @return which, or null: there is none, and nothing has changed
     */
    SlotUser heir(SlotUser leaving) {
        if (all.size() < MOST) {
            return null;
        }
        remove(leaving);
        return holder();
    }
}
