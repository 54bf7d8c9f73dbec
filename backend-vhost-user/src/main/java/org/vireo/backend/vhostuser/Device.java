// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.net.api.DirtyLog;
import org.vireo.net.api.Fd;
import org.vireo.net.api.GuestMemory;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.RingPosition;
import org.vireo.net.api.VringSpec;
import org.vireo.posix.linux.EventFd;
import org.vireo.vhostuser.LogSpec;
import org.vireo.vhostuser.Message;
import org.vireo.vhostuser.MessageChannel;
import org.vireo.vhostuser.ProtocolFeatures;
import org.vireo.vhostuser.Request;
import org.vireo.vhostuser.VirtioNet;
import org.vireo.vhostuser.VringAddress;
import org.vireo.vhostuser.VringState;

/**
 * The device as the guest and the VMM want it, and how a back-end is told. It is the same whichever back-end is connected: a new one is
 * told all of it ({@link #bringUp}). With the port's lock.
 *
 * <p>What takes a connection: null stands for no back-end, then it is only remembered. A {@link RefusedException} leaves the connection as
 * good as it was; after another IOException it is of no further use.
 */
final class Device {
    private static final Logger LOG = LoggerFactory.getLogger(Device.class);
    private static final int FEATURES_OK = VirtioNet.ACKNOWLEDGE | VirtioNet.DRIVER | VirtioNet.FEATURES_OK;
    /** Rings may grow so far without a new in-flight memory; a few more pages cost less. */
    private static final int INFLIGHT_ENTRIES = 1024;
    /** struct virtq_used: flags, idx and avail_event, and its entries. */
    private static final long USED_BYTES = 6;
    private static final long USED_ENTRY_BYTES = 8;
    /** struct pvirtq_event_suppress. */
    private static final long EVENT_BYTES = 4;

    private final String prefix;
    private final List<Ring> rings = new ArrayList<>();
    /** What the driver acknowledged, or {@link Connection#UNTOLD}. */
    private long acknowledged = Connection.UNTOLD;
    private Kept.Memory memory;
    private Kept.Log log;
    /** A former owner's back-end was lost, before it was told whether the VMM logs. */
    private boolean unlogged;
    private Inflight inflight;

    Device(String prefix, int pairs) {
        this.prefix = prefix;
        for (int i = 0; i < 2 * pairs; i++) {
            rings.add(new Ring(i));
        }
    }

    /** A device that somebody else has had. */
    static Device of(String prefix, int pairs, long acknowledged, Inflight inflight) {
        Device d = new Device(prefix, pairs);
        d.acknowledged = acknowledged;
        d.inflight = inflight;
        return d;
    }

    List<Ring> rings() {
        return rings;
    }

    long acknowledged() {
        return acknowledged;
    }

    Inflight inflight() {
        return inflight;
    }

    /** How a running ring is to be found again if the back-end dies; false: not at all. */
    boolean survives() {
        return !isPacked() || inflight != null || rings.stream().noneMatch(Ring::isForeignNext);
    }

    /** Whether whoever is connected may be touching rings. */
    boolean runs() {
        return rings.stream().anyMatch(r -> r.running || r.foreign);
    }

    private boolean isPacked() {
        return acknowledged != Connection.UNTOLD && (acknowledged & VirtioNet.RING_PACKED) != 0;
    }

    /** Where rings go on, as far as that can be told now. */
    private RingPositions positions() {
        return new RingPositions(prefix, isPacked(), memory, inflight);
    }

    /** What of all this a back-end cannot do; null: nothing. */
    String lacks(Offer offer) {
        long missing = acknowledged == Connection.UNTOLD ? 0 : offer.missing(acknowledged);
        if (missing != 0) {
            return "it lacks " + VirtioNet.names(missing) + ", which the driver has acknowledged";
        }
        if (isPacked() && inflight != null && !offer.has(ProtocolFeatures.INFLIGHT_SHMFD) && rings.stream().anyMatch(Ring::isForeignNext)) {
            return "it lacks INFLIGHT_SHMFD, in whose memory it is kept where the driver's packed rings go on";
        }
        return log != null && !offer.logs() ? "it cannot log dirty pages (LOG_ALL, LOG_SHMFD), as it has to now" : null;
    }

