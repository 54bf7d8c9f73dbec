// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vireo.net.api.AlreadyOpenException;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.Fd;
import org.vireo.net.api.NetPort;
import org.vireo.net.api.NetPort.Disposal;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.RingPosition;
import org.vireo.net.api.Section;
import org.vireo.net.api.StateFormat;
import org.vireo.net.api.StateTransferException;
import org.vireo.posix.linux.UnixSockets;
import org.vireo.testsupport.Await;
import org.vireo.vhostuser.ProtocolFeatures;
import org.vireo.vhostuser.Request;
import org.vireo.vhostuser.VirtioNet;

/** The connection moves to another port, orderly or from one that died, and the back-end goes on. */
final class VhostUserTransferTest extends PortCase {
    private final News toldSecond = new News();

    private VhostUserPort load(BackendState s, String... options) throws NetdevException {
        return kept((VhostUserPort) netdev(options).load(s, toldSecond.context()));
    }

    @Test
    void itsStateIsStable() {
        StateFormat f = netdev().stateFormat();
        assertEquals("vhost-user 1 stable", f.toString());
    }

    @Test
    void orderlyALoadedPortIsInertAndGoesOnWhereTheBackEndIs() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN);
        TestGuest g = guest();
        VhostUserBackend first = netdev();
        VhostUserPort p = kept((VhostUserPort) first.open(news.context()));
        run(p, g, SPLIT);
        first.check(p);
        try (BackendState s = first.save(p, 1)) {
            b.base(0, 4);
            g.used(0, 4);
            assertEquals(RingPosition.of(4, 4), p.stop(0));
            p.stop(1);
            quiesce(p);
            b.heard();
            VhostUserPort q = load(s);
            p.close(Disposal.LEAVE);
            assertEquals(p.profile().toString(), q.profile().toString());
            assertEquals(List.of(), b.heard(), "inert");
            q.features(SPLIT);
            q.memory(g.memory());
            q.enable(0, true);
            q.start(0, g.spec(0, 4));
            List<String> heard = b.heard();
            assertOrder(heard, "GET_FEATURES", "GET_VRING_BASE 0 0", "GET_VRING_BASE 1 0", "SET_MEM_TABLE", "SET_VRING_BASE 0 4",
                    "SET_VRING_ENABLE 0 1", "SET_VRING_KICK 0x0 +1");
            assertFalse(heard.stream().anyMatch(h -> h.startsWith("SET_STATUS") || h.startsWith("SET_FEATURES")), heard.toString());
            assertEquals(1, b.connections());
            assertFalse(news.has("link") || toldSecond.has("link"));
        }
    }

    @Test
    void ofARingThatStillRunsTheBackEndsPositionCounts() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN);
        TestGuest g = guest();
        VhostUserBackend first = netdev();
        VhostUserPort p = kept((VhostUserPort) first.open(news.context()));
        run(p, g, SPLIT);
        try (BackendState s = first.save(p, 1)) {
            p.close(Disposal.LEAVE);
            VhostUserPort q = load(s);
            b.base(1, 77);
            b.heard();
            g.inherited = true;
            q.features(SPLIT);
            q.memory(g.memory());
            q.start(1, g.spec(1, 0));
            assertOrder(b.heard(), "GET_VRING_BASE 1 0", "SET_VRING_BASE 1 77");
            // what was taken over once is told from then on
            g.inherited = false;
            q.stop(1);
            q.start(1, g.spec(1, 3));
            assertOrder(b.heard(), "SET_VRING_BASE 1 3");
        }
    }

    @Test
    void aRingThatNeverRanGoesOnWhereItIsTold() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN);
        TestGuest g = guest();
        VhostUserBackend first = netdev();
        VhostUserPort p = kept((VhostUserPort) first.open(news.context()));
        p.features(SPLIT);
        p.memory(g.memory());
        try (BackendState s = first.save(p, 1)) {
            p.close(Disposal.LEAVE);
            VhostUserPort q = load(s);
            b.base(1, 77);
            q.features(SPLIT);
            q.memory(g.memory());
            q.start(1, g.spec(1, 0));
            assertOrder(b.heard(), "SET_VRING_BASE 1 0");
        }
    }

    @Test
    void aConnectionInTheMiddleOfAnythingIsMadeAnewAndRingsGoOnAtTheUsedIndex() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN);
        TestGuest g = guest();
        VhostUserBackend first = netdev();
        VhostUserPort p = kept((VhostUserPort) first.open(news.context()));
        run(p, g, SPLIT);
        try (BackendState s = first.save(p, 1)) {
            p.close(Disposal.LEAVE);
            // an answer that its former owner did not live to read
            b.say(new byte[] {11, 0, 0, 0, 5, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0});
            VhostUserPort q = load(s);
            g.inherited = true;
            g.used(1, 12);
            b.heard();
            q.features(SPLIT);
            q.memory(g.memory());
            q.start(1, g.spec(1, 0));
            toldSecond.await("link up");
            Await.until(LIMIT, "ring 1 is started", () -> b.hears().contains("SET_VRING_KICK 0x1 +1"));
            assertOrder(b.heard(), "SET_VRING_BASE 1 12");
            assertFalse(toldSecond.has("failed"), "though reconnect-ms is not set");
        }
    }

    /** Its former owner's log is told last: what a back-end wrote that died meanwhile is marked then. */
    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void whatABackEndWroteThatDiedOnTheWayIsMarked(boolean logs) throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN);
        TestGuest g = guest();
        VhostUserBackend first = netdev();
        VhostUserPort p = kept((VhostUserPort) first.open(news.context()));
        run(p, g, SPLIT);
        try (BackendState s = first.save(p, 1); MarkedPages marked = new MarkedPages(0, 0x8000_0000L)) {
            p.close(Disposal.LEAVE);
            b.hangUp();
            VhostUserPort q = load(s);
            g.inherited = true;
            q.features(SPLIT);
            q.memory(g.memory());
            q.log(logs ? marked.log() : null);
            assertEquals(logs ? g.pages() : 0, marked.take());
            q.start(0, g.spec(0, 0));
            toldSecond.await("link up");
            q.log(marked.log());
            assertEquals(0, marked.take(), "what is logged for the first time was not owed");
        }
    }

    @Test
    void oneThatDoesNotAnswerIsConnectedToAnew() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN);
        TestGuest g = guest();
        VhostUserBackend first = netdev("reconnect-ms=5");
        VhostUserPort p = kept((VhostUserPort) first.open(news.context()));
        run(p, g, SPLIT);
        try (BackendState s = first.save(p, 1)) {
            p.close(Disposal.LEAVE);
            b.twist(Request.GET_VRING_BASE, ScriptedBackEnd.Twist.HANG);
            VhostUserPort q = load(s, "reconnect-ms=7");
            q.features(SPLIT);
            assertTrue(toldSecond.has("link down"));
            b.straight();
            toldSecond.await("link up");
        }
    }

    @Test
    void aRehearsalNeverSaysAWord() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN);
        TestGuest g = guest();
        VhostUserBackend first = netdev();
        VhostUserPort p = kept((VhostUserPort) first.open(news.context()));
        run(p, g, SPLIT);
        b.heard();
        try (BackendState s = first.save(p, 1)) {
            // the real one is open meanwhile
            VhostUserPort q = (VhostUserPort) first.load(s, toldSecond.context(LIMIT, 1, true));
            run(q, g, SPLIT);
            q.announce(new byte[6]);
            q.quiesce();
            q.resume();
            q.stop(0);
            q.close(Disposal.RELEASE);
            assertEquals(List.of(), b.heard());
            assertEquals(List.of(), toldSecond.take());
            assertThrows(AlreadyOpenException.class, () -> first.load(s, toldSecond.context()));
            assertThrows(AlreadyOpenException.class, () -> first.open(news.context()));
        }
        p.stop(0);
        assertEquals(List.of("GET_VRING_BASE 0 0"), b.heard());
    }

    @ParameterizedTest
    @ValueSource(longs = {SPLIT, SPLIT | VirtioNet.RING_PACKED})
    void aRehearsalTakesStandInsForItsDescriptors(long features) throws Exception {
        backEnd(PLAIN | ProtocolFeatures.INFLIGHT_SHMFD);
        TestGuest g = guest();
        VhostUserBackend first = netdev();
        VhostUserPort p = kept((VhostUserPort) first.open(news.context()));
        run(p, g, features);
        g.inherited = true;
        Fd[] pair = UnixSockets.pair(ScriptedBackEnd.FDS, 5, true, "stand-in");
        keep(pair[0]::close);
        keep(pair[1]::close);
        try (BackendState s = first.save(p, 1)) {
            BackendState standIns = changed(s, null, pair[0]);
            VhostUserPort q = (VhostUserPort) first.load(standIns, toldSecond.context(LIMIT, 1, true));
            run(q, g, features);
            // it is given back, and taken again
            q.stop(0);
            q.start(0, g.spec(0, 0));
            q.close(Disposal.LEAVE);
            assertThrows(StateTransferException.class, () -> netdev().load(standIns, toldSecond.context()), "a socket is no memory");
        }
    }

    @Test
    void savedWhileTheBackEndIsAwayTheNextOneWaitsForIt() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN);
        TestGuest g = guest();
        VhostUserBackend first = netdev("reconnect-ms=10");
        VhostUserPort p = kept((VhostUserPort) first.open(news.context()));
        run(p, g, SPLIT);
        b.twist(Request.GET_FEATURES, ScriptedBackEnd.Twist.DIE);
        b.hangUp();
        news.await("link down");
        quiesce(p);
        try (BackendState s = first.save(p, 1)) {
            assertFalse(s.port().has("socket"));
            p.close(Disposal.LEAVE);
            VhostUserPort q = load(s, "reconnect-ms=10");
            assertFalse(q.profile().linkUp());
            g.inherited = true;
            g.used(0, 6);
            q.features(SPLIT);
            q.memory(g.memory());
            q.start(0, g.spec(0, 0));
            b.heard();
            b.straight();
            toldSecond.await("link up");
            assertOrder(b.heard(), "SET_VRING_BASE 0 6", "SET_VRING_KICK 0x0 +1");
        }
    }

    @Test
    void itMovesWhileABackEndIsBroughtUp() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN);
        VhostUserBackend first = netdev("reconnect-ms=10");
        VhostUserPort p = kept((VhostUserPort) first.open(news.context()));
        b.heard();
        b.twist(Request.GET_FEATURES, ScriptedBackEnd.Twist.HANG);
        b.hangUp();
        b.awaitHeard("GET_FEATURES");
        first.check(p);
        quiesce(p);
        try (BackendState s = first.save(p, 1)) {
            assertFalse(s.port().has("socket"));
        }
    }

    @Test
    void theListenerMovesAndWhoReleasesItRemovesItsPath() throws Exception {
        ScriptedBackEnd b = keep(new ScriptedBackEnd(path(), false, OFFERED, PLAIN, 2));
        VhostUserBackend first = netdev("server=on");
        VhostUserPort p = kept((VhostUserPort) first.open(news.context()));
        try (BackendState s = first.save(p, 1)) {
            VhostUserPort q = load(s, "server=on");
            p.close(Disposal.LEAVE);
            assertTrue(Files.exists(path()));
            q.features(SPLIT);
            b.hangUp();
            toldSecond.await("link up");
            q.close(Disposal.RELEASE);
            assertFalse(Files.exists(path()));
        }
    }

    @Test
    void theInflightMemoryMoves() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN | ProtocolFeatures.INFLIGHT_SHMFD);
        TestGuest g = guest();
        VhostUserBackend first = netdev("reconnect-ms=10");
        VhostUserPort p = kept((VhostUserPort) first.open(news.context()));
        run(p, g, SPLIT);
        try (BackendState s = first.save(p, 1)) {
            p.close(Disposal.LEAVE);
            VhostUserPort q = load(s, "reconnect-ms=10");
            b.heard();
            run(q, g, SPLIT);
            assertFalse(b.hears().stream().anyMatch(h -> h.contains("INFLIGHT")), b.hears().toString());
            b.heard();
            b.hangUp();
            toldSecond.await("link up");
            List<String> heard = b.heard();
            assertOrder(heard, "SET_INFLIGHT_FD 2 of 1024 +1");
            assertFalse(heard.stream().anyMatch(h -> h.startsWith("GET_INFLIGHT_FD")));
        }
    }

    /** The table of the former owner is not known, and one of more than eight regions cannot be told at once. */
    @Test
    void moreThanEightRegionsAreToldOnANewConnection() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN | ProtocolFeatures.CONFIGURE_MEM_SLOTS);
        TestGuest g = guest();
        for (int i = 0; i < 9; i++) {
            g.ram.add(4096);
        }
        VhostUserBackend first = netdev();
        VhostUserPort p = kept((VhostUserPort) first.open(news.context()));
        run(p, g, SPLIT);
        try (BackendState s = first.save(p, 1)) {
            p.close(Disposal.LEAVE);
            VhostUserPort q = load(s);
            g.used(0, 6);
            g.inherited = true;
            b.heard();
            run(q, g, SPLIT);
            toldSecond.await("link up");
            b.awaitHeard("SET_VRING_KICK 0x1");
            assertOrder(b.heard(), "SET_OWNER", "ADD_MEM_REG", "SET_VRING_BASE 0 6", "SET_VRING_KICK 0x0");
            assertEquals(2, b.connections());
            assertFalse(toldSecond.has("failed"));
        }
    }

    @Test
    void aConnectionWithoutAGuestMovesAsItIs() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN);
        VhostUserBackend first = netdev();
        VhostUserPort p = kept((VhostUserPort) first.open(news.context()));
        try (BackendState s = first.save(p, 1)) {
            p.close(Disposal.LEAVE);
            VhostUserPort q = load(s);
            q.memory(TestGuest.gone());
            q.features(SPLIT);
            assertEquals(1, b.connections());
            assertFalse(toldSecond.has("link"));
        }
    }

    @Test
    void whatMakesASavedStateUntrueIsSaid() throws Exception {
        backEnd(PLAIN);
        TestGuest g = guest();
        VhostUserBackend first = netdev();
        VhostUserPort p = kept((VhostUserPort) first.open(news.context()));
        p.features(SPLIT);
        p.memory(g.memory());
        p.start(0, g.spec(0, 0));
        first.save(p, 1).close();
        assertEquals(List.of(), news.take());
        p.stop(0);
        p.start(0, g.spec(0, 0));
        p.enable(0, true);
        assertEquals(List.of(), news.take(), "a ring that stops and goes on is as it was saved");
        p.start(1, g.spec(1, 0));
        assertEquals(List.of("state"), news.take());
        first.save(p, 1).close();
        p.stop(0);
        p.stop(1);
        p.features(SPLIT & ~VirtioNet.EVENT_IDX);
        assertEquals(List.of("state"), news.take());
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "queues=2              | queues: expected 2, as queues= of netdev net0 says",
        "server=on             | server: expected on, as server= of netdev net0 says",
        "path=/run/another     | path: expected /run/another, as path= of netdev net0 says",
    })
    void anotherConfigurationIsRefusedWithBothValues(String option, String why) throws Exception {
        backEnd(PLAIN);
        VhostUserBackend first = netdev();
        VhostUserPort p = kept((VhostUserPort) first.open(news.context()));
        try (BackendState s = first.save(p, 1)) {
            String m = assertThrows(StateTransferException.class, () -> netdev(option).load(s, toldSecond.context())).getMessage();
            assertTrue(m.contains(why) && m.contains("got"), m);
        }
    }

    @Test
    void hostileStatesAreRefusedAndNothingIsLeft() throws Exception {
        backEnd(PLAIN);
        TestGuest g = guest();
        VhostUserBackend first = netdev();
        VhostUserPort p = kept((VhostUserPort) first.open(news.context()));
        run(p, g, SPLIT);
        try (BackendState s = first.save(p, 1)) {
            List<String> accepted = new ArrayList<>();
            for (String field : s.port().names()) {
                if (field.equals("socket") || field.equals("reconnect_ms")) {
                    continue;
                }
                try {
                    NetPort q = netdev().load(changed(s, field, null), toldSecond.context());
                    q.close(Disposal.LEAVE);
                    accepted.add(field);
                } catch (StateTransferException e) {
                    assertTrue(e.getMessage().contains(field), e.getMessage());
                }
            }
            assertEquals(List.of(), accepted);
            String pause = assertThrows(StateTransferException.class, () -> netdev().load(changed(s, "reconnect_ms", null, "seven"),
                    toldSecond.context())).getMessage();
            assertTrue(pause.contains("reconnect_ms"), pause);
            assertThrows(StateTransferException.class, () -> netdev().load(BackendState.of("tap", 1, s.port(), s.queues()),
                    toldSecond.context()));
            assertThrows(StateTransferException.class, () -> netdev().load(BackendState.of("vhost-user", 1, s.port(),
                    List.of(s.queues().getFirst(), s.queues().getFirst())), toldSecond.context()));
        }
    }

    /** Without a field, or with another descriptor in all places. */
    private static BackendState changed(BackendState s, String left, Fd standIn) throws StateTransferException {
        return changed(s, left, standIn, null);
    }

    /** The same, with a text for the field that is left out, if there is one. */
    private static BackendState changed(BackendState s, String left, Fd standIn, String text) throws StateTransferException {
        Section.Builder b = Section.builder("port");
        if (text != null) {
            b.text(left, text);
        }
        for (String field : s.port().names()) {
            if (!field.equals(left)) {
                switch (s.port().value(field)) {
                    case Long n -> b.number(field, n);
                    case Boolean f -> b.flag(field, f);
                    case String t -> b.text(field, t);
                    default -> b.descriptor(field, standIn == null ? s.port().descriptor(field) : standIn);
                }
            }
        }
        return BackendState.of(s.type(), s.version(), b.build(), s.queues());
    }

    /** It was started after the state was saved: only the frontend knows that somebody may have left it running. */
    @Test
    void aRingThatWasStartedLaterIsAskedForWhenItIsStartedAgain() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN);
        TestGuest g = guest();
        VhostUserBackend first = netdev();
        VhostUserPort p = kept((VhostUserPort) first.open(news.context()));
        try (BackendState s = first.save(p, 1)) {
            p.features(SPLIT);
            p.memory(g.memory());
            p.start(1, g.spec(1, 0));
            p.close(Disposal.LEAVE);
            VhostUserPort q = load(s);
            b.base(1, 55);
            b.heard();
            q.features(SPLIT);
            q.memory(g.memory());
            g.inherited = true;
            q.start(1, g.spec(1, 0));
            assertOrder(b.heard(), "GET_VRING_BASE 1 0", "SET_VRING_BASE 1 55");
        }
    }
}
