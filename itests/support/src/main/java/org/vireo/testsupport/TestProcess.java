// SPDX-License-Identifier: Apache-2.0
package org.vireo.testsupport;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import java.util.regex.Pattern;

/**
 * A process of a test: its output is collected, waits are bounded, and {@link #close()} kills it and its children, whatever they do.
 * Any thread.
 */
public final class TestProcess implements AutoCloseable {
    /** How long {@link #run} gives a command. */
    public static final Duration COMMAND_LIMIT = Duration.ofSeconds(60);

    private static final long LOOK_NANOS = 200_000_000;
    private static final long OUTPUT_NANOS = 4_000_000_000L;
    private static final long SHARED_OUTPUT_NANOS = 500_000_000;

    private final String command;
    private final Process process;
    private final List<String> all = new ArrayList<>();
    private final List<String> out = new ArrayList<>();
    private final List<String> err = new ArrayList<>();
    private final List<Thread> readers;
    private final Runnable kill;

    private TestProcess(ProcessBuilder builder) {
        command = String.join(" ", builder.command());
        try {
            process = builder.start();
        } catch (IOException e) {
            throw new UncheckedIOException("cannot start: " + command, e);
        }
        kill = Cleanup.add(this::kill);
        readers = List.of(reader(process.inputReader(StandardCharsets.UTF_8), out),
                reader(new BufferedReader(new InputStreamReader(process.getErrorStream(), StandardCharsets.UTF_8)), err));
    }

    /**
     * Starts a command.
     *
     * @param command with its arguments
     * @return the process
     */
    public static TestProcess start(String... command) {
        return start(List.of(command), Map.of(), null);
    }

    /**
     * Starts a command.
     *
     * @param command with its arguments
     * @param environment is added to the environment
     * @param directory the working directory, or null
     * @return the process
     */
    public static TestProcess start(List<String> command, Map<String, String> environment, Path directory) {
        ProcessBuilder b = new ProcessBuilder(command).directory(directory == null ? null : directory.toFile());
        b.environment().putAll(environment);
        return new TestProcess(b);
    }

    /**
     * Runs a command to its end.
     *
     * @param command with its arguments
     * @return its standard output
     * @throws AssertionError it took more than {@link #COMMAND_LIMIT} or its exit code is not 0; the message has its output
     */
    public static String run(String... command) {
        try (TestProcess p = start(command)) {
            int code = p.exitCode(COMMAND_LIMIT);
            if (code != 0) {
                throw new AssertionError("exit code " + code + " of: " + p.command + "\n" + String.join("\n", p.lines()));
            }
            return String.join("\n", p.stdout());
        }
    }

    /**
     * The beginning of a command that starts a Java program on this JVM's Java, with the flags that native access needs.
     *
     * @param more further arguments
     * @return a list that can be changed
     */
    public static List<String> java(String... more) {
        List<String> c = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow", "-XX:+UseSerialGC", "-Xmx256m"));
        c.addAll(List.of(more));
        return c;
    }

    private Thread reader(BufferedReader from, List<String> to) {
        return Thread.ofPlatform().daemon().name("output of " + process.pid()).start(() -> {
            try (from) {
                for (String line = from.readLine(); line != null; line = from.readLine()) {
                    synchronized (all) {
                        all.add(line);
                        to.add(line);
                        all.notifyAll();
                    }
                }
            } catch (IOException e) {
                synchronized (all) {
                    all.add("[output ended: " + e.getMessage() + "]");
                }
            }
        });
    }

    /**
     * Waits for a line of either output, from the first line on.
     *
     * @param text that it contains
     * @param limit at most this long
     * @return the line
     * @throws AssertionError it did not come; the message has all output
     */
    public String awaitLine(String text, Duration limit) {
        return await(l -> l.contains(text), "\"" + text + "\"", limit);
    }

    /**
     * Waits for a line of either output, from the first line on.
     *
     * @param pattern that is found in it
     * @param limit at most this long
     * @return the line
     * @throws AssertionError it did not come; the message has all output
     */
    public String awaitLine(Pattern pattern, Duration limit) {
        return await(l -> pattern.matcher(l).find(), pattern.pattern(), limit);
    }

