// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.vireo.testsupport.TestBundle;
import org.vireo.testsupport.TestProcess;

/**
 * Backends of third parties, built by Maven as their authors build them: the examples, and a project that the archetype generates. All
 * are copies under target. The repository that Maven uses is the user's own, by links, but for org.vireo: what was just packaged is
 * there, without having been installed, and nothing of Vireo gets into the user's.
 */
final class ThirdParty {
    /** The artifacts that those projects need, and where they are made. */
    private static final Map<String, String> ARTIFACTS = Map.of("vireo", ".", "vireo-runtime", "runtime", "vireo-itests", "itests",
            "vireo-api", "api", "vireo-posix", "runtime/posix", "vireo-jnr-unixsocket", "runtime/jnr-unixsocket",
            "vireo-tck", "itests/tck", "vireo-test-support", "itests/support", "vireo-backend-archetype", "archetype");
    private static final Duration LIMIT = Duration.ofMinutes(5);
    private static final Path WORK = Vireo.ROOT.resolve("itests/vm/target/thirdparty");
    private static final Path REPOSITORY = WORK.resolve("repository");
    private static final Path USERS = Path.of(System.getProperty("vireo.repository"));
    private static final String VERSION = System.getProperty("vireo.version");
    private static final Pattern OF_RINGS = Pattern.compile("Assumption failed: this backend does not take the guest's rings");
    private static final Pattern CASES = Pattern.compile(
            "<testsuite [^>]* tests=\"(\\d+)\" errors=\"0\" skipped=\"(\\d+)\" failures=\"0\"");

    private ThirdParty() {
    }

    /** Where a project is. */
    static Path project(String name) {
        return WORK.resolve(name);
    }

    /** The bundle that a project has built. */
    static Path jar(String project) {
        return project(project).resolve("target").resolve(project + "-1.0.0.jar");
    }

    /** Begins anew: a repository with what this build has packaged. */
    static void begin() throws IOException {
        delete(WORK);
        Files.createDirectories(REPOSITORY.resolve("org/vireo"));
        Files.createDirectories(USERS.resolve("org"));
        link(USERS, REPOSITORY, "org");
        link(USERS.resolve("org"), REPOSITORY.resolve("org"), "vireo");
        for (Map.Entry<String, String> a : ARTIFACTS.entrySet()) {
            Path to = Files.createDirectories(REPOSITORY.resolve("org/vireo").resolve(a.getKey()).resolve(VERSION));
            Path from = Vireo.ROOT.resolve(a.getValue());
            String name = a.getKey() + "-" + VERSION;
            Files.copy(from.resolve("pom.xml"), to.resolve(name + ".pom"));
            Path jar = from.resolve("target").resolve(name + ".jar");
            boolean parent = Files.readString(from.resolve("pom.xml")).contains("<packaging>pom</packaging>");
            assertTrue(parent || Files.isRegularFile(jar), jar + " is not built: run mvn from the root");
            if (!parent) {
                Files.copy(jar, to.resolve(jar.getFileName()));
            }
        }
    }

    private static void link(Path from, Path to, String but) throws IOException {
        try (Stream<Path> all = Files.list(from)) {
            for (Path p : all.filter(p -> !p.getFileName().toString().equals(but)).toList()) {
                Files.createSymbolicLink(to.resolve(p.getFileName()), p);
            }
        }
    }

    /** Copies the sources of an example. */
    static void copyExample(String name) throws IOException {
        Path from = Vireo.ROOT.resolve("examples").resolve(name);
        try (Stream<Path> all = Files.walk(from)) {
            for (Path p : all.filter(p -> !from.relativize(p).startsWith("target")).toList()) {
                Files.copy(p, project(name).resolve(from.relativize(p).toString()));
            }
        }
    }

    /** Generates a project, as docs/write-a-backend.md says. */
    static void generate(String name, String type) {
        maven(List.of(System.getProperty("vireo.archetype.plugin") + ":generate", "-DarchetypeCatalog=local",
                "-DarchetypeGroupId=org.vireo", "-DarchetypeArtifactId=vireo-backend-archetype", "-DarchetypeVersion=" + VERSION,
                "-DgroupId=com.example", "-DartifactId=" + name, "-Dtype=" + type));
    }

