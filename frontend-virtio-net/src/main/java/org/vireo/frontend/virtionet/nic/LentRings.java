// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.util.BitSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import org.vireo.frontend.virtionet.block.NicBlockMemory;
import org.vireo.frontend.virtionet.device.EngineException;
import org.vireo.frontend.virtionet.device.RingEngine;
import org.vireo.frontend.virtionet.device.RingEngine.RingSpec;
import org.vireo.frontend.virtionet.memory.DirtyLog;
import org.vireo.frontend.virtionet.memory.MappedRegion;
import org.vireo.frontend.virtionet.memory.MemoryTable;
import org.vireo.frontend.virtionet.ring.RingLog;
import org.vireo.frontend.virtionet.session.DeviceState;
import org.vireo.frontend.virtionet.slot.ServedPort;
import org.vireo.net.api.Fd;
import org.vireo.net.api.GuestMemory;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.RingPosition;
import org.vireo.net.api.VringPort;
import org.vireo.net.api.VringSpec;
import org.vireo.net.api.nic.Ownership.Phase;
import org.vireo.vhostuser.VirtioNet;

/**
 * A NIC's rings while its port has them: no frame passes this process, whose workers have nothing to do with them. Where a ring was when
 * it started or stopped is in its journal, as with rings of our own. Of the NIC's actor; each call has a deadline.
 */
final class LentRings {
    /** What the NIC and its VMM do themselves, whoever has the rings. */
    private static final long OF_NIC = VirtioNet.PROTOCOL_FEATURES | VirtioNet.MAC | VirtioNet.STATUS | VirtioNet.CTRL_VQ
            | VirtioNet.CTRL_RX | VirtioNet.GUEST_ANNOUNCE | VirtioNet.MTU | VirtioNet.LOG_ALL;

    private final ServedPort port;
    private final NicBlockMemory block;
    private final RingEngine engine;
    /** Those that are started, and how. */
    private final Map<Integer, RingSpec> started = new TreeMap<>();
    private final BitSet enabled = new BitSet();
    /** Those of which is known what they do: they were started here. */
    private final BitSet known = new BitSet();
    private boolean inherited;
    /** Those of which the port was told whether they are enabled. */
    private final BitSet told = new BitSet();
    private boolean logTold;
    /** What the port was told; null: nothing yet. */
    private MemoryTable memory;
    private DirtyLog log;
    private Fd logEvent;
    private long features;

    /**
     * Rings of a port that serves.
     *
     * @param port calls it
     * @param block for the journals
     * @param engine knows where rings lie
     * @param since who had the port before
     */
    LentRings(ServedPort port, NicBlockMemory block, RingEngine engine, Since since) {
        inherited = since == Since.ANOTHER_PROCESS;
        logTold = since == Since.OPENED;
        this.port = port;
        this.block = block;
        this.engine = engine;
    }

    /** Who had the port before. */
    enum Since {
        /** Nobody. */
        OPENED,
        /** Somebody of this process, who may have told it things of another guest. */
        ANOTHER_NIC,
        /** Another process, which may have died with running rings. */
        ANOTHER_PROCESS
    }

    /** Somebody had the port for a while, and died. */
    void succeed() {
        inherited = true;
        known.clear();
        told.clear();
        memory = null;
        log = null;
        logEvent = null;
        logTold = false;
    }

    private interface Action {
        void of(VringPort p) throws NetdevException;
    }

    private void tell(String what, Action a) throws NetdevException {
        ask(what, p -> {
            a.of(p);
            return null;
        });
    }

    private <T> T ask(String what, ServedPort.RingCall<T> call) throws NetdevException {
        if (isElsewhere()) {
            throw new NetdevException(what + ": another process has this NIC's rings");
        }
        return port.rings(what, call);
    }

