// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.frontend.virtionet.block.NicBlockMemory;
import org.vireo.frontend.virtionet.device.EngineException;
import org.vireo.frontend.virtionet.device.RingEngine;
import org.vireo.frontend.virtionet.session.DeviceState;
import org.vireo.frontend.virtionet.session.RingState;
import org.vireo.net.api.FramePort;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.RingPosition;
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

    DeviceRings(int pairs, NicBlockMemory block, RingEngine engine, PortBinding binding) {
        this.block = block;
        this.engine = engine;
        this.binding = binding;
        running = new boolean[2 * pairs];
    }

    private RingEngine.RingSpec spec(DeviceState s, int ring) {
        RingState r = s.rings().get(ring);
        return new RingEngine.RingSpec(r.size(), r.descriptors(), r.available(), r.used(), (s.features() & VirtioNet.EVENT_IDX) != 0,
                (s.features() & VirtioNet.INDIRECT_DESC) != 0, r.kick(), r.call());
    }

    /**
     * Brings a state into effect.
     *
     * @return the state, with the positions of the rings that stopped
     */
    DeviceState follow(DeviceState from, DeviceState to) throws EngineException, NetdevException {
        DeviceState next = to;
        boolean reformat = from.features() != to.features();
        for (int i = 0; i < running.length; i++) {
            RingState was = from.rings().get(i);
            RingState now = to.rings().get(i);
            boolean stops = !now.started() || was.kick() != now.kick();
            if (running[i] && (stops || reformat)) {
                running[i] = false;
                engine.stop(i);
            }
            if (was.started() && stops) {
                next = next.withRing(i, now.withBase(now.base() != was.base() ? now.base() : engine.position(i).available()));
            }
        }
        if (from.memory() != to.memory()) {
            engine.memory(to.memory(), r -> spec(to, r));
        }
        for (int i = 0; i < running.length; i++) {
            if (running[i] && from.rings().get(i).call() != to.rings().get(i).call()) {
                engine.call(i, to.rings().get(i).call());
            }
        }
        if (next.running()) {
            start(from, next);
        }
        return next;
    }

    private void start(DeviceState from, DeviceState next) throws EngineException, NetdevException {
        if (binding != null) {
            if (binding.port() != null && idle()) {
                engine.format(binding.format(next.features()));
            }
            binding.follow(next);
        }
        // before they start: a transmit ring that is looked at while it is disabled loses what is in it
        enable(next);
        for (int i = 0; i < running.length; i++) {
            RingState was = from.rings().get(i);
            RingState now = next.rings().get(i);
            if (now.started() && !running[i]) {
                boolean goesOn = was.started() && was.kick() == now.kick();
                RingEngine.RingSpec spec = spec(next, i);
                engine.start(i, spec, goesOn ? engine.position(i) : RingPosition.of(now.base(), engine.usedIndex(spec)));
                running[i] = true;
            }
        }
    }

    private boolean idle() {
        for (boolean r : running) {
            if (r) {
                return false;
            }
        }
        return true;
    }

    private void enable(DeviceState s) throws EngineException {
        for (int p = 0; p < running.length / 2; p++) {
            RingState rx = s.rings().get(2 * p);
            RingState tx = s.rings().get(2 * p + 1);
            if (rx.started() || tx.started()) {
                engine.enable(p, rx.enabled(), tx.enabled());
            }
        }
    }

    /** Starts the rings that are marked started and do not run, from their journals. The port has the right settings already. */
    void resume(DeviceState s) throws EngineException {
        FramePort port = binding == null ? null : binding.port();
        if (port != null && idle()) {
            engine.format(binding.format(s.features()));
        }
        List<RingEngine.Resumption> rings = new ArrayList<>();
        for (int i = 0; i < running.length; i++) {
            RingState r = s.rings().get(i);
            if (r.started() && !running[i]) {
                rings.add(new RingEngine.Resumption(i, spec(s, i), r.enabled()));
                running[i] = true;
            }
        }
        engine.resume(rings, port, s.running() ? s.enabledPairs() : new BitSet());
    }

    /** Stops all rings and takes the port out of epoll. */
    void freeze(long deadlineNanos) throws EngineException {
        engine.freeze(deadlineNanos);
        Arrays.fill(running, false);
    }

    /**
     * Stops all rings, as far as their workers answer.
     *
     * @return false: one did not; what the rings use must not be touched
     */
    boolean stopAll() {
        Arrays.fill(running, false);
        try {
            engine.freeze(System.nanoTime() + STOP_NANOS);
            return true;
        } catch (EngineException e) {
            LOG.error("{}", e.getMessage());
            return false;
        }
    }

    /** A pair was taken out of its worker: a fresh one takes its place. */
    void broken(int pair) {
        running[2 * pair] = false;
        running[2 * pair + 1] = false;
        engine.replace(pair);
    }

    /** Forgets where rings were: their guest has gone. */
    void forget() {
        for (int i = 0; i < running.length; i++) {
            block.clearJournal(i);
        }
    }
}
