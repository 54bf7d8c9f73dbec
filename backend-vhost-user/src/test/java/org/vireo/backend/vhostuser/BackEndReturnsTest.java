// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.Fd;
import org.vireo.net.api.NetPort.Disposal;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.RingPosition;
import org.vireo.posix.linux.Poll;
import org.vireo.posix.linux.SharedMemory;
import org.vireo.testsupport.Await;
import org.vireo.vhostuser.PackedInflightLayout;
import org.vireo.vhostuser.ProtocolFeatures;
import org.vireo.vhostuser.Request;
import org.vireo.vhostuser.VirtioNet;

/** A port outlives its back-end: whatever that does, nothing waits long, and the next one goes on where it was. */
final class BackEndReturnsTest extends PortCase {
    /** More messages than any bring-up here has. */
    private static final int MANY = 60;
    private static final long CALL_LIMIT_NANOS = 8_000_000_000L;

    @Test
    void itIsToldAllAndRingsGoOnAtTheUsedIndex() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN);
        TestGuest g = guest();
        VhostUserPort p = open("reconnect-ms=10");
        run(p, g, SPLIT);
        try (Fd file = SharedMemory.create(ScriptedBackEnd.FDS, "log", 4096, false)) {
            p.log(VhostUserPortTest.log(file));
            g.used(0, 5);
            g.used(1, 0xfffe);
            b.heard();
            news.take();
            b.hangUp();
            news.await("link up");
            assertOrder(b.heard(), "GET_FEATURES", "SET_OWNER", "SET_LOG_BASE +1",
                    "SET_FEATURES 0x" + Long.toHexString(SPLIT | VirtioNet.PROTOCOL_FEATURES | VirtioNet.LOG_ALL), "SET_STATUS 0xb",
                    "SET_MEM_TABLE 1 regions +1", "SET_STATUS 0xf", "SET_VRING_BASE 0 5", "SET_VRING_ADDR 0 flags 1",
                    "SET_VRING_CALL 0x0 +1", "SET_VRING_ENABLE 0 1", "SET_VRING_KICK 0x0 +1", "SET_VRING_BASE 1 65534",
                    "SET_VRING_KICK 0x1 +1");
            Await.until(LIMIT, "all its news", () -> news.count() >= 4);
            assertEquals(List.of("link down", "state", "link up", "state"), news.take());
        }
    }

    /** It marks a page after it has written it; if it dies in between, the page would be missing in a VM that is being migrated. */
    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void whatItWroteIsMarkedWhenItIsLostWhileItLogs(boolean hangsUp) throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN);
        TestGuest g = guest();
        g.logAt = 0x4_0000_0ffcL;
        VhostUserPort p = open("reconnect-ms=10");
        run(p, g, SPLIT);
        try (MarkedPages marked = new MarkedPages(24, 0x5_0000_0000L)) {
            p.log(marked.log());
            assertEquals(0, marked.take());
            assertEquals(0, marked.told());
            news.take();
            if (hangsUp) {
                hangUpAndReturn(b);
            } else {
                b.twist(Request.GET_VRING_BASE, ScriptedBackEnd.Twist.HANG);
                p.stop(0);
            }
            // the used ring reaches over a page's end
            assertEquals(g.pages() + 2, marked.take());
            assertTrue(marked.told() > 0, "the VMM is told that something was logged");
            b.straight();
            news.await("link up");
            p.stop(0);
            p.stop(1);
            assertEquals(0, marked.take(), "it is marked once");
            hangUpAndReturn(b);
            assertEquals(0, marked.take(), "no ring ran, nothing was written");
            p.start(1, g.spec(1, 0));
            p.log(null);
            hangUpAndReturn(b);
            assertEquals(0, marked.take(), "the VMM ended logging");
        }
    }

    private void hangUpAndReturn(ScriptedBackEnd b) {
        news.take();
        b.hangUp();
        news.await("link up");
    }

    /** A port that listens, with one that has connected and runs its rings. */
    private ScriptedBackEnd onAServersSocket() throws Exception {
        ScriptedBackEnd b = keep(new ScriptedBackEnd(path(), false, OFFERED, PLAIN, 2));
        TestGuest g = guest();
        VhostUserPort p = open("server=on");
        run(p, g, SPLIT);
        b.heard();
        return b;
    }

    private void assertAnotherOneIsTaken(ScriptedBackEnd b) {
        b.hangUp();
        news.await("link up");
        assertOrder(b.heard(), "GET_FEATURES", "SET_VRING_KICK 0x0 +1", "SET_VRING_KICK 0x1 +1");
    }

    @Test
    void onAServersSocketAnotherOneIsTaken() throws Exception {
        assertAnotherOneIsTaken(onAServersSocket());
    }

    /** Whoever starts a back-end removes what the last one has left, perhaps: here it is this side's. */
    @Test
    void aServersSocketThatSomebodyRemovedIsThereAgain() throws Exception {
        ScriptedBackEnd b = onAServersSocket();
        Files.delete(path());
        assertAnotherOneIsTaken(b);
        assertTrue(Files.exists(path()));
    }

    @Test
    void whenItDiesAtAnyStepOfItsReturnTheNextOneIsTold() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN | ProtocolFeatures.INFLIGHT_SHMFD);
        TestGuest g = guest();
        VhostUserPort p = open("reconnect-ms=1");
        run(p, g, SPLIT);
        for (int n = 0; n < MANY; n++) {
            news.take();
            b.heard();
            b.dieAt(n);
            b.hangUp();
            news.await("link up");
            boolean more = !b.isToDie();
            b.straight();
            assertOrder(b.heard(), "SET_VRING_KICK 0x0 +1", "SET_VRING_KICK 0x1 +1");
            if (!more) {
                assertTrue(n > 20, "only " + n + " messages");
                return;
            }
        }
        throw new AssertionError("there are more than " + MANY + " messages");
    }

    @Test
    void whenItDiesAtAnyStepOfACallTheCallIsRemembered() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN | ProtocolFeatures.INFLIGHT_SHMFD);
        TestGuest g = guest();
        for (int n = 0; n < MANY; n++) {
            VhostUserPort p = (VhostUserPort) netdev("reconnect-ms=1").open(news.context());
            try {
                b.heard();
                news.take();
                b.dieAt(n);
                run(p, g, SPLIT);
                if (b.isToDie()) {
                    assertTrue(n > 10, "only " + n + " messages");
                    return;
                }
                news.await("link up");
                assertOrder(b.heard(), "SET_MEM_TABLE", "SET_VRING_ENABLE 0 1", "SET_VRING_KICK 0x0 +1", "SET_VRING_ENABLE 1 1",
                        "SET_VRING_KICK 0x1 +1");
            } finally {
                b.straight();
                p.close(Disposal.RELEASE);
            }
        }
        throw new AssertionError("there are more than " + MANY + " messages");
    }

    @ParameterizedTest
    @EnumSource(names = "REFUSE", mode = EnumSource.Mode.EXCLUDE)
    void whenItMisbehavesInACallItIsHungUpOnAndTriedAgain(ScriptedBackEnd.Twist twist) throws Exception {
        for (Request r : List.of(Request.SET_FEATURES, Request.SET_MEM_TABLE, Request.SET_VRING_KICK)) {
            try (ScriptedBackEnd b = new ScriptedBackEnd(path(), true, OFFERED, PLAIN, 2); TestGuest g = guest()) {
                VhostUserPort p = (VhostUserPort) netdev("reconnect-ms=1").open(news.context());
                try {
                    news.take();
                    b.twist(r, twist);
                    long start = System.nanoTime();
                    run(p, g, SPLIT);
                    assertTrue(System.nanoTime() - start < CALL_LIMIT_NANOS, "it took long");
                    news.await("link down");
                    b.heard();
                    b.straight();
                    Await.until(LIMIT, "both rings are started", () -> b.hears().containsAll(List.of("SET_VRING_KICK 0x0 +1",
                            "SET_VRING_KICK 0x1 +1")));
                } finally {
                    p.close(Disposal.RELEASE);
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3})
    void whateverIsCalledWhileBackEndsComeAndGoTheLastOneHasItRight(long seed) throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN | ProtocolFeatures.INFLIGHT_SHMFD | ProtocolFeatures.CONFIGURE_MEM_SLOTS);
        TestGuest g = guest();
        TestGuest other = guest();
        VhostUserPort p = open("reconnect-ms=1");
        p.features(SPLIT);
        p.memory(g.memory());
        Random random = new Random(seed);
        Set<Integer> running = new TreeSet<>();
        Set<Integer> enabled = new TreeSet<>();
        for (int i = 0; i < 300; i++) {
            int ring = random.nextInt(2);
            long start = System.nanoTime();
            switch (random.nextInt(8)) {
                case 0 -> b.hangUp();
                case 1 -> b.dieAt(random.nextInt(20));
                case 2 -> p.memory(random.nextBoolean() ? g.memory() : other.memory());
                case 3 -> {
                    p.stop(ring);
                    running.remove(ring);
                }
                case 4, 5 -> {
                    if (running.add(ring)) {
                        p.start(ring, g.spec(ring, 0));
                    }
                }
                case 6 -> {
                    boolean on = random.nextBoolean();
                    p.enable(ring, on);
                    enabled.remove(ring);
                    if (on) {
                        enabled.add(ring);
                    }
                }
                default -> p.call(ring, running.contains(ring) ? g.queue(ring).callFd() : null);
            }
            assertTrue(System.nanoTime() - start < CALL_LIMIT_NANOS, "step " + i + " took long");
        }
        b.straight();
        enabled.retainAll(running);
        Await.until(LIMIT, "running " + running + ", enabled " + enabled + " of " + b.rings(),
                () -> b.rings().equals("running " + running + ", enabled " + enabled));
        assertFalse(news.has("failed"));
    }

    @Test
    void aFloodIsNotRead() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN);
        open("reconnect-ms=10");
        b.say(new byte[100_000]);
        news.await("link up");
        assertEquals(2, b.connections());
    }

    @Test
    void whileItIsAwayAllIsRememberedAndReturnsAtOnce() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN);
        TestGuest g = guest();
        VhostUserPort p = open("reconnect-ms=10");
        run(p, g, SPLIT);
        b.twist(Request.GET_FEATURES, ScriptedBackEnd.Twist.DIE);
        b.hangUp();
        news.await("link down");
        assertNull(p.stop(0));
        p.enable(1, false);
        p.memory(g.memory());
        p.announce(new byte[6]);
        p.start(0, g.spec(0, 8));
        assertEquals(RingPosition.of(8, 8), p.stop(0), "nobody has had it since");
        p.start(0, g.spec(0, 9));
        b.heard();
        b.straight();
        news.await("link up");
        assertOrder(b.heard(), "SET_VRING_BASE 0 9", "SET_VRING_ENABLE 0 1", "SET_VRING_BASE 1 0", "SET_VRING_ENABLE 1 0");
    }

    @Test
    void aRingThatWasStoppedIsNotStarted() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN);
        TestGuest g = guest();
        VhostUserPort p = open("reconnect-ms=10");
        run(p, g, SPLIT);
        p.stop(0);
        b.heard();
        b.hangUp();
        news.await("link up");
        assertFalse(b.heard().stream().anyMatch(h -> h.startsWith("SET_VRING_KICK 0x0")));
    }

    @Test
    void oneThatDoesNotAnswerAStopIsHungUpOnAndThePositionIsTheUsedRings() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN);
        TestGuest g = guest();
        VhostUserPort p = open("reconnect-ms=10");
        run(p, g, SPLIT);
        b.twist(Request.GET_VRING_BASE, ScriptedBackEnd.Twist.HANG);
        long start = System.nanoTime();
        assertNull(p.stop(1));
        assertTrue(System.nanoTime() - start < CALL_LIMIT_NANOS, "it took long");
        b.heard();
        b.straight();
        news.await("link up");
        List<String> heard = b.heard();
        assertOrder(heard, "SET_VRING_KICK 0x0 +1");
        assertFalse(heard.contains("SET_VRING_KICK 0x1 +1"));
    }

    @Test
    void oneThatIsStuckWithTheRingsKeepsOthersFromThemUntilItHasLetGo() throws Exception {
        VhostUserBackend netdev = netdev("server=on");
        ScriptedBackEnd stuck = keep(new ScriptedBackEnd(path(), false, OFFERED, PLAIN, 2));
        TestGuest g = guest();
        VhostUserPort p = kept((VhostUserPort) netdev.open(news.context()));
        run(p, g, SPLIT);
        stuck.twist(Request.GET_VRING_BASE, ScriptedBackEnd.Twist.FREEZE);
        assertEquals(Optional.empty(), p.stillHeld());
        assertNull(p.stop(0));
        assertTrue(news.has("link down"));
        assertTrue(p.stillHeld().orElseThrow().contains("may still use them: end it"), p.stillHeld().toString());
        ScriptedBackEnd next = keep(new ScriptedBackEnd(path(), false, OFFERED, PLAIN, 2));
        // also when the port moves meanwhile
        try (BackendState s = netdev.save(p, 1)) {
            assertTrue(s.port().has("former") && s.port().optional("former"));
            assertFalse(s.port().has("socket"));
        }
        Poll.readable(300); // it would be taken at once
        assertEquals(List.of(), next.hears());
        stuck.straight();
        next.awaitHeard("SET_VRING_KICK 0x1");
        assertEquals(Optional.empty(), p.stillHeld());
        assertEquals("running [1], enabled [1]", next.rings());
        // it forgets them when it connects anew
        Await.until(LIMIT, "it has none", () -> stuck.rings().equals("running [], enabled []"));
    }

    @Test
    void oneThatIsStuckWhileItIsBroughtUpKeepsOthersFromTheRingsItHas() throws Exception {
        VhostUserBackend netdev = netdev("server=on");
        ScriptedBackEnd stuck = keep(new ScriptedBackEnd(path(), false, OFFERED, PLAIN, 2));
        TestGuest g = guest();
        VhostUserPort p = kept((VhostUserPort) netdev.open(news.context()));
        run(p, g, SPLIT);
        stuck.heard();
        stuck.twist(Request.SET_VRING_KICK, ScriptedBackEnd.Twist.FREEZE);
        stuck.hangUp();
        stuck.awaitHeard("SET_VRING_KICK");
        ScriptedBackEnd next = keep(new ScriptedBackEnd(path(), false, OFFERED, PLAIN, 2));
        long start = System.nanoTime();
        p.call(0, null);
        assertTrue(System.nanoTime() - start < CALL_LIMIT_NANOS, "it took long");
        Poll.readable(300); // it would be taken at once
        assertEquals(List.of(), next.hears());
        stuck.straight();
        next.awaitHeard("SET_VRING_KICK 0x1");
    }

    @Test
    void oneThatIsStuckAndDiesHasLetGo() throws Exception {
        VhostUserBackend netdev = netdev("server=on");
        TestGuest g = guest();
        VhostUserPort p;
        try (ScriptedBackEnd stuck = new ScriptedBackEnd(path(), false, OFFERED, PLAIN, 2)) {
            p = kept((VhostUserPort) netdev.open(news.context()));
            run(p, g, SPLIT);
            stuck.twist(Request.GET_VRING_BASE, ScriptedBackEnd.Twist.FREEZE);
            assertNull(p.stop(0));
        }
        keep(new ScriptedBackEnd(path(), false, OFFERED, PLAIN, 2)).awaitHeard("SET_VRING_KICK 0x1");
        p.start(0, g.spec(0, 0));
    }

    @Test
    void oneThatOffersLessThanWasAcknowledgedIsNotTaken() throws Exception {
        TestGuest g = guest();
        VhostUserPort p;
        try (ScriptedBackEnd b = new ScriptedBackEnd(path(), true, OFFERED, PLAIN, 2)) {
            p = open("reconnect-ms=10");
            run(p, g, SPLIT);
            assertEquals(1, b.connections());
        }
        try (ScriptedBackEnd less = new ScriptedBackEnd(path(), true, OFFERED & ~VirtioNet.MRG_RXBUF, PLAIN, 2)) {
            Await.until(LIMIT, "it is tried again", () -> less.connections() > 2);
            assertFalse(less.heard().stream().anyMatch(h -> h.startsWith("SET_FEATURES")));
            assertFalse(news.has("link up"));
        }
        try (ScriptedBackEnd fewer = new ScriptedBackEnd(path(), true, OFFERED, PLAIN, 0)) {
            Await.until(LIMIT, "it is tried again", () -> fewer.connections() > 2);
            assertFalse(news.has("link up"));
        }
        try (ScriptedBackEnd more = new ScriptedBackEnd(path(), true, OFFERED | VirtioNet.HOST_TSO4, PLAIN, 2)) {
            news.await("link up");
            assertTrue(news.has("profile"), "what it can do now is told");
            assertOrder(more.heard(), "SET_VRING_KICK 0x1 +1");
            p.close(Disposal.RELEASE);
        }
    }

    /** Whoever looks at the NIC sees why its link is down, and what makes it come up again. */
    @Test
    void whyTheLinkIsDownIsToldAndWhatIsWaitedFor() throws Exception {
        String gone = "the back-end at " + path() + " has gone (it closed the connection); Vireo connects again every 5 ms";
        try (ScriptedBackEnd b = new ScriptedBackEnd(path(), true, OFFERED, PLAIN, 2)) {
            open("reconnect-ms=5");
            b.twist(Request.GET_FEATURES, ScriptedBackEnd.Twist.HANG);
            b.hangUp();
            news.awaitDown(gone + ": no answer to GET_FEATURES within ", "; at its other end is this process itself");
        }
        Files.deleteIfExists(path());
        Files.createDirectory(path());
        news.awaitDown(gone + ": cannot connect to " + path() + ": it is a folder, not a socket");
        Files.delete(path());
        backEnd(PLAIN);
        news.await("link up");
    }

    @Test
    void aServerSaysThatItListens() throws Exception {
        ScriptedBackEnd b = new ScriptedBackEnd(path(), false, OFFERED, PLAIN, 2);
        try (b) {
            open("server=on");
        }
        news.awaitDown("the back-end at " + path() + " has gone (it closed the connection); Vireo listens until it connects again");
    }

    @Test
    void withoutReconnectThePortFailsAndSaysWhatToSet() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN);
        open();
        b.hangUp();
        news.await("failed: netdev net0: the back-end at " + path() + " has gone (it closed the connection), and without reconnect-ms"
                + " Vireo does not connect again: start it, then 'vireo netdev change net0 reconnect-ms=200'");
        assertEquals(1, b.connections());
    }

    @Test
    void packedRingsAreNotFoundAgainWithoutInflightMemory() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN);
        TestGuest g = guest();
        VhostUserPort p = open("reconnect-ms=10");
        run(p, g, SPLIT | VirtioNet.RING_PACKED);
        b.twist(Request.GET_VRING_BASE, ScriptedBackEnd.Twist.DIE);
        String m = assertThrows(NetdevException.class, () -> p.stop(0)).getMessage();
        assertTrue(m.contains("ring 0 goes on is not known: it is packed") && m.contains("INFLIGHT_SHMFD"), m);
        assertTrue(news.has("failed: netdev net0: where a ring goes on is not known"));
    }

    @Test
    void packedRingsGoOnWhereTheInflightMemorySays() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN | ProtocolFeatures.INFLIGHT_SHMFD);
        TestGuest g = guest();
        VhostUserPort p = open("reconnect-ms=10");
        run(p, g, SPLIT | VirtioNet.RING_PACKED);
        assertOrder(b.heard(), "GET_INFLIGHT_FD 2 of 1024", "SET_INFLIGHT_FD 2 of 1024 +1", "SET_VRING_KICK");
        inflight(b, 0, 0x8003, 0x8003);
        inflight(b, 1, 7, 7);
        b.hangUp();
        news.await("link up");
        List<String> heard = b.heard();
        assertFalse(heard.stream().anyMatch(h -> h.startsWith("GET_INFLIGHT_FD")), "it is asked for once");
        assertOrder(heard, "SET_INFLIGHT_FD 2 of 1024 +1", "SET_VRING_BASE 0 " + (0x8003 | 0x8003 << 16), "SET_VRING_BASE 1 "
                + (7 | 7 << 16));
    }

    /** The guest has begun a new life: what a back-end had taken in the one before must not be given back in this one. */
    @Test
    void whereAllRingsBeginAnewSoDoesTheInflightMemory() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN | ProtocolFeatures.INFLIGHT_SHMFD);
        TestGuest g = guest();
        VhostUserPort p = open("reconnect-ms=10");
        run(p, g, SPLIT);
        b.hangUp();
        news.await("link up");
        p.stop(0);
        p.start(0, g.spec(0, 0));
        p.stop(0);
        b.heard();
        p.stop(1);
        p.start(0, g.spec(0, 0));
        assertOrder(b.heard(), "GET_INFLIGHT_FD", "SET_INFLIGHT_FD", "SET_VRING_KICK 0x0");
        p.start(1, g.spec(1, 0));
        assertFalse(b.heard().stream().anyMatch(h -> h.contains("INFLIGHT")), "the other ring runs with it already");
    }

    /** Version 1, and where a packed ring is when what is being given back is, and before. */
    private static void inflight(ScriptedBackEnd b, int ring, int used, int old) throws IOException {
        byte[] word = new byte[8];
        MemorySegment.ofArray(word).set(ValueLayout.JAVA_LONG_UNALIGNED, 0, PackedInflightLayout.used(used, old));
        b.inflight((ring << 19) + PackedInflightLayout.USED, word);
        b.inflight((ring << 19) + PackedInflightLayout.VERSION, (byte) 1);
    }

    /**
     * The back-end died while it gave something back: whether that is given back, the first descriptor of it says.
     *
     * @param flags of that descriptor: available, given back, or posted again since
     */
    @ParameterizedTest
    @CsvSource({"0x8003, 0x8001, 0x80, 0x8001", "0x8003, 0x8001, 0x8080, 0x8003", "0x8003, 0x8001, 0x8000, 0x8003",
        "0x0001, 0x800f, 0x80, 0x800f", "0x0001, 0x800f, 0x8080, 0x0001", "0x8002, 0x0004, 0x8000, 0x0004", "0x8002, 0x0004, 0, 0x8002",
        "0x0004, 0x8004, 0x80, 0x8004", "0x0004, 0x8004, 0x8000, 0x0004"})
    void whatWasBeingGivenBackIsGivenBackOrNot(String used, String old, String flags, String expected) throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN | ProtocolFeatures.INFLIGHT_SHMFD);
        TestGuest g = guest();
        VhostUserPort p = open("reconnect-ms=10");
        run(p, g, SPLIT | VirtioNet.RING_PACKED);
        int at = Integer.decode(old);
        inflight(b, 0, Integer.decode(used), at);
        inflight(b, 1, 5, 5);
        g.flags(0, at & 0x7fff, Integer.decode(flags));
        b.heard();
        b.hangUp();
        news.await("link up");
        int e = Integer.decode(expected);
        assertOrder(b.heard(), "SET_VRING_BASE 0 " + (e | e << 16), "SET_VRING_BASE 1 " + (5 | 5 << 16));
    }

    /** All zero: the back-end died before it wrote anything. Position 0 would be another lap. */
    @Test
    void inflightMemoryThatNobodyWroteSaysNothing() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN | ProtocolFeatures.INFLIGHT_SHMFD);
        TestGuest g = guest();
        VhostUserPort p = open("reconnect-ms=10");
        p.features(SPLIT | VirtioNet.RING_PACKED);
        p.memory(g.memory());
        p.enable(0, true);
        p.start(0, g.spec(0, 0x8005));
        for (int i = 0; i < 2; i++) {
            b.heard();
            news.take();
            b.hangUp();
            news.await("link up");
            assertOrder(b.heard(), "SET_INFLIGHT_FD", "SET_VRING_BASE 0 " + (0x8005 | 0x8005 << 16));
        }
    }

    @Test
    void inflightMemoryThatSaysTheImpossibleIsNamed() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN | ProtocolFeatures.INFLIGHT_SHMFD);
        TestGuest g = guest();
        VhostUserPort p = open("reconnect-ms=10");
        run(p, g, SPLIT | VirtioNet.RING_PACKED);
        inflight(b, 0, 16, 16);
        b.twist(Request.GET_VRING_BASE, ScriptedBackEnd.Twist.DIE);
        String m = assertThrows(NetdevException.class, () -> p.stop(0)).getMessage();
        assertTrue(m.contains("the in-flight memory says that ring 0 of 16 entries is at 16"), m);
    }

    /** The back-end dies of being asked: where the ring is, the memory says. */
    @Test
    void aPackedRingWhoseBackEndDiesWhenItIsToStopIsWhereTheInflightMemorySays() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN | ProtocolFeatures.INFLIGHT_SHMFD);
        TestGuest g = guest();
        VhostUserPort p = open("reconnect-ms=10");
        run(p, g, SPLIT | VirtioNet.RING_PACKED);
        inflight(b, 0, 0x8007, 0x8007);
        b.twist(Request.GET_VRING_BASE, ScriptedBackEnd.Twist.DIE);
        assertEquals(0x8007, p.stop(0).used());
        news.await("link down");
    }

    /**
     * A back-end says the available position of a packed ring alone, or that nothing was given back since the used position was 0.
     *
     * @param flags of the ring's first descriptor
     */
    @ParameterizedTest
    @CsvSource({"3, 0x8000, 0", "3, 0, 3", "3, 0x80, 3", "0x8000, 0x8000, 0", "0x8000, 0, 0x8000", "0x8000, 0x80, 0x8000",
        "0x8003, 0x8000, 0x8003", "0x8003, 0x8080, 0x8003", "0, 0x8000, 0"})
    void aUsedPositionOfZeroIsSaidOrNot(String available, String flags, String expected) throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN | ProtocolFeatures.INFLIGHT_SHMFD);
        TestGuest g = guest();
        VhostUserPort p = open();
        run(p, g, SPLIT | VirtioNet.RING_PACKED);
        b.base(0, Integer.decode(available));
        g.flags(0, 0, Integer.decode(flags));
        assertEquals(Integer.decode(expected), p.stop(0).used());
    }

    @Test
    void whileQuietItNoticesNothingAndAfterwardsAll() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN);
        VhostUserPort p = open("reconnect-ms=10");
        quiesce(p);
        b.hangUp();
        Await.until(LIMIT, "the connection is closed", () -> p.link().connection().trouble() != null);
        assertEquals(List.of(), news.take());
        p.resume();
        news.await("link up");
        assertEquals(2, b.connections());
    }

    @Test
    void quietAtOnceWhileABackEndIsBroughtUp() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN);
        TestGuest g = guest();
        VhostUserPort p = open("reconnect-ms=10");
        run(p, g, SPLIT);
        for (Request r : List.of(Request.GET_FEATURES, Request.SET_MEM_TABLE)) {
            // the attempt would end by itself after a second; the best of a few counts: one may have waited for a processor
            long least = Long.MAX_VALUE;
            for (int i = 0; i < 5 && least >= Duration.ofMillis(800).toNanos(); i++) {
                b.heard();
                b.twist(r, ScriptedBackEnd.Twist.HANG);
                b.hangUp();
                b.awaitHeard(r.name());
                long start = System.nanoTime();
                quiesce(p);
                least = Math.min(least, System.nanoTime() - start);
                b.straight();
                news.take();
                p.resume();
                news.await("link up");
            }
            assertTrue(least < Duration.ofMillis(800).toNanos(), "it took " + least / 1_000_000 + " ms each time");
        }
    }

    @Test
    void aCallDoesNotWaitForABackEndThatHangsWhileItIsBroughtUp() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN);
        TestGuest g = guest();
        VhostUserPort p = open("reconnect-ms=10");
        run(p, g, SPLIT);
        b.heard();
        b.twist(Request.SET_MEM_TABLE, ScriptedBackEnd.Twist.HANG);
        b.hangUp();
        b.awaitHeard("SET_MEM_TABLE");
        long start = System.nanoTime();
        assertNull(p.stop(0));
        assertTrue(System.nanoTime() - start < CALL_LIMIT_NANOS, "it took long");
    }
}