    /** Another process talks with whoever has the rings, on the same connection perhaps. */
    private boolean isElsewhere() {
        return block.ownership().filter(o -> o.holder() != block.self() && o.phase() != Phase.FENCED && o.phase() != Phase.OFFERED)
                .isPresent();
    }

    /** Tells all that rings need before one is started. */
    void prepare(DeviceState s) throws NetdevException {
        if (s.inflight() != null && s.packed()) {
            // only whoever runs them could write where they go on, and not into this memory
            throw new NetdevException("packed rings, of which the VMM keeps in-flight memory, cannot be given to an external back-end; give"
                    + " the NIC an external back-end before its VMM connects, or switch packed rings off in the VMM");
        }
        long acknowledged = s.features() & ~OF_NIC;
        if (memory == null || acknowledged != features) {
            tell("features", p -> p.features(acknowledged));
            features = acknowledged;
        }
        if (memory != s.memory()) {
            replace(s.memory());
        }
        log(s);
    }

    /** A VMM that migrates its VM begins or ends to log: so does who has the rings. */
    void log(DeviceState s) throws NetdevException {
        DirtyLog wanted = s.logsAll() ? s.log() : null;
        Fd event = wanted == null ? null : s.logEvent();
        if (memory != null && (wanted != log || event != logEvent || !logTold)) {
            tell("log", p -> p.log(wanted == null ? null : new SharedLog(wanted.file(), wanted.offset(), wanted.bytes(), event)));
            log = wanted;
            logEvent = event;
            logTold = true;
        }
        for (int ring : List.copyOf(started.keySet())) {
            RingSpec spec = started.get(ring);
            long at = s.log(ring).usedAt();
            if (log != null && at >= 0 && at != loggedAt(spec)) {
                // not where the ring lies, and not where it was said to be when it was started
                stop(ring);
                start(ring, with(spec, s.log(ring), spec.call()), engine.position(ring));
            }
        }
    }

    /** Where writes to a ring's used ring are logged: where the VMM says, or else where it lies. */
    private long loggedAt(RingSpec spec) {
        return spec.log().usedAt() >= 0 ? spec.log().usedAt() : memory.guestOfUser(spec.used());
    }

    private void replace(MemoryTable table) throws NetdevException {
        tell("memory", p -> p.memory(new Shared(table)));
        memory = table;
    }

    /** The guest's memory is another one: the port must not use the former any more, also if no ring runs. */
    void memory(MemoryTable table) throws NetdevException {
        if (memory != null) {
            replace(table);
        }
    }

    /** Starts a ring, for which all is prepared. */
    void start(int ring, RingSpec spec, RingPosition at) throws NetdevException {
        start(ring, spec, at, false);
    }

    /** Starts a ring that goes on; if the port comes from another process that may have died, it may run. */
    void resume(int ring, RingSpec spec, RingPosition at) throws NetdevException {
        start(ring, spec, at, inherited && !known.get(ring));
    }

    private void start(int ring, RingSpec spec, RingPosition at, boolean mayRun) throws NetdevException {
        block.record(ring, at);
        if (spec.inflight() != null) {
            // nobody here sees any more what is taken
            forget(spec);
        }
        // also if it fails: who knows how far it came
        started.put(ring, spec);
        known.set(ring);
        tell("start", p -> p.start(ring, new Lent(spec, loggedAt(spec), at, mayRun)));
    }

    private void forget(RingSpec spec) throws NetdevException {
        try {
            engine.forget(spec);
        } catch (EngineException e) {
            throw new NetdevException(e.getMessage(), e);
        }
    }

    void enable(int ring, boolean on) throws NetdevException {
        if (enabled.get(ring) != on || !told.get(ring)) {
            tell("enable", p -> p.enable(ring, on));
            enabled.set(ring, on);
            told.set(ring);
        }
    }

    void call(int ring, Fd call) throws NetdevException {
        tell("call", p -> p.call(ring, call));
        started.computeIfPresent(ring, (r, s) -> with(s, s.log(), call));
    }

