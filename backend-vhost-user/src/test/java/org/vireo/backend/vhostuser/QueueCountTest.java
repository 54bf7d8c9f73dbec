// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.vireo.net.api.NetdevException;
import org.vireo.vhostuser.ProtocolFeatures;
import org.vireo.vhostuser.Request;

/** GET_QUEUE_NUM says 2 here, which are enough for two pairs if those are counted. If rings are, ring 2 is the first that is too many. */
final class QueueCountTest extends PortCase {
    private static final String HINT = ": it says that it has 2 queues, 1 pair(s) if it counts rings, but queues=2 are configured: start it"
            + " with 2 pairs, or make queues= smaller";

    private VhostUserPort twoPairs(TestGuest g, String... options) throws NetdevException {
        VhostUserPort p = open(options);
        p.features(SPLIT);
        p.memory(g.memory());
        return p;
    }

    @ParameterizedTest
    @CsvSource({"SET_VRING_NUM, ring 2", "SET_VRING_CALL, ring 2", "GET_INFLIGHT_FD, ring 3"})
    void oneThatHangsUpAtARingHasTooFewPerhaps(Request at, String ring) throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN | ProtocolFeatures.INFLIGHT_SHMFD);
        TestGuest g = keep(new TestGuest(SPLIT, 2, 16));
        VhostUserPort p = twoPairs(g, "reconnect-ms=10", "queues=2");
        if (at != Request.GET_INFLIGHT_FD) {
            p.start(0, g.spec(0, 0));
            p.start(1, g.spec(1, 0));
        }
        b.twist(at, ScriptedBackEnd.Twist.DIE);
        p.start(2, g.spec(2, 0));
        news.awaitDown(ring + HINT, "it closed the connection");
        b.straight();
        news.await("link up");
        news.take();
        b.hangUp();
        news.await("link up");
        b.twist(Request.GET_FEATURES, ScriptedBackEnd.Twist.DIE);
        b.hangUp();
        news.awaitDown("it closed the connection");
        assertFalse(news.down().contains("if it counts rings"), "it has had ring 2: " + news.down());
    }

    /** Without acknowledgements the next answer tells it. */
    @Test
    void oneThatAnswersLaterHasTheRing() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN & ~ProtocolFeatures.REPLY_ACK);
        TestGuest g = keep(new TestGuest(SPLIT, 2, 16));
        VhostUserPort p = twoPairs(g, "reconnect-ms=10", "queues=2");
        p.start(2, g.spec(2, 0));
        p.call(2, null);
        b.twist(Request.GET_FEATURES, ScriptedBackEnd.Twist.DIE);
        b.hangUp();
        news.awaitDown("it closed the connection");
        assertFalse(news.down().contains("if it counts rings"), news.down());
    }

    @Test
    void whatThisSideDoesForAReasonOfItsOwnIsNoHint() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN & ~ProtocolFeatures.REPLY_ACK);
        TestGuest g = keep(new TestGuest(SPLIT, 2, 16));
        VhostUserPort p = twoPairs(g, "reconnect-ms=10", "queues=2");
        b.twist(Request.GET_FEATURES, ScriptedBackEnd.Twist.HANG);
        p.start(2, g.spec(2, 0));
        p.memory(TestGuest.gone());
        news.awaitDown("has gone (the guest has gone");
        assertFalse(news.down().contains("if it counts rings"), news.down());
    }

    @Test
    void oneThatRefusesARingHasTooFewPerhaps() throws Exception {
        ScriptedBackEnd b = backEnd(PLAIN);
        TestGuest g = keep(new TestGuest(SPLIT, 2, 16));
        VhostUserPort p = twoPairs(g, "queues=2");
        b.twist(Request.SET_VRING_NUM, ScriptedBackEnd.Twist.REFUSE);
        String m = assertThrows(NetdevException.class, () -> p.start(3, g.spec(3, 0))).getMessage();
        assertTrue(m.contains("refused SET_VRING_NUM (acknowledgement 1) when it was told of ring 3" + HINT), m);
        b.straight();
        p.start(3, g.spec(3, 0));
        b.twist(Request.SET_VRING_NUM, ScriptedBackEnd.Twist.REFUSE);
        m = assertThrows(NetdevException.class, () -> p.start(0, g.spec(0, 0))).getMessage();
        assertTrue(m.endsWith("the back-end refused SET_VRING_NUM (acknowledgement 1)"), m);
    }
}
