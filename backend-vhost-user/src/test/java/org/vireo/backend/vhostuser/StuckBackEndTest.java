// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.vireo.net.api.BackendState;
import org.vireo.posix.linux.Poll;
import org.vireo.testsupport.Await;
import org.vireo.vhostuser.Request;

/** A back-end that does not answer: no call waits for it, and nobody else gets rings that it may still write into. */
final class StuckBackEndTest extends PortCase {
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

    /** This side ends the connection then, which is not taken for the other's doing. */
    @ParameterizedTest
    @CsvSource({"HANG, no answer to SET_FEATURES within ", "REFUSE, the back-end refused SET_FEATURES "})
    void whyOneIsOfNoUseIsToldAsItWas(ScriptedBackEnd.Twist how, String why) throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN);
        TestGuest g = guest();
        VhostUserPort p = open("reconnect-ms=10");
        run(p, g, SPLIT);
        b.twist(Request.SET_FEATURES, how);
        b.hangUp();
        news.awaitEverDown(".*: " + why + ".*");
    }

    @Test
    void anAttemptThatThisSideEndsIsNotThoughtTheOthersFault() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN);
        VhostUserPort p = open("reconnect-ms=10");
        b.heard();
        b.twist(Request.GET_FEATURES, ScriptedBackEnd.Twist.HANG);
        b.hangUp();
        for (int i = 0; i < 4; i++) {
            b.awaitHeard("GET_FEATURES");
            b.heard();
            quiesce(p);
            p.resume();
        }
        news.awaitEverDown(".*; Vireo connects again every 10 ms: Vireo ended the attempt, for a call that could not wait.*");
        assertFalse(news.wasDown(".*since it comes and goes.*"));
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
