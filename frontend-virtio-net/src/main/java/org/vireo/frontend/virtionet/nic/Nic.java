// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeoutException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.frontend.virtionet.block.NicBlockMemory;
import org.vireo.frontend.virtionet.device.EngineException;
import org.vireo.frontend.virtionet.device.RingEngine;
import org.vireo.frontend.virtionet.nic.Actor.Urgency;
import org.vireo.frontend.virtionet.session.DeviceState;
import org.vireo.frontend.virtionet.session.Session;
import org.vireo.frontend.virtionet.slot.NetdevSlot;
import org.vireo.net.api.NetPort.Disposal;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.NicState;
import org.vireo.net.api.nic.NicStatus;
import org.vireo.net.api.nic.Ownership;

/**
 * One NIC: a session with a VMM, rings, a port, and what ties them together. Everything happens on its actor; other threads post.
 */
final class Nic {
    private static final Logger LOG = LoggerFactory.getLogger(Nic.class);
    private static final long CALL_MILLIS = 15_000;

    private final NicOptions options;
    private final Environment env;
    private final Actor actor;
    private final NicBlockMemory block;
    private final RingEngine engine;
    private final PortBinding binding;
    private final Endpoint endpoint;
    private final DeviceRings rings;
    private final NicFeed feed;
    private final NicReport report;
    private final NicBackend backend;
    private final Aftermath aftermath;
    private final NicLink link;
    private final Custody custody = new Custody(this);
    private final NicVmm vmm;
    private final NicFaults faults = new NicFaults(this);

    private String failure;
    /** Why there is no port, if that is known. */
    private String absence = "";
    private volatile boolean closed;

    Nic(NicOptions options, Environment env, NicBlockMemory block) {
        this.options = options;
        this.env = env;
        this.block = block;
        actor = new Actor(options.id(), env.executor());
        report = new NicReport(options, env, actor);
        vmm = new NicVmm(this);
        link = new NicLink(this);
        engine = new RingEngine(options.id(), this, env.assign(options.pairs()), block, faults);
        binding = options.netdev().isEmpty() ? null : new PortBinding(options, env.slots().reserve(options.netdev()), engine, block);
        endpoint = new Endpoint(options, env, () -> actor.post(Urgency.VMM_MESSAGE, vmm::accept),
                fd -> actor.post(Urgency.VMM_MESSAGE, () -> vmm.connected(fd)));
        rings = new DeviceRings(options.pairs(), block, engine, binding);
        feed = new NicFeed(options.id(), block, env.timer(), () -> env.loaded().look(this::unload));
        backend = binding == null ? null : new NicBackend(this);
        aftermath = new Aftermath(this, rings);
        if (binding == null) {
            engine.discardAlways();
        }
    }

    NicOptions options() {
        return options;
    }

    Environment environment() {
        return env;
    }

    Actor actor() {
        return actor;
    }

    NicBlockMemory block() {
        return block;
    }

    RingEngine engine() {
        return engine;
    }

    PortBinding binding() {
        return binding;
    }

    Endpoint endpoint() {
        return endpoint;
    }

    NicVmm vmm() {
        return vmm;
    }

    /** What the VMM's messages, or another process, have made of the device. Any thread. */
    DeviceState state() {
        return vmm.state();
    }

    /** The VMM's connection, or null. Any thread. */
    Session session() {
        return vmm.session();
    }

    NicFeed feed() {
        return feed;
    }

    NicBackend backend() {
        return backend;
    }

    DeviceRings rings() {
        return rings;
    }

    NicLink link() {
        return link;
    }

    NicReport report() {
        return report;
    }

    NicFaults faults() {
        return faults;
    }

    Aftermath aftermath() {
        return aftermath;
    }

    String id() {
        return options.id();
    }

    boolean inHandover() {
        return feed.inHandover();
    }

    boolean alive() {
        return !closed && !faults.isDead();
    }

    boolean failed() {
        return failure != null || faults.isDead();
    }

    /** With its port, or without a netdev at all. */
    boolean reachable() {
        return binding == null || binding.reachable();
    }

    /** Opens the port if its backend is there, and binds the socket. Leaves nothing behind when it throws. */
    void realize() throws NicException {
        try {
            actor.call(Urgency.UNBIND, CALL_MILLIS, () -> {
                endpoint.bind();
                if (binding != null) {
                    binding.slot().users().add(backend);
                    backend.openFirst();
                }
                ready();
                return null;
            });
        } catch (Exception e) {
            close(Disposal.RELEASE);
            throw new NicException("NIC " + options.id() + ": " + e.getMessage(), e);
        }
    }

    /** With a port, or without a netdev at all, VMMs are accepted. */
    void ready() throws IOException {
        link.ofPort();
        if (reachable()) {
            block.features(vmm.offered(), state().features());
            endpoint.start(session() != null);
        } else {
            LOG.info("NIC {}: waits for a backend of netdev {}", options.id(), options.netdev());
        }
        vmm.states().follow(state());
        refresh();
    }

    // ---- what is wrong

    void fail(String reason) {
        failure = reason;
        refresh();
    }

