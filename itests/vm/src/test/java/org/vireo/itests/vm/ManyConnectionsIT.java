// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vireo.guest.FrontEnd;
import org.vireo.guest.GuestNic;
import org.vireo.posix.Descriptors;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.Requirements;
import org.vireo.testsupport.TestNamespace;

/**
 * Many who connect and are gone at once, half of them before their first byte, on each socket that a daemon has: it keeps no descriptor of
 * theirs, and serves those that come after them.
 */
final class ManyConnectionsIT {
    private static final int CONNECTIONS = Integer.getInteger("vireo.connections", 50_000);
    private static final int BEFORE = 300;
    private static final Duration LIMIT = Duration.ofSeconds(120);

    @TempDir
    private Path folder;
    private final Descriptors fds = new Descriptors();
    private final ExecutorService clients = Executors.newFixedThreadPool(3);
    private TestNamespace namespace;

    @BeforeEach
    void requirements() {
        Requirements.namespaces();
        namespace = TestNamespace.create();
    }

    @AfterEach
    void cleanUp() throws InterruptedException {
        clients.shutdownNow();
        assertTrue(clients.awaitTermination(60, TimeUnit.SECONDS));
        if (namespace != null) {
            namespace.close();
        }
    }

    private void come(Path socket, int times, byte[] first) throws IOException {
        UnixDomainSocketAddress to = UnixDomainSocketAddress.of(socket);
        for (int i = 0; i < times; i++) {
            try (SocketChannel c = SocketChannel.open(StandardProtocolFamily.UNIX)) {
                c.connect(to);
                if (i % 2 == 1) {
                    write(c, ByteBuffer.wrap(first));
                }
            }
        }
    }

    private static void write(SocketChannel c, ByteBuffer first) {
        try {
            c.write(first);
        } catch (IOException e) {
            // refused already, because there is somebody else just now
            assertTrue(first.hasRemaining(), e.toString());
        }
    }

    /** All together, a thread a socket. */
    private void comeEverywhere(int times) throws Exception {
        List<Future<?>> all = new ArrayList<>();
        // half a header of GET_FEATURES, half a command, half a record's magic
        for (Object[] s : new Object[][] {{"vu", new byte[] {1, 0, 0, 0, 1}}, {"qmp", "{\"execute\"".getBytes(StandardCharsets.UTF_8)},
            {"standby", new byte[] {'V', 'R'}}}) {
            all.add(clients.submit(() -> {
                come(folder.resolve((String) s[0]), times, (byte[]) s[1]);
                return null;
            }));
        }
        for (Future<?> f : all) {
            f.get(LIMIT.toSeconds(), TimeUnit.SECONDS);
        }
    }

    private static long descriptors(Vireo d) throws IOException {
        try (var all = Files.list(Path.of("/proc/" + d.process().pid() + "/fd"))) {
            return all.count();
        }
    }

    /** A guest and a client come and go, as if nobody else had come. */
    private void serves(Vireo d) throws IOException {
        try (GuestNic g = GuestNic.options().start(fds, FrontEnd.connect(fds, folder.resolve("vu"), LIMIT))) {
            long deadline = System.nanoTime() + LIMIT.toNanos();
            assertTrue(g.transmit(0).send(new byte[60], deadline) && g.transmit(0).awaitAll(deadline));
            assertTrue(d.client("nic", "list").stream().anyMatch(l -> l.contains("nic0")));
        }
        assertTrue(String.join("\n", d.client("standby", "--json")).contains("active"));
    }

    @Test
    void noneOfThemLeavesADescriptor() throws Exception {
        try (Vireo daemon = Vireo.run(namespace, folder.resolve("qmp"), "--nic", "id=nic0,socket=" + folder.resolve("vu"), "--standby",
                "unix:" + folder.resolve("standby"))) {
            comeEverywhere(BEFORE);
            serves(daemon);
            // the last ones of them may still be served
            long before = descriptors(daemon);
            comeEverywhere(CONNECTIONS / 3);
            serves(daemon);
            Await.until(LIMIT, "no more than " + before + " descriptors", () -> descriptors(daemon) <= before);
        }
    }
}
