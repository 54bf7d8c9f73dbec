// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.Descriptors;
import org.vireo.posix.linux.UnixSockets;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.TestProcess;

/** Starts a {@link TransferPeer} on the same Java with the same classes, and talks to it. */
final class PeerProcess implements AutoCloseable {
    private static final Duration LIMIT = Duration.ofSeconds(60);

    private final Path directory;
    private final Fds fds = new Descriptors();
    private final Fd listener;
    private final TestProcess process;
    private Fd connection;
    private Set<Integer> numbers = Set.of();

    PeerProcess(BackendFixture fixture, int pairs, Map<String, ?> options, List<String> before) throws IOException {
        directory = Files.createTempDirectory("vireo-tck");
        Path socket = directory.resolve("socket");
        listener = UnixSockets.listen(fds, socket, 0600, "the kit's peer");
        List<String> command = new ArrayList<>(before.stream().map(s -> s.replace("TRACE", trace().toString())).toList());
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.addAll(ManagementFactory.getRuntimeMXBean().getInputArguments().stream().filter(a -> !a.startsWith("-javaagent")
                && !a.startsWith("-agentlib")).toList());
        // what it leaves behind when it is killed lies in our folder
        command.add("-Djava.io.tmpdir=" + directory);
        command.add("-D" + TckSupport.LIMIT_MILLIS + "=" + TckSupport.limit().toMillis());
        fixture.systemProperties().forEach((k, v) -> command.add("-D" + k + "=" + v));
        String modules = System.getProperty("jdk.module.path");
        command.addAll(List.of("-cp", System.getProperty("java.class.path", "")));
        if (modules != null && TransferPeer.class.getModule().isNamed()) {
            command.addAll(List.of("-p", modules, "-m", TransferPeer.class.getModule().getName() + "/" + TransferPeer.class.getName()));
        } else {
            command.add(TransferPeer.class.getName());
        }
        command.addAll(List.of(fixture.getClass().getName(), socket.toString(), Integer.toString(pairs)));
        options.forEach((k, v) -> command.add(k + "=" + v));
        process = TestProcess.start(command, Map.of(), null);
    }

    Path trace() {
        return directory.resolve("trace");
    }

    /** Sends the state and waits until it is loaded, for the guest that is in front of the source. */
    PeerGuest load(BackendState state, KitGuest guest) throws IOException {
        connection = Await.value(LIMIT, "the other process connects", () -> {
            if (!process.isAlive()) {
                throw new AssertionError("the other process ended: " + process.lines());
            }
            return UnixSockets.accept(listener, fds, true, "the kit's peer");
        });
        StateWire.send(state, connection, fds);
        process.awaitLine("loaded", LIMIT);
        String told = says("descriptors ");
        numbers = Stream.of(told.split(" ")).filter(n -> !n.isEmpty()).map(Integer::valueOf).collect(Collectors.toSet());
        return new PeerGuest(this, guest);
    }

    /** The numbers that the state's descriptors have over there. */
    Set<Integer> numbers() {
        return numbers;
    }

    /** Sends what the next command is about. */
    void tell(BackendState what) throws IOException {
        try (what) {
            StateWire.send(what, connection, fds);
        }
    }

    /** What follows in a line that begins so. */
    String says(String beginning) {
        return process.awaitLine(beginning, LIMIT).substring(beginning.length());
    }

    void does(String command) {
        process.write(command + "\n");
        process.awaitLine("done " + command, LIMIT);
    }

    /** Lets it end. */
    void end() {
        process.write("end\n");
        int code = process.exitCode(LIMIT);
        if (code != 0) {
            throw new AssertionError("the other process ended with " + code + ": " + process.lines());
        }
    }

    @Override
    public void close() throws IOException {
        process.close();
        if (connection != null) {
            connection.close();
        }
        listener.close();
        try (Stream<Path> files = Files.walk(directory)) {
            for (Path p : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(p);
            }
        }
    }
}
