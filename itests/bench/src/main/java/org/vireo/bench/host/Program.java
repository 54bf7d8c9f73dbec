// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.host;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;

/** A process that this one started. Its output is collected; {@link #close()} ends it and what it started. Any thread. */
public final class Program implements AutoCloseable {
    private static final int KEPT_LINES = 100_000;

    private final String name;
    private final Process process;
    private final List<String> lines = new ArrayList<>();
    private final List<String> out = new ArrayList<>();
    private final List<Thread> readers = new ArrayList<>();

    Program(String name, Process process) {
        this.name = name;
        this.process = process;
        read(process.inputReader(StandardCharsets.UTF_8), out);
        read(process.errorReader(StandardCharsets.UTF_8), null);
    }

    private void read(BufferedReader from, List<String> also) {
        readers.add(Thread.ofPlatform().daemon().name("output of " + name).start(() -> {
            try (from) {
                for (String l = from.readLine(); l != null; l = from.readLine()) {
                    add(l, also);
                }
            } catch (IOException e) {
                add("[output ended: " + e.getMessage() + "]", null);
            }
            synchronized (lines) {
                lines.notifyAll();
            }
        }));
    }

    private void add(String l, List<String> also) {
        synchronized (lines) {
            if (lines.size() < KEPT_LINES) {
                lines.add(l);
            }
            if (also != null && also.size() < KEPT_LINES) {
                also.add(l);
            }
            lines.notifyAll();
        }
    }

    /** Of the process. */
    public long pid() {
        return process.pid();
    }

    /** User and system time, with that of threads that have ended: fields 14 and 15 of proc(5)'s stat, in ticks of 10 ms. */
    public long cpuNanos() throws BenchException {
        try {
            String stat = Files.readString(Path.of("/proc/" + pid() + "/stat"));
            String[] f = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
            return (Long.parseLong(f[11]) + Long.parseLong(f[12])) * 10_000_000;
        } catch (IOException e) {
            throw new BenchException("CPU time of " + name + ": " + e.getMessage(), e);
        }
    }

    /** Whether it has not ended. */
    public boolean isAlive() {
        return process.isAlive();
    }

    /** Its last lines, for a message. */
    public String said() {
        synchronized (lines) {
            String all = String.join("; ", lines.subList(Math.max(0, lines.size() - 4), lines.size()));
            return all.isEmpty() ? "it said nothing" : all;
        }
    }

    /** All of its output. */
    public List<String> lines() {
        synchronized (lines) {
            return List.copyOf(lines);
        }
    }

    /** Its standard output. */
    List<String> out() {
        synchronized (lines) {
            return List.copyOf(out);
        }
    }

    /** How many lines of output there have been, for {@link #await(String, int, Duration)}. */
    public int mark() {
        synchronized (lines) {
            return lines.size();
        }
    }

    /** Waits for a line that contains a text, from its first one on, as {@link #await(String, int, Duration)} does. */
    public String await(String text, Duration limit) throws BenchException {
        return await(text, 0, limit);
    }

    /**
     * Waits for a line, from its first one on.
     *
     * @param which of the lines
     * @param what it is, for a message
     * @param limit at most this long
     * @return the line
     * @throws BenchException it did not come
     */
    public String await(Predicate<String> which, String what, Duration limit) throws BenchException {
        return await(which, what, 0, limit);
    }

    /**
     * Waits for a line that contains a text.
     *
     * @param text part of the line
     * @param mark only lines from this one on
     * @param limit at most this long
     * @return the line
     * @throws BenchException it did not come
     */
    public String await(String text, int mark, Duration limit) throws BenchException {
        return await(l -> l.contains(text), '"' + text + '"', mark, limit);
    }

    private String await(Predicate<String> which, String what, int mark, Duration limit) throws BenchException {
        long end = System.nanoTime() + limit.toNanos();
        int seen = mark;
        synchronized (lines) {
            while (true) {
                for (; seen < lines.size(); seen++) {
                    if (which.test(lines.get(seen))) {
                        return lines.get(seen);
                    }
                }
                boolean ended = readers.stream().noneMatch(Thread::isAlive);
                long left = end - System.nanoTime();
                if (ended || left <= 0) {
                    throw new BenchException(name + (ended ? " ended" : " did not say " + what + " within " + limit.toSeconds() + " s")
                            + ": " + said());
                }
                try {
                    // the end of a reading thread is seen a little late
                    lines.wait(Math.min(100, left / 1_000_000 + 1));
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                    throw new BenchException("interrupted while waiting for " + name, e);
                }
            }
        }
    }

    /** Writes a line to its standard input. */
    public void say(String line) throws BenchException {
        try {
            process.getOutputStream().write((line + "\n").getBytes(StandardCharsets.UTF_8));
            process.getOutputStream().flush();
        } catch (IOException e) {
            throw new BenchException(name + " takes no input: " + e.getMessage() + ": " + said(), e);
        }
    }

    /** Ends its standard input, which asks some programs to end. */
    public void endInput() throws BenchException {
        try {
            process.getOutputStream().close();
        } catch (IOException e) {
            if (process.isAlive()) {
                throw new BenchException(name + ": " + e.getMessage(), e);
            }
        }
    }

    /**
     * Waits for its end.
     *
     * @param limit at most this long
     * @return its exit code
     * @throws BenchException it did not end
     */
    public int awaitEnd(Duration limit) throws BenchException {
        try {
            if (!process.waitFor(limit.toNanos(), TimeUnit.NANOSECONDS)) {
                throw new BenchException(name + " did not end within " + limit.toSeconds() + " s: " + said());
            }
            for (Thread r : readers) {
                r.join(Duration.ofSeconds(2));
            }
            return process.exitValue();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new BenchException("interrupted while waiting for the end of " + name, e);
        }
    }

    /** As {@link #awaitEnd}, and the exit code must be 0; returns the standard output. */
    public List<String> result(Duration limit) throws BenchException {
        int code = awaitEnd(limit);
        if (code != 0) {
            throw new BenchException(name + " failed with exit code " + code + ": " + said());
        }
        return out();
    }

    /** Asks it to end (SIGTERM). */
    void terminate() {
        process.toHandle().destroy();
    }

    /** Asks it and what it started to end, and a little later makes them. */
    @Override
    public void close() {
        if (!process.isAlive()) {
            return;
        }
        List<ProcessHandle> all = new ArrayList<>(process.descendants().toList());
        all.add(process.toHandle());
        all.forEach(ProcessHandle::destroy);
        boolean interrupted = Thread.interrupted();
        try {
            if (!process.waitFor(3, TimeUnit.SECONDS)) {
                all.forEach(ProcessHandle::destroyForcibly);
                process.waitFor(5, TimeUnit.SECONDS);
            }
        } catch (InterruptedException e) {
            all.forEach(ProcessHandle::destroyForcibly);
            interrupted = true;
        }
        all.stream().filter(ProcessHandle::isAlive).forEach(ProcessHandle::destroyForcibly);
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
