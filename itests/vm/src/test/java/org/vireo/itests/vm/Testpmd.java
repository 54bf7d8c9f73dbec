// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.vireo.testsupport.TestNamespace;
import org.vireo.testsupport.TestProcess;

/**
 * DPDK's testpmd as an external back-end: it serves a NIC's rings, and passes frames between them and an interface. It needs no huge
 * pages, since the memory that it works on is the guest's; and it polls with what the others leave of the processors.
 */
final class Testpmd {
    /** What {@code --no-huge} leaves it to have. */
    private static final String MEGABYTES = "256";

    private Testpmd() { }

    /** Listens at the path, as DPDK's vhost does unless it is told otherwise. What one that was killed has left there is removed. */
    static TestProcess listening(TestNamespace namespace, Path socket, String interfaceName) throws IOException {
        Files.deleteIfExists(socket);
        return TestProcess.start(namespace.command(List.of("nice", "-n", "19", "dpdk-testpmd", "--lcores", "0@(0-1),1@(0-1)", "--no-huge",
                "-m", MEGABYTES, "--iova-mode=va", "--no-pci", "--no-telemetry", "--file-prefix=" + namespace.name(),
                "--vdev", "net_vhost0,iface=" + socket + ",queues=1", "--vdev", "net_af_packet0,iface=" + interfaceName, "--",
                "--total-num-mbufs=4096", "--forward-mode=io", "--auto-start", "--stats-period", "1", "--no-lsc-interrupt",
                "--disable-link-check")), Map.of(), null);
    }
}
