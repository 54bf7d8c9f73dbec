// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.Arena;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.vireo.net.api.Fd;
import org.vireo.posix.linux.MessageSocket;
import org.vireo.posix.linux.UnixSockets;

/** Whether the other side has let go is found out, whatever it says meanwhile. */
final class ConnectionTest {
    /** More than is thrown away in one call, and less than twice that. */
    private static final int MUCH = 100_000;

    @Test
    void whoSpeaksOnIsNotListenedToForEver() throws Exception {
        Fd[] two = UnixSockets.pair(ScriptedBackEnd.FDS, 1, false, "connection");
        try (Connection c = new Connection(two[0], ScriptedBackEnd.FDS, "back-end"); Fd other = two[1]; Arena a = Arena.ofConfined()) {
            UnixSockets.sendBuffer(other, 1 << 20);
            assertFalse(c.isOver() || c.hasEnded());
            new MessageSocket(other, ScriptedBackEnd.FDS, "flood").sendAll(a.allocate(MUCH), MUCH, List.of());
            assertFalse(c.hasEnded());
            UnixSockets.shutdown(other);
            assertFalse(c.hasEnded(), "there is something before the end");
            assertFalse(c.isOver(), "it was read to its end in one call");
            assertTrue(c.isOver() && c.hasEnded());
        }
    }
}
