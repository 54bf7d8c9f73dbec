// SPDX-License-Identifier: Apache-2.0
package org.vireo.control;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.vireo.control.client.QmpClient;

/** Another daemon that this one has started, to see whether it works or to hand the NICs over to. One thread. */
final class NextProcess implements AutoCloseable {
    private static final long START_NANOS = TimeUnit.MINUTES.toNanos(10);
    private static final long END_SECONDS = 20;
    private static final long LOOK_NANOS = TimeUnit.MILLISECONDS.toNanos(50);

    private final Process process;
    private final Path log;
    private final String uri;
    private QmpClient client;
    private boolean left;

    /**
     * Starts one and waits until it answers.
     *
     * @param command the build's command
     * @param folder for its sockets, permitted to this user only
     * @param more options of {@code run}
     * @param quiet whether what it says goes to a file in the folder, and not to where this process's goes
     * @throws IOException it does not start, and what it said if that is known
     */
    NextProcess(Path command, Path folder, List<String> more, boolean quiet) throws IOException {
        String name = quiet ? "check" : "next";
        Path socket = folder.resolve(name + ".qmp");
        uri = "unix:" + folder.resolve(name);
        log = quiet ? folder.resolve(name + ".log") : null;
        List<String> words = new ArrayList<>(List.of(command.toString(), "run", "--qmp", socket.toString(), "--incoming", uri));
        words.addAll(more);
        ProcessBuilder b = new ProcessBuilder(words);
        if (quiet) {
            b.redirectErrorStream(true).redirectOutput(log.toFile());
        } else {
            b.inheritIO();
        }
        b.redirectInput(new java.io.File("/dev/null"));
        if (!command.toString().equals(System.getProperty("vireo.command"))) {
            // that it names is of this build
            b.environment().remove("VIREO_DIST");
        }
        process = b.start();
        try {
            client = connect(socket);
        } catch (IOException e) {
            process.destroyForcibly();
            throw e;
        }
    }

    private QmpClient connect(Path socket) throws IOException {
        long end = System.nanoTime() + START_NANOS;
        while (process.isAlive() && System.nanoTime() < end) {
            try {
                return QmpClient.connect(socket);
            } catch (IOException e) {
                // it is not there, or not served yet
                LockSupport.parkNanos(LOOK_NANOS);
            }
        }
        String why = process.isAlive() ? "it does not answer within " + TimeUnit.NANOSECONDS.toMinutes(START_NANOS) + " minutes"
                : "it ends with exit code " + process.exitValue();
        throw new IOException(why + said());
    }

    private String said() {
        try {
            List<String> lines = log == null ? List.of() : Files.readAllLines(log).stream().filter(l -> !l.isBlank()).toList();
            return lines.isEmpty() ? "" : ": " + lines.getLast();
        } catch (IOException e) {
            return "";
        }
    }

    /** Where it waits for NICs. */
    String uri() {
        return uri;
    }

    long pid() {
        return process.pid();
    }

    /**
     * Does a QMP command.
     *
     * @throws IOException it is refused, or the process has gone
     */
    Object execute(String command, Map<String, ?> arguments) throws IOException {
        try {
            return client.execute(command, arguments);
        } catch (QmpClient.RefusedException e) {
            throw new IOException(e.getMessage(), e);
        }
    }

    /** It goes on without this process. */
    void leave() throws IOException {
        left = true;
        client.close();
    }

    /** Ends it, unless it was left: in good order if it does that. */
    @Override
    public void close() {
        if (left) {
            return;
        }
        try {
            client.execute("quit", Map.of());
            client.close();
            if (process.waitFor(END_SECONDS, TimeUnit.SECONDS)) {
                return;
            }
        } catch (IOException | QmpClient.RefusedException e) {
            // it has gone, or hangs
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        process.destroyForcibly();
    }
}
