// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.io.IOException;
import java.util.BitSet;
import java.util.Collections;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.frontend.virtionet.block.NicBlockMemory;
import org.vireo.frontend.virtionet.device.EngineException;
import org.vireo.frontend.virtionet.device.FrameFormat;
import org.vireo.frontend.virtionet.device.RingEngine;
import org.vireo.frontend.virtionet.session.DeviceState;
import org.vireo.frontend.virtionet.slot.NetdevSlot;
import org.vireo.frontend.virtionet.slot.OpenedPort;
import org.vireo.frontend.virtionet.slot.PortLink;
import org.vireo.frontend.virtionet.slot.PortUse;
import org.vireo.net.api.AlreadyOpenException;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.NetPort.Disposal;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.PortBusyException;
import org.vireo.net.api.PortProfile;
import org.vireo.net.api.PortSettings;
import org.vireo.net.api.PortUnavailableException;
import org.vireo.vhostuser.VirtioNet;

/**
 * The port behind a NIC: what it lets the NIC offer, and how it follows what the driver negotiated. Used by the NIC's actor.
 */
final class PortBinding {
    static final long GUEST_OFFLOADS = VirtioNet.GUEST_CSUM | VirtioNet.GUEST_TSO4 | VirtioNet.GUEST_TSO6 | VirtioNet.GUEST_ECN
            | VirtioNet.GUEST_UFO | VirtioNet.GUEST_USO4 | VirtioNet.GUEST_USO6;
    static final long OFFLOADS = GUEST_OFFLOADS | VirtioNet.CSUM | VirtioNet.HOST_TSO4 | VirtioNet.HOST_TSO6 | VirtioNet.HOST_ECN
            | VirtioNet.HOST_UFO | VirtioNet.HOST_USO;

    private static final long OPEN_NANOS = TimeUnit.SECONDS.toNanos(5);
    /** What concerns rings and buffers: whoever runs the rings has to have it. */
    static final long OF_RINGS = VirtioNet.VERSION_1 | VirtioNet.EVENT_IDX | VirtioNet.INDIRECT_DESC | VirtioNet.MRG_RXBUF
            | VirtioNet.LOG_ALL | VirtioNet.RING_PACKED;
    /** What a NIC offers whatever its port is, if it runs the rings itself. */
    static final long RINGS = OF_RINGS | VirtioNet.PROTOCOL_FEATURES | VirtioNet.MAC | VirtioNet.STATUS | VirtioNet.CTRL_VQ
            | VirtioNet.CTRL_RX | VirtioNet.GUEST_ANNOUNCE;

    private static final Logger LOG = LoggerFactory.getLogger(PortBinding.class);

    private final NicOptions options;
    private final NetdevSlot slot;
    private final RingEngine engine;
    private final NicBlockMemory block;
    private OpenedPort port;
    /** The rings, if the port takes them; null: they are run here. */
    private LentRings lent;
    private PortSettings applied;
    /** Pairs that were in use last, as far as that is known: also when it is not certain what is applied. */
    private BitSet used = new BitSet();
    /** Of a port that comes from another NIC. */
    private PortUse inherited = PortUse.UNKNOWN;
    /** Pairs whose queues stay in use for a while though the driver has not enabled them yet: the other NIC's driver had. */
    private BitSet wide = new BitSet();
    /** Whether a handover that is under way closes the port, and whether it has. */
    private boolean breaks;
    private boolean broken;

    PortBinding(NicOptions options, NetdevSlot slot, RingEngine engine, NicBlockMemory block) {
        this.options = options;
        this.slot = slot;
        this.engine = engine;
        this.block = block;
    }

    /** Another port, or none. */
    private void serve(OpenedPort p) {
        serve(p, LentRings.Since.ANOTHER_NIC);
    }

    private void serve(OpenedPort p, LentRings.Since since) {
        port = p;
        lent = p != null && p.takesRings() ? new LentRings(slot.served(), block, engine, since) : null;
    }

    /** The rings, if the port takes them; null: they are run here. */
    LentRings lent() {
        return lent;
    }

