// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.osgi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.osgi.framework.Bundle;
import org.osgi.framework.startlevel.BundleStartLevel;

/** The framework's own life: start levels, its end, and another start with the same storage. The handover is there too. */
@Timeout(150)
class LifecycleIT {
    @TempDir
    private Path folder;
    private EmbeddedVireo vireo;

    @BeforeEach
    void start() throws Exception {
        ProbeBundle.forget();
        vireo = EmbeddedVireo.start(folder.resolve("felix"));
        vireo.install("probe", ProbeBundle.of("1.0.0"), 6);
        vireo.netdev("net0");
        vireo.addNic("nic0", "net0", socket());
    }

    @AfterEach
    void stop() throws Exception {
        vireo.close();
        assertEquals(0, ProbeBundle.count("late"), () -> "calls after the end: " + ProbeBundle.calls());
    }

    private Path socket() {
        return folder.resolve("nic0");
    }

    private static void assertEverythingWasClosed() {
        assertEquals(ProbeBundle.count("open") + ProbeBundle.count("load"),
                ProbeBundle.count("close RELEASE") + ProbeBundle.count("close LEAVE"), () -> ProbeBundle.calls().toString());
    }

    /** The end in good order: the frontend stops before its backends, so that these do the duties of the end. */
    @Test
    void theEndOfTheFrameworkReleasesAnOpenPort() throws Exception {
        try (EmbeddedGuest guest = EmbeddedGuest.connect(socket())) {
            guest.sends(3);
            vireo.close();
        }
        assertEquals(1, ProbeBundle.count("close RELEASE"), () -> ProbeBundle.calls().toString());
        assertEverythingWasClosed();
        assertEquals("deactivate", ProbeBundle.calls().getLast());
    }

    /** What is configured survives, what is open does not: the netdev is there again, its NIC has to be made. */
    @Test
    void anotherStartFindsItsNetdevs() throws Exception {
        for (int i = 0; i < 3; i++) {
            try (EmbeddedGuest guest = EmbeddedGuest.connect(socket())) {
                guest.sends(3);
            }
            vireo.close();
            vireo = EmbeddedVireo.start(folder.resolve("felix"));
            vireo.awaitNetdev("net0 closed " + ProbeBundle.NAME + " 1.0.0");
            assertEquals(List.of(), vireo.nics());
            vireo.addNic("nic0", "net0", socket());
        }
        try (EmbeddedGuest guest = EmbeddedGuest.connect(socket())) {
            guest.sends(3);
        }
    }

    @Test
    void aLowerStartLevelEndsTheNicsAndTheFormerOneServesAgain() throws Exception {
        Object frontend = vireo.service(EmbeddedVireo.NICS);
        try (EmbeddedGuest guest = EmbeddedGuest.connect(socket())) {
            guest.sends(3);
            vireo.level(5);
            assertEquals(List.of(), vireo.nics());
            assertEverythingWasClosed();
        }
        vireo.level(EmbeddedVireo.FULL);
        assertNotSame(frontend, vireo.service(EmbeddedVireo.NICS));
        vireo.awaitNetdev("net0 closed");
        vireo.addNic("nic0", "net0", socket());
        try (EmbeddedGuest guest = EmbeddedGuest.connect(socket())) {
            guest.sends(3);
            // only the levels of who asks for NICs: nothing of the NIC's
            vireo.level(7);
            guest.sends(3);
            vireo.level(EmbeddedVireo.FULL);
            guest.sends(3);
            assertEquals(List.of("nic0 RUNNING"), vireo.nics());
        }
    }

    /** A bundle whose own level changes is stopped and started only if it crosses the framework's. */
    @Test
    void aBackendBeyondTheStartLevelIsParkedAndComesBack() throws Exception {
        Object frontend = vireo.service(EmbeddedVireo.NICS);
        Bundle probe = vireo.bundle(ProbeBundle.NAME);
        try (EmbeddedGuest guest = EmbeddedGuest.connect(socket())) {
            guest.sends(3);
            for (int level : new int[] {4, EmbeddedVireo.FULL, 6}) {
                probe.adapt(BundleStartLevel.class).setStartLevel(level);
                guest.sends(3);
            }
            assertEquals(1, ProbeBundle.count("activate"), () -> ProbeBundle.calls().toString());
            probe.adapt(BundleStartLevel.class).setStartLevel(EmbeddedVireo.FULL + 1);
            vireo.awaitNetdev("net0 parked");
            vireo.awaitNic("nic0 NO_BACKEND");
            probe.adapt(BundleStartLevel.class).setStartLevel(6);
            vireo.awaitNic("nic0 RUNNING");
            guest.sends(3);
            assertTrue(ProbeBundle.calls().contains("load"), () -> ProbeBundle.calls().toString());
            assertSame(frontend, vireo.service(EmbeddedVireo.NICS));
        }
    }
}