    /** Builds projects, each with its tests, in one run of Maven. */
    static void verify(String... projects) throws IOException {
        StringBuilder modules = new StringBuilder();
        for (String p : projects) {
            modules.append("<module>").append(p).append("</module>");
        }
        Files.writeString(WORK.resolve("pom.xml"), "<project><modelVersion>4.0.0</modelVersion><groupId>com.example</groupId>"
                + "<artifactId>all</artifactId><version>1</version><packaging>pom</packaging><modules>" + modules + "</modules></project>");
        maven(List.of("verify"));
        keepDownloads();
    }

    private static void maven(List<String> arguments) {
        List<String> c = new ArrayList<>(List.of(System.getProperty("vireo.maven"), "-q", "-B", "-ntp",
                "-Dmaven.repo.local=" + REPOSITORY));
        if (System.getProperty("vireo.offline").equals("offline=true")) {
            c.add("-o");
        }
        c.addAll(arguments);
        try (TestProcess p = TestProcess.start(c, Map.of("MAVEN_OPTS", "-XX:TieredStopAtLevel=1"), WORK)) {
            int code = p.exitCode(LIMIT);
            assertEquals(0, code, () -> String.join(" ", c) + "\n" + String.join("\n", p.lines()));
        }
    }

    /** What was downloaded into folders that the user's repository did not have goes there, for the next build that may not download. */
    private static void keepDownloads() throws IOException {
        Files.walkFileTree(REPOSITORY, new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult preVisitDirectory(Path dir, BasicFileAttributes a) {
                return dir.equals(REPOSITORY.resolve("org/vireo")) ? FileVisitResult.SKIP_SUBTREE : FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes a) throws IOException {
                Path there = USERS.resolve(REPOSITORY.relativize(file).toString());
                if (a.isRegularFile() && !Files.exists(there)) {
                    Files.createDirectories(there.getParent());
                    Files.copy(file, there);
                }
                return FileVisitResult.CONTINUE;
            }
        });
    }

    /**
     * The reports of a project's tests have no failure.
     *
     * @param least tests that must have run
     * @param skipped that may not have, since the backend does not have what they are about; those about rings are not counted
     */
    static void expectTested(String project, int least, int skipped) throws IOException {
        int tests = 0;
        int left = 0;
        try (Stream<Path> all = Files.list(project(project).resolve("target/surefire-reports"))) {
            for (Path p : all.filter(p -> p.getFileName().toString().endsWith(".xml")).toList()) {
                String report = Files.readString(p);
                Matcher m = CASES.matcher(report);
                assertTrue(m.find(), p + " tells of failures, or of nothing");
                tests += Integer.parseInt(m.group(1));
                left += Integer.parseInt(m.group(2)) - (int) OF_RINGS.matcher(report).results().count();
            }
        }
        assertTrue(tests >= least, project + " has run " + tests + " tests");
        assertEquals(skipped, left, project + " has left tests out");
    }

    /** Another version of a bundle that was built. */
    static Path version(String project, String version) throws IOException {
        return TestBundle.variant(jar(project), WORK.resolve(project + "-" + version + ".jar"),
                Map.of("Bundle-Version", version));
    }

    /** A folder with a project's bundle, for --backends. */
    static Path folder(String project) throws IOException {
        Path folder = Files.createDirectories(WORK.resolve("backends-" + project));
        Files.copy(jar(project), folder.resolve(project + ".jar"), StandardCopyOption.REPLACE_EXISTING);
        return folder;
    }

    private static void delete(Path tree) throws IOException {
        if (Files.exists(tree)) {
            try (Stream<Path> all = Files.walk(tree)) {
                for (Path p : all.sorted(Comparator.reverseOrder()).toList()) {
                    Files.delete(p);
                }
            }
        }
    }
}
