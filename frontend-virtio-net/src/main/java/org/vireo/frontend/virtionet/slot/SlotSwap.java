// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.slot;

import java.util.Optional;
import java.util.concurrent.TimeUnit;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.NetPort.Disposal;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.StateFormat;

/**
 * How another backend takes the place of the one that serves a netdev. One replacement at a time; the holding NIC does it step by step,
 * and either backend may leave at any moment. Everything is guarded by the slot; calls into backends are made without its lock.
 */
public final class SlotSwap {
    private final NetdevSlot slot;
    private Replacement replacement;
    /** Why the last replacement did not work. */
    private String refusal = "";

    SlotSwap(NetdevSlot slot) {
        this.slot = slot;
    }

    /**
     * Begins to replace the backend that serves, if there is a better one. One at a time.
     *
     * @return the replacement, empty if the best one serves
     */
    public Optional<Replacement> better() {
        synchronized (slot) {
            // of another type than the one that is asked for nobody is better than who serves
            Candidate best = slot.candidates().bestToReplace().orElse(null);
            if (slot.opened() == null || best == null || best == slot.serving() || replacement != null) {
                return Optional.empty();
            }
            replacement = new Replacement(slot.serving(), best);
            return Optional.of(replacement);
        }
    }

    /**
     * Whether the state that the serving backend saves stays true while frames move.
     *
     * @return false: it is saved and loaded while no frame moves
     * @throws NetdevException it has no state transfer, or does not say
     */
    public boolean stable() throws NetdevException {
        Candidate c;
        synchronized (slot) {
            c = slot.serving();
        }
        return c != null && slot.maker().format(c).kind() == StateFormat.Kind.STABLE;
    }

    /**
     * Loads a replacement beside the port that serves.
     *
     * @param r the replacement
     * @param state what the serving backend has saved; the caller closes it
     * @param pairs of the NIC
     * @param deadlineNanos until when
     * @throws NetdevException it cannot, or has left
     */
    public void load(Replacement r, BackendState state, int pairs, long deadlineNanos) throws NetdevException {
        // kept or closed before the backend's next call: it may be asked to load the same again at once
        slot.maker().load(r.to, state, pairs, deadlineNanos, () -> isUnderWay(r), made -> keep(r, made));
    }

    private boolean keep(Replacement r, OpenedPort made) {
        synchronized (slot) {
            if (replacement != r) {
                return false;
            }
            r.made = made;
            return true;
        }
    }

    /**
     * Puts a loaded replacement in place, on trial. The queues of both are detached.
     *
     * @param r the replacement
     * @throws NetdevException one of the two has left meanwhile; nothing has changed
     */
    public void exchange(Replacement r) throws NetdevException {
        synchronized (slot) {
            if (replacement != r || slot.serving() != r.from || !slot.candidates().contains(r.from)) {
                throw new NetdevException("netdev " + slot.id() + ": backend " + r.to + " has left, or " + r.from + " has");
            }
            r.former = slot.opened();
            slot.serve(r.to, r.made);
        }
    }

    /**
     * Takes an exchange back: the former port, the same object, is the netdev's again. The queues of both are detached.
     *
     * @param r the replacement
     * @param why for who waits for it
     * @return the former port; null if its backend has left
     */
    public OpenedPort takeBack(Replacement r, String why) {
        synchronized (slot) {
            if (replacement != r || r.former == null) {
                return null;
            }
            replacement = null;
            slot.candidates().fail(r.to);
            refusal = why;
            slot.serve(r.from, r.former);
        }
        slot.maker().dispose(r.to, r.made.port(), Disposal.LEAVE);
        return r.former;
    }

    /**
     * The trial is over: what the former backend has open is closed.
     *
     * @param r the replacement
     */
    public void confirm(Replacement r) {
        synchronized (slot) {
            if (replacement != r || r.former == null) {
                return;
            }
        }
        slot.maker().dispose(r.from, r.former.port(), Disposal.LEAVE);
        synchronized (slot) {
            if (replacement == r) {
                replacement = null;
            }
            slot.notifyAll();
        }
    }

