// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.frontend.virtionet.block.NicBlockMemory;
import org.vireo.frontend.virtionet.device.EngineException;
import org.vireo.frontend.virtionet.device.RingEngine;
import org.vireo.frontend.virtionet.ring.InflightSlot;
import org.vireo.frontend.virtionet.ring.PackedRingLayout;
import org.vireo.frontend.virtionet.ring.RingJournal;
import org.vireo.frontend.virtionet.ring.RingLog;
import org.vireo.frontend.virtionet.ring.SplitRingLayout;
import org.vireo.frontend.virtionet.session.DeviceState;
import org.vireo.frontend.virtionet.session.RingState;
import org.vireo.frontend.virtionet.slot.OpenedPort;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.RingPosition;
import org.vireo.posix.linux.EventFd;
import org.vireo.vhostuser.VirtioNet;

/**
 * Makes rings and port follow a {@link DeviceState}. What is marked started and what really runs can differ: a broken or frozen ring
 * is started and does not run. Used by the NIC's actor.
 */
final class DeviceRings {
    private static final Logger LOG = LoggerFactory.getLogger(DeviceRings.class);
    private static final long STOP_NANOS = TimeUnit.SECONDS.toNanos(1);

    private final NicBlockMemory block;
    private final RingEngine engine;
    private final PortBinding binding;
    private final boolean[] running;
    /** A ring broke: nothing runs before the VMM changes something about the rings. */
    private boolean halted;
    /** Why rings of this guest are run by nobody any more: a port did not give them back. Null: it is not so. */
    private String lost;

    DeviceRings(int pairs, NicBlockMemory block, RingEngine engine, PortBinding binding) {
        this.block = block;
        this.engine = engine;
        this.binding = binding;
        running = new boolean[2 * pairs];
    }

    private RingEngine.RingSpec spec(DeviceState s, int ring) {
        RingState r = s.rings().get(ring);
        return new RingEngine.RingSpec(r.size(), s.packed(), r.descriptors(), r.available(), r.used(),
                (s.features() & VirtioNet.EVENT_IDX) != 0, (s.features() & VirtioNet.INDIRECT_DESC) != 0, s.log(ring),
                InflightSlot.of(s.inflight(), ring), r.kick(), r.call());
    }

    /**
     * Brings a state into effect.
     *
     * @return the state, with the positions of the rings that stopped
     */
    DeviceState follow(DeviceState from, DeviceState to) throws EngineException, NetdevException {
        try {
            return change(from, to);
        } catch (NetdevException e) {
            if (from.memory() != to.memory()) {
                stopAll();
                engine.initialMemory(from.memory(), from.inflight());
                halted = true;
            }
            throw e;
        } catch (EngineException e) {
            // some rings may have followed and others not, into memory that is let go of now
            stopAll();
            engine.initialMemory(from.memory(), from.inflight());
            halted = true;
            throw e;
        }
    }

    /** Whether nothing runs although rings are marked started, because one broke. */
    boolean halted() {
        return halted;
    }

    void halt() {
        stopAll();
        halted = true;
    }

    /** The rings, if the port has them; null: they are run here. */
    private LentRings lent() {
        return binding == null ? null : binding.lent();
    }

    private DeviceState change(DeviceState from, DeviceState to) throws EngineException, NetdevException {
        engine.awaitQuiet();
        LentRings lent = lent();
        DeviceState next = to;
        halted &= from.memory() == to.memory();
        boolean reformat = ((from.features() ^ to.features()) & ~VirtioNet.LOG_ALL) != 0;
        for (int i = 0; i < running.length; i++) {
            RingState was = from.rings().get(i);
            RingState now = to.rings().get(i);
            boolean stops = !now.started() || was.kick() != now.kick();
            if (running[i] && (stops || reformat)) {
                running[i] = false;
                if (lent == null) {
                    engine.stop(i, !now.started());
                } else {
                    giveBack(lent, i);
                }
            }
            halted &= now.kick() == was.kick();
            if (was.started() && stops && (now.started() || now.base() == RingState.JOURNAL)) {
                next = next.withRing(i, now.withBase(engine.position(i).available()));
            }
        }
        halted &= next.running();
        if (from.inflight() != to.inflight()) {
            next = inflight(next);
        }
        if (from.memory() != to.memory()) {
            engine.memory(to.memory(), r -> spec(to, r));
            if (lent != null) {
                lent.memory(to.memory());
            }
        }
        for (int i = 0; i < running.length; i++) {
            if (running[i] && from.rings().get(i).call() != to.rings().get(i).call()) {
                if (lent == null) {
                    engine.call(i, to.rings().get(i).call());
                } else {
                    lent.call(i, to.rings().get(i).call());
                }
            }
        }
        log(from, to);
        if (next.running() && !halted) {
            start(from, next);
        }
        return next;
    }

