// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.host;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Where the programs are that a run starts. */
public final class Tools {
    private Tools() {
    }

    /**
     * A Java program of this distribution's tools: small, and quick to start rather than fast for hours.
     *
     * @param main its class
     * @param arguments its arguments
     * @return the command
     */
    public static List<String> java(String main, String... arguments) {
        List<String> c = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow", "-XX:+UseSerialGC", "-Xms16m", "-Xmx96m",
                "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-cp", System.getProperty("java.class.path"), main));
        c.addAll(List.of(arguments));
        return c;
    }

    /** The distribution. */
    public static Path home() {
        return Path.of(property("vireo.home"));
    }

    /** The command {@code vireo}. */
    public static Path vireo() {
        return Path.of(property("vireo.command"));
    }

    private static String property(String name) {
        String v = System.getProperty(name);
        if (v == null) {
            throw new IllegalStateException("property " + name + " is missing: start this with the command vireo");
        }
        return v;
    }

    /**
     * Needs commands.
     *
     * @param commands pairs of a command and the Debian package that has it
     * @throws BenchException the missing packages by name
     */
    public static void require(String... commands) throws BenchException {
        List<String> missing = new ArrayList<>();
        for (int i = 0; i < commands.length; i += 2) {
            if (find(commands[i]) == null) {
                missing.add(commands[i] + " (package " + commands[i + 1] + ")");
            }
        }
        if (!missing.isEmpty()) {
            throw new BenchException("missing: " + String.join(", ", missing));
        }
    }

    /** The path of a command, which may be one already, or null. */
    public static Path find(String command) {
        if (command.startsWith("/")) {
            return Files.isRegularFile(Path.of(command)) ? Path.of(command) : null;
        }
        String path = System.getenv().getOrDefault("PATH", "") + ":/usr/sbin:/sbin:/usr/bin:/bin";
        for (String dir : path.split(":")) {
            Path p = Path.of(dir, command);
            if (!dir.isEmpty() && Files.isRegularFile(p) && Files.isExecutable(p)) {
                return p;
            }
        }
        return null;
    }

    /** Removes the socket that a server which was killed, or of DPDK, has left: the next one would not replace it. */
    public static void removeSocket(Path socket) throws BenchException {
        try {
            Files.deleteIfExists(socket);
        } catch (IOException e) {
            throw new BenchException(socket + ": " + e.getMessage(), e);
        }
    }
}
