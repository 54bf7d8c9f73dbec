// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.frontend.virtionet.slot.NetdevSlot;
import org.vireo.frontend.virtionet.slot.Replacement;
import org.vireo.frontend.virtionet.slot.SlotSwap;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.PortBusyException;
import org.vireo.net.api.PortUnavailableException;
import org.vireo.net.api.nic.NicImage;
import org.vireo.posix.linux.Threads;

/**
 * What is done beside the NIC's actor before a backend replaces the one that serves: the new one rehearses and loads the other's state, or
 * opens a port of its own where it cannot. At low priority, on a thread of its own; what came of it is told once, on that thread.
 */
final class SwapPreparation {
    private static final Logger LOG = LoggerFactory.getLogger(SwapPreparation.class);
    /** Of all NICs: where fifty have a better backend at once, fifty rehearsals at the same time would help none of them. */
    private static final Semaphore PREPARATIONS = new Semaphore(2);
    private static final long REHEARSE_NANOS = TimeUnit.SECONDS.toNanos(4);
    private static final long LOAD_NANOS = TimeUnit.SECONDS.toNanos(5);

    private final Nic nic;
    private final NetdevSlot slot;
    private final SlotSwap swaps;
    private final Replacement replacement;
    private volatile DressRehearsal rehearsal;
    private volatile boolean ended;

    /** What came of a preparation. */
    sealed interface Outcome {
        /** The new one has a port; or, where the state is not stable, the state was rehearsed and is loaded when frames stand still. */
        record Ready() implements Outcome { }

        /**
         * It cannot open a port beside the one that serves.
         *
         * @param why for people
         */
        record Busy(String why) implements Outcome { }

        /**
         * Nobody is at its other side yet.
         *
         * @param why for people
         */
        record TooEarly(String why) implements Outcome { }

        /**
         * It cannot.
         *
         * @param why for people
         */
        record Refused(String why) implements Outcome { }

        /** One of the two has left before anything was done. */
        record Over() implements Outcome { }
    }

    /**
     * A preparation that has not begun.
     *
     * @param nic the NIC
     * @param replacement who replaces whom
     */
    SwapPreparation(Nic nic, Replacement replacement) {
        this.nic = nic;
        this.replacement = replacement;
        slot = nic.binding().slot();
        swaps = slot.swap();
    }

    Replacement replacement() {
        return replacement;
    }

    /**
     * Begins it.
     *
     * @param image of the NIC with the state of the one that serves, which this closes; null: it cannot be saved
     * @param done told what came of it; must only post
     */
    void start(NicImage image, Consumer<Outcome> done) {
        Thread.ofPlatform().daemon().name("vireo-swap").start(() -> done.accept(run(image)));
    }

    private Outcome run(NicImage image) {
        Threads.patient();
        PREPARATIONS.acquireUninterruptibly();
        try (image) {
            return prepare(image);
        } catch (PortUnavailableException e) {
            return new Outcome.TooEarly(e.getMessage());
        } catch (NetdevException | RuntimeException | LinkageError | StackOverflowError | AssertionError e) {
            return new Outcome.Refused(e.getMessage() == null ? e.toString() : e.getMessage());
        } finally {
            PREPARATIONS.release();
        }
    }

    private Outcome prepare(NicImage image) throws NetdevException {
        if (!swaps.isUnderWay(replacement)) {
            return new Outcome.Over();
        }
        if (image == null || !swaps.reads(replacement, image.backend().orElseThrow())) {
            return openAfresh();
        }
        rehearse(image);
        if (swaps.stable()) {
            swaps.load(replacement, image.backend().orElseThrow(), nic.options().pairs(), System.nanoTime() + LOAD_NANOS);
        }
        return new Outcome.Ready();
    }

    private void rehearse(NicImage image) throws NetdevException {
        DressRehearsal d = DressRehearsal.of(image, nic.environment(), nic.environment().slots().twin(slot.id(), replacement));
        rehearsal = d;
        if (ended) {
            d.close();
        }
        try (d) {
            LOG.debug("NIC {}: rehearsal of {}: {}", nic.id(), replacement.to(), d.report(nic.id(), System.nanoTime() + REHEARSE_NANOS));
        }
    }

    /** Where the state cannot go over: the new backend opens a port of its own, beside the one that serves, or in its place. */
    private Outcome openAfresh() throws NetdevException {
        try {
            swaps.open(replacement, nic.options().pairs(), System.nanoTime() + LOAD_NANOS);
            return new Outcome.Ready();
        } catch (PortBusyException e) {
            return new Outcome.Busy(e.getMessage());
        }
    }

    /** Nobody waits for it any more: a rehearsal ends early. Any thread. */
    void end() {
        ended = true;
        DressRehearsal d = rehearsal;
        if (d != null) {
            d.close();
        }
    }
}
