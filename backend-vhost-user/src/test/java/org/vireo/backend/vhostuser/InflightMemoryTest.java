// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.vireo.net.api.NetdevException;
import org.vireo.vhostuser.PackedInflightLayout;
import org.vireo.vhostuser.ProtocolFeatures;
import org.vireo.vhostuser.Request;
import org.vireo.vhostuser.VirtioNet;

/** Where rings go on whose back-end has gone: what its in-flight memory says, and what a packed ring itself does. */
final class InflightMemoryTest extends PortCase {
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
}