    /** No ring runs. What the VMM's memory says of them counts now, no longer what was seen of them here. */
    private DeviceState inflight(DeviceState to) {
        DeviceState next = to;
        for (int i = 0; i < running.length; i++) {
            RingState r = next.rings().get(i);
            if (r.base() == RingState.JOURNAL) {
                next = next.withRing(i, r.withBase(engine.position(i).available()));
            }
            block.clearJournal(i);
        }
        engine.inflight(next.inflight());
        return next;
    }

    /** A VMM that migrates its VM begins and ends to log while rings run: they go on, and so does what they have parsed. */
    private void log(DeviceState from, DeviceState to) throws EngineException, NetdevException {
        LentRings lent = lent();
        if (lent != null) {
            lent.log(to);
        }
        for (int i = 0; i < running.length; i++) {
            if (lent == null && running[i] && !from.log(i).equals(to.log(i))) {
                engine.log(i, to.log(i));
            }
        }
        if (from.logsAll() && !to.logsAll() && to.log() != null) {
            to.log().end();
        }
        if (from.log() != to.log() && from.logsAll() && (from.log() == null || from.log().isEnded())) {
            // rings may have run since logging was asked for: nobody remembers what they wrote
            logAll(to);
        }
    }

    /** Rings are to go on that a process which died had last. */
    void succeed(DeviceState s) throws EngineException {
        logAll(s);
        LentRings lent = lent();
        if (lent != null) {
            lent.succeed();
        }
    }

    /** Marks all that this device, or one before it, can have written. */
    private void logAll(DeviceState s) throws EngineException {
        for (int i = 0; i < running.length; i++) {
            RingLog l = s.log(i);
            engine.logAll(l, s.memory(), s.packed() ? PackedRingLayout.EVENT_BYTES : SplitRingLayout.usedBytes(s.rings().get(i).size()));
        }
        if (s.log() != null && s.logEvent() != null) {
            EventFd.signal(s.logEvent().number());
        }
    }

    private void start(DeviceState from, DeviceState next) throws EngineException, NetdevException {
        if (binding != null) {
            format(next);
            binding.follow(next);
        }
        LentRings lent = lent();
        if (lent != null) {
            requireNotLost();
            lent.prepare(next);
        }
        enable(next);
        for (int i = 0; i < running.length; i++) {
            RingState was = from.rings().get(i);
            RingState now = next.rings().get(i);
            if (now.started() && !running[i]) {
                boolean goesOn = was.started() && was.kick() == now.kick();
                RingEngine.RingSpec spec = spec(next, i);
                boolean journal = goesOn || now.base() == RingState.JOURNAL;
                if (spec.inflight() != null && !was.started() && !journal && isSettled(i)) {
                    // it ran, and was stopped: now the VMM says where it goes on
                    engine.forget(spec);
                }
                RingPosition at = journal ? engine.position(i)
                        : told(now.base(), spec);
                if (lent == null) {
                    requireNotLost();
                    engine.start(i, spec, at);
                    running[i] = true;
                } else {
                    int ring = i;
                    lend(lent, ring, () -> lent.start(ring, spec, at));
                }
            }
        }
    }

    /**
     * Whether a ring was stopped with nothing half given back. Else whoever was to stop it has died before it did, and what it had begun
     * is in the VMM's in-flight memory.
     */
    private boolean isSettled(int ring) {
        long word = block.journalWord(ring);
        return RingJournal.valid(word) && RingJournal.pending(word) == 0;
    }

    private RingPosition told(int base, RingEngine.RingSpec spec) throws EngineException {
        int at = base & 0xffff;
        return RingPosition.of(at, !spec.packed() ? engine.usedIndex(spec)
                : (base & RingState.UNSURE) != 0 ? engine.usedPosition(spec, at) : at);
    }

    private boolean idle() {
        for (boolean r : running) {
            if (r) {
                return false;
            }
        }
        return true;
    }

    private void format(DeviceState s) {
        if (binding != null && idle()) {
            binding.format(s.features()).ifPresent(engine::format);
        }
    }

    private void requireNotLost() throws EngineException {
        if (lost != null) {
            throw new EngineException(lost, null);
        }
    }

    private void giveBack(LentRings lent, int ring) throws EngineException {
        try {
            lent.stop(ring);
        } catch (NetdevException e) {
            throw lost(e);
        }
    }

    private EngineException lost(NetdevException e) {
        lost = e.getMessage() + ": its rings were not given back, so nobody runs them until the VMM connects again";
        return new EngineException(lost, e);
    }

