// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.frontend.virtionet.device.EngineException;
import org.vireo.frontend.virtionet.nic.Actor.Urgency;
import org.vireo.frontend.virtionet.nic.SwapPreparation.Outcome;
import org.vireo.frontend.virtionet.slot.NetdevSlot;
import org.vireo.frontend.virtionet.slot.OpenedPort;
import org.vireo.frontend.virtionet.slot.Replacement;
import org.vireo.frontend.virtionet.slot.SlotSwap;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.PortSettings;
import org.vireo.net.api.PortUnavailableException;
import org.vireo.net.api.nic.NicImage;

/**
 * Replaces the backend behind a NIC by a better one, make before break: the new one loads what the old one saves, and rehearses, while
 * the old one serves; rings stand still only for the change. The old port stays as it is until the new one has moved a frame, or a second
 * has passed: until then going back is going on with the same object. Of the NIC's actor; a {@link SwapPreparation} runs beside.
 */
final class BackendSwap {
    private static final Logger LOG = LoggerFactory.getLogger(BackendSwap.class);
    private static final long SAVE_NANOS = TimeUnit.SECONDS.toNanos(2);
    private static final long FREEZE_NANOS = TimeUnit.MILLISECONDS.toNanos(50);
    private static final int MOST_RESTLESS = 3;
    private static final long NOT_YET_MILLIS = 2_000;
    private static final long TRIAL_NANOS = TimeUnit.SECONDS.toNanos(1);
    private static final long LOOK_MILLIS = 20;
    private static final long LATER_MILLIS = 500;

    private final Nic nic;
    private final NetdevSlot slot;
    private final SlotSwap swaps;
    /** What is going on beside, or null. */
    private SwapPreparation preparation;
    /** What is in place but not confirmed, or null. */
    private Replacement trial;
    private long trialEnds;
    private long moved;
    /** What was in force at the former port when it was replaced. */
    private PortSettings before;
    private ScheduledFuture<?> later;
    private boolean ended;
    /** How often in a row the one that serves did not stand still. */
    private int restless;
    /** Which one was too early: that is told once. */
    private String early = "";

    BackendSwap(Nic nic) {
        this.nic = nic;
        slot = nic.binding().slot();
        swaps = slot.swap();
    }

    /** Begins one if there is a better backend than the one that serves, and nothing else is going on. */
    void look() {
        if (ended || preparation != null || trial != null || nic.binding().port() == null || !nic.alive()) {
            return;
        }
        if (!nic.custody().isOwner()) {
            // looked at again when it is
            return;
        }
        if (!nic.custody().isServing() || nic.inHandover()) {
            later();
            return;
        }
        Optional<Replacement> better = swaps.better();
        if (better.isEmpty()) {
            return;
        }
        Replacement r = better.get();
        LOG.info("NIC {}: netdev {}: {} is to replace {}", nic.id(), slot.id(), r.to(), r.from());
        PortSettings settings = nic.binding().applied();
        preparation = new SwapPreparation(nic, r);
        try {
            NicImage image = swaps.saves() ? NicImages.whole(nic, slot.served().save(System.nanoTime() + SAVE_NANOS), false) : null;
            preparation.start(image, o -> nic.actor().post(Urgency.SWAP, () -> goOn(r, settings, o)));
        } catch (Exception e) {
            refuse(r, e.getMessage());
        }
    }

    private void goOn(Replacement r, PortSettings settings, Outcome prepared) {
        switch (prepared) {
            case Outcome.Ready() -> commit(r, settings);
            case Outcome.Busy(String why) -> commitInPlace(r, why);
            case Outcome.TooEarly(String why) -> notYet(r, why);
            case Outcome.Refused(String why) -> refuse(r, why);
            case Outcome.Over() -> {
                concluded(r);
                look();
            }
        }
    }

    /** It is not being prepared any more. */
    private void concluded(Replacement r) {
        if (preparation != null && preparation.replacement() == r) {
            preparation = null;
        }
    }

    private void later() {
        if (later == null || later.isDone()) {
            later = nic.environment().timer().schedule(() -> nic.actor().post(Urgency.SWAP, this::look), LATER_MILLIS,
                    TimeUnit.MILLISECONDS);
        }
    }

    private void refuse(Replacement r, String why) {
        concluded(r);
        if (swaps.reject(r, why)) {
            failed(r, why);
        }
        look();
    }

    /**
     * Nobody is at the new one's other side yet, or somebody still holds the rings. Who waits for the swap is refused, since it may take
     * for ever; a better backend that came by itself is tried again.
     */
    private void notYet(Replacement r, String why) {
        boolean known = r.to().equals(early);
        early = r.to();
        concluded(r);
        String told = why + "; then ask again, until then the backend that serves goes on";
        if (swaps.reject(r, told) && !known) {
            failed(r, told);
        }
        look();
        if (!ended) {
            nic.environment().timer().schedule(() -> nic.actor().post(Urgency.SWAP, () -> {
                swaps.reconsider(r);
                look();
            }), NOT_YET_MILLIS, TimeUnit.MILLISECONDS);
        }
    }

