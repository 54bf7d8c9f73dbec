// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.jar.JarOutputStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.vireo.guest.GuestNic;
import org.vireo.guest.RefusedException;
import org.vireo.posix.Descriptors;
import org.vireo.posix.Errno;
import org.vireo.posix.PosixException;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.TestBundle;
import org.vireo.testsupport.TestTap;

/**
 * A third party's bundle does one thing wrong after the other in a daemon with one worker, on which two neighbours' guests exchange
 * numbered frames over a bridge meanwhile. Each time it is named with its version, the neighbours go on, and the NIC works again when it
 * is made anew. What each call of a backend can do wrong is tried in the frontend's own tests.
 */
@Timeout(180)
final class IsolationIT {
    private static final Duration LIMIT = Duration.ofSeconds(30);
    private static final String ROGUE = "org.example.rogue 0.1.0";
    private static final Path JAR = jar();
    private static final int SECOND = 500;

    @TempDir
    private Path folder;
    @RegisterExtension
    final OnTap on = new OnTap();
    private final Descriptors fds = new Descriptors();
    private TestTap bridge;
    private TestTap other;
    private Vireo vireo;
    private Monitor monitor;
    private NumberedFrames traffic;

    private static Path jar() {
        try (var files = Files.list(Vireo.ROOT.resolve("itests/rogue/target"))) {
            return files.filter(f -> f.getFileName().toString().matches("vireo-rogue-[^-]*(-SNAPSHOT)?\\.jar")).findFirst().orElseThrow();
        } catch (IOException e) {
            throw new IllegalStateException("itests/rogue is not built: run mvn from the root", e);
        }
    }

    @BeforeEach
    void start() throws Exception {
        bridge = TestTap.bridge(on.namespace()).up();
        other = TestTap.tap(on.namespace(), "vnet_hdr").up().master(bridge);
        on.namespace().run("ip", "link", "set", on.tap(), "master", bridge.name());
        vireo = daemon();
        monitor = new Monitor(folder.resolve("qmp"));
        monitor.does("backend-install", "path", JAR.toString());
        traffic = new NumberedFrames(Guests.connect(fds, folder.resolve("nic0")), Guests.connect(fds, folder.resolve("nic1")));
    }

    private Vireo daemon() {
        return Vireo.run(on.namespace(), folder.resolve("qmp"), "--workers", "1", "--standby", "unix:" + folder.resolve("pair"),
                "--netdev", "tap,id=net0,ifname=" + on.tap(), "--nic", "id=nic0,netdev=net0,socket=" + folder.resolve("nic0"),
                "--netdev", "tap,id=net1,ifname=" + other.name(), "--nic", "id=nic1,netdev=net1,socket=" + folder.resolve("nic1"));
    }

    @AfterEach
    void cleanUp() throws Exception {
        for (AutoCloseable c : Arrays.<AutoCloseable>asList(traffic, monitor, vireo, other, bridge)) {
            if (c != null) {
                c.close();
            }
        }
    }

    private void awaitLog(String... words) {
        Await.until(LIMIT, "in the log: " + List.of(words),
                () -> vireo.process().lines().stream().anyMatch(l -> Arrays.stream(words).allMatch(l::contains)));
    }

    private void netdev(String id, String fault) throws IOException {
        monitor.does("netdev_add", "type", "rogue", "id", id, "fault", fault);
    }

    private void nic(String netdev) throws IOException {
        monitor.does("device_add", "id", "nicr", "netdev", netdev, "socket", folder.resolve("nicr").toString());
    }

    /** What the operator does: the NIC and the netdev anew, with the fault mended. */
    private void recover(String netdev, boolean hasNic) throws IOException {
        recover(netdev, hasNic, netdev);
    }

    /** @param anew the netdev's id then: what a thread in the backend holds is not given to anybody before it is back */
    private void recover(String netdev, boolean hasNic, String anew) throws IOException {
        if (hasNic) {
            monitor.does("device_del", "id", "nicr");
        }
        monitor.does("netdev_del", "id", netdev);
        netdev(anew, "none-none");
        nic(anew);
        try (GuestNic g = Guests.connect(fds, folder.resolve("nicr"))) {
            Guests.send(g, 10, LIMIT);
        }
        monitor.does("device_del", "id", "nicr");
        monitor.does("netdev_del", "id", anew);
        traffic.goesOn();
    }

