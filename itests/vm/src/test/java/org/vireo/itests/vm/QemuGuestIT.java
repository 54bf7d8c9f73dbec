// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Isolated;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.Requirements;
import org.vireo.testsupport.TestNamespace;
import org.vireo.testsupport.TestProcess;

/** A real Linux guest under QEMU: it has network, keeps it while its NIC moves to other processes, and has it again when one was killed. */
@Isolated("it loads the machine")
final class QemuGuestIT {
    private static final String HOST = "192.0.2.1";
    private static final String GUEST = "192.0.2.2";
    private static final Duration BOOT = Duration.ofSeconds(120);
    private static final int HANDOVERS = 2;
    private static final int KILLS = Integer.getInteger("vireo.qemu.kills", 1);
    private static final int RING = 256;

    @TempDir
    private Path folder;
    private TestNamespace namespace;

    @BeforeEach
    void requirements() {
        Requirements.root();
        Requirements.tap();
        Requirements.namespaces();
        Requirements.qemu();
        Requirements.command("cpio");
        Requirements.command("ping");
        namespace = TestNamespace.create();
    }

    @AfterEach
    void cleanUp() {
        if (namespace != null) {
            namespace.close();
        }
    }

    private Pings ping(int count, String interval) {
        return Pings.start(namespace, GUEST, count, interval);
    }

    private Vireo daemon(Path socket, int number) {
        Vireo v = Vireo.run(namespace, folder.resolve("qmp" + number), "--netdev", "tap,id=net0,ifname=vqemu0", "--nic",
                "id=nic0,netdev=net0,mac=52:54:00:00:00:01,socket=" + socket);
        namespace.run("ip", "addr", "add", HOST + "/24", "dev", "vqemu0");
        namespace.run("ip", "link", "set", "vqemu0", "up");
        return v;
    }

    private void awaitAnswer() {
        Await.until(Duration.ofSeconds(20), "an answer of the guest", () -> Pings.isAnswered(namespace, GUEST));
    }

    @Test
    void keepsItsNetworkThroughHandoversAndHasItAgainAfterKills() throws IOException {
        Path socket = folder.resolve("vu");
        Path image = GuestImage.build(folder, GUEST + "/24");
        Vireo owner = daemon(socket, 0);
        try (TestProcess guest = Qemu.start(folder, image, socket, Qemu.PRIVATE)) {
            guest.awaitLine(GuestImage.READY, BOOT);
            awaitAnswer();
            try (Pings pings = ping(200, "0.05")) {
                pings.await(10);
                for (int i = 1; i <= HANDOVERS; i++) {
                    Path channel = folder.resolve("handover" + i);
                    Vireo next = Vireo.run(namespace, folder.resolve("qmp" + i), "--incoming", "unix:" + channel);
                    List<String> report = owner.client("migrate", "unix:" + channel);
                    assertTrue(String.join("\n", report).contains("moved"), () -> String.join("\n", report));
                    owner.close();
                    owner = next;
                }
                pings.assertAllAnswered(200);
            }
            for (int i = 1; i <= KILLS; i++) {
                try (Pings load = ping(1_000_000, "0.002")) {
                    load.await(100);
                    owner.process().signal("KILL");
                    assertTrue(owner.process().exitCode(Duration.ofSeconds(20)) == 128 + 9);
                    owner = daemon(socket, HANDOVERS + i);
                }
                awaitAnswer();
            }
            // around each ring, with each of its entries
            try (Pings pings = ping(2 * RING, "0.005")) {
                pings.assertAllAnswered(2 * RING);
            }
        } finally {
            owner.close();
        }
    }
}