    private void failed(Replacement r, String why) {
        LOG.warn("NIC {}: netdev {}: {} does not replace {}, which {}: {}", nic.id(), slot.id(), r.to(), r.from(),
                nic.binding().port() != null ? "goes on" : "does not go on either", why);
        nic.environment().events().accept("BACKEND_SWAP_FAILED", data(r, Map.of("reason", why)));
    }

    private Map<String, Object> data(Replacement r, Map<String, Object> more) {
        Map<String, Object> m = new LinkedHashMap<>();
        m.put("nic", nic.id());
        m.put("netdev", slot.id());
        m.put("from", r.from());
        m.put("to", r.to());
        m.putAll(more);
        return m;
    }

    private void commit(Replacement r, PortSettings settings) {
        if (!isOfNow(r, r.isAfresh() || Objects.equals(settings, nic.binding().applied()))) {
            return;
        }
        long began;
        boolean still = false;
        try {
            if (r.made() != null) {
                nic.binding().requireFit(r.made(), nic.state());
            }
            requireLetGo(r);
            began = System.nanoTime();
            still = true;
            nic.rings().freeze(began + FREEZE_NANOS);
            requireLetGo(r);
            if (!standsStill(r)) {
                return;
            }
            if (r.made() == null) {
                loadLive(r);
                requireLetGo(r);
            }
            swaps.exchange(r);
        } catch (NetdevException e) {
            if (still) {
                nic.backend().resume();
                nic.resumeRings();
            }
            if (e instanceof PortUnavailableException || e instanceof RingsHeldException) {
                notYet(r, e.getMessage());
            } else {
                refuse(r, e.getMessage());
            }
            return;
        } catch (EngineException e) {
            notNow(r, e.getMessage());
            return;
        }
        before = nic.binding().applied();
        trial = r;
        moved = frames();
        try {
            if (r.isChange()) {
                // whether it can be, is said before a frame has moved
                nic.binding().exchange(r.made(), null);
                nic.binding().settleChange(nic.state());
            } else {
                nic.binding().exchange(r.made(), nic.binding().inForce(r.made(), nic.state()));
                nic.binding().settle(nic.state());
            }
            nic.rings().resume(nic.state());
        } catch (EngineException | NetdevException e) {
            if (!takeBack(e.getMessage())) {
                nic.backend().broken(e);
            }
            return;
        }
        long micros = (System.nanoTime() - began) / 1_000;
        swapped(r, micros);
    }

    /**
     * Who had the guest's rings and does not answer may still write into them: no other port gets them before he has let go. One that
     * takes rings, and is made of the state of the one that serves, knows of him and waits.
     */
    private void requireLetGo(Replacement r) throws NetdevException {
        boolean waits = !r.isAfresh() && (r.made() == null || r.made().takesRings());
        if (nic.binding().lent() != null && !waits) {
            nic.binding().lent().requireLetGo();
        }
    }

    /** The threads of the one that serves stand still, and what it saved is so. If not, it goes on, and it is tried again. */
    private boolean standsStill(Replacement r) throws NetdevException {
        String why;
        try {
            slot.served().quiesce();
            why = nic.binding().port().isStateChanged() && r.made() != null && !r.isAfresh() ? "the state of " + r.from() + " has changed"
                    : null;
        } catch (NetdevException e) {
            if (++restless >= MOST_RESTLESS) {
                restless = 0;
                throw e;
            }
            why = e.getMessage();
        }
        if (why == null) {
            restless = 0;
            return true;
        }
        nic.backend().resume();
        notNow(r, why);
        return false;
    }

    /** Whether what was prepared can take its place; if one of the two has left, or it is of before, it ends, and is looked at anew. */
    private boolean isOfNow(Replacement r, boolean sameSettings) {
        concluded(r);
        if (swaps.isUnderWay(r) && sameSettings && !ended && nic.alive() && nic.binding().port() != null && nic.custody().isServing()
                && !nic.inHandover()) {
            return true;
        }
        swaps.abandon(r);
        look();
        return false;
    }

    /** No fault of the new backend's. */
    private void notNow(Replacement r, String why) {
        LOG.info("NIC {}: netdev {}: not now: {}", nic.id(), slot.id(), why);
        nic.resumeRings();
        swaps.abandon(r);
        later();
    }

    /**
     * The port is closed, then the new backend opens it. Only where what the port is connected to outlives it: then the former backend
     * can go on too, if the new one fails.
     *
     * @param besides why the new one could not open a port beside the one that serves
     */
    private void commitInPlace(Replacement r, String besides) {
        if (!isOfNow(r, true)) {
            return;
        }
        if (!nic.binding().port().profile().lasting()) {
            refuse(r, "it cannot go on with what " + r.from() + " has open, and not open it beside (" + besides
                    + "); closing it first would cut the guest off, since what it is connected to goes with it");
            return;
        }
        long began = System.nanoTime();
        try {
            nic.rings().freeze(began + FREEZE_NANOS);
            requireLetGo(r);
        } catch (EngineException e) {
            notNow(r, e.getMessage());
            return;
        } catch (NetdevException e) {
            nic.resumeRings();
            notYet(r, e.getMessage());
            return;
        }
        nic.feed().abort("its backend is replaced");
        nic.binding().breakOff();
        nic.backend().reopen();
        if (nic.binding().port() == null && !swaps.serves(r)) {
            // it cannot open what it has closed for it: who had it before can
            swaps.distrust(r);
            nic.backend().open();
        }
        nic.resumeRings();
        nic.refresh();
        if (swaps.serves(r)) {
            announce();
            done(r, (System.nanoTime() - began) / 1_000);
        } else {
            failed(r, swaps.refusal());
        }
        // who waits for it hears of it when all is done
        swaps.abandon(r);
    }

