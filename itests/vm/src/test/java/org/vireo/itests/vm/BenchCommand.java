// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.vireo.testsupport.TestProcess;

/** {@code vireo bench ... --json}, which checks by itself what has to hold. */
final class BenchCommand {
    private BenchCommand() {
    }

    /**
     * Runs it: it ends well, prints one object, and leaves nothing in the folder that its temporary files are in.
     *
     * @return the object
     */
    static String run(Path folder, Duration limit, String... arguments) throws IOException {
        List<String> c = new ArrayList<>(List.of(Vireo.ROOT.resolve("vireo").toString(), "bench"));
        c.addAll(List.of(arguments));
        c.add("--json");
        try (TestProcess p = TestProcess.start(c, Map.of("VIREO_DIST", Vireo.DIST.toString(), "JAVA_HOME", System.getProperty("java.home"),
                "VIREO_JAVA_OPTIONS", "-Djava.io.tmpdir=" + folder), null)) {
            int code = p.exitCode(limit);
            String all = String.join("\n", p.lines());
            assertEquals(0, code, all);
            assertEquals(1, p.stdout().size(), all);
            try (var left = Files.list(folder)) {
                assertEquals(List.of(), left.toList(), "files that stay");
            }
            return p.stdout().getFirst();
        }
    }
}