    /**
     * Ends a replacement, whatever it has come to: what does not serve is closed. Nothing happens if it has ended.
     *
     * @param r the replacement, or null
     */
    public void abandon(Replacement r) {
        boolean exchanged;
        synchronized (slot) {
            if (r == null || replacement != r) {
                return;
            }
            exchanged = r.former != null;
            if (!exchanged) {
                replacement = null;
                slot.notifyAll();
            }
        }
        if (exchanged) {
            confirm(r);
        } else if (r.made != null) {
            slot.maker().dispose(r.to, r.made.port(), Disposal.LEAVE);
        }
    }

    /**
     * Whether a replacement goes on: neither of its backends has left, and nobody ended it.
     *
     * @param r the replacement
     * @return whether
     */
    public boolean isUnderWay(Replacement r) {
        synchronized (slot) {
            return replacement == r;
        }
    }

    /**
     * A replacement cannot be: it ends, and its backend does not replace the one that serves.
     *
     * @param r the replacement, not in place
     * @param why for who waits for it
     * @return false: it had ended before
     */
    public boolean reject(Replacement r, String why) {
        synchronized (slot) {
            if (replacement != r) {
                return false;
            }
            slot.candidates().decline(r.to);
            refusal = why;
        }
        abandon(r);
        return true;
    }

    /**
     * Another type of backend serves from now on, with what the one before has open.
     *
     * @param type the type
     * @param deadlineNanos until when
     * @throws NetdevException none came, or it cannot, and why; the type that was asked for before is asked for again
     */
    public void swapTo(String type, long deadlineNanos) throws NetdevException {
        String before = choose(type);
        try {
            awaitType(type, deadlineNanos);
        } catch (NetdevException e) {
            Replacement r;
            synchronized (slot) {
                r = replacement != null && replacement.former == null ? replacement : null;
            }
            if (r != null) {
                reject(r, e.getMessage());
            }
            choose(before);
            throw e;
        }
    }

    private String choose(String type) {
        String before;
        SlotUser u;
        synchronized (slot) {
            before = slot.candidates().type();
            slot.candidates().choose(type);
            slot.candidates().forgive();
            refusal = "";
            u = slot.user();
        }
        if (u != null) {
            u.backendArrived();
        }
        return before;
    }

    private void awaitType(String type, long deadlineNanos) throws NetdevException {
        synchronized (slot) {
            while (true) {
                boolean best = slot.candidates().bestToReplace().isPresent();
                boolean serves = slot.serving() != null && slot.serving().type().equals(type) && replacement == null;
                if (serves || slot.user() == null && best) {
                    return;
                }
                if (!refusal.isEmpty() && !best) {
                    throw new NetdevException(refusal);
                }
                long left = TimeUnit.NANOSECONDS.toMillis(deadlineNanos - System.nanoTime());
                if (left <= 0) {
                    throw new NetdevException("netdev " + slot.id() + ": no backend of type " + type
                            + " came, or could take its place in time");
                }
                slot.pause(left);
            }
        }
    }

    /** A backend could not be opened. With the lock. */
    void refused(String why) {
        refusal = why;
        slot.notifyAll();
    }

    /**
     * A service has left that does not serve. With the lock.
     *
     * @return what it has open: loaded beside, or replaced and on trial's other side; null: nothing
     */
    OpenedPort leaves(Candidate leaving) {
        Replacement r = replacement;
        if (r == null || leaving != r.to && (leaving != r.from || r.former == null)) {
            return null;
        }
        replacement = null;
        slot.notifyAll();
        return leaving == r.to ? r.made : r.former;
    }

    /** The netdev is given back: what does not serve is closed. */
    void end() {
        Replacement r;
        synchronized (slot) {
            r = replacement;
        }
        abandon(r);
    }
}
