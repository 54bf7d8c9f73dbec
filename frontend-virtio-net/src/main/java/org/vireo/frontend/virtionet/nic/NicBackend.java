// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.io.IOException;
import java.util.Optional;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.frontend.virtionet.device.EngineException;
import org.vireo.frontend.virtionet.nic.Actor.Urgency;
import org.vireo.frontend.virtionet.slot.OpenedPort;
import org.vireo.frontend.virtionet.slot.PortLink;
import org.vireo.frontend.virtionet.slot.PortUse;
import org.vireo.frontend.virtionet.slot.SlotUser;
import org.vireo.frontend.virtionet.worker.BackendException;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.PortBusyException;
import org.vireo.net.api.PortUnavailableException;

/** What a NIC does when its backend arrives, leaves, fails, or its link changes. Calls from the slot are posted to the NIC's actor. */
final class NicBackend implements SlotUser {
    private static final Logger LOG = LoggerFactory.getLogger(NicBackend.class);
    private static final long CALL_MILLIS = 15_000;
    /** A VMM enables one pair after the other. */
    private static final long WIDE_MILLIS = 1_000;
    private static final long RETRY_MILLIS = 1_000;
    private static final String TRIED_AGAIN = "; this is tried again every second";
    private static final long EXPECTED_NANOS = TimeUnit.MILLISECONDS.toNanos(200);

    private final Nic nic;
    private final PortBinding binding;
    private final PortAbsence absence;
    private final BackendSwap swap;
    private ScheduledFuture<?> retry;
    /** How often the port of another NIC came. */
    private int adoptions;
    /** Until when the port of another NIC may come without anything being said; of the past: it is not expected. */
    private long expected = System.nanoTime();

    NicBackend(Nic nic) {
        this.nic = nic;
        binding = nic.binding();
        absence = new PortAbsence(nic.options(), nic.environment(), nic.actor(), nic.engine(), binding);
        swap = new BackendSwap(nic);
    }

    @Override
    public String id() {
        return nic.id();
    }

    @Override
    public int pairs() {
        return nic.options().pairs();
    }

    @Override
    public long missing(OpenedPort port) {
        return binding.missing(port, nic.state().features());
    }

    @Override
    public boolean opens() {
        return nic.block().ownership().filter(o -> o.holder() == nic.block().self()).isPresent();
    }

    @Override
    public boolean ended() {
        return !nic.alive();
    }

    String servedBy() {
        return " (" + binding.slot().servedBy() + ")";
    }

    @Override
    public void backendArrived() {
        nic.actor().post(Urgency.UNBIND, this::open);
        nic.actor().post(Urgency.SWAP, swap::look);
    }

    BackendSwap swap() {
        return swap;
    }

    /**
     * Opens the backend for the first time, if there is one. On the actor.
     *
     * @throws NetdevException it cannot, and trying again would not help
     */
    void openFirst() throws NetdevException {
        if (binding.slot().users().isHeldBy(this) && binding.slot().servable()) {
            try {
                binding.open();
            } catch (PortUnavailableException e) {
                tryLater(e.getMessage());
            }
        }
    }

    private void tryLater(String why) {
        // whatever was wrong before: now it waits
        nic.recovered();
        nic.lacks(why + TRIED_AGAIN);
        if (retry == null) {
            retry = nic.environment().timer().schedule(() -> nic.actor().post(Urgency.UNBIND, () -> {
                retry = null;
                open();
            }), RETRY_MILLIS, TimeUnit.MILLISECONDS);
        }
    }

    /** Opens the best backend that there is, or takes the port that another NIC had, if there is none yet. On the actor. */
    void open() {
        if (!nic.alive() || !nic.custody().isServing() || binding.port() != null) {
            return;
        }
        boolean holds = binding.slot().users().isHeldBy(this);
        boolean itself = !holds && opensItself();
        if (!holds && !itself) {
            offer();
            return;
        }
        boolean given = binding.reachable();
        if (!given && !binding.slot().servable()) {
            return;
        }
        try {
            if (given) {
                nic.feed().abort("it has the port of another NIC now");
                binding.adopt(nic.state());
            } else {
                binding.openBest(nic.state().features());
                binding.slot().users().settle(this);
            }
            absence.end();
            nic.recovered();
            if (nic.state().running()) {
                if (binding.lent() != null || given || itself) {
                    // they have run here, without a port
                    nic.rings().stopSurely();
                }
                binding.follow(nic.state());
                nic.resumeRings();
            }
            nic.ready();
            if (given) {
                narrowLater(++adoptions);
                // what was told while it was nobody's
                binding.port().failure().ifPresent(this::broken);
                letGo();
            }
        } catch (PortUnavailableException e) {
            tryLater(e.getMessage());
        } catch (NetdevException | EngineException | IOException e) {
            if (e instanceof PortBusyException && itself) {
                tryLater(portElsewhere() + " (" + e.getMessage() + ")");
            } else {
                nic.fail(e.getMessage());
            }
        }
    }

