// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.osgi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import org.vireo.guest.FrontEnd;
import org.vireo.guest.GuestNic;
import org.vireo.posix.Descriptors;

/** A guest and its VMM, outside of the framework, on a NIC whose netdev is a {@link ProbeBundle}'s: each frame is counted there. */
final class EmbeddedGuest implements AutoCloseable {
    private static final Duration LIMIT = EmbeddedVireo.LIMIT;

    private final GuestNic nic;

    private EmbeddedGuest(GuestNic nic) {
        this.nic = nic;
    }

    static EmbeddedGuest connect(Path socket) throws IOException {
        Descriptors fds = new Descriptors();
        return new EmbeddedGuest(GuestNic.options().start(fds, FrontEnd.connect(fds, socket, LIMIT)));
    }

    /** Sends frames; all are given back, and the backend has seen each once. */
    void sends(int frames) {
        long before = ProbeBundle.count("frames");
        long deadline = System.nanoTime() + LIMIT.toNanos();
        byte[] frame = new byte[60];
        Arrays.fill(frame, 0, 6, (byte) 0xff);
        for (int i = 0; i < frames; i++) {
            assertTrue(nic.transmit(0).send(frame, deadline), "a frame is taken");
        }
        assertTrue(nic.transmit(0).awaitAll(deadline), "what was sent is given back");
        assertEquals(before + frames, ProbeBundle.count("frames"), "frames that the backend has seen");
    }

    @Override
    public void close() {
        nic.close();
    }
}
