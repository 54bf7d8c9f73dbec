// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.vireo.testsupport.Requirements;

/** A process that runs out of descriptors refuses what it cannot do and goes on with what it has. */
class FewDescriptorsTest {
    @Test
    void aProcessWithoutDescriptorsGoesOn() throws Exception {
        Requirements.command("prlimit");
        Path out = Files.createTempFile("few-descriptors", ".out");
        List<String> command = new ArrayList<>(List.of("prlimit", "--nofile=110:110",
                Path.of(System.getProperty("java.home"), "bin", "java").toString(), "--enable-native-access=ALL-UNNAMED",
                "--sun-misc-unsafe-memory-access=allow", "-XX:+UseSerialGC", "-Xmx128m", "-XX:-MaxFDLimit", "-cp",
                System.getProperty("java.class.path"), FewDescriptors.class.getName()));
        Process p = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(out.toFile()).start();
        try {
            assertTrue(p.waitFor(120, TimeUnit.SECONDS), "the forked JVM does not end");
            String text = Files.readString(out, StandardCharsets.UTF_8);
            assertEquals(0, p.exitValue(), text);
            assertTrue(text.contains("went on"), text);
        } finally {
            p.destroyForcibly();
            Files.delete(out);
        }
    }
}
