// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Isolated;
import org.vireo.testsupport.Requirements;

/**
 * The short part of the failure matrix: {@code vireo bench faults --quick} kills and stops source and target at exact points of a
 * handover, and has the VMM hang up there. What holds after each is checked by the command itself, see docs/handover.md.
 */
@Isolated("it loads the machine")
final class FaultMatrixIT {
    private static final Duration LIMIT = Duration.ofMinutes(5);
    private static final int CASES = 11;
    private static final Pattern ROW = Pattern.compile("\\{\"step\":.*?\"problems\":\\[(.*?)]}");

    @TempDir
    private Path folder;

    @Test
    void whateverFailsOneProcessHasTheNicAndTheGuestGoesOn() throws IOException {
        Requirements.root();
        Requirements.tap();
        Requirements.command("unshare");
        Requirements.command("cc");
        String said = BenchCommand.run(folder, LIMIT, "faults", "--quick");
        List<String> problems = ROW.matcher(said).results().map(r -> r.group(1)).toList();
        assertEquals(List.of(), problems.stream().filter(p -> !p.isEmpty()).toList(), said);
        assertEquals(CASES, problems.size(), said);
    }
}
