// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.vireo.net.api.DirtyLog;
import org.vireo.net.api.Fd;
import org.vireo.net.api.GuestMemory;
import org.vireo.net.api.NetPort.Disposal;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.OpenContext;
import org.vireo.net.api.PortBusyException;
import org.vireo.net.api.PortUnavailableException;
import org.vireo.net.api.RingPosition;
import org.vireo.posix.linux.EventFd;
import org.vireo.posix.linux.SharedMemory;
import org.vireo.posix.linux.UnixSockets;
import org.vireo.vhostuser.ProtocolFeatures;
import org.vireo.vhostuser.Request;
import org.vireo.vhostuser.VirtioNet;

/** What a port tells its back-end, and in which order (vhost-user specification, "Ring states" and "Front-end message types"). */
final class VhostUserPortTest extends PortCase {
    @Test
    void openingNegotiatesAndTellsWhatTheBackEndCanDo() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN | ProtocolFeatures.INBAND_NOTIFICATIONS | ProtocolFeatures.BACKEND_REQ);
        VhostUserPort p = open("queues=2");
        assertEquals(2, p.profile().pairs());
        assertEquals(1500, p.profile().mtu());
        assertEquals(Set.of(10, 12), p.profile().headerLengths());
        assertTrue(p.profile().lasting() && p.profile().linkUp());
        // packed rings only with a back-end whose death they outlive
        assertEquals(SPLIT | VirtioNet.CSUM | VirtioNet.LOG_ALL, p.profile().features());
        assertEquals(List.of("GET_FEATURES", "GET_PROTOCOL_FEATURES", "SET_PROTOCOL_FEATURES 0x" + Long.toHexString(PLAIN), "SET_OWNER",
                "GET_QUEUE_NUM", "GET_CONFIG"), b.heard());
    }

    @Test
    void aConfigurationSpaceThatCannotBeReadTellsNoMtu() throws Exception {
        backEnd(PLAIN).mtu(0);
        assertEquals(0, open().profile().mtu());
    }

    @Test
    void aBackEndWithoutProtocolFeaturesIsTakenAndItsRingsRunWhileEnabled() throws Exception {
        ScriptedBackEnd b = backEnd(SPLIT, 0);
        TestGuest g = guest();
        VhostUserPort p = open();
        // it acknowledges nothing: what was told may not have been heard yet
        b.awaitHeard("SET_OWNER");
        assertEquals(List.of("GET_FEATURES", "SET_OWNER"), b.heard());
        p.features(SPLIT);
        p.memory(g.memory());
        p.start(0, g.spec(0, 3));
        assertEquals(List.of("SET_FEATURES 0x" + Long.toHexString(SPLIT), "SET_MEM_TABLE 1 regions +1", "GET_FEATURES"), b.heard());
        p.enable(0, true);
        b.awaitHeard("SET_VRING_KICK");
        assertOrder(b.heard(), "SET_VRING_NUM 0 16", "SET_VRING_BASE 0 3", "SET_VRING_ADDR 0", "SET_VRING_CALL 0x0 +1",
                "SET_VRING_KICK 0x0 +1");
        b.base(0, 7);
        p.enable(0, false);
        assertEquals(List.of("GET_VRING_BASE 0 0"), b.heard());
        p.enable(0, true);
        b.awaitHeard("SET_VRING_BASE 0 7");
        b.awaitHeard("SET_VRING_KICK");
        p.enable(0, false);
        assertEquals(7, p.stop(0).available());
        NetdevException e = assertThrows(NetdevException.class, () -> p.announce(new byte[6]));
        assertTrue(e.getMessage().contains("lacks RARP"), e.getMessage());
    }

    @Test
    void fewerPairsThanConfiguredAreRefusedWithBothNumbers() throws Exception {
        backEnd(PLAIN);
        String m = assertThrows(NetdevException.class, () -> open("queues=3")).getMessage();
        assertTrue(m.startsWith("netdev net0: the back-end has 2 queue pair(s), but queues=3"), m);
        String n = assertThrows(NetdevException.class, () -> netdev().open(news.context(LIMIT, 2, false))).getMessage();
        assertTrue(n.contains("queues=1") && n.contains("2 pairs"), n);
    }

    @Test
    void aBackEndThatIsNotThereIsUnavailableAndNothingIsLeft() {
        for (String server : new String[] {"off", "on"}) {
            String m = assertThrows(PortUnavailableException.class, () -> netdev("server=" + server)
                    .open(news.context(Duration.ofMillis(100), 1, false))).getMessage();
            assertTrue(m.contains("start one that " + (server.equals("on") ? "connects to " : "listens on ") + path()), m);
            assertFalse(Files.exists(path()));
        }
    }

    private String unavailable() {
        return assertThrows(PortUnavailableException.class, () -> netdev().open(news.context(Duration.ofMillis(200), 1, false)))
                .getMessage();
    }

    /** It is waited for all the same: a back-end may put its socket there later. */
    @Test
    void whatIsNoSocketOrThisProcesssOwnIsNamed() throws Exception {
        String advice = "; give another path=, or remove what is there and start one that listens on " + path();
        Files.createDirectory(path());
        assertEquals("netdev net0: no back-end (cannot connect to " + path() + ": it is a folder, not a socket)" + advice, unavailable());
        Files.delete(path());
        Files.writeString(path(), "x");
        assertEquals("netdev net0: no back-end (cannot connect to " + path() + ": it is a file, not a socket)" + advice, unavailable());
        Files.delete(path());
        try (Fd own = UnixSockets.listen(ScriptedBackEnd.FDS, path(), 0600, "own")) {
            String m = unavailable();
            assertTrue(own.isOpen() && m.contains("no answer to GET_FEATURES")
                    && m.contains("; at its other end is this process itself"), m);
        }
        Files.delete(path());
    }

    @Test
    void waitingForABackEndEndsLongBeforeTheDeadline() {
        for (String server : new String[] {"off", "on"}) {
            OpenContext c = news.context(LIMIT, 1, false);
            assertThrows(PortUnavailableException.class, () -> netdev("server=" + server).open(c));
            assertTrue(c.deadlineNanos() - System.nanoTime() > 0);
        }
    }

    @ParameterizedTest
    @EnumSource(ScriptedBackEnd.Twist.class)
    void aBackEndThatMisbehavesWhileItIsOpenedIsNamed(ScriptedBackEnd.Twist twist) throws Exception {
        for (Request r : List.of(Request.GET_FEATURES, Request.GET_QUEUE_NUM, Request.SET_OWNER)) {
            try (ScriptedBackEnd b = new ScriptedBackEnd(path(), true, OFFERED, PLAIN, 2)) {
                b.twist(r, twist);
                if (twist == ScriptedBackEnd.Twist.REFUSE && r != Request.SET_OWNER) {
                    continue;
                }
                NetdevException e = assertThrows(NetdevException.class, () -> netdev()
                        .open(news.context(Duration.ofMillis(200), 1, false)));
                assertTrue(e.getMessage().startsWith("netdev net0: no back-end (") && e instanceof PortUnavailableException,
                        e.getMessage());
            }
        }
    }

    @Test
    void aServerTakesTheBackEndThatConnectsAndRemovesItsPath() throws Exception {
        keep(new ScriptedBackEnd(path(), false, OFFERED, PLAIN, 2));
        VhostUserPort p = open("server=on");
        assertTrue(Files.exists(path()));
        p.close(Disposal.RELEASE);
        assertFalse(Files.exists(path()));
    }

    @Test
    void aSocketThatSomebodyListensOnIsBusyAndOtherFilesAreRefused() throws Exception {
        keep(new ScriptedBackEnd(path(), false, OFFERED, PLAIN, 2));
        open("server=on");
        String m = assertThrows(PortBusyException.class, () -> netdev("server=on").open(news.context())).getMessage();
        assertTrue(m.startsWith("netdev net0: cannot listen on " + path() + ": another process listens there"), m);
        Path file = Files.createFile(folder.resolve("file"));
        NetdevException e = assertThrows(NetdevException.class, () -> netdev("server=on", "path=" + file).open(news.context()));
        assertTrue(!(e instanceof PortBusyException) && e.getMessage().contains("there is a file"), e.getMessage());
        assertTrue(Files.exists(file));
    }

    @Test
    void ringsAreToldCompletelyStartedAndKicked() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN);
        TestGuest g = guest();
        VhostUserPort p = open();
        b.heard();
        p.features(SPLIT | VirtioNet.MAC);
        p.memory(g.memory());
        p.start(1, g.spec(1, 5));
        p.enable(1, true);
        assertEquals(List.of("SET_FEATURES 0x" + Long.toHexString(SPLIT | VirtioNet.PROTOCOL_FEATURES), "SET_STATUS 0xb",
                "SET_MEM_TABLE 1 regions +1", "SET_STATUS 0xf", "SET_VRING_NUM 1 16", "SET_VRING_BASE 1 5",
                "SET_VRING_ADDR 1 flags 0 log 0x0", "SET_VRING_CALL 0x1 +1", "SET_VRING_ENABLE 1 0", "SET_VRING_KICK 0x1 +1",
                "SET_VRING_ENABLE 1 1"), b.heard());
        assertTrue(EventFd.drain(g.queue(1).kickFd().number()) > 0, "kicked");
        assertTrue(EventFd.drain(g.queue(1).callFd().number()) > 0, "called once");
        p.call(1, null);
        assertEquals(List.of("SET_VRING_CALL 0x101"), b.heard());
        b.base(1, 9);
        g.used(1, 9);
        assertEquals(RingPosition.of(9, 9), p.stop(1));
        assertNull(p.stop(1));
        assertEquals(List.of("GET_VRING_BASE 1 0"), b.heard());
        p.start(1, g.spec(1, 9));
        assertOrder(b.heard(), "SET_VRING_ENABLE 1 1", "SET_VRING_KICK 0x1 +1");
    }

    @Test
    void aBackEndThatDoesNotDrainIsToldFromTheUsedRing() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN);
        TestGuest g = guest();
        VhostUserPort p = open();
        run(p, g, SPLIT);
        b.base(0, 9);
        g.used(0, 7);
        assertEquals(RingPosition.of(9, 7), p.stop(0));
    }

    @Test
    void packedRingsAreToldBothPositionsWithTheirWrapCounters() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN);
        TestGuest g = guest();
        VhostUserPort p = open();
        p.features(SPLIT | VirtioNet.RING_PACKED);
        p.memory(g.memory());
        p.start(0, g.spec(0, RingPosition.of(0x8003, 0x8001), null));
        b.awaitHeard("SET_VRING_BASE 0 " + (0x8003 | 0x8001 << 16));
        b.base(0, 0x0004);
        assertEquals(RingPosition.of(4, 4), p.stop(0));
    }

    @Test
    void featuresThatTheBackEndLacksAreNamed() throws Exception {
        backEnd(PLAIN);
        VhostUserPort p = open();
        String m = assertThrows(NetdevException.class, () -> p.features(SPLIT | VirtioNet.HOST_TSO4 | VirtioNet.CTRL_VQ)).getMessage();
        assertTrue(m.equals("netdev net0: the back-end lacks HOST_TSO4, which the driver has acknowledged"), m);
    }

    @Test
    void otherFeaturesComeWithAReset() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN);
        TestGuest g = guest();
        VhostUserPort p = open();
        run(p, g, SPLIT);
        p.stop(0);
        p.stop(1);
        b.heard();
        p.features(VirtioNet.VERSION_1);
        assertEquals(List.of("SET_STATUS 0x0", "SET_FEATURES 0x" + Long.toHexString(VirtioNet.VERSION_1 | VirtioNet.PROTOCOL_FEATURES),
                "SET_STATUS 0xb"), b.heard());
    }

    @Test
    void aRefusalIsTheCallersAndTheConnectionStays() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN);
        TestGuest g = guest();
        VhostUserPort p = open();
        p.features(SPLIT);
        p.memory(g.memory());
        b.twist(Request.SET_VRING_KICK, ScriptedBackEnd.Twist.REFUSE);
        String m = assertThrows(NetdevException.class, () -> p.start(0, g.spec(0, 0))).getMessage();
        assertEquals("netdev net0: the back-end refused SET_VRING_KICK (acknowledgement 1)", m);
        assertNull(p.stop(0));
        b.straight();
        p.start(0, g.spec(0, 0));
        assertEquals(1, b.connections());
        assertFalse(news.has("link"));
    }

    @Test
    void moreThanEightRegionsNeedSlotsAndDifferencesAreTold() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN | ProtocolFeatures.CONFIGURE_MEM_SLOTS);
        TestGuest g = guest();
        VhostUserPort p = open();
        for (int i = 0; i < 9; i++) {
            g.ram.add(4096);
        }
        p.memory(g.memory());
        assertEquals(10, b.heard().stream().filter(h -> h.startsWith("ADD_MEM_REG")).count());
        g.ram.add(4096);
        p.memory(g.memory());
        assertEquals(List.of("ADD_MEM_REG 0x" + Long.toHexString(g.ram.specs().getLast().guest()) + " +1"), b.heard());
        p.memory(TestGuest.gone());
        assertEquals(11, b.heard().stream().filter(h -> h.startsWith("REM_MEM_REG")).count());
    }

    @Test
    void moreThanEightRegionsAreTooManyWithoutSlots() throws Exception {
        backEnd(PLAIN);
        TestGuest g = guest();
        VhostUserPort p = open();
        for (int i = 0; i < 8; i++) {
            g.ram.add(4096);
        }
        String m = assertThrows(NetdevException.class, () -> p.memory(g.memory())).getMessage();
        assertTrue(m.contains("9 regions, but the back-end takes 8, as it has no CONFIGURE_MEM_SLOTS"), m);
    }

    @Test
    void aRingWhoseRegionIsReplacedStandsStillMeanwhile() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN | ProtocolFeatures.CONFIGURE_MEM_SLOTS);
        TestGuest g = guest();
        TestGuest other = guest();
        VhostUserPort p = open();
        run(p, g, SPLIT);
        b.base(0, 4);
        b.heard();
        // the same addresses, another file
        p.memory(other.memory());
        assertOrder(b.heard(), "GET_VRING_BASE 0", "GET_VRING_BASE 1", "REM_MEM_REG", "ADD_MEM_REG", "SET_VRING_BASE 0 4",
                "SET_VRING_KICK 0x0", "SET_VRING_KICK 0x1");
    }

    @Test
    void ringsStandStillWhileMemoryIsReplacedThatMayHoldBuffers() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN | ProtocolFeatures.CONFIGURE_MEM_SLOTS);
        TestGuest g = guest();
        TestGuest other = guest();
        VhostUserPort p = open();
        g.ram.add(4096);
        run(p, g, SPLIT);
        b.heard();
        // the rings' region stays
        GuestMemory.Region rings = g.memory().regions().getFirst();
        other.ram.add(4096);
        p.memory(() -> List.of(rings, other.memory().regions().getLast()));
        assertOrder(b.heard(), "GET_VRING_BASE 0", "GET_VRING_BASE 1", "REM_MEM_REG", "ADD_MEM_REG", "SET_VRING_KICK 0x0",
                "SET_VRING_KICK 0x1");
        // one that only goes is the guest's to use no more
        p.memory(() -> List.of(rings));
        assertEquals(1, b.heard().size());
    }

    @Test
    void aPositionThatMakesNoSenseIsNotTakenForTheFormerOne() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN | ProtocolFeatures.CONFIGURE_MEM_SLOTS);
        TestGuest g = guest();
        TestGuest other = guest();
        VhostUserPort p = open("reconnect-ms=10");
        run(p, g, SPLIT);
        g.used(0, 9);
        other.used(0, 9);
        b.base(0, 1 << 16 | 5);
        b.heard();
        p.memory(other.memory());
        news.await("link up");
        b.awaitHeard("SET_VRING_KICK 0x1");
        assertOrder(b.heard(), "GET_VRING_BASE 0", "GET_FEATURES", "SET_VRING_BASE 0 9", "SET_VRING_KICK 0x0");
    }

    @Test
    void ownDescriptorsThatAreUsedUpAreNoFaultOfTheBackEnd() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN);
        TestGuest g = guest();
        VhostUserPort p = open("reconnect-ms=10");
        p.features(SPLIT);
        p.memory(g.memory());
        b.heard();
        Fd none = new Fd() {
            @Override
            public int number() {
                return 0;
            }

            @Override
            public boolean isOpen() {
                return true;
            }

            @Override
            public Fd duplicate() throws IOException {
                throw new IOException("too many open files");
            }

            @Override
            public void close() {
                // nothing
            }
        };
        String m = assertThrows(NetdevException.class, () -> p.start(0, g.spec(0, RingPosition.of(0, 0), none))).getMessage();
        assertTrue(m.contains("cannot be kept: too many open files"), m);
        assertEquals(1, b.connections());
        p.start(0, g.spec(0, 0));
        assertOrder(b.heard(), "SET_VRING_KICK 0x0");
        assertFalse(news.has("link"));
    }

    @Test
    void aLogIsToldToTheBackEndAndToRunningRings() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN);
        TestGuest g = guest();
        VhostUserPort p = open();
        run(p, g, SPLIT);
        b.heard();
        try (Fd file = SharedMemory.create(ScriptedBackEnd.FDS, "log", 4096, false)) {
            p.log(log(file));
            String all = Long.toHexString(SPLIT | VirtioNet.PROTOCOL_FEATURES | VirtioNet.LOG_ALL);
            String used = Long.toHexString(g.queue(0).ring().usedGuest());
            assertOrder(b.heard(), "SET_LOG_BASE +1", "SET_FEATURES 0x" + all, "SET_VRING_ADDR 0 flags 1 log 0x" + used,
                    "SET_VRING_ADDR 1 flags 1");
        }
        p.log(null);
        assertOrder(b.heard(), "SET_FEATURES 0x" + Long.toHexString(SPLIT | VirtioNet.PROTOCOL_FEATURES), "SET_VRING_ADDR 0 flags 0");
    }

    @Test
    void aLogIsRefusedWithoutSharedMemoryForIt() throws Exception {
        backEnd(PLAIN & ~ProtocolFeatures.LOG_SHMFD);
        VhostUserPort p = open();
        try (Fd file = SharedMemory.create(ScriptedBackEnd.FDS, "log", 4096, false)) {
            String m = assertThrows(NetdevException.class, () -> p.log(log(file))).getMessage();
            assertTrue(m.contains("lacks LOG_SHMFD"), m);
        }
    }

    static DirtyLog log(Fd file) {
        return log(file, 4096, null);
    }

    static DirtyLog log(Fd file, long bytes) {
        return log(file, bytes, null);
    }

    static DirtyLog log(Fd file, long bytes, Fd event) {
        return new DirtyLog() {
            @Override
            public Fd file() {
                return file;
            }

            @Override
            public long offset() {
                return 0;
            }

            @Override
            public long bytes() {
                return bytes;
            }

            @Override
            public Fd event() {
                return event;
            }
        };
    }

    @Test
    void theAddressIsAnnouncedWithRarp() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN);
        VhostUserPort p = open();
        b.heard();
        p.announce(new byte[] {0x52, 0x54, 0, 0x12, 0x34, 0x56});
        assertEquals(List.of("SEND_RARP 0x563412005452"), b.heard());
    }

    @Test
    void releasedItStopsItsRingsAndResetsTheDevice() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN | ProtocolFeatures.RESET_DEVICE);
        TestGuest g = guest();
        VhostUserPort p = open();
        run(p, g, SPLIT);
        b.heard();
        p.close(Disposal.RELEASE);
        assertEquals(List.of("GET_VRING_BASE 0 0", "GET_VRING_BASE 1 0", "SET_STATUS 0x0", "RESET_DEVICE"), b.heard());
    }

    @Test
    void leftItSaysNothing() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN);
        TestGuest g = guest();
        VhostUserPort p = open();
        run(p, g, SPLIT);
        b.heard();
        p.close(Disposal.LEAVE);
        assertEquals(List.of(), b.heard());
    }

    @Test
    void theGuestsMemoryIsGivenUpWithTheConnectionWhereThereAreNoSlots() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN);
        TestGuest g = guest();
        VhostUserPort p = open();
        run(p, g, SPLIT);
        p.stop(0);
        p.stop(1);
        p.memory(TestGuest.gone());
        news.await("link up");
        assertEquals(2, b.connections());
        assertFalse(news.has("failed"));
    }

    @Test
    void countsItsConnections() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN);
        VhostUserPort p = open("reconnect-ms=10");
        b.hangUp();
        news.await("link up");
        Map<String, Long> counters = new HashMap<>();
        p.statistics(counters::put);
        assertEquals(Map.of("connects", 2L, "reconnects", 1L, "connected", 1L), counters);
    }
}
