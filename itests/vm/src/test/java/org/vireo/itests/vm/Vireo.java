// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.vireo.testsupport.TestNamespace;
import org.vireo.testsupport.TestProcess;

/** A daemon as an operator starts it, in a name space of the test's. */
final class Vireo implements AutoCloseable {
    static final Path ROOT = Path.of(System.getProperty("vireo.root"));
    static final Path DIST = ROOT.resolve("runtime/launcher/target/dist");
    static final Duration LIMIT = Duration.ofSeconds(60);
    /** An upgrade starts two daemons: on a busy machine that takes its time. */
    private static final Duration COMMAND_LIMIT = Duration.ofMinutes(3);

    private final TestProcess process;
    private final Path qmp;

    private Vireo(TestProcess process, Path qmp) {
        this.process = process;
        this.qmp = qmp;
    }

    /** Starts one and waits until it is ready. */
    static Vireo run(TestNamespace namespace, Path qmp, String... options) {
        assertTrue(Files.isDirectory(DIST.resolve("bundles")), DIST + " is not built: run mvn from the root");
        List<String> c = new ArrayList<>(List.of(ROOT.resolve("vireo").toString(), "run", "--qmp", qmp.toString()));
        c.addAll(List.of(options));
        TestProcess p = TestProcess.start(namespace.command(c), environment(), null);
        p.awaitLine("ready", LIMIT);
        return new Vireo(p, qmp);
    }

    /** One that somebody else starts. */
    static Vireo of(TestProcess starter, Path qmp) {
        return new Vireo(starter, qmp);
    }

    static Map<String, String> environment() {
        return Map.of("VIREO_DIST", DIST.toString(), "JAVA_HOME", System.getProperty("java.home"));
    }

    /** Runs a client command against it, which has to succeed. */
    List<String> client(String... command) {
        try (TestProcess p = start(command)) {
            int code = p.exitCode(COMMAND_LIMIT);
            assertTrue(code == 0, String.join("\n", p.lines()));
            return p.stdout();
        }
    }

    /** Runs a client command against it, which has to fail: what it says. */
    List<String> failingClient(String... command) {
        try (TestProcess p = start(command)) {
            int code = p.exitCode(COMMAND_LIMIT);
            assertTrue(code == 1, code + ": " + String.join("\n", p.lines()));
            return p.lines();
        }
    }

    private TestProcess start(String... command) {
        List<String> c = new ArrayList<>(List.of(ROOT.resolve("vireo").toString()));
        c.addAll(List.of(command));
        c.addAll(List.of("--qmp", qmp.toString()));
        return TestProcess.start(c, environment(), null);
    }

    TestProcess process() {
        return process;
    }

    @Override
    public void close() {
        process.close();
    }
}
