// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Tag;
import org.vireo.net.api.AlreadyOpenException;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.BackendStateTransfer;
import org.vireo.net.api.Fd;
import org.vireo.net.api.FramePort;
import org.vireo.net.api.NetBackend;
import org.vireo.net.api.NetPort;
import org.vireo.net.api.Section;
import org.vireo.net.api.StateFormat;
import org.vireo.net.api.StateTransferException;
import org.vireo.net.api.VringPort;
import org.vireo.posix.linux.Poll;
import org.vireo.testsupport.Requirements;

/** State transfer, for backends that have it. */
public abstract class TransferTck extends DataTck {
    /** For the kit's parts only. */
    TransferTck() {
    }

    final BackendState save(NetBackend b, NetPort p) throws StateTransferException {
        BackendStateTransfer t = transfer(b);
        t.check(p);
        return closeLater(t.save(p, t.stateFormat().writes().newest()));
    }

    /** Loads a port, with the guest in front of it that is in front of the source. */
    final KitGuest load(NetBackend b, BackendState s, KitGuest guest) throws Exception {
        KitContext c = context(guest.pairs());
        KitGuest g = guest.before(opened(transfer(b).load(s, c), c), c);
        closeLater(() -> g.close(NetPort.Disposal.RELEASE));
        return g;
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "state-versions", contract = "BackendStateTransfer.stateFormat",
            says = "constant, reads what it writes; each version that it writes can be saved and loaded")
    public void everyVersionIsReadAgain() throws Exception {
        BackendFixture.Network n = network(1);
        NetBackend b = backend(n);
        StateFormat f = transfer(b).stateFormat();
        assertEquals(f, transfer(b).stateFormat());
        KitGuest p = running(b, 1);
        for (int v = f.writes().oldest(); v <= f.writes().newest(); v++) {
            assertTrue(f.canRead(f.type(), v), f.toString());
            try (BackendState s = transfer(b).save(p.port(), v)) {
                assertNotNull(s, "save() returned null instead of a state");
                assertEquals(f.type(), s.type());
                assertEquals(v, s.version());
                load(backend(n), s, p).close(NetPort.Disposal.LEAVE);
            }
        }
        assertThrows(StateTransferException.class, () -> transfer(b).save(p.port(), f.writes().newest() + 1));
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "stable-stays-true", contract = "StateFormat.Kind",
            says = "a stable state that was saved once stays true while frames move")
    public void stableStateStaysTrue() throws Exception {
        BackendFixture.Network n = network(1);
        NetBackend source = backend(n);
        Assumptions.assumeTrue(transfer(source).stateFormat().kind() == StateFormat.Kind.STABLE, "the state is live");
        KitGuest p = running(source, 1);
        BackendState s = save(source, p.port());
        p.transmit(0, 1, 20);
        send(n, 1, 20);
        p.expectReceived(1, 20);
        KitGuest q = load(backend(n), s, p);
        send(n, 21, 40);
        q.expectReceived(21, 40);
        q.transmit(0, 21, 40);
        expectTransmitted(n, 1, 40);
        p.close(NetPort.Disposal.LEAVE);
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "quiesce-then-move", contract = "ThreadedPort.quiesce",
            says = "what arrives at a quiet port belongs to who loads its state")
    public void quietPortLeavesFramesToTheNext() throws Exception {
        BackendFixture.Network n = network(1);
        NetBackend source = backend(n);
        KitGuest p = running(source, 1);
        if (p.port() instanceof FramePort f) {
            drain(f.queue(0), new KitWindow(64, LARGEST, header(f)), number -> { });
        }
        p.still();
        p.quiesce();
        send(n, 1, 20);
        untilItWouldHaveHappened();
        KitGuest q = load(backend(n), save(source, p.port()), p);
        q.expectReceived(1, 20);
        q.still();
        q.close(NetPort.Disposal.LEAVE);
        p.transmit(0, 1, 3);
        expectTransmitted(n, 1, 3);
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "save-pure", contract = "BackendStateTransfer.save",
            says = "it and check() change nothing, also while the queues run; duplicates belong to the state")
    public void saveIsPure() throws Exception {
        BackendFixture.Network n = network(1);
        NetBackend b = backend(n);
        KitGuest p = running(b, 1);
        BackendStateTransfer t = transfer(b);
        t.save(p.port(), t.stateFormat().writes().newest()).close();
        String before = n.observe();
        Census census = Census.take();
        AtomicBoolean saved = new AtomicBoolean();
        ExecutorService worker = Executors.newSingleThreadExecutor();
        try {
            Future<?> frames = worker.submit(() -> {
                for (int i = 1; i <= 1000 || !saved.get(); i += 10) {
                    p.transmit(0, i, i + 9);
                    expectTransmitted(n, i, i + 9);
                }
                return null;
            });
            for (int i = 0; i < 100; i++) {
                t.check(p.port());
                t.save(p.port(), t.stateFormat().writes().newest()).close();
            }
            saved.set(true);
            frames.get();
        } catch (ExecutionException e) {
            // a failure, or what aborts the rule
            if (e.getCause() instanceof Error r) {
                throw r;
            }
            throw e.getCause() instanceof Exception x ? x : e;
        } finally {
            worker.shutdownNow();
            assertTrue(worker.awaitTermination(limit().toSeconds(), java.util.concurrent.TimeUnit.SECONDS));
        }
        census.expectNothingMore("after save()");
        assertEquals(before, n.observe());
        send(n, 1, 20);
        p.expectReceived(1, 20);
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "move-inside", contract = "BackendStateTransfer.load",
            says = "in one process the target goes on where the source was, no frame is lost; LEAVE touches nothing")
    public void moveInsideTheProcess() throws Exception {
        int pairs = kit().maxPairs();
        BackendFixture.Network n = network(pairs);
        NetBackend source = backend(n);
        KitGuest p = running(source, pairs);
        p.transmit(0, 1, 50);
        BackendState s = save(source, p.port());
        p.still();
        send(n, 1, 40); // these wait, since the source is quiet
        String before = n.observe();
        NetBackend target = backend(n);
        KitGuest q = load(target, s, p);
        assertEquals(p.port().profile().toString(), q.port().profile().toString(), "profile of the loaded port");
        s.close();
        q.expectReceived(1, 40);
        q.transmit(0, 51, 100);
        p.close(NetPort.Disposal.LEAVE);
        assertEquals(before, n.observe());
        q.transmit(0, 101, 150);
        expectTransmitted(n, 1, 150);
        send(n, 41, 80);
        q.expectReceived(41, 80);
        q.port().apply(settings(q.port(), 1));
        q.port().apply(settings(q.port(), pairs));
        q.transmit(pairs - 1, 151, 160);
        expectTransmitted(n, 151, 160);
        q.close(NetPort.Disposal.LEAVE);
        running(source, pairs).close(NetPort.Disposal.LEAVE); // the source's object is free again
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "load-given-up", contract = "BackendStateTransfer.load",
            says = "a target that is given up leaves the source's port as it was")
    public void sourceGoesOnAfterATargetThatGaveUp() throws Exception {
        int pairs = kit().maxPairs();
        BackendFixture.Network n = network(pairs);
        NetBackend source = backend(n);
        KitGuest p = running(source, pairs);
        String before = n.observe();
        for (int i = 0; i < 3; i++) {
            BackendState s = save(source, p.port());
            KitGuest q = load(backend(n), s, p);
            assertEquals(before, n.observe());
            p.transmit(0, 10 * i + 1, 10 * i + 5);
            q.close(NetPort.Disposal.LEAVE);
            assertEquals(before, n.observe());
            p.transmit(0, 10 * i + 6, 10 * i + 10);
            expectTransmitted(n, 10 * i + 1, 10 * i + 10);
        }
        send(n, 1, 20);
        p.expectReceived(1, 20);
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Tag(PROCESS)
    @Rule(id = "move-to-another-process", contract = "BackendStateTransfer.load",
            says = "into another process and back, no frame is lost or doubled")
    public void moveToAnotherProcess() throws Exception {
        int pairs = kit().maxPairs();
        BackendFixture.Network n = network(pairs);
        NetBackend source = backend(n);
        KitGuest p = running(source, pairs);
        p.transmit(0, 1, 20);
        BackendState s = save(source, p.port());
        PeerProcess peer = closeLater(new PeerProcess(kit(), pairs, n.options(), List.of()));
        p.still();
        send(n, 1, 30);
        PeerGuest q = peer.load(s, p);
        s.close();
        q.expectReceived(1, 30);
        q.transmit(21, 40);
        q.apply();
        q.transmit(41, 60);
        q.leave();
        send(n, 31, 60); // while nobody reads
        peer.end();
        p.expectReceived(31, 60);
        p.transmit(0, 61, 80);
        expectTransmitted(n, 1, 80);
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Tag(PROCESS)
    @Rule(id = "load-inert", contract = "BackendStateTransfer.load",
            says = "no read, no write and no ioctl on the device")
    public void loadMakesNoSystemCallOnTheDevice() throws Exception {
        String strace = Requirements.command("strace").toString();
        BackendFixture.Network n = network(1);
        NetBackend source = backend(n);
        KitGuest p = running(source, 1);
        BackendState s = save(source, p.port());
        PeerProcess peer = closeLater(new PeerProcess(kit(), 1, n.options(),
                List.of(strace, "-f", "--seccomp-bpf", "-qq", "-e", "trace=" + SystemCalls.TRACED, "-e", "signal=none", "-o", "TRACE")));
        p.still();
        PeerGuest q = peer.load(s, p);
        assertFalse(peer.numbers().isEmpty(), "a state without descriptors");
        send(n, 1, 5);
        q.expectReceived(1, 5);
        q.leave();
        peer.end();
        SystemCalls calls = new SystemCalls(peer.trace(), peer.numbers());
        assertEquals(List.of(), calls.during(), "calls on the device during load()");
        assertFalse(calls.after().isEmpty(), "the trace does not even show how the frames were received");
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "load-once", contract = "BackendStateTransfer.load",
            says = "it and open() are refused while a port lives")
    public void alreadyInitialisedIsRefused() throws Exception {
        BackendFixture.Network n = network(1);
        NetBackend b = backend(n);
        KitGuest p = running(b, 1);
        BackendState s = save(b, p.port());
        Census census = Census.take();
        AlreadyOpenException e = assertThrows(AlreadyOpenException.class, () -> transfer(b).load(s, context(1)));
        assertTrue(e.getMessage().contains("already initialised, cannot receive incoming descriptors"), e.getMessage());
        NetBackend other = backend(n);
        KitGuest q = load(other, s, p);
        assertThrows(AlreadyOpenException.class, () -> transfer(other).load(s, context(1)));
        assertThrows(AlreadyOpenException.class, () -> other.open(context(1)));
        q.close(NetPort.Disposal.LEAVE);
        census.expectNothingMore("after refused loads");
        load(other, s, p).close(NetPort.Disposal.LEAVE);
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "load-names-the-field", contract = "BackendStateTransfer.load",
            says = "a missing or wrong field is named with its section, and nothing is left behind")
    public void wrongFieldsAreNamed() throws Exception {
        int pairs = kit().maxPairs();
        BackendFixture.Network n = network(pairs);
        NetBackend source = backend(n);
        KitGuest p = running(source, pairs);
        BackendState good = save(source, p.port());
        NetBackend target = backend(n);
        Census census = Census.take();
        int tried = 0;
        for (int at = KitStates.PORT; at < good.queues().size(); at++) {
            Section section = KitStates.section(good, at);
            for (String field : section.names()) {
                if (section.optional(field)) {
                    try (BackendState s = KitStates.with(good, at, field, null)) {
                        load(target, s, p).close(NetPort.Disposal.LEAVE);
                    }
                } else {
                    refused(target, KitStates.with(good, at, field, null), section.name(), field);
                    tried++;
                }
                refused(target, KitStates.with(good, at, field, section.value(field) instanceof String ? 7L : "seven"),
                        section.name(), field);
            }
            refused(target, KitStates.withSurplus(good, at, "unknown_field"), section.name(), "unknown_field");
        }
        assertTrue(tried > 0, "a state without fields");
        census.expectNothingMore("after refused loads");
        load(target, good, p).close(NetPort.Disposal.LEAVE);
    }

    private void refused(NetBackend target, BackendState state, String section, String field) {
        try (state) {
            StateTransferException e = assertThrows(StateTransferException.class, () -> transfer(target).load(state, context(
                    state.queues().size())), "section " + section + ", field " + field);
            assertTrue(e.getMessage().contains(section) && e.getMessage().contains(field),
                    "section " + section + " and field " + field + " are not named in: " + e.getMessage());
        }
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "load-foreign-state", contract = "BackendStateTransfer.load",
            says = "another type, version or number of pairs is refused, nothing is left behind")
    public void foreignStatesAreRefused() throws Exception {
        int pairs = kit().maxPairs();
        BackendFixture.Network n = network(pairs);
        NetBackend source = backend(n);
        KitGuest p = running(source, pairs);
        BackendState good = save(source, p.port());
        NetBackend target = backend(n);
        Census census = Census.take();
        List<BackendState> bad = new ArrayList<>();
        try {
            bad.add(KitStates.as("no-such-type", 1, good));
            bad.add(KitStates.as(good.type(), 999, good));
            bad.add(KitStates.withOneQueueMore(good));
            for (BackendState s : bad) {
                assertNotNull(assertThrows(StateTransferException.class, () -> transfer(target).load(s, context(pairs)),
                        s.toString()).getMessage());
            }
            assertThrows(StateTransferException.class, () -> transfer(target).load(good, context(pairs + 1)));
        } finally {
            bad.forEach(BackendState::close);
        }
        census.expectNothingMore("after refused loads");
        load(target, good, p).close(NetPort.Disposal.LEAVE);
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "save-strangers-port", contract = "BackendStateTransfer.save",
            says = "it and check() refuse a port of another object, or a closed one")
    public void savingAStrangersPortIsRefused() throws Exception {
        BackendFixture.Network n = network(1);
        NetBackend a = backend(n);
        NetBackend b = backend(n);
        KitGuest g = running(a, 1);
        NetPort p = g.port();
        assertThrows(StateTransferException.class, () -> transfer(b).check(p));
        assertThrows(StateTransferException.class, () -> transfer(b).save(p, transfer(b).stateFormat().writes().newest()));
        g.close(NetPort.Disposal.RELEASE);
        assertThrows(StateTransferException.class, () -> transfer(a).check(p));
        assertThrows(StateTransferException.class, () -> transfer(a).save(p, transfer(a).stateFormat().writes().newest()));
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "rehearsal-stand-ins", contract = "OpenContext.rehearsal",
            says = "a port on stand-in descriptors moves frames, or takes rings, and settings, and runs no duty outside")
    public void rehearsalOnStandIns() throws Exception {
        BackendFixture.Network n = network(1);
        NetBackend source = backend(n);
        KitGuest p = running(source, 1);
        BackendState good = save(source, p.port());
        String before = n.observe();
        rehearse(backend(n), good, true).close(NetPort.Disposal.RELEASE);
        assertEquals(before, n.observe());
        p.transmit(0, 1, 3);
        expectTransmitted(n, 1, 3);
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "rehearsal-beside", contract = "OpenContext.rehearsal",
            says = "such a port may be loaded while the real one lives, and does not count as the open one")
    public void rehearsalBesideTheRealPort() throws Exception {
        BackendFixture.Network n = network(1);
        NetBackend source = backend(n);
        KitGuest p = running(source, 1);
        BackendState good = save(source, p.port());
        NetBackend target = backend(n);
        rehearse(source, good, false);
        NetPort rehearsed = rehearse(target, good, false);
        KitGuest q = load(target, good, p);
        rehearsed.close(NetPort.Disposal.RELEASE);
        q.transmit(0, 1, 3);
        q.still();
        q.close(NetPort.Disposal.LEAVE);
        rehearse(source, good, false).close(NetPort.Disposal.RELEASE);
        p.transmit(0, 4, 6);
        expectTransmitted(n, 1, 6);
        assertThrows(AlreadyOpenException.class, () -> source.open(context(1)));
    }

    /** Loads a port on stand-ins for all descriptors, and lets it do something. */
    private NetPort rehearse(NetBackend b, BackendState good, boolean thoroughly) throws Exception {
        KitContext rehearsal = new KitContext(1, true);
        List<Fd> far = new ArrayList<>();
        NetPort q;
        try (BackendState s = KitStates.standIns(good, rehearsal, f -> far.add(closeLater(f)))) {
            q = opened(transfer(b).load(s, rehearsal), rehearsal);
        }
        if (q instanceof VringPort r) {
            rehearse(r, rehearsal);
            for (Fd f : far) {
                assertEquals(0, Poll.readable(0, f.number()), "a rehearsal says nothing, also not on a stand-in");
            }
            return q;
        }
        FramePort f = (FramePort) q;
        if (thoroughly) {
            f.apply(settings(f, 1));
        }
        transmit(f.queue(0), header(f), 1, 1);
        if (thoroughly) {
            KitWindow w = new KitWindow(4, LARGEST, header(f));
            long at = java.lang.foreign.Arena.ofAuto().allocate(100 + header(f)).address();
            assertEquals(100, org.vireo.posix.Posix.write(far.getFirst().number(), at, 100));
            assertEquals(1, w.receive(f.queue(0)));
        }
        assertTrue(Poll.readable(0, far.getFirst().number()) != 0, "the frame is not at the other end");
        return q;
    }

    /** All that a port with rings is told; frames need not move, since what would move them is not there. */
    private void rehearse(VringPort port, KitContext rehearsal) throws Exception {
        RingGuest g = new RingGuest(port, rehearsal, 1, closeLater(new KitDriver(1, ringFeatures(port.profile().features()), 0)), 0);
        quiesce(port);
        resume(port);
        g.begin();
        g.still();
        g.start(0);
        g.rings().call(0, null);
        g.still();
        // as where it comes back from another process
        g.inherits().start(0);
        g.still();
        g.memory(KitRam.none());
    }
}
