// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.slot;

import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
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

    /**
     * Whether the backend that serves can save what it has open.
     *
     * @return whether
     */
    public boolean saves() {
        synchronized (slot) {
            return slot.serving() != null && slot.serving().transfer() != null;
        }
    }

    /**
     * Whether a replacement can load a state.
     *
     * @param r the replacement
     * @param state what the serving backend has saved
     * @return whether
     * @throws NetdevException it does not say
     */
    public boolean reads(Replacement r, BackendState state) throws NetdevException {
        return slot.maker().reads(r.to, state);
    }

    /**
     * Opens a port of the replacement's own, beside the one that serves.
     *
     * @param r the replacement
     * @param pairs of the NIC
     * @param deadlineNanos until when
     * @throws NetdevException it cannot, or has left
     */
    public void open(Replacement r, int pairs, long deadlineNanos) throws NetdevException {
        r.afresh = true;
        slot.maker().open(r.to, pairs, deadlineNanos, () -> isUnderWay(r), made -> keep(r, made), r.disposal());
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
     * @throws NetdevException one of the two has left meanwhile, or the new one has failed; nothing has changed
     */
    public void exchange(Replacement r) throws NetdevException {
        synchronized (slot) {
            if (replacement != r || slot.serving() != r.from || !slot.candidates().contains(r.from)) {
                throw new NetdevException("netdev " + slot.id() + ": backend " + r.to + " has left, or " + r.from + " has");
            }
            Optional<Exception> failure = r.made.failure();
            if (failure.isPresent()) {
                throw new NetdevException("netdev " + slot.id() + ": backend " + r.to + " failed beside " + r.from + ": "
                        + failure.get().getMessage(), failure.get());
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
            slot.serve(r.from, r.former);
            slot.backends().closes(r.to);
        }
        slot.backends().dispose(r.to, r.made.port(), r.disposal());
        tell(why);
        return r.former;
    }

    /** Who waits for it hears of it when nothing is left of it. */
    private void tell(String why) {
        synchronized (slot) {
            refused(why);
        }
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
        slot.maker().dispose(r.from, r.former.port(), r.disposal());
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
                if (r.made != null) {
                    slot.backends().closes(r.to);
                }
            }
        }
        if (exchanged) {
            confirm(r);
        } else if (r.made != null) {
            slot.backends().dispose(r.to, r.made.port(), r.disposal());
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
     * @param r the replacement
     * @param why for who waits for it
     * @return false: it had ended before, or is in place
     */
    public boolean reject(Replacement r, String why) {
        synchronized (slot) {
            if (replacement != r || r.former != null) {
                return false;
            }
            slot.candidates().decline(r.to);
        }
        abandon(r);
        tell(why);
        return true;
    }

    /**
     * One that could not take the place of the one that serves, since nobody was at its other side yet, may be tried again.
     *
     * @param r its replacement, which has ended
     */
    public void reconsider(Replacement r) {
        synchronized (slot) {
            slot.candidates().reconsider(r.to);
        }
    }

    /**
     * What has opened in the place of the one that served does not: that one may again.
     *
     * @param r the replacement
     */
    public void distrust(Replacement r) {
        synchronized (slot) {
            slot.candidates().fail(r.to);
        }
    }

    /** See {@link Slots#swapTo}. */
    void swapTo(String type, int revision, long deadlineNanos) throws NetdevException {
        String before;
        synchronized (slot) {
            before = slot.candidates().type();
        }
        try {
            await(type, before, revision, deadlineNanos);
        } catch (NetdevException e) {
            if (!before.equals(type)) {
                ask(before);
            }
            throw e;
        }
    }

    /** Waits until one of those that are wanted serves, or would. */
    private void await(String type, String before, int revision, long deadlineNanos) throws NetdevException {
        Predicate<Candidate> wanted = c -> c.type().equals(type) && c.revision() >= revision;
        String what = "backend of type " + type + (revision > 0 ? " with the new configuration" : "");
        ask(type);
        try {
            validate(arrived(type, revision, wanted, what, deadlineNanos), before, deadlineNanos);
            awaitService(wanted, what, deadlineNanos);
        } catch (NetdevException e) {
            Replacement r;
            synchronized (slot) {
                r = replacement != null && wanted.test(replacement.to) ? replacement : null;
            }
            if (r != null) {
                reject(r, e.getMessage());
            }
            throw e;
        }
    }

    private void ask(String type) {
        SlotUser u;
        synchronized (slot) {
            slot.candidates().choose(type);
            slot.candidates().forgive();
            refusal = "";
            u = slot.user();
        }
        if (u != null) {
            u.backendArrived();
        }
    }

    private Candidate arrived(String type, int revision, Predicate<Candidate> wanted, String what, long deadlineNanos)
            throws NetdevException {
        synchronized (slot) {
            while (true) {
                Optional<Candidate> c = slot.candidates().find(wanted);
                if (c.isPresent()) {
                    return c.get();
                }
                Optional<String> failure = slot.backends().arrivals().failure(type, revision);
                if (failure.isPresent()) {
                    throw new NetdevException("netdev " + slot.id() + ": " + failure.get());
                }
                pause(what, deadlineNanos);
            }
        }
    }

    /** What is wrong with its options is said by itself, before anything else is tried. */
    private void validate(Candidate c, String before, long deadlineNanos) throws NetdevException {
        try {
            slot.maker().calls(c).run("validate", c.bundle(), deadlineNanos, c.backend()::validate);
        } catch (NetdevException e) {
            boolean others;
            synchronized (slot) {
                others = !c.type().equals(before) && !c.options().isEmpty()
                        && slot.candidates().find(o -> o.type().equals(before) && o.options().equals(c.options())).isPresent();
            }
            if (others) {
                throw new NetdevException(e.getMessage() + "; it was given the options that the netdev has as type " + before
                        + ": name those of type " + c.type() + " (vireo backend swap " + slot.id() + " --to " + c.type()
                        + ",OPTION=VALUE,...)", e);
            }
            throw e;
        }
    }

    private void awaitService(Predicate<Candidate> wanted, String what, long deadlineNanos) throws NetdevException {
        synchronized (slot) {
            while (true) {
                boolean offered = slot.candidates().bestToReplace().filter(wanted).isPresent();
                boolean serves = slot.serving() != null && wanted.test(slot.serving()) && replacement == null;
                if (serves || offered && (slot.user() == null || !slot.user().opens())) {
                    return;
                }
                if (replacement == null && slot.early().filter(wanted).isPresent()) {
                    // nothing serves that could be lost: it is the one that is waited for, as if the netdev had been added so
                    return;
                }
                if (!refusal.isEmpty() && !offered && replacement == null) {
                    throw new NetdevException(refusal);
                }
                pause(what, deadlineNanos);
            }
        }
    }

    /** With the lock. */
    private void pause(String what, long deadlineNanos) throws NetdevException {
        long left = TimeUnit.NANOSECONDS.toMillis(deadlineNanos - System.nanoTime());
        if (left <= 0) {
            throw new NetdevException("netdev " + slot.id() + ": no " + what
                    + " came, or could take the place of the one that serves in time");
        }
        slot.pause(left);
    }

    /**
     * Whether the new one serves.
     *
     * @param r a replacement that has ended
     * @return whether
     */
    public boolean serves(Replacement r) {
        synchronized (slot) {
            return slot.serving() == r.to;
        }
    }

    /**
     * Why the last one did not come about.
     *
     * @return the reason
     */
    public String refusal() {
        synchronized (slot) {
            return refusal;
        }
    }

    /** A backend could not be opened. With the lock. */
    void refused(String why) {
        refusal = why;
        slot.notifyAll();
    }

    /** With the lock. */
    boolean isEmpty() {
        return replacement == null;
    }

    /** What becomes of the thing outside when one of the two of a replacement is closed. With the lock. */
    Disposal disposal() {
        return replacement == null ? Disposal.LEAVE : replacement.disposal();
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
