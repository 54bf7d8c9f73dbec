// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.osgi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.osgi.framework.Bundle;
import org.vireo.testsupport.Await;

/**
 * A later version of a backend fails in one of its calls: the one before goes on, the very same, and a version that works replaces it. One
 * that hangs, and one that fails with its first frame, are the frontend's own test, BackendSwapTest.
 */
@Timeout(150)
class FailingBackendIT {
    @TempDir
    private Path folder;
    private EmbeddedVireo vireo;
    private Bundle first;

    @BeforeEach
    void start() throws Exception {
        ProbeBundle.forget();
        vireo = EmbeddedVireo.start(folder.resolve("felix"));
        vireo.bundle(House.HANDOVER).stop();
        first = vireo.install("1", ProbeBundle.of("1.0.0"), 6);
        vireo.netdev("net0");
        vireo.netdev("net1");
        vireo.addNic("nic0", "net0", folder.resolve("nic0"));
    }

    @AfterEach
    void stop() throws Exception {
        vireo.close();
        assertEquals(0, ProbeBundle.count("late"), () -> "calls after the end: " + ProbeBundle.calls());
    }

    private void awaitServedBy(String version) {
        vireo.awaitNetdev("net0 open " + ProbeBundle.NAME + " " + version);
    }

    @ParameterizedTest
    @ValueSource(strings = {"activate", "load", "null"})
    void theFormerGoesOn(String fails) throws Exception {
        Object frontend = vireo.service(EmbeddedVireo.NICS);
        try (EmbeddedGuest guest = EmbeddedGuest.connect(folder.resolve("nic0"))) {
            guest.sends(3);
            Bundle bad = vireo.install("2", ProbeBundle.of("2.0.0", 0, fails), 6);
            String call = fails.equals("activate") ? "activate" : "load";
            Await.until(EmbeddedVireo.LIMIT, call + " was called", () -> ProbeBundle.count(call) >= (call.equals("activate") ? 2 : 1));
            for (int i = 0; i < 10; i++) {
                guest.sends(10);
            }
            awaitServedBy("1.0.0");
            assertEquals(1, ProbeBundle.count("open"), () -> ProbeBundle.calls().toString());
            bad.update(ProbeBundle.of("3.0.0"));
            awaitServedBy("3.0.0");
            guest.sends(3);
            assertSame(frontend, vireo.service(EmbeddedVireo.NICS));
        }
    }

    /** One that could not be opened or loaded is left out until its service registers anew; each time is one attempt. */
    @Test
    void theThirdAttemptWorks() throws Exception {
        try (EmbeddedGuest guest = EmbeddedGuest.connect(folder.resolve("nic0"))) {
            guest.sends(3);
            Bundle late = vireo.install("2", ProbeBundle.of("2.0.0", 0, "twice"), 6);
            for (int attempt = 1; attempt <= 2; attempt++) {
                int attempts = attempt;
                Await.until(EmbeddedVireo.LIMIT, "attempt " + attempt, () -> ProbeBundle.count("load") >= attempts);
                guest.sends(20);
                late.stop();
                late.start();
            }
            awaitServedBy("2.0.0");
            guest.sends(3);
            first.uninstall();
            guest.sends(3);
        }
    }

    /** The only one is updated to what fails: the port stays parked, and goes on when a version comes that works. */
    @ParameterizedTest
    @ValueSource(strings = {"activate", "load", "null"})
    void withoutAnotherTheNicWaitsForOneThatWorks(String fails) throws Exception {
        try (EmbeddedGuest guest = EmbeddedGuest.connect(folder.resolve("nic0"))) {
            guest.sends(3);
            first.update(ProbeBundle.of("1.0.1", 0, fails));
            String call = fails.equals("activate") ? "activate" : "load";
            Await.until(EmbeddedVireo.LIMIT, call + " was called", () -> ProbeBundle.count(call) >= (call.equals("activate") ? 2 : 1));
            vireo.awaitNic("nic0 FAILED");
            vireo.awaitNetdev("net0 parked");
            first.update(ProbeBundle.of("1.0.2"));
            vireo.awaitNic("nic0 RUNNING");
            guest.sends(3);
            assertEquals(1, ProbeBundle.count("open"), () -> "what was open went on: " + ProbeBundle.calls());
        }
    }

    /** A NIC that is made when the only one cannot be opened is refused with the reason, and nothing is left of it. */
    @ParameterizedTest
    @CsvSource({"open,this probe cannot open", "null,probe of org.vireo.itests.osgi.probe 1.0.1 gave no port"})
    void aNewNicIsRefusedWithTheReason(String fails, String why) throws Exception {
        first.update(ProbeBundle.of("1.0.1", 0, fails));
        vireo.awaitNetdev("net1 closed");
        Exception e = assertThrows(Exception.class, () -> vireo.addNic("nic1", "net1", folder.resolve("nic1")));
        assertTrue(e.getMessage().contains("nic1") && e.getMessage().contains(why), e.getMessage());
        assertTrue(vireo.nics().stream().noneMatch(n -> n.startsWith("nic1")), () -> "a NIC that was refused");
        first.update(ProbeBundle.of("1.0.2"));
        vireo.addNic("nic1", "net1", folder.resolve("nic1"));
        vireo.awaitNic("nic1 LISTENING");
    }
}