    /** Before rings are started: what is started while it seems to be disabled is discarded. */
    private void enable(DeviceState s) throws EngineException, NetdevException {
        LentRings lent = lent();
        for (int p = 0; p < running.length / 2; p++) {
            RingState rx = s.rings().get(2 * p);
            RingState tx = s.rings().get(2 * p + 1);
            if (rx.started() || tx.started()) {
                if (lent == null) {
                    engine.enable(p, rx.enabled(), tx.enabled());
                } else {
                    lent.enable(2 * p, rx.enabled());
                    lent.enable(2 * p + 1, tx.enabled());
                }
            }
        }
    }

    /** Starts the rings that are marked started and do not run, from their journals. The port has the right settings already. */
    void resume(DeviceState s) throws EngineException {
        if (halted) {
            return;
        }
        engine.awaitQuiet();
        requireNotLost();
        // also for rings that are lent: they may come back
        format(s);
        if (lent() != null) {
            lend(lent(), s);
            return;
        }
        OpenedPort port = binding == null ? null : binding.port();
        List<RingEngine.Resumption> rings = new ArrayList<>();
        for (int i = 0; i < running.length; i++) {
            RingState r = s.rings().get(i);
            if (r.started() && !running[i]) {
                rings.add(new RingEngine.Resumption(i, spec(s, i), r.enabled()));
                running[i] = true;
            }
        }
        BitSet attach = port != null && s.running() ? s.enabledPairs() : new BitSet();
        engine.resume(rings, attach, port == null ? List.of() : port.queues(), port == null ? List.of() : port.events());
    }

    private interface Start {
        void now() throws NetdevException;
    }

    /** Who knows how far a start came that failed: what it began is stopped. */
    private void lend(LentRings lent, int ring, Start start) throws NetdevException, EngineException {
        running[ring] = true;
        try {
            start.now();
        } catch (NetdevException e) {
            running[ring] = false;
            giveBack(lent, ring);
            throw e;
        }
    }

    private void lend(LentRings lent, DeviceState s) throws EngineException {
        try {
            lent.prepare(s);
            enable(s);
            for (int i = 0; i < running.length; i++) {
                if (s.rings().get(i).started() && !running[i]) {
                    int ring = i;
                    lend(lent, ring, () -> lent.resume(ring, spec(s, ring), engine.position(ring)));
                }
            }
        } catch (NetdevException e) {
            throw new EngineException(e.getMessage(), e);
        }
    }

    /** Stops all rings and takes the port out of epoll. */
    void freeze(long deadlineNanos) throws EngineException {
        // also if a worker does not answer in time: it will, and a resume starts them again
        Arrays.fill(running, false);
        try {
            engine.freeze(deadlineNanos);
        } finally {
            takeBack();
        }
    }

    private void takeBack() throws EngineException {
        LentRings lent = lent();
        if (lent != null) {
            try {
                lent.stopAll();
            } catch (NetdevException e) {
                throw lost(e);
            }
        }
    }

    /** Stops all rings, as far as their workers answer; see {@link #whenQuiet}. */
    void stopAll() {
        try {
            stopSurely();
        } catch (EngineException e) {
            LOG.warn("{}", e.getMessage());
        }
    }

    /** Stops all rings: nothing of this process reads them, or the port, when this returns. */
    void stopSurely() throws EngineException {
        freeze(System.nanoTime() + STOP_NANOS);
    }

    /** Whether no worker uses rings, memory and port any more after {@link #stopAll} or {@link #freeze}. */
    boolean isQuiet() {
        return engine.quiet().isDone();
    }

    /** Does something as soon as {@link #isQuiet}: at once if the workers answered in time. */
    void whenQuiet(Runnable what) {
        CompletableFuture<Void> quiet = engine.quiet();
        if (quiet.isDone()) {
            what.run();
        } else {
            quiet.thenRunAsync(what);
        }
    }

    /** A pair was taken out of its worker: a fresh one takes its place. */
    void broken(int pair) {
        running[2 * pair] = false;
        running[2 * pair + 1] = false;
        engine.replace(pair);
    }

    /** The port goes on without this NIC, and has nothing of its guest any more. */
    void forgetLent() {
        LentRings lent = lent();
        if (lent != null) {
            try {
                lent.forget();
            } catch (NetdevException e) {
                LOG.warn("{}", e.getMessage());
            }
        }
    }

    /** Forgets where rings were, and their memory, which is closed afterwards: their guest has gone. */
    void forget() {
        halted = false;
        lost = null;
        forgetLent();
        for (int i = 0; i < running.length; i++) {
            block.clearJournal(i);
        }
    }
}