    void features(Connection c, Offer offer, long now, boolean goesOn) throws NetdevException, IOException {
        long missing = offer.missing(now);
        if (missing != 0) {
            throw new NetdevException(prefix + "the back-end lacks " + VirtioNet.names(missing) + ", which the driver has acknowledged");
        }
        boolean other = now != acknowledged;
        acknowledged = now;
        if (!goesOn) {
            dropInflight(c);
        }
        if (c != null) {
            if (other) {
                // status bits are not taken back but by a reset
                c.status(0);
            }
            tellFeatures(c);
        }
    }

    private void tellFeatures(Connection c) throws IOException {
        c.features(c.offer().told(acknowledged, log != null));
        c.status(c.status() | FEATURES_OK);
    }

    void memory(Connection c, GuestMemory given) throws NetdevException, IOException {
        Kept.Memory former = memory;
        memory = Kept.Memory.of(given);
        boolean refused = true;
        try {
            tellMemory(c);
            refused = false;
        } catch (RefusedException | NetdevException e) {
            throw e;
        } catch (IOException e) {
            // the next back-end will be told
            refused = false;
            throw e;
        } finally {
            Kept.Memory over = refused ? memory : former;
            memory = refused ? former : memory;
            if (over != null) {
                // what a back-end was told of it, it has
                over.close();
            }
        }
    }

    private void tellMemory(Connection c) throws NetdevException, IOException {
        if (memory.regions().isEmpty()) {
            dropInflight(c);
        }
        if (c == null) {
            return;
        }
        MemoryTable.Change change = c.memory().change(prefix, c.offer(), memory);
        boolean replaces = change.replaces();
        List<Ring> moved = rings.stream().filter(r -> r.running && (replaces || disturbs(change, r.spec))).toList();
        for (Ring r : moved) {
            r.position = stopRunning(c, r);
        }
        change.tell(c);
        for (Ring r : moved) {
            startRunning(c, r);
        }
    }

    private static boolean disturbs(MemoryTable.Change change, VringSpec s) {
        return change.disturbs(s.descriptors()) || change.disturbs(s.driver()) || change.disturbs(s.device());
    }

    void log(Connection c, Offer offer, DirtyLog now) throws NetdevException, IOException {
        if (now != null && !offer.logs()) {
            throw new NetdevException(prefix + "the back-end cannot log dirty pages, since it lacks "
                    + ((offer.features() & VirtioNet.LOG_ALL) == 0 ? "LOG_ALL" : "LOG_SHMFD")
                    + ": the guest cannot migrate while it is used");
        }
        Kept.Log former = log;
        log = Kept.Log.of(now);
        if (former != null) {
            former.close();
        }
        if (unlogged) {
            markAll();
            unlogged = false;
        }
        if (c == null) {
            return;
        }
        tellLog(c);
        if (acknowledged != Connection.UNTOLD) {
            tellFeatures(c);
        }
        for (Ring r : rings) {
            if (r.running) {
                c.tell(Request.SET_VRING_ADDR, address(r).payload(), Connection.NO_DESCRIPTORS);
            }
        }
        c.barrier();
    }

    private void tellLog(Connection c) throws IOException {
        if (log != null) {
            // what the reply says differs between back-ends; that there is one counts
            try (Message m = c.ask(Request.SET_LOG_BASE, new LogSpec(log.bytes(), log.offset()).payload(), List.of(log.file()))) {
                m.descriptors();
            }
            if (log.event() != null) {
                c.tell(Request.SET_LOG_FD, Connection.EMPTY, List.of(log.event()));
            }
        }
    }

    /**
     * Starts a ring.
     *
     * @param tries whether it is a rehearsal: nobody has had it, and nothing is read
     */
    void start(Connection c, Ring r, VringSpec spec, boolean tries) throws NetdevException, IOException {
        if (acknowledged == Connection.UNTOLD || memory == null) {
            throw new NetdevException(prefix + r + " cannot be started before features and memory are known");
        }
        r.forget();
        if (!spec.mayRun() && rings.stream().noneMatch(Ring::isForeignNext)) {
            // of the life that all rings had before nothing is in flight any more, whatever a back-end has left there
            dropInflight(c);
        }
        r.spec = Kept.Vring.of(spec);
        r.call = Kept.copy(spec.call());
        if (!spec.mayRun() || tries) {
            r.position = spec.position();
        } else if (!r.foreign) {
            r.position = c == null ? null : leftAt(c, r);
        }
        r.foreign = false;
        if (c == null) {
            return;
        }
        try {
            runIfWanted(c, r);
        } catch (NetdevException | RefusedException e) {
            r.forget();
            if (r.running) {
                stopRunning(c, r);
            }
            throw e;
        }
    }

