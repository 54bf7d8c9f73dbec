// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vireo.testsupport.TestProcess;

/** {@code vireo prepare} where it is installed: the command, and beside it the folder of what it runs. */
final class PrepareIT {
    @TempDir
    private Path folder;

    private Path installed;

    @BeforeEach
    void install() throws IOException {
        installed = folder.resolve("dist");
        Files.copy(Vireo.ROOT.resolve("vireo"), folder.resolve("vireo"), StandardCopyOption.COPY_ATTRIBUTES);
        try (var all = Files.walk(Vireo.DIST)) {
            for (Path p : all.filter(p -> !p.toString().contains(".aot")).toList()) {
                Files.copy(p, installed.resolve(Vireo.DIST.relativize(p).toString()));
            }
        }
    }

    private TestProcess prepare(String... arguments) {
        List<String> c = new ArrayList<>(List.of(folder.resolve("vireo").toString(), "prepare"));
        c.addAll(List.of(arguments));
        return TestProcess.start(c, Map.of("JAVA_HOME", System.getProperty("java.home")), null);
    }

    private List<String> caches() throws IOException {
        try (var all = Files.list(installed)) {
            return all.map(p -> p.getFileName().toString()).filter(n -> n.contains(".aot")).sorted().toList();
        }
    }

    @Test
    void makesACacheForTheDaemonAndOneForTheClient() throws IOException {
        Files.writeString(installed.resolve("daemon-24.0.1.aot"), "of a JDK that is no more");
        try (TestProcess p = prepare()) {
            assertEquals(0, p.exitCode(Vireo.LIMIT), () -> String.join("\n", p.lines()));
            assertEquals(List.of(), p.lines());
        }
        assertEquals(List.of("client-" + jdk() + ".aot", "daemon-" + jdk() + ".aot"), caches());
    }

    private static String jdk() throws IOException {
        return Files.readString(Path.of(System.getProperty("java.home"), "release"))
                .lines().filter(l -> l.startsWith("JAVA_RUNTIME_VERSION=")).findFirst().orElseThrow().split("\"")[1];
    }

    @Test
    void whatDoesNotStartIsAnErrorAndNoCache() throws IOException {
        Files.delete(installed.resolve("lib/vireo-launcher.jar"));
        try (TestProcess p = prepare()) {
            assertEquals(1, p.exitCode(Vireo.LIMIT));
            assertEquals(List.of("vireo: the daemon that the caches are made from did not start: 'vireo run' tells why"), p.lines());
        }
        assertEquals(List.of(), caches());
    }

    @Test
    void anArgumentIsAUsageError() {
        try (TestProcess p = prepare("--all")) {
            assertEquals(2, p.exitCode(Vireo.LIMIT));
            assertEquals(List.of("vireo: prepare takes no options, this is one: --all"), p.lines());
        }
    }
}
