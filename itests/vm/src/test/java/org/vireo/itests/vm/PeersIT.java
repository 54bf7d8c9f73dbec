// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Isolated;
import org.vireo.testsupport.Requirements;
import org.vireo.testsupport.TestProcess;

/**
 * The short part of the matrix of peers: {@code vireo bench peers --quick} does to a Linux under QEMU and to DPDK's virtio-user what their
 * operators do. What has to hold is checked by the command itself, see docs/peers.md.
 */
@Isolated("it loads the machine")
final class PeersIT {
    private static final Duration LIMIT = Duration.ofMinutes(5);
    private static final int CASES = 2;
    private static final Pattern RESULT = Pattern.compile("\"result\":\"(.*?)\"");

    @TempDir
    private Path folder;

    @Test
    void whatIsDoneToGuestsLeavesThemTheirNetwork() throws IOException {
        Requirements.root();
        Requirements.tap();
        Requirements.namespaces();
        Requirements.qemu();
        Requirements.dpdk();
        Requirements.command("ping");
        Requirements.command("ethtool");
        try (TestProcess p = TestProcess.start(List.of(Vireo.ROOT.resolve("vireo").toString(), "bench", "peers", "--quick", "--json"),
                Map.of("VIREO_DIST", Vireo.DIST.toString(), "JAVA_HOME", System.getProperty("java.home"), "VIREO_JAVA_OPTIONS",
                        "-Djava.io.tmpdir=" + folder), null)) {
            int code = p.exitCode(LIMIT);
            String all = String.join("\n", p.lines());
            assertEquals(0, code, all);
            assertEquals(1, p.stdout().size(), all);
            List<String> results = RESULT.matcher(p.stdout().getFirst()).results().map(r -> r.group(1)).toList();
            assertEquals(Collections.nCopies(CASES, "ok"), results, all);
        }
        try (var left = Files.list(folder)) {
            assertEquals(List.of(), left.toList(), "files that stay");
        }
    }
}