    private String await(Predicate<String> wanted, String what, Duration limit) {
        long end = System.nanoTime() + limit.toNanos();
        int seen = 0;
        synchronized (all) {
            while (true) {
                for (; seen < all.size(); seen++) {
                    if (wanted.test(all.get(seen))) {
                        return all.get(seen);
                    }
                }
                long left = end - System.nanoTime();
                boolean ended = readers.stream().noneMatch(Thread::isAlive);
                if (left <= 0 || ended) {
                    throw new AssertionError((ended ? "it ended" : "waited " + limit.toMillis() + " ms in vain")
                            + " without the line " + what + ": " + command + "\n" + String.join("\n", all));
                }
                try {
                    // the end of a reader is not notified: look again now and then
                    all.wait(Math.min(50, left / 1_000_000 + 1));
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                    throw new AssertionError("interrupted while waiting for the line " + what, e);
                }
            }
        }
    }

    /**
     * Waits for the end and for the rest of its output, but not long for the latter where a child lives on, which may keep it open.
     *
     * @param limit at most this long
     * @return the exit code
     * @throws AssertionError it did not end; the message has its output
     */
    public int exitCode(Duration limit) {
        try {
            long end = System.nanoTime() + limit.toNanos();
            Set<ProcessHandle> children = new HashSet<>();
            while (!process.waitFor(Math.min(LOOK_NANOS, Math.max(0, end - System.nanoTime())), TimeUnit.NANOSECONDS)) {
                if (System.nanoTime() >= end) {
                    throw new AssertionError(
                            "did not end within " + limit.toMillis() + " ms: " + command + "\n" + String.join("\n", lines()));
                }
                // who they were can be asked as long as it lives
                process.children().forEach(children::add);
            }
            end = System.nanoTime() + (children.stream().anyMatch(ProcessHandle::isAlive) ? SHARED_OUTPUT_NANOS : OUTPUT_NANOS);
            for (Thread r : readers) {
                TimeUnit.NANOSECONDS.timedJoin(r, end - System.nanoTime());
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new AssertionError("interrupted while waiting for the end of: " + command, e);
        }
        return process.exitValue();
    }

    /**
     * Writes to its standard input.
     *
     * @param text what
     */
    public void write(String text) {
        try {
            OutputStream in = process.getOutputStream();
            in.write(text.getBytes(StandardCharsets.UTF_8));
            in.flush();
        } catch (IOException e) {
            throw new UncheckedIOException("cannot write to: " + command + "\n" + String.join("\n", lines()), e);
        }
    }

    /**
     * All output so far.
     *
     * @return lines of both outputs as they came
     */
    public List<String> lines() {
        return copy(all);
    }

    /**
     * The standard output so far.
     *
     * @return lines
     */
    public List<String> stdout() {
        return copy(out);
    }

    /**
     * The error output so far.
     *
     * @return lines
     */
    public List<String> stderr() {
        return copy(err);
    }

    private List<String> copy(List<String> list) {
        synchronized (all) {
            return List.copyOf(list);
        }
    }

    /**
     * Its pid.
     *
     * @return the pid
     */
    public long pid() {
        return process.pid();
    }

    /**
     * Whether it runs.
     *
     * @return whether
     */
    public boolean isAlive() {
        return process.isAlive();
    }

    /**
     * Sends it a signal.
     *
     * @param name as kill(1) takes it: TERM, KILL, STOP, CONT
     */
    public void signal(String name) {
        run("kill", "-" + name, Long.toString(pid()));
    }

    private void kill() {
        List<ProcessHandle> children = process.descendants().toList();
        process.destroyForcibly();
        children.forEach(ProcessHandle::destroyForcibly);
        try {
            process.waitFor(10, TimeUnit.SECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** Kills it and its children. */
    @Override
    public void close() {
        Cleanup.end(kill);
    }
}