    NetdevSlot slot() {
        return slot;
    }

    OpenedPort port() {
        return port;
    }

    PortSettings applied() {
        return applied;
    }

    /** Whether a handover that is under way closes the port while the NIC is frozen. */
    boolean breaks() {
        return breaks;
    }

    void breaks(boolean on) {
        breaks = on;
    }

    /** Whether the port was closed for a handover and is not open again. */
    boolean broken() {
        return broken;
    }

    /** Closes the port, if there is one, so that another process can open it. No worker uses it any more. */
    void breakOff() {
        broken |= port != null;
        forget();
        slot.close(Disposal.LEAVE);
    }

    void open() throws NetdevException {
        broken = false;
        serve(slot.open(options.pairs(), System.nanoTime() + OPEN_NANOS));
    }

    /** Opens with one backend after the other, the best first, until one has what the guest acknowledged. */
    void openBest(long acknowledged) throws NetdevException, EngineException {
        while (true) {
            try {
                open();
                long missing = acknowledged & ~offered();
                if (missing == 0) {
                    requireFitOfOthers();
                    slot.dropParked();
                    return;
                }
                String why = "netdev " + slot.id() + ": the new backend lacks " + VirtioNet.names(missing)
                        + ", which the guest acknowledged (" + slot.servedBy() + ")";
                refuse(why);
                throw new NetdevException(why);
            } catch (NetdevException e) {
                if (!slot.servable() || e instanceof AlreadyOpenException || e instanceof PortUnavailableException
                        || e instanceof PortBusyException && slot.users().isElsewhere()) {
                    throw e;
                }
                LOG.warn("NIC {}: {}", options.id(), e.getMessage());
            }
        }
    }

    /** Another backend is tried first where the guest of a NIC that waits could not go on with this one. The NIC's own comes first. */
    private void requireFitOfOthers() throws NetdevException, EngineException {
        try {
            slot.users().requireFit(port);
        } catch (NetdevException e) {
            String why = e.getMessage() + " (" + slot.servedBy() + ")";
            if (slot.hasAnother()) {
                refuse(why);
                throw new NetdevException(why, e);
            }
            LOG.warn("NIC {}: there is no other backend: {}", options.id(), why);
        }
    }

    /** What a guest that acknowledged these features would miss with a port. Any thread. */
    long missing(OpenedPort of, long acknowledged) {
        return acknowledged & ~offered(of);
    }

    /** Loads another process's port; its settings are what the other process had applied. */
    void load(BackendState state, PortSettings settings, long deadlineNanos) throws NetdevException {
        serve(slot.load(state, options.pairs(), deadlineNanos), LentRings.Since.ANOTHER_PROCESS);
        if (settings != null) {
            applied(settings);
        }
    }

    /** Another process, whose port this is too, may have changed its settings. */
    void appliedElsewhere() {
        applied = null;
    }

    /** Brings a port whose settings are not known to a state, before its rings go on; attaches nothing. */
    void settle(DeviceState s) throws NetdevException {
        if (port != null && applied == null && s.running()) {
            PortSettings wanted = wanted(s);
            slot.served().apply(wanted);
            applied(wanted);
        }
    }

    /** The port, also while another NIC holds it: what it can do is what this one offers. */
    private OpenedPort known() {
        return port != null ? port : slot.shared();
    }

    /** Whether rings are run here, and not by the port; unknown while there is none. */
    boolean runsRings() {
        OpenedPort p = known();
        return p != null && !p.takesRings();
    }

    /** Whether there is a port, here or with another NIC of which this one may get it. */
    boolean reachable() {
        return known() != null;
    }

    /**
     * Lets go of a port that another NIC is to have. Its rings do not run.
     *
     * @return how it was used here
     */
    PortUse handOn() throws EngineException {
        detachAll();
        // who takes rings forgets with them what it was told
        PortUse use = new PortUse(port, lent == null ? applied : null, used);
        serve(null);
        applied = null;
        wide.clear();
        used = new BitSet();
        return use;
    }

