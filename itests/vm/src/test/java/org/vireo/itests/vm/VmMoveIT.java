// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Isolated;
import org.vireo.testsupport.Requirements;

/**
 * The short part of what {@code vireo bench} knows of VMs that move: to another host by copying memory, where every byte is compared, and
 * to another VMM on the same host, where something goes wrong in the middle. What holds is checked by the commands themselves.
 */
@Isolated("it loads the machine")
final class VmMoveIT {
    private static final Duration LIMIT = Duration.ofMinutes(3);

    @TempDir
    private Path folder;

    private String bench(String... more) throws IOException {
        Requirements.root();
        Requirements.tap();
        Requirements.command("unshare");
        return BenchCommand.run(folder, LIMIT, more);
    }

    @Test
    void aVmComesWholeToAnotherHostAndAPageThatIsNotMarkedIsFound() throws IOException {
        String said = bench("vm-migration", "--count", "4", "--packed", "on");
        assertTrue(said.contains("\"moves\":4") && said.contains("\"differentPages\":0") && said.contains("found: page 0x"), said);
    }

    @Test
    void whateverGoesWrongTheVmHasItsTapWhereItRuns() throws IOException {
        String said = bench("vm-phases", "--quick");
        assertTrue(said.contains("target dies at started") && said.contains("daemon killed at memory"), said);
    }
}