    private static RingSpec with(RingSpec s, RingLog log, Fd call) {
        return new RingSpec(s.size(), s.packed(), s.descriptors(), s.available(), s.used(), s.eventIndex(), s.indirect(), log,
                s.inflight(), s.kick(), call);
    }

    /**
     * Stops a ring. When this returns it is in its journal where it goes on.
     *
     * @throws NetdevException the port did not answer, or the ring lies nowhere: it may still be used
     */
    void stop(int ring) throws NetdevException {
        RingSpec spec = started.get(ring);
        if (spec == null) {
            return;
        }
        if (!isElsewhere()) {
            RingPosition at = ask("stop", p -> p.stop(ring));
            block.record(ring, at == null ? shown(spec) : at);
        }
        started.remove(ring);
    }

    /** Where a ring is of which the port knows no more than everybody. */
    private RingPosition shown(RingSpec spec) throws NetdevException {
        try {
            if (spec.packed()) {
                throw new NetdevException("where a packed ring of " + spec.size() + " entries goes on is not known");
            }
            int used = engine.usedIndex(spec);
            return RingPosition.of(used, used);
        } catch (EngineException e) {
            throw new NetdevException("the used ring cannot be read: " + e.getMessage(), e);
        }
    }

    /**
     * Stops all rings, as far as the port answers.
     *
     * @throws NetdevException one was not stopped
     */
    void stopAll() throws NetdevException {
        NetdevException failed = null;
        for (int ring : List.copyOf(started.keySet())) {
            try {
                stop(ring);
            } catch (NetdevException e) {
                failed = e;
            }
        }
        if (failed != null) {
            throw failed;
        }
    }

    /**
     * Asked when all rings are stopped and another port is to have them.
     *
     * @throws RingsHeldException somebody may still touch them
     * @throws NetdevException the port did not answer
     */
    void requireLetGo() throws NetdevException {
        Optional<String> who = ask("stillHeld", VringPort::stillHeld);
        if (who.isPresent()) {
            throw new RingsHeldException(who.get());
        }
    }

    /** The network learns where the guest is. */
    void announce(byte[] mac) throws NetdevException {
        tell("announce", p -> p.announce(mac));
    }

    /** The guest has gone, or another port has its rings: its memory is used no more. */
    void forget() throws NetdevException {
        for (int ring = enabled.nextSetBit(0); ring >= 0; ring = enabled.nextSetBit(ring + 1)) {
            enable(ring, false);
        }
        if (memory != null && !memory.regions().isEmpty()) {
            if (log != null) {
                tell("log", p -> p.log(null));
                log = null;
                logEvent = null;
            }
            replace(MemoryTable.EMPTY);
        }
    }

    private record Shared(List<GuestMemory.Region> regions) implements GuestMemory {
        Shared(MemoryTable table) {
            this(table.regions().stream().<GuestMemory.Region>map(SharedRegion::of).toList());
        }
    }

    private record SharedRegion(long guestAddress, long bytes, long userAddress, long fileOffset, Fd file) implements GuestMemory.Region {
        static SharedRegion of(MappedRegion r) {
            MappedRegion.Spec s = r.spec();
            return new SharedRegion(s.guest(), s.bytes(), s.user(), s.offset(), r.file());
        }
    }

    private record SharedLog(Fd file, long offset, long bytes, Fd event) implements org.vireo.net.api.DirtyLog { }

    private record Lent(RingSpec spec, long log, RingPosition position, boolean mayRun) implements VringSpec {
        @Override
        public int size() {
            return spec.size();
        }

        @Override
        public long descriptors() {
            return spec.descriptors();
        }

        @Override
        public long driver() {
            return spec.available();
        }

        @Override
        public long device() {
            return spec.used();
        }

        @Override
        public Fd kick() {
            return spec.kick();
        }

        @Override
        public Fd call() {
            return spec.call();
        }
    }
}
