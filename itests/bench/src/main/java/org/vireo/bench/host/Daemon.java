// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.host;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** A {@code vireo run} process with its QMP socket. One thread. */
public final class Daemon {
    private static final Duration START_LIMIT = Duration.ofSeconds(60);
    private static final int IDLE_MILLIS = 200;
    private static final Duration END_LIMIT = Duration.ofSeconds(20);

    private final Stage stage;
    private final Program program;
    private final String name;
    private final Qmp qmp;
    private final long startMillis;

    /**
     * Starts one and waits until it is ready.
     *
     * @param stage what it belongs to
     * @param in the namespace that it runs in
     * @param name for messages and its QMP socket
     * @param options of {@code run}, beside the QMP socket
     * @param quietly whether it starts at the lowest priority, so that its start costs those who serve a guest beside it nothing; it has
     *        the ordinary one when it is ready. Only root can do that
     * @throws BenchException it does not start
     */
    public Daemon(Stage stage, Namespace in, String name, List<String> options, boolean quietly) throws BenchException {
        this.stage = stage;
        this.name = name;
        Path socket = stage.folder().resolve(name + ".qmp");
        boolean nice = quietly && !UserNamespace.isInside();
        List<String> command = new ArrayList<>(nice ? List.of("nice", "-n", "19") : List.of());
        command.addAll(List.of(Tools.vireo().toString(), "run", "--qmp", socket.toString()));
        command.addAll(options);
        long begin = System.nanoTime();
        // a distribution that is named is not built anew; the framework's files belong to the run
        program = in.start(name, command, Map.of("VIREO_DIST", Tools.home().toString(), "XDG_RUNTIME_DIR", stage.folder().toString()));
        program.await("vireo: ready", START_LIMIT);
        startMillis = (System.nanoTime() - begin) / 1_000_000;
        if (nice) {
            ordinaryPriority();
        }
        try {
            qmp = new Qmp(socket);
        } catch (IOException e) {
            throw new BenchException(name + ": " + e.getMessage() + ": " + program.said(), e);
        }
    }

    /** All threads that did not choose another one: the priority is a thread's, not a process's (setpriority(2)). */
    private void ordinaryPriority() throws BenchException {
        List<String> renice = new ArrayList<>(List.of("renice", "-n", "0", "-p"));
        try (var threads = Files.list(Path.of("/proc/" + program.pid() + "/task"))) {
            threads.filter(Daemon::isNicest).forEach(t -> renice.add(t.getFileName().toString()));
        } catch (IOException e) {
            throw new BenchException(name + ": " + e.getMessage(), e);
        }
        Program p = stage.start("renice", renice);
        // a thread that ended meanwhile makes it complain, and is no matter
        p.awaitEnd(END_LIMIT);
        stage.end(p);
    }

    /** Field 19 of proc(5)'s stat. */
    private static boolean isNicest(Path thread) {
        try {
            String stat = Files.readString(thread.resolve("stat"));
            return stat.substring(stat.lastIndexOf(')') + 2).split(" ")[16].equals("19");
        } catch (IOException e) {
            // it has ended
            return false;
        }
    }

    /** For messages. */
    public String name() {
        return name;
    }

    /** The process. */
    public Program program() {
        return program;
    }

    /** From exec to ready. */
    public long startMillis() {
        return startMillis;
    }

    /** Does a QMP command. */
    public Object execute(String command, Map<String, Object> arguments) throws BenchException {
        try {
            return qmp.execute(command, arguments);
        } catch (IOException e) {
            throw new BenchException(name + ": " + e.getMessage() + ": " + program.said(), e);
        }
    }

    /**
     * Waits for a QMP event.
     *
     * @param prefix of its name
     * @param limit at most this long
     * @return the event
     */
    public Map<?, ?> awaitEvent(String prefix, Duration limit) throws BenchException {
        try {
            return CompletableFuture.supplyAsync(() -> {
                try {
                    return qmp.awaitEvent(prefix);
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            }).get(limit.toMillis(), TimeUnit.MILLISECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new BenchException("interrupted", e);
        } catch (ExecutionException | TimeoutException e) {
            throw new BenchException(name + ": no event " + prefix + ": " + e + ": " + program.said(), e);
        }
    }

    /**
     * Hands all NICs over and waits for the end.
     *
     * @param uri where the other daemon listens
     * @param limit at most this long
     * @return what query-migrate tells of the first NIC
     * @throws BenchException they did not move
     */
    public Map<?, ?> migrate(String uri, Duration limit) throws BenchException {
        return migrateAll(uri, limit).getFirst();
    }

    /** As {@link #migrate}, with what is told of each NIC. */
    public List<Map<?, ?>> migrateAll(String uri, Duration limit) throws BenchException {
        execute("migrate", Map.of("uri", uri));
        long end = System.nanoTime() + limit.toNanos();
        while (true) {
            Map<?, ?> m = (Map<?, ?>) execute("query-migrate", Map.of());
            switch (String.valueOf(m.get("status"))) {
                case "completed" -> {
                    return ((List<?>) m.get("nics")).stream().<Map<?, ?>>map(n -> (Map<?, ?>) n).toList();
                }
                case "failed", "cancelled" -> throw new BenchException("the handover from " + name + " " + m.get("status") + ": "
                        + m.get("error-desc"));
                default -> {
                    if (System.nanoTime() - end > 0) {
                        throw new BenchException("the handover from " + name + " did not end within " + limit.toSeconds() + " s: "
                                + Json.write(m));
                    }
                }
            }
            pause(20);
        }
    }

    /** Waits until it has nothing more to prepare, and only waits itself: a tenth of a processor or less. */
    public void awaitIdle() throws BenchException {
        long end = System.nanoTime() + START_LIMIT.toNanos();
        long before = program.cpuNanos();
        while (System.nanoTime() < end) {
            pause(IDLE_MILLIS);
            long now = program.cpuNanos();
            if (now - before <= IDLE_MILLIS * 1_000_000L / 10) {
                return;
            }
            before = now;
        }
        throw new BenchException(name + " does not come to rest within " + START_LIMIT.toSeconds() + " s: " + program.said());
    }

    /** Tells it to end, and sees that it did so in good order. */
    public void quit() throws BenchException {
        quit(END_LIMIT);
    }

    /** As {@link #quit()}, where it has more to delete than a few NICs. */
    public void quit(Duration limit) throws BenchException {
        execute("quit", Map.of());
        int code = program.awaitEnd(limit);
        stage.end(program);
        if (code != 0) {
            throw new BenchException(name + " ended with exit code " + code + ": " + program.said());
        }
    }

    /** Does nothing for a while. */
    public static void pause(long millis) throws BenchException {
        try {
            Thread.sleep(millis);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new BenchException("interrupted", e);
        }
    }
}