    private void failsWhileItRuns(String fault, String... words) throws IOException {
        netdev("bad", fault);
        nic("bad");
        boolean hangs = fault.endsWith("-hang");
        try (GuestNic g = Guests.connect(fds, folder.resolve("nicr"))) {
            // enough for a fault that needs a second call
            for (int i = 0; i < 2; i++) {
                g.transmit(0).send(new byte[60], System.nanoTime() + LIMIT.toNanos());
            }
            awaitTold(fault, words);
        } catch (EOFException | PosixException | RefusedException e) {
            // the worker may hang already while the driver starts: that is refused, or the connection ends, which it reads, or writes
            assertTrue(hangs && (!(e instanceof PosixException p) || p.errno() == Errno.EPIPE), e.toString());
            awaitTold(fault, words);
        }
        recover("bad", true, hangs ? "another" : "bad");
    }

    private void awaitTold(String fault, String... words) {
        Await.until(LIMIT, fault + " to be told", () -> {
            try {
                String nics = monitor.ask("query-nics");
                return nics.contains(ROGUE) && Arrays.stream(words).allMatch(nics::contains);
            } catch (IOException e) {
                throw new IllegalStateException(e);
            }
        });
    }

    @Test
    void whateverARogueDoesItsNeighboursGoOn() throws Exception {
        traffic.goesOn();
        CompletableFuture<Void> slow = CompletableFuture.runAsync(this::slowOnes, r -> Thread.ofPlatform().daemon().start(r));
        awaitLog("");
        monitor.refuses(List.of(ROGUE, "could not be activated"), "netdev_add", "type", "rogue", "id", "bad", "fault", "activate-throw");
        awaitLog("fault activate");
        monitor.refuses(List.of(ROGUE, "validate", "without a message"), "netdev_add", "type", "rogue", "id", "bad", "fault",
                "validate-mute");
        traffic.goesOn();
        netdev("bad", "open-checked");
        monitor.refuses(List.of(ROGUE, "open", "java.lang.Exception: fault open"), "device_add", "id", "nicr", "netdev", "bad", "socket",
                folder.resolve("nicr").toString());
        recover("bad", false);
        failsWhileItRuns("transmit-throw", "IllegalStateException: fault transmit");
        failsWhileItRuns("transmit-overflow", "StackOverflowError");
        failsWhileItRuns("transmit-memory", "OutOfMemoryError: fault transmit");
        failsWhileItRuns("transmit-toomany", "transmit returned");
        failsWhileItRuns("transmit-close", "still registered with epoll");
        writesLate();
        netdev("bad", "close-leak");
        nic("bad");
        monitor.does("device_del", "id", "nicr");
        awaitLog(ROGUE, "has left 1 descriptors open: rogue queue");
        recover("bad", false);
        netdev("bad", "close-after");
        nic("bad");
        monitor.does("device_del", "id", "nicr");
        recover("bad", false);
        netdev("bad", "deactivate-throw");
        recover("bad", false);
        netdev("bad", "deactivate-hang");
        recover("bad", false);
        awaitLog(ROGUE, "has not returned from its deactivation");
        steals();
        bundles();
        failsWhileItRuns("receive-hang", "did not return for 200 ms");
        slow.get(60, TimeUnit.SECONDS);
        assertEquals("lost 0, doubled 0, reordered 0", traffic.end());
        assertTrue(traffic.sent() > 5 * SECOND, "frames: " + traffic.sent());
    }

