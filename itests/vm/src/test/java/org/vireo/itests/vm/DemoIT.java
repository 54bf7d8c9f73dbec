// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Isolated;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.Requirements;
import org.vireo.testsupport.TestProcess;

/** {@code vireo demo}: nothing lost, exactly one JSON object, nothing left behind. */
@Isolated("it loads the machine")
final class DemoIT {
    private static final Path ROOT = Path.of(System.getProperty("vireo.root"));
    private static final Path DIST = ROOT.resolve("runtime/launcher/target/dist");
    /** So slow that a machine that stalls for a second loses nothing of it; what a fast one can do is for the benchmark to say. */
    private static final String RATE = "2000";
    private static final Duration LIMIT = Duration.ofSeconds(180);
    private static final Pattern OBJECT = Pattern.compile("\\{\"guest\":\"(soft|qemu)\",\"ping\":\\{\"sent\":([0-9]+),\"lost\":([0-9]+)},"
            + "\"tcp\":\\{\"ok\":(true|false),\"out_mbit\":([0-9.]+),\"in_mbit\":([0-9.]+)},\"handover\":\\{\"count\":([0-9]+),"
            + "\"lost\":(-?[0-9]+),\"duplicated\":([0-9]+),\"reordered\":([0-9]+),"
            + "\"freezeMicros\":\\{\"median\":([0-9]+),\"p99\":([0-9]+),\"max\":([0-9]+)}},\"swap\":\\{\"count\":([0-9]+),"
            + "\"lost\":(-?[0-9]+),\"duplicated\":([0-9]+),\"reordered\":([0-9]+),"
            + "\"freezeMicros\":\\{\"median\":([0-9]+),\"p99\":([0-9]+),\"max\":([0-9]+)}}}");

    @TempDir
    private Path folder;

    @BeforeEach
    void requirements() {
        Requirements.tap();
        Requirements.root();
        Requirements.command("ping");
        Requirements.command("unshare");
        assertTrue(Files.isDirectory(DIST.resolve("tools")), DIST + " is not built: run mvn from the root");
    }

    @AfterEach
    void nothingStays() throws IOException {
        try (var left = Files.list(folder)) {
            assertEquals(List.of(), left.toList(), "files that stay");
        }
        Await.until(Duration.ofSeconds(10), "the end of all processes that know " + folder, () -> processes().isEmpty());
    }

    /** Processes whose command line names this test's folder. */
    private List<String> processes() throws IOException {
        List<String> found = new ArrayList<>();
        try (var all = Files.newDirectoryStream(Path.of("/proc"), "[0-9]*")) {
            for (Path p : all) {
                try {
                    String c = Files.readString(p.resolve("cmdline"), java.nio.charset.StandardCharsets.ISO_8859_1);
                    if (c.contains(folder.toString())) {
                        found.add(p.getFileName() + " " + c.replace('\0', ' '));
                    }
                } catch (IOException e) {
                    // it has just ended
                }
            }
        }
        return found;
    }

    private TestProcess demo(List<String> before, String... arguments) {
        List<String> c = new ArrayList<>(before);
        c.addAll(List.of(ROOT.resolve("vireo").toString(), "demo"));
        c.addAll(List.of(arguments));
        return TestProcess.start(c, Map.of("VIREO_DIST", DIST.toString(), "JAVA_HOME", System.getProperty("java.home"),
                "VIREO_JAVA_OPTIONS", "-Djava.io.tmpdir=" + folder), null);
    }

    private static Matcher result(TestProcess p) {
        int code = p.exitCode(LIMIT);
        String all = String.join("\n", p.lines());
        assertEquals(1, p.stdout().size(), all);
        Matcher m = OBJECT.matcher(p.stdout().getFirst());
        assertTrue(m.matches(), all);
        assertEquals(0, code, all);
        return m;
    }

    private static void assertClean(Matcher m, String guest, int count) {
        assertEquals(guest, m.group(1));
        assertTrue(Integer.parseInt(m.group(2)) > 0 && m.group(3).equals("0"), m.group());
        assertEquals("true", m.group(4));
        assertTrue(Double.parseDouble(m.group(5)) > 0 && Double.parseDouble(m.group(6)) > 0, m.group());
        // handovers, then swaps
        for (int at : new int[] {7, 14}) {
            assertEquals(List.of(String.valueOf(count), "0", "0", "0"),
                    List.of(m.group(at), m.group(at + 1), m.group(at + 2), m.group(at + 3)));
            long median = Long.parseLong(m.group(at + 4));
            long p99 = Long.parseLong(m.group(at + 5));
            assertTrue(median > 0 && median <= p99 && p99 <= Long.parseLong(m.group(at + 6)), m.group());
        }
    }

    @Test
    void nothingIsLostWithALinuxGuest() {
        Requirements.qemu();
        try (TestProcess p = demo(List.of(), "--guest", "qemu", "--count", "2", "--rate", RATE, "--json")) {
            assertClean(result(p), "qemu", 2);
        }
    }

    @Test
    void nothingIsLostWithASoftGuestAlsoWithoutRoot() {
        // as user 1000 of a namespace that has no root, and whose files are this user's
        List<String> user = List.of("unshare", "--user", "--map-user=1000", "--map-group=1000", "--");
        try (TestProcess p = TestProcess.start("unshare", "--user", "--map-user=1000", "--map-group=1000", "--", "unshare", "--user",
                "--map-root-user", "--net", "true")) {
            Requirements.require(p.exitCode(LIMIT) == 0, "user namespaces for users: " + p.lines());
        }
        try (TestProcess p = demo(user, "--count", "2", "--rate", RATE, "--json")) {
            assertClean(result(p), "soft", 2);
            assertTrue(p.stderr().stream().anyMatch(l -> l.contains("handover 2 of 2")), "progress on the standard error");
        }
    }

    @Test
    void anInterruptLeavesNothingBehind() {
        try (TestProcess p = demo(List.of(), "--count", "3", "--rate", RATE)) {
            p.awaitLine("handover 1 of 3", LIMIT);
            p.signal("INT");
            assertNotEquals(0, p.exitCode(Duration.ofSeconds(30)));
            assertEquals(List.of(), p.stdout());
        }
    }

    @Test
    void aWrongCommandLineIsOneLineAndTwo() {
        try (TestProcess p = demo(List.of(), "--guest", "paper")) {
            assertEquals(2, p.exitCode(LIMIT));
            assertEquals(List.of("vireo demo: --guest paper is not known; there are soft and qemu"), p.lines());
        }
    }
}
