// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.vireo.guest.FrontEnd;
import org.vireo.guest.GuestNic;
import org.vireo.guest.TransmitQueue;
import org.vireo.posix.Descriptors;
import org.vireo.vhostuser.VirtioNet;

/**
 * Two daemons in a chain: a guest with packed rings, a daemon whose netdev is of type vhost-user, a second one on a TAP. The second one is
 * killed, with nothing to succeed it, and started again: what it had taken and not given back the first one has kept, and the guest
 * notices nothing but the pause.
 */
@Timeout(180)
final class InflightIT {
    private static final Duration LIMIT = Duration.ofSeconds(30);
    private static final int KILLS = 2;
    private static final int SIZE = 256;

    @TempDir
    private Path folder;
    @RegisterExtension
    final OnBridge on = new OnBridge();
    private final Descriptors fds = new Descriptors();

    /** Serves the first one's rings. */
    private Vireo second() {
        return Vireo.run(on.namespace(), folder.resolve("second"), "--netdev", "tap,id=net0,ifname=" + on.tap(), "--nic",
                "id=nic0,netdev=net0,socket=" + folder.resolve("vu"));
    }

    /** Has another NIC, for the guest that gets the frames. */
    private Vireo first() {
        return Vireo.run(on.namespace(), folder.resolve("first"), "--netdev",
                "vhost-user,id=net0,reconnect-ms=50,path=" + folder.resolve("vu"), "--nic",
                "id=nic0,netdev=net0,socket=" + folder.resolve("nic0"), "--netdev", "tap,id=net1,ifname=" + on.otherTap(), "--nic",
                "id=nic1,netdev=net1,socket=" + folder.resolve("nic1"));
    }

    @Test
    void aGuestWithPackedRingsGoesOnWhenTheSecondOfTwoDaemonsIsKilled() throws Exception {
        Vireo second = second();
        try (Vireo first = first()) {
            GuestNic guest = GuestNic.options().packed(true).ringSize(SIZE).start(fds,
                    FrontEnd.connect(fds, folder.resolve("nic0"), LIMIT));
            try (NumberedFrames frames = new NumberedFrames(guest, Guests.connect(fds, folder.resolve("nic1")))) {
                assertTrue((guest.features() & VirtioNet.RING_PACKED) != 0);
                frames.goesOn();
                for (int i = 0; i < KILLS; i++) {
                    second.process().signal("KILL");
                    second.process().exitCode(LIMIT);
                    second.close();
                    second = second();
                    frames.goesOn();
                }
                frames.finish();
                TransmitQueue tx = guest.transmit(0);
                assertTrue(tx.awaitAll(System.nanoTime() + LIMIT.toNanos()), () -> tx.outstanding() + " frames do not come back");
                assertEquals(SIZE, tx.freeDescriptors());
                assertEquals(0, frames.check().reordered());
                // one that was sent, and not noted yet, at the moment of a kill
                assertTrue(frames.check().duplicated() <= KILLS, () -> frames.check().duplicated() + " frames came twice");
                assertTrue(first.process().isAlive());
            }
        } finally {
            second.close();
        }
    }
}