    /** Activations that take long, or for ever: on a connection of their own, since nobody else waits. */
    private void slowOnes() {
        try (Monitor m = new Monitor(folder.resolve("qmp"))) {
            long began = System.nanoTime();
            m.does("netdev_add", "type", "rogue", "id", "slow", "fault", "activate-slow");
            assertTrue(System.nanoTime() - began > TimeUnit.SECONDS.toNanos(5));
            m.does("device_add", "id", "nics", "netdev", "slow", "socket", folder.resolve("nics").toString());
            m.does("device_del", "id", "nics");
            m.refuses(List.of(ROGUE, "has not returned from its activation"), "netdev_add", "type", "rogue", "id", "hung", "fault",
                    "activate-hang");
            m.does("netdev_add", "type", "rogue", "id", "hung", "fault", "none-none");
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    /** It keeps an address and writes there in a later call: into its own guest's memory, and nobody else's. */
    private void writesLate() throws IOException {
        netdev("bad", "transmit-keep");
        nic("bad");
        try (GuestNic g = Guests.connect(fds, folder.resolve("nicr"))) {
            Guests.send(g, 500, LIMIT);
        }
        recover("bad", true);
    }

    /** Services for somebody else's netdev, for nobody, and of no type: net0 stays who it is. */
    private void steals() throws IOException {
        monitor.does("netdev_add", "type", "rogue", "id", "bad", "fault", "activate-steal", "of", "net0");
        awaitLog("netdev net0: backend thief of " + ROGUE, "is there");
        awaitLog("a backend of " + ROGUE, "has no property netdev.id that is a text: it serves nobody");
        String netdevs = monitor.ask("query-netdevs");
        assertTrue(netdevs.contains("org.vireo.backend.tap") && !netdevs.contains("\"thief\""), netdevs);
        recover("bad", false);
    }

    /** Bundles that cannot be loaded: said, and what serves goes on. */
    private void bundles() throws IOException {
        netdev("good", "none-none");
        Path thrower = TestBundle.variant(JAR, folder.resolve("thrower.jar"), Map.of("Bundle-Version", "2.0.0", "Bundle-Activator",
                "org.example.rogue.RogueActivator"));
        monitor.refuses(List.of("org.example.rogue 2.0.0 does not start", "the rogue's activator throws"), "backend-install", "path",
                thrower.toString());
        Path lacks = TestBundle.variant(JAR, folder.resolve("lacks.jar"), Map.of("Bundle-Version", "2.0.1",
                "Import-Package", "org.nowhere"));
        monitor.refuses(List.of("org.nowhere"), "backend-install", "path", lacks.toString());
        // nothing of it runs before it is to serve somebody
        monitor.does("backend-install", "path", newer(TestBundle.variant(JAR, folder.resolve("older.jar"),
                Map.of("Bundle-Version", "2.0.2"))).toString());
        awaitLog("netdev good: backend rogue of org.example.rogue 2.0.2 could not be activated");
        nic("good");
        traffic.goesOn();
        recover("good", true);
    }

    /** Its classes are of a Java that does not exist yet. */
    private Path newer(Path of) throws IOException {
        Path to = folder.resolve("newer.jar");
        try (JarFile jar = new JarFile(of.toFile()); OutputStream file = Files.newOutputStream(to);
                JarOutputStream out = new JarOutputStream(file, jar.getManifest())) {
            for (JarEntry e : jar.stream().filter(e -> !e.getName().equals(JarFile.MANIFEST_NAME)).toList()) {
                out.putNextEntry(new JarEntry(e.getName()));
                try (InputStream in = jar.getInputStream(e)) {
                    byte[] b = in.readAllBytes();
                    if (e.getName().endsWith("RogueBackend.class")) {
                        b[7] = 99;
                    }
                    out.write(b);
                }
            }
        }
        return to;
    }

    /** Memory is the process's: it ends, and its standby goes on with all NICs but the rogue's. */
    @Test
    void memoryIsEverybodys() throws Exception {
        try (Vireo second = daemon()) {
            Await.until(LIMIT, "the neighbours to be prepared", () -> {
                String said = String.join("\n", vireo.client("standby"));
                return said.contains("nic0: prepared") && said.contains("nic1: prepared");
            });
            traffic.goesOn();
            netdev("bad", "transmit-eat");
            nic("bad");
            try (GuestNic g = Guests.connect(fds, folder.resolve("nicr"))) {
                g.transmit(0).send(new byte[60], System.nanoTime() + LIMIT.toNanos());
                assertEquals(3, vireo.process().exitCode(LIMIT));
            }
            second.process().awaitLine("nic0", LIMIT);
            traffic.goesOn();
            assertTrue(second.process().isAlive());
            // what the kill repeats or loses of each ring is one frame at most
            String said = traffic.end();
            assertTrue(traffic.check().lost(traffic.sent()) <= 2 && traffic.check().duplicated() <= 2
                    && traffic.check().reordered() <= 2, said);
        }
    }
}
