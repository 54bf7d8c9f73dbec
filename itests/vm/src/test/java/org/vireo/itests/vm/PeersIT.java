// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Collections;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Isolated;
import org.vireo.testsupport.Requirements;

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
        String said = BenchCommand.run(folder, LIMIT, "peers", "--quick");
        assertEquals(Collections.nCopies(CASES, "ok"), RESULT.matcher(said).results().map(r -> r.group(1)).toList(), said);
    }
}