    /**
     * The NIC that held the netdev went to another process without this one, whose rings run now: it opens the netdev here, if it can.
     * While it is being handed over itself it gets the port there.
     */
    private boolean opensItself() {
        return binding.slot().users().isElsewhere() && nic.state().running() && !nic.inHandover() && !expectsPort();
    }

    private String portElsewhere() {
        return "port-busy: another process has netdev " + binding.slot().id() + ": hand this NIC over to it too, or end what has it there";
    }

    /** Queues that this NIC's driver does not use are given up when it has had time to say which it uses. On the actor. */
    private void narrowLater(int adoption) {
        nic.environment().timer().schedule(() -> nic.actor().post(Urgency.QUERY, () -> {
            if (!nic.alive() || !binding.isWide() || adoption != adoptions) {
                return;
            }
            if (!nic.custody().isServing() || nic.inHandover()) {
                narrowLater(adoption);
                return;
            }
            try {
                binding.narrow(nic.state());
            } catch (NetdevException | EngineException e) {
                nic.fail(e.getMessage());
            }
        }), WIDE_MILLIS, TimeUnit.MILLISECONDS);
    }

    /** Another NIC has the port: what it can do is offered here too. */
    private void offer() {
        if (binding.reachable()) {
            try {
                nic.ready();
            } catch (IOException e) {
                nic.fail(e.getMessage());
            }
        }
    }

    /** Rings run where none did, or none runs any more: the port goes where it is needed. On the actor. */
    void ringsChanged() {
        if (!nic.alive() || !nic.custody().isServing()) {
            return;
        }
        if (binding.port() == null && binding.slot().users().isHeldBy(this) && retry == null) {
            open();
        }
        if (!nic.state().running()) {
            binding.slot().users().unclaim(this);
            handOn();
        } else if (binding.port() == null) {
            binding.slot().users().claim(this).ifPresent(this::await);
        }
    }

    /** In good order the other one lets go at once, and nothing is to be said. */
    private void await(String holder) {
        absence.begin(false);
        expected = System.nanoTime() + EXPECTED_NANOS;
        nic.environment().timer().schedule(() -> nic.actor().post(Urgency.QUERY, () -> {
            if (binding.port() == null && nic.state().running() && nic.alive() && binding.slot().users().isElsewhere()) {
                nic.lacks(portElsewhere());
                open();
            } else if (binding.port() == null && nic.state().running() && nic.alive()) {
                nic.lacks("port-busy: " + holder + " has netdev " + binding.slot().id() + " and its rings run");
            }
        }), EXPECTED_NANOS, TimeUnit.NANOSECONDS);
    }

    /** Whether the port that another NIC has may be here in a moment. */
    boolean expectsPort() {
        return System.nanoTime() - expected < 0;
    }

    @Override
    public void portWanted() {
        nic.actor().post(Urgency.UNBIND, this::handOn);
    }

    @Override
    public void portGiven(PortUse use) {
        nic.actor().post(Urgency.UNBIND, () -> {
            binding.inherit(use);
            open();
            ringsChanged();
        });
    }

    /** Another NIC's rings run and this one's do not: it gets the port, as it is. On the actor. */
    private void handOn() {
        if (!binding.slot().users().isHeldBy(this) || !binding.slot().users().isClaimed() || nic.state().running() || !nic.alive()
                || !nic.custody().isServing() || nic.inHandover()) {
            return;
        }
        swap.settle();
        nic.rings().forgetLent();
        nic.feed().abort("another NIC has its port now");
        PortUse use;
        try {
            use = binding.handOn();
        } catch (EngineException e) {
            LOG.warn("NIC {}: {}", id(), e.getMessage());
            nic.environment().timer().schedule(this::portWanted, RETRY_MILLIS, TimeUnit.MILLISECONDS);
            return;
        }
        if (!nic.environment().quiet()) {
            LOG.info("NIC {}: gives netdev {} to another NIC, whose rings run", id(), binding.slot().id());
        }
        binding.slot().users().pass(this, use);
        nic.refresh();
    }

    /**
     * Rings are to go on with the port that is there: so do its own threads. On the actor.
     *
     * @return false: it does not, the NIC has failed
     */
    boolean resume() {
        if (binding.port() == null) {
            return true;
        }
        try {
            binding.slot().served().resume();
            return true;
        } catch (NetdevException e) {
            binding.slot().distrust();
            broken(e);
            backendArrived();
            return false;
        }
    }

