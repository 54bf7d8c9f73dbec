// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.Requirements;
import org.vireo.testsupport.TestNamespace;
import org.vireo.testsupport.TestProcess;

/** DPDK's testpmd as the guest (virtio-user), in both socket roles: its frames reach the TAP. */
final class DpdkGuestIT {
    private static final Path HUGE_PAGES = Path.of("/proc/sys/vm/nr_hugepages");
    private static final int PAGES = 160;
    private static final long FRAMES = 10_000;

    @TempDir
    private Path folder;
    private TestNamespace namespace;
    private String hugePagesBefore;

    @BeforeEach
    void requirements() throws IOException {
        Requirements.root();
        Requirements.tap();
        Requirements.namespaces();
        Requirements.dpdk();
        hugePagesBefore = String.valueOf(pages());
        Await.until(Duration.ofSeconds(20), PAGES + " huge pages (vm.nr_hugepages)", DpdkGuestIT::reservePages);
        namespace = TestNamespace.create();
    }

    @AfterEach
    void cleanUp() throws IOException {
        if (namespace != null) {
            namespace.close();
            Files.writeString(HUGE_PAGES, hugePagesBefore);
        }
    }

    /** The kernel gives what it finds in one piece just now. */
    private static boolean reservePages() throws IOException {
        if (pages() < PAGES) {
            Files.writeString(Path.of("/proc/sys/vm/compact_memory"), "1");
            Files.writeString(HUGE_PAGES, String.valueOf(PAGES));
        }
        return pages() >= PAGES;
    }

    /** In one read: the kernel gives a number of this kind only to the first one, as far as its buffer reaches. */
    private static int pages() throws IOException {
        try (BufferedReader r = Files.newBufferedReader(HUGE_PAGES)) {
            return Integer.parseInt(r.readLine());
        }
    }

    private TestProcess testpmd(Path socket, String role) {
        return TestProcess.start(List.of("dpdk-testpmd", "--lcores", "0@0,1@1", "--in-memory", "-m", "256", "--iova-mode=va", "--no-pci",
                "--no-telemetry", "--file-prefix=vireo-" + ProcessHandle.current().pid(), "--single-file-segments", "--vdev",
                "net_virtio_user0,path=" + socket + ",queues=1" + role, "--", "--total-num-mbufs=16384", "--forward-mode=txonly",
                "--txpkts=64", "--auto-start", "--stats-period", "1", "--no-flush-rx"), Map.of(), folder);
    }

    private void assertTransmits(Path socket, String server, String role) {
        try (Vireo vireo = Vireo.run(namespace, folder.resolve("qmp"), "--netdev", "tap,id=net0,ifname=vdpdk0", "--nic",
                "id=nic0,netdev=net0,reconnect-ms=100,server=" + server + ",socket=" + socket);
                TestProcess guest = testpmd(socket, role)) {
            namespace.run("ip", "link", "set", "vdpdk0", "up");
            Await.until(Duration.ofSeconds(60), FRAMES + " frames of " + guest + " on the TAP",
                    () -> namespace.framesReceived("vdpdk0") > FRAMES);
            assertTrue(vireo.process().isAlive());
        }
    }

    @Test
    void virtioUserAsClient() {
        assertTransmits(folder.resolve("vu"), "on", "");
    }

    @Test
    void virtioUserAsServer() {
        assertTransmits(folder.resolve("vu"), "off", ",server=1");
    }
}
