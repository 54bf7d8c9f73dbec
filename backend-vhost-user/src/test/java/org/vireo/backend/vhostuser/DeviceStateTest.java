// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.vireo.net.api.Fd;
import org.vireo.net.api.NetdevException;
import org.vireo.posix.linux.EventFd;
import org.vireo.posix.linux.SharedMemory;
import org.vireo.testsupport.Await;
import org.vireo.vhostuser.ProtocolFeatures;
import org.vireo.vhostuser.Request;

/** The state of the back-end, which a VM that migrates takes along. */
class DeviceStateTest extends PortCase {
    private static final int MOST = 8 << 20;

    private ScriptedBackEnd b;
    private VhostUserPort p;

    @BeforeEach
    void start() throws Exception {
        b = backEnd(PLAIN | ProtocolFeatures.DEVICE_STATE);
        p = open("reconnect-ms=50");
    }

    /** Small, and larger than a pipe. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void itIsSavedAndLoaded(boolean itsOwnPipe) throws Exception {
        b.deviceState.ownPipe = itsOwnPipe;
        assertTrue(p.hasDeviceState());
        for (int bytes : new int[] {0, 1, 300_000}) {
            byte[] state = new byte[bytes];
            new Random(bytes).nextBytes(state);
            b.deviceState.state = state;
            assertArrayEquals(state, p.saveDeviceState(MOST));
            b.deviceState.state = null;
            p.loadDeviceState(state);
            assertArrayEquals(state, b.deviceState.state);
        }
        assertOrder(b.heard(), "SET_DEVICE_STATE_FD +1", "CHECK_DEVICE_STATE", "SET_DEVICE_STATE_FD +1", "CHECK_DEVICE_STATE");
        assertEquals(1, b.connections());
    }

    /** As much as is taken; what a port waits for, a busy machine may not move. */
    @Test
    void aLargeOneIsSavedAndLoaded() throws Exception {
        byte[] state = new byte[MOST];
        new Random(MOST).nextBytes(state);
        long end = System.nanoTime() + 3 * LIMIT.toNanos();
        // nobody else looks at the connection meanwhile
        quiesce(p);
        Connection c = p.link().connection();
        c.until(end);
        DeviceStateExchange exchange = new DeviceStateExchange(c, ScriptedBackEnd.FDS, "", end);
        b.deviceState.state = state;
        assertArrayEquals(state, exchange.save(MOST));
        b.deviceState.state = null;
        exchange.load(state);
        assertArrayEquals(state, b.deviceState.state);
        b.deviceState.state = new byte[MOST + 1];
        refused("is larger than the " + MOST + " bytes", () -> exchange.save(MOST));
        p.resume();
        assertEquals(1, b.connections());
    }

    /** What is wrong with the state costs no connection. */
    @Test
    void whatItRefusesIsTold() throws Exception {
        b.twist(Request.SET_DEVICE_STATE_FD, ScriptedBackEnd.Twist.REFUSE);
        refused("the back-end refuses to save its state (3)", () -> p.saveDeviceState(MOST));
        refused("the back-end refuses to load a state (3)", () -> p.loadDeviceState(new byte[5]));
        b.straight();
        b.deviceState.check = 9;
        refused("says that its state was not saved (9)", () -> p.saveDeviceState(MOST));
        refused("says that its state was not loaded (9)", () -> p.loadDeviceState(new byte[5]));
        b.deviceState.check = 0;
        b.deviceState.state = new byte[200_001];
        refused("is larger than the 200000 bytes", () -> p.saveDeviceState(200_000));
        b.deviceState.state = new byte[1];
        p.saveDeviceState(MOST);
        b.deviceState.endless = true;
        refused("state did not end", () -> p.saveDeviceState(MOST));
        refused("took ", () -> p.loadDeviceState(new byte[MOST]));
        assertEquals(1, b.connections());
    }

    @Test
    void oneThatDiesMeanwhileIsGone() throws Exception {
        b.twist(Request.SET_DEVICE_STATE_FD, ScriptedBackEnd.Twist.DIE);
        refused("has gone while its state was saved", () -> p.saveDeviceState(MOST));
        Await.until(LIMIT, "it to be back", () -> b.connections() >= 2 && p.link().connection() != null);
        // it does not get far when it comes back, so that nobody is there for as long as this looks
        b.twist(Request.GET_FEATURES, ScriptedBackEnd.Twist.DIE);
        refused("has gone while its state was loaded", () -> p.loadDeviceState(new byte[5]));
        refused("no back-end is there", () -> p.saveDeviceState(MOST));
        b.straight();
    }

    @Test
    void oneWithoutAStateHasNone() throws Exception {
        p.close(org.vireo.net.api.NetPort.Disposal.RELEASE);
        b.close();
        backEnd(PLAIN);
        assertFalse(open().hasDeviceState());
    }

    /** SET_LOG_FD follows the log, where the VMM gave one. */
    @Test
    void itIsGivenTheEventOfTheLog() throws Exception {
        try (Fd file = SharedMemory.create(ScriptedBackEnd.FDS, "log", 4096, false);
                Fd event = EventFd.create(ScriptedBackEnd.FDS, "log")) {
            p.features(SPLIT);
            p.log(VhostUserPortTest.log(file));
            assertFalse(b.heard().stream().anyMatch(h -> h.startsWith("SET_LOG_FD")));
            p.log(VhostUserPortTest.log(file, 4096, event));
            assertOrder(b.heard(), "SET_LOG_BASE +1", "SET_LOG_FD +1");
            b.hangUp();
            b.awaitHeard("SET_LOG_FD +1");
        }
    }

    private interface Step {
        void run() throws NetdevException, IOException;
    }

    private static void refused(String why, Step s) {
        String m = assertThrows(NetdevException.class, s::run).getMessage();
        assertTrue(m.contains(why), m);
    }
}