    /** The network learns where the guest is now. */
    private void announce() {
        // else the guest's next frame tells as much
        nic.vmm().announce(nic.options().mac()).ifPresent(why -> LOG.debug("NIC {}: {}", nic.id(), why));
    }

    /** What changes with the frames is saved while none moves. */
    private void loadLive(Replacement r) throws NetdevException {
        try (BackendState state = slot.served().save(System.nanoTime() + SAVE_NANOS)) {
            swaps.load(r, state, nic.options().pairs(), System.nanoTime() + SAVE_NANOS);
        }
        nic.binding().requireFit(r.made(), nic.state());
    }

    private void swapped(Replacement r, long micros) {
        nic.feed().abort("its backend was replaced");
        if (!r.isChange()) {
            try {
                nic.binding().confirm();
            } catch (NetdevException e) {
                // a frame may have moved, or the former one has left
                if (!takeBack(e.getMessage())) {
                    nic.backend().broken(e);
                }
                return;
            }
        }
        nic.block().features(nic.vmm().offered(), nic.state().features());
        nic.link().ofPort();
        done(r, micros);
        nic.refresh();
        if (r.isAfresh()) {
            announce();
        }
        trialEnds = System.nanoTime() + TRIAL_NANOS;
        lookAtTrial();
    }

    private void done(Replacement r, long micros) {
        LOG.info("NIC {}: netdev {}: {} has replaced {}, rings stood still for {} us", nic.id(), slot.id(), r.to(), r.from(), micros);
        nic.environment().events().accept("BACKEND_SWAPPED", data(r, Map.of("freeze-micros", micros)));
    }

    private long frames() {
        return nic.engine().counters().entrySet().stream().filter(e -> e.getKey().endsWith("-frames")).mapToLong(Map.Entry::getValue).sum();
    }

    private void lookAtTrial() {
        if (trial == null || ended) {
            return;
        }
        if (frames() == moved && System.nanoTime() - trialEnds < 0) {
            nic.environment().timer().schedule(() -> nic.actor().post(Urgency.SWAP, this::lookAtTrial), LOOK_MILLIS, TimeUnit.MILLISECONDS);
            return;
        }
        Replacement r = trial;
        trial = null;
        nic.environment().executor().execute(() -> {
            swaps.confirm(r);
            nic.actor().post(Urgency.SWAP, this::look);
        });
    }

    /**
     * The backend that serves does not work, or leaves. If it is on trial and has not moved a frame the former port goes on; whatever else
     * was under way ends.
     *
     * @param why for people
     * @return whether the former port goes on
     */
    boolean takeBack(String why) {
        abandonUnderWay();
        Replacement r = trial;
        if (r == null) {
            return false;
        }
        trial = null;
        if (frames() != moved) {
            swaps.confirm(r);
            return false;
        }
        nic.rings().stopAll();
        PortSettings now = nic.binding().applied();
        OpenedPort former = swaps.takeBack(r, why);
        if (former == null) {
            return false;
        }
        // it was told nothing since
        nic.binding().exchange(former, Objects.equals(now, before) ? before : null);
        failed(r, why);
        nic.feed().abort("its backend was put back");
        nic.link().ofPort();
        nic.block().features(nic.vmm().offered(), nic.state().features());
        if (nic.custody().isServing()) {
            nic.backend().resume();
            try {
                nic.binding().settle(nic.state());
            } catch (NetdevException e) {
                LOG.warn("NIC {}: {}", nic.id(), e.getMessage());
            }
            nic.resumeRings();
        }
        nic.refresh();
        former.failure().ifPresent(nic.backend()::broken);
        look();
        return true;
    }

    /** What was saved for the one that is being prepared is no more so: anew. */
    void stateChanged() {
        if (preparation != null) {
            abandonPreparation();
            // however often it says so
            later();
        }
    }

    private void abandonPreparation() {
        abandonUnderWay();
        preparation.end();
        preparation = null;
    }

    /** Whoever was to replace is let go; the preparation itself will find that out. */
    private void abandonUnderWay() {
        swaps.abandon(preparation == null ? null : preparation.replacement());
    }

    /** The port goes to another NIC: who serves now goes on serving, and nothing is under way. */
    void settle() {
        if (preparation != null) {
            abandonPreparation();
        }
        Replacement r = trial;
        trial = null;
        if (r != null) {
            swaps.confirm(r);
        }
    }

    /** The NIC ends. */
    void end() {
        ended = true;
        if (preparation != null) {
            preparation.end();
        }
        if (later != null) {
            later.cancel(false);
        }
    }
}