    /** There is no port, and why: nothing is wrong. */
    void lacks(String why) {
        absence = why;
        refresh();
    }

    /** What made it fail is over. */
    void recovered() {
        failure = null;
        absence = "";
    }

    /** A VMM, or its rings, begin anew: what made it fail is over, if there is what they need. */
    void forgive() {
        if (reachable()) {
            failure = null;
        }
    }

    /** Starts the rings that are marked started and do not run, as soon as no late worker is in them. */
    void resumeRings() {
        if (!rings.isQuiet()) {
            rings.whenQuiet(() -> actor.post(Urgency.HANDOVER, () -> {
                if (custody.isServing()) {
                    resumeRings();
                }
            }));
            return;
        }
        try {
            rings.resume(state());
        } catch (EngineException e) {
            fail(e.getMessage());
        }
        refresh();
    }

    // ---- whose it is (see Custody)

    Custody custody() {
        return custody;
    }

    private void unload() {
        actor.post(Urgency.QUERY, () -> state().memory().unload());
    }

    /** Another process has it. */
    void awaiting() {
        report.awaiting();
    }

    // ---- end

    /** After {@link #close}: waits until the next NIC may have what this one held, unless a worker hangs in it. */
    void awaitReleased() {
        aftermath.awaitReleased();
    }

    /** Ends the NIC. With LEAVE another process goes on with it: copies are closed and nothing else happens. */
    void close(Disposal how) {
        try {
            actor.finish(Urgency.DISCONNECT, CALL_MILLIS, () -> {
                if (!closed) {
                    closed = true;
                    end(how);
                }
            });
        } catch (TimeoutException e) {
            LOG.error("NIC {}: {}", options.id(), e.getMessage());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private void end(Disposal asked) {
        // what is another process's by now is left to it, whatever was asked for
        boolean elsewhere = custody.isOwner() && block.ownership().filter(o -> o.holder() != block.self()).isPresent();
        Disposal how = elsewhere ? Disposal.LEAVE : asked;
        boolean leave = how == Disposal.LEAVE;
        if (backend != null) {
            backend.end();
        }
        feed.end();
        link.end();
        vmm.states().forget("the NIC ends");
        rings.stopAll();
        if (!leave) {
            rings.forgetLent();
        }
        if (!leave && custody.isOwner()) {
            block.closeOwned();
        }
        // a NIC that was only prepared is another process's, and so is its VMM
        vmm.hangUp(!leave && custody.isOwner());
        endpoint.close(leave);
        if (binding != null) {
            binding.forget();
        }
        refresh();
        vmm.forget();
        aftermath.end(how);
    }

    // ---- what others see

    /** Computes the state from the facts; one log line and one event for each change. */
    void refresh() {
        NicState now;
        if (closed) {
            now = NicState.CLOSED;
        } else if (failed()) {
            now = NicState.FAILED;
        } else if (!custody.isOwner()) {
            now = NicState.PREPARED;
        } else if (custody.isFrozen()) {
            now = NicState.FROZEN;
        } else if (binding != null && (state().running() ? binding.port() == null && !backend.expectsPort() : !binding.reachable())) {
            now = NicState.NO_BACKEND;
        } else if (session() == null) {
            now = NicState.LISTENING;
        } else {
            now = state().running() ? NicState.RUNNING : NicState.CONNECTED;
        }
        String why = now == NicState.FAILED ? failure : now == NicState.NO_BACKEND ? absence : "";
        report.update(now, why, vmm.pid(), epoch());
    }

    private long epoch() {
        return block.ownership().map(Ownership::epoch).orElse(0L);
    }

    NicState nicState() {
        return report.state();
    }

    NicStatus status() {
        return status(engine.counters());
    }

    /** With the counters of the port. */
    NicStatus measure() {
        Map<String, Long> counters = new LinkedHashMap<>(engine.counters());
        if (binding != null && binding.port() != null && !faults.isDead()) {
            binding.slot().served().statistics((name, value) -> counters.put("port-" + name, value));
        }
        return status(counters);
    }

    private NicStatus status(Map<String, Long> counters) {
        NicReport.Now now = report.now();
        return new NicReport.Snapshot(options.id(), options.netdev(), now.state(), why(now), options.effective(), vmm.pid(),
                state().features(), epoch(), counters);
    }

    /** The reason for the state; of a NIC whose state is good, who has its port instead of it, or that it has no link. */
    private String why(NicReport.Now now) {
        return switch (now.state()) {
            case LISTENING, CONNECTED, RUNNING -> portElsewhere().orElseGet(() -> link.why(now.why()));
            default -> now.why();
        };
    }

    private Optional<String> portElsewhere() {
        return binding == null ? Optional.empty() : binding.slot().users().holderBeside(backend)
                .map(who -> "netdev " + options.netdev() + " is with " + who + ": it comes here when rings run here and none there");
    }

    @Override
    public String toString() {
        return "NIC " + options.id();
    }

    NetdevSlot slot() {
        return binding == null ? null : binding.slot();
    }

    /** Whether another NIC holds the netdev, of which this one may get the port. */
    boolean waitsForPort() {
        return binding != null && !binding.slot().users().isHeldBy(backend);
    }
}
