// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import org.vireo.guest.FrontEnd;
import org.vireo.guest.GuestNic;
import org.vireo.guest.TransmitQueue;
import org.vireo.net.api.Fds;

/** Guests that this process plays, with their VMM, for daemons of their own. */
final class Guests {
    private Guests() { }

    static GuestNic connect(Fds fds, Path socket) throws IOException {
        return GuestNic.options().start(fds, FrontEnd.connect(fds, socket, Duration.ofSeconds(10)));
    }

    private static byte[] frame() {
        byte[] f = new byte[60];
        Arrays.fill(f, 0, 6, (byte) 0xff);
        f[6] = 2;
        f[12] = (byte) 0x88;
        f[13] = (byte) 0xb5;
        return f;
    }

    /** Sends some frames; all are taken, and the ring has got all its descriptors back. */
    static void send(GuestNic g, int count, Duration limit) {
        TransmitQueue q = g.transmit(0);
        for (int i = 0; i < count; i++) {
            assertTrue(q.send(frame(), System.nanoTime() + limit.toNanos()), "a frame is taken");
        }
        assertTrue(q.awaitAll(System.nanoTime() + limit.toNanos()), "what was sent is given back");
        assertEquals(0, q.outstanding());
    }
}
