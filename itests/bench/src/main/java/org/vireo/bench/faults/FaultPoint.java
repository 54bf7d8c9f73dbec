// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.faults;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.NativeSource;
import org.vireo.bench.host.Stage;
import org.vireo.bench.host.Tools;

/**
 * A fault at one exact point of a process's handover, done from outside by {@code faultpoint.c}: it follows the process's system calls
 * and knows the records. Points and actions are written as it takes them. Each time a program of its own. Any thread.
 */
final class FaultPoint implements AutoCloseable {
    private static final Duration ATTACH_LIMIT = Duration.ofSeconds(20);

    private final Process process;
    private final StringBuilder said = new StringBuilder();
    private final Thread reader;

    /**
     * Attaches to a process.
     *
     * @param stage has the program in its folder, see {@link #build}
     * @param pid whom to attach to
     * @param socket path of the handover's socket
     * @param tap name of the interface
     * @param point where
     * @param action what
     * @throws BenchException it cannot attach
     */
    FaultPoint(Stage stage, long pid, Path socket, String tap, String point, String action) throws BenchException {
        try {
            process = new ProcessBuilder(program(stage).toString(), String.valueOf(pid), socket.toString(), tap, point, action)
                    .redirectErrorStream(true).start();
        } catch (IOException e) {
            throw new BenchException("cannot start faultpoint: " + e.getMessage(), e);
        }
        reader = Thread.ofPlatform().daemon().name("faultpoint").start(this::read);
        if (!awaitWord("attached", ATTACH_LIMIT)) {
            close();
            throw new BenchException("faultpoint does not attach to " + pid + ": " + said());
        }
    }

    private static Path program(Stage stage) {
        return stage.folder().resolve("faultpoint");
    }

    /** Compiles the program in a stage's folder. */
    static void build(Stage stage) throws BenchException {
        Tools.require("cc", "gcc");
        NativeSource.unpack(stage, "faultpoint.c");
    }

    private void read() {
        try (var in = process.inputReader()) {
            for (String l = in.readLine(); l != null; l = in.readLine()) {
                synchronized (said) {
                    said.append(l).append('\n');
                    said.notifyAll();
                }
            }
        } catch (IOException e) {
            // its end
        }
        synchronized (said) {
            said.append("[end]\n");
            said.notifyAll();
        }
    }

    /** What it printed. */
    String said() {
        synchronized (said) {
            return said.toString();
        }
    }

    private boolean awaitWord(String word, Duration limit) throws BenchException {
        long end = System.nanoTime() + limit.toNanos();
        synchronized (said) {
            while (true) {
                if (said.indexOf(word + "\n") >= 0) {
                    return true;
                }
                long left = end - System.nanoTime();
                if (left <= 0 || said.indexOf("[end]\n") >= 0) {
                    return false;
                }
                try {
                    TimeUnit.NANOSECONDS.timedWait(said, left);
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                    throw new BenchException("interrupted", e);
                }
            }
        }
    }

    /** Waits until the process has come to the point. Returns whether it has. */
    boolean awaitHit(Duration limit) throws BenchException {
        return awaitWord("hit", limit);
    }

    /** Waits until it has let go of the process. Returns whether it has. */
    boolean awaitDone(Duration limit) throws BenchException {
        return awaitWord("done", limit);
    }

    /** Lets a thread go on that waits at the point. */
    void release() throws BenchException {
        try {
            OutputStream out = process.getOutputStream();
            out.write('\n');
            out.flush();
        } catch (IOException e) {
            throw new BenchException("faultpoint: " + e.getMessage() + ": " + said(), e);
        }
    }

    /** It lets go of the process, at once. */
    @Override
    public void close() {
        process.destroy();
        boolean interrupted = false;
        try {
            if (!process.waitFor(5, TimeUnit.SECONDS)) {
                process.destroyForcibly();
            }
            reader.join(Duration.ofSeconds(2));
        } catch (InterruptedException e) {
            process.destroyForcibly();
            interrupted = true;
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
