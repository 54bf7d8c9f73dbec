// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.host;

import java.io.IOException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * All that a run makes and that must not stay behind: processes and a folder. It goes with {@link #close()} or, at SIGINT and SIGTERM,
 * with the JVM. Any thread.
 */
public final class Stage implements AutoCloseable {
    private static final int TRIES = 5;
    private static final Duration COMMAND_LIMIT = Duration.ofSeconds(30);

    private final List<Program> programs = new ArrayList<>();
    private final Path folder;
    private final Thread hook = new Thread(this::strike, "stage");
    private boolean struck;

    /**
     * A stage with a folder of its own.
     *
     * @param name part of the folder's name
     * @throws IOException no place for it
     */
    public Stage(String name) throws IOException {
        // for this user only: its sockets give away the guest's memory
        folder = Files.createTempDirectory(name + "-");
        Runtime.getRuntime().addShutdownHook(hook);
    }

    /** The folder, permitted to this user only. */
    public Path folder() {
        return folder;
    }

    /**
     * Starts a program.
     *
     * @param name for messages
     * @param command with its arguments
     * @param environment is added to this process's
     * @return the program
     * @throws BenchException it cannot be started
     */
    public Program start(String name, List<String> command, Map<String, String> environment) throws BenchException {
        synchronized (programs) {
            if (struck) {
                throw new BenchException("interrupted");
            }
            try {
                ProcessBuilder b = new ProcessBuilder(command);
                b.environment().putAll(environment);
                Program p = new Program(name, b.start());
                programs.add(p);
                return p;
            } catch (IOException e) {
                throw new BenchException("cannot start " + name + ": " + e.getMessage(), e);
            }
        }
    }

    /** Starts a program with this process's environment. */
    public Program start(String name, List<String> command) throws BenchException {
        return start(name, command, Map.of());
    }

    /**
     * Runs a command to its end; it must succeed.
     *
     * @param command with its arguments
     * @return its standard output
     * @throws BenchException it failed; the message has what it said
     */
    public List<String> run(List<String> command) throws BenchException {
        Program p = start(String.join(" ", command), command);
        try {
            p.endInput();
            return p.result(COMMAND_LIMIT);
        } finally {
            end(p);
        }
    }

    /** Ends a program before the rest. */
    public void end(Program p) {
        p.close();
        synchronized (programs) {
            programs.remove(p);
        }
    }

    private void strike() {
        List<Program> left;
        synchronized (programs) {
            struck = true;
            left = new ArrayList<>(programs.reversed());
            programs.clear();
        }
        // all at once, then one after the other
        left.forEach(Program::terminate);
        left.forEach(Program::close);
        // a program that was made to end may have begun to delete its files itself
        for (int tries = TRIES; tries > 0 && Files.exists(folder); tries--) {
            delete(tries == 1);
        }
    }

    private void delete(boolean last) {
        try {
            Files.walkFileTree(folder, new SimpleFileVisitor<>() {
                @Override
                public FileVisitResult visitFile(Path file, BasicFileAttributes a) throws IOException {
                    Files.deleteIfExists(file);
                    return FileVisitResult.CONTINUE;
                }

                @Override
                public FileVisitResult postVisitDirectory(Path dir, IOException e) throws IOException {
                    Files.deleteIfExists(dir);
                    return FileVisitResult.CONTINUE;
                }
            });
        } catch (IOException e) {
            if (last) {
                System.err.println("vireo: " + folder + " stays behind: " + e.getMessage());
            }
        }
    }

    @Override
    public void close() {
        strike();
        try {
            Runtime.getRuntime().removeShutdownHook(hook);
        } catch (IllegalStateException e) {
            // the JVM is ending; the hook finds nothing left
        }
    }
}