    /** Where a ring is that a former owner started when nobody knows. */
    private RingPosition leftAt(Connection c, Ring r) throws IOException {
        // some know a ring only from here on
        tellDescriptor(c, Request.SET_VRING_CALL, r.index, null);
        return positions().told(c.vringBase(r.index), r.spec);
    }

    /** Where rings cannot be disabled, one that is disabled does not run. */
    private void runIfWanted(Connection c, Ring r) throws NetdevException, IOException {
        if (r.spec != null && !r.running && (r.enabled || c.offer().enables())) {
            startRunning(c, r);
        }
    }

    private void startRunning(Connection c, Ring r) throws NetdevException, IOException {
        RingPosition at = positions().of(r);
        r.told = at;
        useInflight(c, r.spec.size());
        c.status(c.status() | FEATURES_OK | VirtioNet.DRIVER_OK);
        c.tell(Request.SET_VRING_NUM, new VringState(r.index, r.spec.size()).payload(), Connection.NO_DESCRIPTORS);
        int base = isPacked() ? at.available() | at.used() << 16 : at.available();
        c.tell(Request.SET_VRING_BASE, new VringState(r.index, base).payload(), Connection.NO_DESCRIPTORS);
        c.tell(Request.SET_VRING_ADDR, address(r).payload(), Connection.NO_DESCRIPTORS);
        tellDescriptor(c, Request.SET_VRING_CALL, r.index, r.call);
        // before it runs: what a ring that runs and is not enabled transmits is thrown away
        tellEnabled(c, r);
        // from here on it may run
        r.running = true;
        c.givesRing();
        tellDescriptor(c, Request.SET_VRING_KICK, r.index, r.spec.kick());
        // some begin with a kick only
        signal(r.spec.kick());
        signal(r.call);
    }

    private VringAddress address(Ring r) {
        boolean logged = log != null && r.spec.log() != -1;
        return new VringAddress(r.index, logged ? VringAddress.LOG : 0, r.spec.descriptors(), r.spec.device(), r.spec.driver(),
                logged ? r.spec.log() : 0);
    }

    private static void tellDescriptor(Connection c, Request request, int ring, Fd fd) throws IOException {
        c.tell(request, MessageChannel.u64(fd == null ? ring | Message.NO_DESCRIPTOR : ring), fd == null ? List.of() : List.of(fd));
    }

    private static void tellEnabled(Connection c, Ring r) throws IOException {
        if (c.offer().enables()) {
            c.tell(Request.SET_VRING_ENABLE, new VringState(r.index, r.enabled ? 1 : 0).payload(), Connection.NO_DESCRIPTORS);
        }
    }

    private static void signal(Fd event) {
        if (event != null) {
            EventFd.signal(event.number());
        }
    }

    private void useInflight(Connection c, int entries) throws NetdevException, IOException {
        if (!c.offer().has(ProtocolFeatures.INFLIGHT_SHMFD)) {
            return;
        }
        if (inflight != null && inflight.spec().queueSize() < entries) {
            if (rings.stream().anyMatch(r -> r.running || r.spec != null && r.position == null)) {
                throw new NetdevException(prefix + "a ring of " + entries + " entries cannot be started beside running ones of at most "
                        + inflight.spec().queueSize() + ": the back-end's in-flight memory is made for those");
            }
            dropInflight(c);
        }
        if (!c.isInflightTold()) {
            if (inflight == null) {
                inflight = Inflight.ask(c, rings.size(), Math.max(entries, INFLIGHT_ENTRIES));
            }
            if (inflight != null) {
                inflight.tell(c);
            }
            c.inflightTold(true);
        }
    }

    private void dropInflight(Connection c) {
        if (inflight != null) {
            inflight.close();
            inflight = null;
        }
        if (c != null) {
            c.inflightTold(false);
        }
    }

