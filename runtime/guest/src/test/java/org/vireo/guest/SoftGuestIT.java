// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.Descriptors;
import org.vireo.posix.linux.Poll;
import org.vireo.posix.linux.UnixSockets;
import org.vireo.testsupport.Requirements;
import org.vireo.testsupport.TestNamespace;
import org.vireo.testsupport.TestProcess;
import org.vireo.vhostuser.VirtioNet;

/** Two network namespaces as guests, joined by a device that is a cable. */
class SoftGuestIT {
    private static final long FEATURES = GuestNic.RING_FEATURES | GuestNic.OFFLOAD_FEATURES | VirtioNet.RING_PACKED;
    private static final Duration LIMIT = Duration.ofSeconds(30);

    private final Fds fds = new Descriptors();
    @TempDir
    private Path folder;
    private TestNamespace left;
    private TestNamespace right;

    @BeforeEach
    void namespaces() {
        Requirements.namespaces();
        left = TestNamespace.create();
        right = TestNamespace.create();
    }

    @AfterEach
    void close() {
        if (left != null) {
            left.close();
        }
        if (right != null) {
            right.close();
        }
    }

    private static TestProcess java(TestNamespace n, String... arguments) {
        // the jars are modules for the tests; a plain class path does for a program
        String path = System.getProperty("java.class.path") + ":" + System.getProperty("jdk.module.path", "");
        List<String> c = TestProcess.java("-XX:TieredStopAtLevel=1", "-cp", path);
        c.addAll(List.of(arguments));
        return TestProcess.start(n.command(c).toArray(String[]::new));
    }

    private TestProcess guest(TestNamespace n, String socket, String mac, String ip, String... more) {
        List<String> a = new java.util.ArrayList<>(List.of("org.vireo.guest.SoftGuestMain", "--socket", folder.resolve(socket).toString(),
                "--tap", "g0", "--ip", ip));
        a.addAll(mac == null ? List.of() : List.of("--mac", mac));
        a.addAll(List.of(more));
        return java(n, a.toArray(String[]::new));
    }

    private Fd listen(String name) throws IOException {
        return UnixSockets.listen(fds, folder.resolve(name), 0600, name);
    }

    private Fd accept(Fd listener) throws IOException {
        assertTrue(Poll.readable(30_000, listener.number()) != 0, "no guest connects");
        return UnixSockets.accept(listener, fds, false, "guest");
    }

    @ParameterizedTest
    @ValueSource(strings = {"--queues 1", "--queues 2", "--no-offload", "--packed on --queues 2 --ring-size 100"})
    void kernelsTalkThroughTheirNics(String options) throws Exception {
        try (Fd la = listen("a");
                Fd lb = listen("b");
                TestProcess a = guest(left, "a", null, "10.77.0.1/24", options.split(" "));
                TestProcess b = guest(right, "b", "52:54:00:00:00:0b", "10.77.0.2/24", options.split(" "));
                TinyDevice cable = new TinyDevice(fds, FEATURES, accept(la), accept(lb))) {
            a.awaitLine("ready", LIMIT);
            b.awaitLine("ready", LIMIT);
            assertTrue(left.run("ip", "link", "show", "g0").contains("52:54:00:01:02:03"), "the configuration space's address");
            left.run("ping", "-c", "3", "-i", "0.1", "-W", "5", "10.77.0.2");
            try (TestProcess server = java(right, "org.vireo.guest.TcpLoad", "serve", "--at", "10.77.0.2:7000")) {
                server.awaitLine("ready", LIMIT);
                try (TestProcess client = java(left, "org.vireo.guest.TcpLoad", "run", "--to", "10.77.0.2:7000", "--secs", "1")) {
                    client.awaitLine("\"ok\":true", LIMIT);
                }
            }
            numbered();
            a.signal("TERM");
            assertEquals(0, a.exitCode(LIMIT), () -> String.join("\n", a.lines()));
            assertTrue(b.isAlive());
            assertNull(cable.failure());
        }
    }

    /** At a rate that the test's cable can do on a busy machine. */
    private void numbered() throws IOException {
        try (TestProcess r = java(right, "org.vireo.guest.NumberedUdp", "receive", "--at", "10.77.0.2:9000")) {
            r.awaitLine("ready", LIMIT);
            try (TestProcess s = java(left, "org.vireo.guest.NumberedUdp", "send", "--to", "10.77.0.2:9000", "--rate", "1000",
                    "--secs", "1", "--warm-up", "0.2")) {
                assertEquals(0, s.exitCode(LIMIT), () -> String.join("\n", s.lines()));
            }
            String json = r.awaitLine("\"received\"", LIMIT);
            assertTrue(json.contains("\"ended\":true") && json.contains("\"duplicated\":0,\"reordered\":0"), json);
            assertFalse(json.startsWith("{\"sent\":0,"), json);
        }
    }

    @Test
    void theEndOfTheDeviceIsSaid() throws Exception {
        try (Fd l = listen("a"); TestProcess a = guest(left, "a", null, "10.77.0.1/24")) {
            try (TinyDevice device = new TinyDevice(fds, GuestNic.RING_FEATURES, accept(l))) {
                a.awaitLine("ready", LIMIT);
                assertNull(device.failure());
            }
            a.awaitLine("vireo guest: the device closed the connection", LIMIT);
            assertEquals(1, a.exitCode(LIMIT));
        }
    }

    @Test
    void packedRingsThatTheDeviceDoesNotHaveAreSaid() throws Exception {
        try (Fd l = listen("a");
                TestProcess a = guest(left, "a", null, "10.77.0.1/24", "--packed", "on");
                TinyDevice device = new TinyDevice(fds, GuestNic.RING_FEATURES, accept(l))) {
            a.awaitLine("vireo guest: the device does not offer RING_PACKED", LIMIT);
            assertEquals(1, a.exitCode(LIMIT));
            assertNull(device.failure());
        }
    }

    @Test
    void whatIsWrongIsSaid() {
        try (TestProcess p = guest(left, "nobody", null, "10.77.0.1/24", "--timeout", "0.2")) {
            p.awaitLine("cannot connect to " + folder.resolve("nobody"), LIMIT);
            assertEquals(1, p.exitCode(LIMIT));
        }
        try (TestProcess p = java(left, "org.vireo.guest.SoftGuestMain", "--sockt", "x")) {
            p.awaitLine("unknown argument --sockt", LIMIT);
            assertEquals(2, p.exitCode(LIMIT));
        }
    }
}