    /** A handover that closed the port is over, and the NIC has stayed: opens it again, before the rings go on. On the actor. */
    void reopen() {
        if (!binding.broken() || !nic.alive()) {
            return;
        }
        if (!binding.slot().servable()) {
            // its bundle left meanwhile: it is opened when one comes
            absence.begin(false);
            return;
        }
        try {
            binding.openBest(nic.state().features());
            binding.settle(nic.state());
            nic.link().ofPort();
            LOG.info("NIC {}: netdev {} is open again", id(), nic.options().netdev());
        } catch (PortUnavailableException e) {
            absence.begin(false);
            tryLater(e.getMessage());
        } catch (NetdevException | EngineException e) {
            LOG.error("NIC {}: netdev {} was closed for a handover that failed, and does not open again: {}", id(),
                    nic.options().netdev(), e.getMessage());
            nic.fail(e.getMessage());
            absence.begin(false);
        }
    }

    @Override
    public void backendLeaving() {
        try {
            nic.actor().finish(Urgency.UNBIND, CALL_MILLIS, this::letGo);
        } catch (TimeoutException e) {
            LOG.error("NIC {}: could not let go of its backend: {}", id(), e.getMessage());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private void letGo() {
        if (binding.port() == null && binding.slot().users().isHeldBy(this) && binding.slot().isServingGone()) {
            // on its way from one NIC to another
            binding.slot().park();
            return;
        }
        if (binding.port() == null || !binding.slot().isServingGone() || swap.takeBack("it leaves")) {
            return;
        }
        nic.feed().abort("its backend leaves");
        boolean lent = binding.lent() != null;
        if (lent) {
            nic.rings().stopAll();
        }
        try {
            boolean kept = binding.park();
            if (lent && nic.custody().isServing()) {
                // they go on here, without a port
                nic.resumeRings();
            }
            LOG.info("NIC {}: netdev {} is {}", id(), nic.options().netdev(), kept ? "parked" : "released");
            absence.begin(kept);
            nic.vmm().listenAgain();
        } catch (EngineException | IOException e) {
            nic.fail(e.getMessage());
        }
        nic.refresh();
        // another backend may be waiting already
        nic.actor().post(Urgency.UNBIND, this::open);
    }

    @Override
    public void portFailed(Exception reason, BooleanSupplier serves) {
        nic.actor().post(Urgency.DISCONNECT, () -> {
            if (serves.getAsBoolean() && binding.port() != null && nic.alive()) {
                nic.rings().stopAll();
                broken(reason);
            }
        });
    }

    /** The port is of no use any more. Its rings have stopped. On the actor. */
    void broken(Throwable reason) {
        if (swap.takeBack(reason.toString())) {
            return;
        }
        String by = servedBy();
        // a backend's own words need no stack
        boolean own = BackendException.isForeseen(reason);
        String why = own || reason instanceof NetdevException ? reason.getMessage() : reason.toString();
        LOG.warn("NIC {}: its backend{} failed: {}", id(), by, why, own ? null : reason);
        nic.feed().abort("its backend failed");
        try {
            binding.fail(nic.custody().isServing());
        } catch (EngineException e) {
            LOG.warn("NIC {}: {}", id(), e.getMessage());
        }
        nic.fail(why + by);
        absence.begin(false);
        if (nic.custody().isServing()) {
            nic.resumeRings();
        }
    }

    @Override
    public void portLink(Supplier<Optional<PortLink>> latest) {
        nic.actor().post(Urgency.QUERY, () -> latest.get().ifPresent(nic.link()::set));
    }

    /** What the port says of why its link is down, behind a message that it explains; otherwise nothing. */
    String linkWhy() {
        return binding.link().filter(l -> !l.up() && !l.why().isEmpty()).map(l -> ": " + l.why()).orElse("");
    }

    @Override
    public void portStateChanged(BooleanSupplier serves) {
        nic.actor().post(Urgency.SWAP, () -> {
            if (serves.getAsBoolean() && nic.alive()) {
                nic.feed().abort("its backend's state has changed" + linkWhy());
                swap.stateChanged();
            }
        });
    }

    @Override
    public void backendUnusable(String why) {
        nic.actor().post(Urgency.UNBIND, () -> {
            if (binding.port() == null && nic.alive() && nic.custody().isServing() && !binding.slot().servable()) {
                nic.fail(why);
            }
        });
    }

    /** The NIC ends: nothing happens any more. On the actor. */
    void end() {
        swap.end();
        absence.cancel();
    }
}
