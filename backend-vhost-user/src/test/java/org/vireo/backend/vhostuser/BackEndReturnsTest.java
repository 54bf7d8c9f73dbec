// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vireo.net.api.Fd;
import org.vireo.net.api.NetPort.Disposal;
import org.vireo.net.api.RingPosition;
import org.vireo.posix.linux.SharedMemory;
import org.vireo.testsupport.Await;
import org.vireo.vhostuser.ProtocolFeatures;
import org.vireo.vhostuser.Request;
import org.vireo.vhostuser.VirtioNet;

/** A port outlives its back-end: whatever that does, nothing waits long, and the next one goes on where it was. */
final class BackEndReturnsTest extends PortCase {
    /** More messages than any bring-up here has. */
    private static final int MANY = 60;

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
        String gone = "the back-end at " + path() + " has gone (it closed the connection); Vireo connects again every ";
        try (ScriptedBackEnd b = new ScriptedBackEnd(path(), true, OFFERED, PLAIN, 2)) {
            open("reconnect-ms=5");
            b.twist(Request.GET_FEATURES, ScriptedBackEnd.Twist.HANG);
            b.hangUp();
            news.awaitDown(gone + "5 ms: no answer to GET_FEATURES within ", "; at its other end is this process itself");
        }
        Files.deleteIfExists(path());
        Files.createDirectory(path());
        // more and more seldom, and that is told
        news.awaitDown(gone + Backoff.ABSENT_MILLIS + " ms: cannot connect to " + path() + ": it is a folder, not a socket");
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
}
