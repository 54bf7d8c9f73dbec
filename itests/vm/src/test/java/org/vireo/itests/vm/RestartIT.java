// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Isolated;
import org.vireo.guest.FrontEnd;
import org.vireo.guest.GuestNic;
import org.vireo.net.api.Fd;
import org.vireo.posix.Descriptors;
import org.vireo.posix.linux.UnixSockets;
import org.vireo.testsupport.Await;

/** A daemon is killed and started again, beside a guest that goes on: its next frame passes within a second of the line "ready". */
@Isolated("it looks at times")
final class RestartIT {
    private static final int ROUNDS = Rounds.of(5, 50);
    private static final Duration LIMIT = Duration.ofSeconds(30);
    private static final long MOST_NANOS = 1_000_000_000;

    @TempDir
    private Path folder;
    private final Descriptors fds = new Descriptors();
    private final ExecutorService vmm = Executors.newSingleThreadExecutor();
    @RegisterExtension
    final OnTap on = new OnTap();

    @AfterEach
    void cleanUp() throws InterruptedException {
        vmm.shutdownNow();
        assertTrue(vmm.awaitTermination(60, TimeUnit.SECONDS), "the VMM still waits");
    }

    private Vireo daemon(String role) {
        return Vireo.run(on.namespace(), folder.resolve("qmp"), "--netdev", "tap,id=net0,ifname=" + on.tap(), "--nic",
                "id=nic0,netdev=net0,server=" + role + ",socket=" + folder.resolve("vu"));
    }

    /** What the guest transmits, the TAP's interface receives. The daemon's process lives where the TAP is. */
    private long frames(Vireo d) throws IOException {
        return Files.readAllLines(Path.of("/proc/" + d.process().pid() + "/net/dev")).stream().map(String::strip)
                .filter(l -> l.startsWith(on.tap() + ":")).mapToLong(l -> Long.parseLong(l.split("\\s+")[2])).findFirst().orElseThrow();
    }

    private void frame(GuestNic g, Vireo d) throws IOException {
        long before = frames(d);
        byte[] broadcast = new byte[60];
        Arrays.fill(broadcast, 0, 6, (byte) 0xff);
        assertTrue(g.transmit(0).send(broadcast, System.nanoTime() + LIMIT.toNanos()));
        Await.until(LIMIT, "a frame on the TAP", () -> frames(d) > before);
    }

    private void assertRestarts(String role, Callable<FrontEnd> connection) throws Exception {
        Future<FrontEnd> first = vmm.submit(connection);
        Vireo daemon = daemon(role);
        long[] times = new long[ROUNDS];
        try (GuestNic guest = GuestNic.options().start(fds, first.get())) {
            frame(guest, daemon);
            for (int round = 0; round < ROUNDS; round++) {
                daemon.process().signal("KILL");
                assertEquals(128 + 9, daemon.process().exitCode(LIMIT));
                Future<FrontEnd> next = vmm.submit(connection);
                daemon = daemon(role);
                long ready = System.nanoTime();
                guest.reconnect(next.get());
                frame(guest, daemon);
                times[round] = System.nanoTime() - ready;
                assertTrue(guest.transmit(0).awaitAll(System.nanoTime() + LIMIT.toNanos()), "ring entries were lost");
            }
        } finally {
            daemon.close();
        }
        String told = Rounds.distribution("server=" + role + ": from \"ready\" to the first frame", times);
        Rounds.tell(told);
        // what else the machine does can take longer than a second
        assertTrue(Arrays.stream(times).min().orElseThrow() < MOST_NANOS, told);
    }

    @Test
    void aVmmThatConnectsAgainHasItsNetworkAtOnce() throws Exception {
        assertRestarts("on", () -> FrontEnd.connect(fds, folder.resolve("vu"), LIMIT));
    }

    @Test
    void aVmmThatListensHasItsNetworkAtOnce() throws Exception {
        try (Fd listener = UnixSockets.listen(fds, folder.resolve("vu"), 0600, "VMM listener")) {
            assertRestarts("off", () -> FrontEnd.accept(fds, listener, LIMIT));
        }
    }
}