    /**
     * Stops a ring.
     *
     * @return where it goes on; null: where the used ring says
     * @throws NetdevException that is not known
     */
    RingPosition stop(Connection c, Ring r) throws NetdevException, IOException {
        if (r.spec == null) {
            return null;
        }
        try {
            if (r.running) {
                r.position = stopRunning(c, r);
            }
            return r.position != null || !isPacked() ? r.position : positions().found(r, r.spec);
        } catch (IOException e) {
            // while it is known where the ring is
            markAll();
            throw e;
        } finally {
            r.forget();
        }
    }

    /** Where a ring is whose back-end has gone when it was to be stopped; null: where the used ring says. */
    RingPosition left(Ring r, VringSpec spec) throws NetdevException, IOException {
        return isPacked() ? positions().found(r, spec) : null;
    }

    private RingPosition stopRunning(Connection c, Ring r) throws IOException {
        int base = c.vringBase(r.index);
        // where it was started is not where it is, whatever the answer is worth
        r.position = null;
        r.running = false;
        return positions().told(base, r.spec);
    }

    void enable(Connection c, Ring r, boolean on) throws NetdevException, IOException {
        r.enabled = on;
        if (c == null) {
            return;
        }
        if (c.offer().enables()) {
            if (r.running) {
                tellEnabled(c, r);
            }
        } else if (on) {
            runIfWanted(c, r);
        } else if (r.running) {
            r.position = stopRunning(c, r);
        }
    }

    void call(Connection c, Ring r, Fd call) throws NetdevException, IOException {
        r.call(Kept.copy(call));
        if (c != null && r.running) {
            tellDescriptor(c, Request.SET_VRING_CALL, r.index, call);
            // what it calls until it has read that goes to the former one
            c.barrier();
        }
        signal(call);
    }

    /** Tells a back-end that has just come all that is known. */
    void bringUp(Connection c) throws NetdevException, IOException {
        if (acknowledged == Connection.UNTOLD) {
            return;
        }
        tellLog(c);
        tellFeatures(c);
        if (memory != null && !memory.regions().isEmpty()) {
            c.memory().change(prefix, c.offer(), memory).tell(c);
        }
        if (inflight != null && !c.offer().has(ProtocolFeatures.INFLIGHT_SHMFD)) {
            dropInflight(c);
        }
        for (Ring r : rings) {
            runIfWanted(c, r);
        }
        c.barrier();
    }

    /** Takes the rings over that a former owner of the connection may have left running: stops them, and knows where they are. */
    void adopt(Connection c) throws IOException {
        c.sentinel();
        for (Ring r : rings) {
            if (r.foreign) {
                r.position = positions().told(c.vringBase(r.index), null);
            }
        }
    }

    /** The back-end has gone. */
    void lost() {
        unlogged |= log == null && rings.stream().anyMatch(r -> r.foreign);
        if (rings.stream().anyMatch(r -> r.running || r.foreign)) {
            markAll();
        }
        rings.forEach(Ring::lost);
    }

    /** A back-end marks a page after it has written it: what one wrote last that has died nobody knows. */
    private void markAll() {
        if (log == null || memory == null) {
            return;
        }
        List<PageLog.Range> all = new ArrayList<>(PageLog.Range.of(memory));
        for (Ring r : rings) {
            if (r.spec != null && r.spec.log() != -1) {
                all.add(new PageLog.Range(r.spec.log(), isPacked() ? EVENT_BYTES : USED_BYTES + USED_ENTRY_BYTES * r.spec.size()));
            }
        }
        try {
            PageLog.mark(log, all);
            signal(log.event());
        } catch (IOException e) {
            LOG.error("{}what a back-end wrote that has gone could not be logged, and the guest must not be migrated now: {}", prefix,
                    e.getMessage());
        }
    }

    /** Ends it orderly: nothing touches the guest any more. */
    void end(Connection c) throws IOException {
        for (Ring r : rings) {
            if (r.running || r.foreign) {
                c.vringBase(r.index);
                r.running = false;
            }
        }
        c.status(0);
        c.reset();
    }

    void close() {
        dropInflight(null);
        rings.forEach(Ring::forget);
        if (memory != null) {
            memory.close();
        }
        if (log != null) {
            log.close();
        }
    }
}
