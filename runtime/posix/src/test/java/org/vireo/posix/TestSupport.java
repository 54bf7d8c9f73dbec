// SPDX-License-Identifier: Apache-2.0
package org.vireo.posix;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import java.util.stream.Stream;

/** What the tests of this module share. */
public final class TestSupport {
    private TestSupport() {
    }

    /**
     * Waits for a condition, at most 10 s.
     *
     * @param what the condition, for the message
     * @param condition looked at every millisecond
     */
    public static void await(String what, BooleanSupplier condition) {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(10);
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() > end) {
                fail("not within 10 s: " + what);
            }
            LockSupport.parkNanos(1_000_000);
        }
    }

    /**
     * The descriptors of this process.
     *
     * @return how many are open
     * @throws IOException there is no /proc
     */
    public static long openDescriptors() throws IOException {
        try (Stream<Path> all = Files.list(Path.of("/proc/self/fd"))) {
            return all.count();
        }
    }

    /**
     * Fails if descriptors were lost. Waits a little, since the JVM opens and closes files of its own meanwhile.
     *
     * @param before how many were open
     */
    public static void assertNoMoreDescriptorsThan(long before) {
        await("no more than " + before + " open descriptors", () -> {
            try {
                return openDescriptors() <= before;
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        });
    }

    /**
     * Runs a main class of the tests in a JVM that may have only so many descriptors.
     *
     * @param most RLIMIT_NOFILE
     * @param main the class
     * @param argument its argument
     * @return its standard output, stripped
     * @throws Exception it fails, or takes more than 60 s
     */
    public static String runWithFewDescriptors(int most, Class<?> main, String argument) throws Exception {
        List<String> command = new ArrayList<>(List.of("prlimit", "--nofile=" + most + ":" + most,
                Path.of(System.getProperty("java.home"), "bin", "java").toString(), "--enable-native-access=ALL-UNNAMED",
                "--sun-misc-unsafe-memory-access=allow", "-XX:+UseSerialGC", "-Xmx64m", "-XX:-MaxFDLimit",
                "-cp", System.getProperty("java.class.path"), main.getName(), argument));
        Path out = Files.createTempFile("few-descriptors", ".out");
        Process p = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(out.toFile()).start();
        try {
            assertTrue(p.waitFor(60, TimeUnit.SECONDS), "the forked JVM does not end");
            String text = Files.readString(out, StandardCharsets.UTF_8).strip();
            if (p.exitValue() != 0) {
                fail("the forked JVM ended with " + p.exitValue() + ": " + text);
            }
            return text;
        } finally {
            p.destroyForcibly();
            Files.delete(out);
        }
    }
}