    /** A port comes from another NIC, where it was used so. */
    void inherit(PortUse use) {
        inherited = use;
    }

    /**
     * Takes the port that another NIC had. Queues that were in use there stay so until {@link #narrow}: what waits in them is for the same
     * guest, perhaps, whose VMM enables one pair after the other.
     *
     * @param s what was negotiated
     * @throws NetdevException it lacks what the guest acknowledged
     */
    void adopt(DeviceState s) throws NetdevException {
        OpenedPort given = slot.shared();
        if (given == null) {
            throw new NetdevException("netdev " + slot.id() + ": its port was closed when it was to be had");
        }
        requireOwnFit(given, s);
        exchange(given, inherited.settings(given));
        wide = inherited.pairs();
        used = inherited.pairs();
        inherited = PortUse.UNKNOWN;
    }

    private void applied(PortSettings settings) {
        applied = settings;
        for (int i = 0; i < options.pairs(); i++) {
            used.set(i, settings.enabled(i));
        }
    }

    /** Whether queues are kept for pairs that the driver may not use. */
    boolean isWide() {
        return !wide.isEmpty();
    }

    /** Queues that the driver does not use are given up. */
    void narrow(DeviceState s) throws NetdevException, EngineException {
        wide.clear();
        if (s.running()) {
            follow(s);
        }
    }

    /** Virtio features that this NIC offers over this port. */
    long offered() {
        return offered(known());
    }

    private long offered(OpenedPort of) {
        long bits = RINGS | (options.pairs() > 1 ? VirtioNet.MQ : 0) | (options.mtu() != 0 ? VirtioNet.MTU : 0);
        if (of != null && !of.profile().headerLengths().equals(Set.of(0))) {
            bits |= of.profile().features() & OFFLOADS;
        }
        if (of != null && of.takesRings()) {
            bits &= ~OF_RINGS | of.profile().features();
        }
        return bits & ~options.disabled();
    }

    /** The link of the port, if there is one. */
    Optional<PortLink> link() {
        return Optional.ofNullable(known()).map(OpenedPort::link);
    }

    int mtu() {
        OpenedPort p = known();
        return p == null ? 0 : p.profile().mtu();
    }

    /** How frames are, if there is a port. */
    Optional<FrameFormat> format(long features) {
        OpenedPort of = known();
        if (of == null) {
            return Optional.empty();
        }
        PortProfile p = of.profile();
        int header = FrameFormat.headerLength(features);
        return Optional.of(FrameFormat.of(features, p.headerLengths().contains(header) ? header : 0, Math.max(options.mtu(), p.mtu())));
    }

    private PortSettings wanted(DeviceState s) throws NetdevException {
        return wanted(port, s);
    }

    private PortSettings wanted(OpenedPort of, DeviceState s) throws NetdevException {
        int header = FrameFormat.headerLength(s.features());
        Set<Integer> lengths = of.profile().headerLengths();
        if (!lengths.contains(header) && !lengths.contains(0)) {
            throw new NetdevException("netdev " + slot.id() + ": has headers of " + lengths + " bytes, the driver wants " + header);
        }
        BitSet pairs = s.enabledPairs();
        pairs.or(wide);
        return PortSettings.of(lengths.contains(header) ? header : 0, s.features() & GUEST_OFFLOADS, pairs);
    }

    /** Brings the port to a state, and attaches the queues of enabled pairs, no others. */
    void follow(DeviceState s) throws NetdevException, EngineException {
        if (port == null) {
            return;
        }
        PortSettings wanted = wanted(s);
        if (!wanted.equals(applied)) {
            boolean all = applied == null || wanted.headerLength() != applied.headerLength()
                    || wanted.guestOffloads() != applied.guestOffloads();
            for (int i = 0; i < options.pairs(); i++) {
                if (engine.attached(i) && (all || !wanted.enabled(i))) {
                    engine.detach(i);
                }
            }
            slot.served().apply(wanted);
            applied(wanted);
        }
        attach(s.enabledPairs());
    }

