// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.stress;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vireo.testsupport.TestProcess;

/**
 * Runs the stress tests of this module, in one way of compiling. With {@code -Dvireo.stress.mode=tough} it takes half an hour and tries
 * each side interpreted, compiled, and compiled well.
 */
class SharedWordTest {
    private static final String MODE = System.getProperty("vireo.stress.mode", "quick");
    private static final boolean QUICK = MODE.equals("quick");

    @TempDir
    private Path folder;

    @Test
    void theWordHasOneWinnerAndIsSeenAfterWhatWasWrittenBefore() {
        List<String> c = new ArrayList<>(TestProcess.java("-cp", System.getProperty("java.class.path"), "org.openjdk.jcstress.Main",
                "-m", MODE, "-t", "org.vireo.itests.stress", "-r", folder.toString(), "-strideSize", "64", "-strideCount", "1",
                "-sc", String.valueOf(!QUICK), "-v", "-jvmArgs",
                "--enable-native-access=ALL-UNNAMED --sun-misc-unsafe-memory-access=allow -XX:+UseSerialGC -Xmx256m"));
        try (TestProcess p = TestProcess.start(c, Map.of(), folder)) {
            int code = p.exitCode(Duration.ofMinutes(QUICK ? 2 : 60));
            String all = String.join("\n", p.lines());
            assertEquals(0, code, all);
            assertTrue(p.lines().stream().anyMatch(l -> l.contains("Failed tests: No matches")), all);
            assertTrue(p.lines().stream().anyMatch(l -> l.contains("Error tests: No matches")), all);
            for (Class<?> test : List.of(OneWinner.class, WrittenBeforeTheWord.class)) {
                assertTrue(p.lines().stream().anyMatch(l -> l.contains("[OK] " + test.getName())), () -> test + "\n" + all);
            }
        }
    }
}
