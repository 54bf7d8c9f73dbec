// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.osgi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.vireo.testsupport.Requirements;
import org.vireo.testsupport.TestProcess;
import org.vireo.testsupport.TestTap;

/** A backend is a module that can be loaded into a layer of its own, as docs/contract.md shows: with these very lines. */
class WithoutOsgiIT {
    private static final Duration LIMIT = Duration.ofSeconds(60);

    private static TestProcess start(String backend, String type, String option) throws URISyntaxException {
        String modules = Stream.of("vireo-api", "vireo-posix", "vireo-jnr-unixsocket", "vireo-vhost-user", "slf4j-api", "slf4j-jdk14")
                .map(a -> House.jar(a).toString()).collect(Collectors.joining(File.pathSeparator));
        return TestProcess.start(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=org.vireo.posix,org.vireo.jnr.unixsocket", "--sun-misc-unsafe-memory-access=allow",
                "--add-modules=ALL-MODULE-PATH", "-p", modules,
                "-cp", Path.of(WithoutOsgi.class.getProtectionDomain().getCodeSource().getLocation().toURI()).toString(),
                WithoutOsgi.class.getName(), House.jar(backend).toString(), type, option), Map.of(), null);
    }

    @Test
    void theTapBackendSendsAFrame() throws Exception {
        Requirements.tap();
        try (TestTap tap = TestTap.tap("vnet_hdr").up();
                TestProcess p = start("vireo-backend-tap", "org.vireo.backend.tap.TapBackend", "ifname=" + tap.name())) {
            assertEquals(0, p.exitCode(LIMIT), p.lines().toString());
            assertTrue(p.lines().containsAll(List.of("module org.vireo.backend.tap in the boot layer: false", "taken", "sent")),
                    p.lines().toString());
            assertEquals(1, tap.statistic("rx_packets"));
        }
    }

    @Test
    void theVhostUserBackendIsThereAndSaysWhatIsMissing() throws Exception {
        try (TestProcess p = start("vireo-backend-vhost-user", "org.vireo.backend.vhostuser.VhostUserBackend", "path=/tmp/x")) {
            assertEquals(0, p.exitCode(LIMIT), p.lines().toString());
            assertTrue(p.lines().contains("module org.vireo.backend.vhostuser in the boot layer: false"), p.lines().toString());
            assertTrue(p.lines().stream().anyMatch(l -> l.startsWith("refused: netdev net0: no back-end")), p.lines().toString());
        }
    }

    @Test
    void theDocumentHasTheseLines() throws IOException {
        Path root = Path.of(House.property("sources.dir"));
        String source = Files.readString(root.resolve("itests/osgi/src/test/java/org/vireo/itests/osgi/WithoutOsgi.java"));
        String example = source.substring(source.indexOf("// [the example\n") + "// [the example\n".length(),
                source.indexOf("    // the example]")).stripTrailing().stripIndent() + "\n";
        assertTrue(Files.readString(root.resolve("docs/contract.md")).contains("```java\n" + example + "```\n"),
                "docs/contract.md does not have the lines of WithoutOsgi.java:\n" + example);
    }
}