    /**
     * Tells a port that has become this NIC's, by the settings that are in force: what it may do only now, it begins.
     *
     * @throws NetdevException it refuses them
     */
    void confirm() throws NetdevException {
        if (port != null && applied != null) {
            slot.served().apply(applied);
        }
        // else it will be told with the next settings
    }

    /**
     * Settings for a port that may refuse what it was configured for, before anything depends on it.
     *
     * @throws NetdevException it refuses
     */
    void settleChange(DeviceState s) throws NetdevException {
        settle(s);
        if (port != null && applied == null) {
            // no driver yet: those that it is told later are others
            Set<Integer> lengths = port.profile().headerLengths();
            slot.served().apply(PortSettings.of(lengths.contains(0) ? 0 : Collections.max(lengths), 0, s.enabledPairs()));
        }
    }

    private void attach(BitSet pairs) throws EngineException, NetdevException {
        if (lent != null) {
            return;
        }
        for (int i = 0; i < options.pairs(); i++) {
            if (pairs.get(i) && !engine.attached(i)) {
                try {
                    engine.attach(i, port.queues().get(i), port.events().get(i));
                } catch (EngineException e) {
                    if (e.getCause() instanceof IOException) {
                        throw new NetdevException("netdev " + slot.id() + ": what it gave cannot be polled: " + e.getMessage() + " ("
                                + slot.servedBy() + ")", e);
                    }
                    throw e;
                }
            }
        }
    }

    private void detachAll() throws EngineException {
        for (int i = 0; i < options.pairs(); i++) {
            if (engine.attached(i)) {
                engine.detach(i);
            }
        }
    }

    /**
     * Another backend's port takes the place of the one that is open. Nothing is attached.
     *
     * @param other the port; null: it has to be another one before rings go on
     * @param settings those that are in force there, null: not known
     */
    void exchange(OpenedPort other, PortSettings settings) {
        engine.forgetPort();
        serve(other);
        applied = null;
        if (settings != null) {
            applied(settings);
        }
    }

    /**
     * What a port that takes the place of the one that is open finds in force.
     *
     * @param other the port
     * @param s what was negotiated
     * @return null: it has to be told first
     * @throws NetdevException it cannot serve
     */
    PortSettings inForce(OpenedPort other, DeviceState s) throws NetdevException {
        return s.running() && !wanted(other, s).equals(applied) ? null : applied;
    }

    /**
     * Whether a port could take the place of the one that is open, also for a NIC that waits for it.
     *
     * @param other the port
     * @param s what was negotiated
     * @throws NetdevException it cannot, and why
     */
    void requireFit(OpenedPort other, DeviceState s) throws NetdevException {
        requireOwnFit(other, s);
        slot.users().requireFit(other);
    }

    private void requireOwnFit(OpenedPort other, DeviceState s) throws NetdevException {
        long missing = missing(other, s.features());
        if (missing != 0) {
            throw new NetdevException("netdev " + slot.id() + ": lacks " + VirtioNet.names(missing) + ", which the guest acknowledged"
                    + ": choose a backend that has them, or switch them off in the VM's network device and start its driver anew");
        }
        if (s.running()) {
            wanted(other, s);
        }
    }

    /** Lets go of the port, whose backend leaves: state and descriptors are kept. */
    boolean park() throws EngineException {
        detachAll();
        serve(null);
        applied = null;
        return slot.park();
    }

    /** The backend that came is not good enough: what was parked stays parked. */
    void refuse(String why) throws EngineException {
        detachAll();
        serve(null);
        applied = null;
        slot.refuse(why);
    }

    /**
     * Ends the port after it broke.
     *
     * @param ours whether what it has open is this process's alone
     */
    void fail(boolean ours) throws EngineException {
        detachAll();
        serve(null);
        applied = null;
        slot.close(ours ? Disposal.RELEASE : Disposal.LEAVE);
    }

    /** Forgets a port of which nothing may be called any more. */
    void forget() {
        engine.forgetPort();
        serve(null);
        applied = null;
    }
}
