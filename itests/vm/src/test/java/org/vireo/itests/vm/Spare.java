// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.vireo.testsupport.TestNamespace;

/**
 * A daemon that is started beforehand and opens its one NIC when it is told to, so that it is there at once when another one has gone: as
 * a VMM's, or as an external back-end of a netdev of type vhost-user. One thread.
 */
final class Spare implements AutoCloseable {
    private static final Duration LIMIT = Duration.ofSeconds(30);

    /** With its port open; a VMM may be there already. */
    private static final List<String> STATES = List.of("\"listening\"", "\"connected\"", "\"running\"");

    private final Vireo daemon;
    private final Monitor monitor;
    private final Path socket;

    /**
     * Starts one.
     *
     * @param namespace where it is to be
     * @param qmp its QMP socket
     * @param netdev type and options, without id
     * @param socket of its NIC
     */
    Spare(TestNamespace namespace, Path qmp, String netdev, Path socket) {
        this.socket = socket;
        daemon = Vireo.run(namespace, qmp, "--netdev", netdev + ",id=net0");
        try {
            monitor = new Monitor(qmp);
        } catch (IOException e) {
            daemon.close();
            throw new AssertionError("no QMP at " + qmp + ": " + e, e);
        }
    }

    /** Begins to start one, which takes a second. */
    static CompletableFuture<Spare> begin(TestNamespace namespace, Path qmp, String netdev, Path socket) {
        return CompletableFuture.supplyAsync(() -> new Spare(namespace, qmp, netdev, socket));
    }

    /** Listens from now on; a socket that a killed one has left is no obstacle. */
    void serve() throws IOException {
        monitor.does("device_add", "id", "nic0", "netdev", "net0", "socket", socket.toString());
        String nics = nics();
        assertTrue(STATES.stream().anyMatch(nics::contains), () -> "it opens its port at the first try: " + nics);
    }

    /** Ends its NIC in good order, and is as it was before {@link #serve}. */
    void leave() throws IOException {
        monitor.does("device_del", "id", "nic0");
    }

    String nics() throws IOException {
        return monitor.does("query-nics");
    }

    /** Kills it without waiting for its end. */
    void strike() {
        ProcessHandle.of(daemon.process().pid()).ifPresent(ProcessHandle::destroyForcibly);
    }

    /** Kills it, and waits for its end: nothing of its is open any more. */
    void kill() {
        strike();
        assertEquals(128 + 9, daemon.process().exitCode(LIMIT));
        close();
    }

    Vireo daemon() {
        return daemon;
    }

    @Override
    public void close() {
        try {
            monitor.close();
        } catch (IOException e) {
            // it has ended before
        }
        daemon.close();
    }
}
