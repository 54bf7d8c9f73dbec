// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.tap.kit;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.File;
import java.net.URISyntaxException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.vireo.testsupport.Requirements;
import org.vireo.testsupport.TestProcess;

/** The backend is a plain module: the kit passes with its jar on the module path, without any framework. */
class ModulePathIT {
    private static final Duration LIMIT = Duration.ofMinutes(5);

    @Test
    void kitPassesOnTheModulePath() throws URISyntaxException {
        Requirements.tap();
        List<Path> jars = new ArrayList<>(Jars.named("vireo-api", "vireo-posix", "vireo-jnr-unixsocket", "vireo-tck", "vireo-test-support",
                "slf4j-api", "slf4j-jdk14", "junit-jupiter", "junit-platform", "opentest4j", "apiguardian"));
        jars.add(Jars.backend());
        List<String> command = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=org.vireo.posix,org.vireo.jnr.unixsocket", "--sun-misc-unsafe-memory-access=allow",
                        "-XX:+UseSerialGC",
                "--add-modules=ALL-MODULE-PATH", "-p", jars.stream().map(Path::toString).collect(Collectors.joining(File.pathSeparator)),
                "-cp", Path.of(ModulePathMain.class.getProtectionDomain().getCodeSource().getLocation().toURI()).toString(),
                ModulePathMain.class.getName()));
        try (TestProcess p = TestProcess.start(command, Map.of(), null)) {
            int code = p.exitCode(LIMIT);
            String output = String.join("\n", p.lines());
            p.awaitLine("TapBackend is in module org.vireo.backend.tap", LIMIT);
            p.awaitLine("NetBackend is in module org.vireo.net.api", LIMIT);
            p.awaitLine("Posix is in module org.vireo.posix", LIMIT);
            p.awaitLine("BackendTck is in module org.vireo.tck", LIMIT);
            assertEquals(0, code, output);
            p.awaitLine(Pattern.compile("succeeded [1-9][0-9]+, failed 0, skipped [0-9]+"), LIMIT);
        }
    }
}
