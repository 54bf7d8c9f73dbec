// SPDX-License-Identifier: Apache-2.0
package org.vireo.launcher;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.Channels;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The distribution as it was built, in a process of its own. */
@Timeout(120)
class LauncherIT {
    private static final Path DIST = Path.of("target/dist").toAbsolutePath();

    @TempDir
    Path folder;

    private final List<Process> started = new ArrayList<>();

    private Process run(String... arguments) throws IOException {
        List<String> command = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin/java").toString(),
                "--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow", "-XX:+UseSerialGC", "-Xmx64m", "-cp",
                DIST.resolve("lib") + "/*", Main.class.getName()));
        command.addAll(List.of(arguments));
        ProcessBuilder b = new ProcessBuilder(command);
        b.environment().put("XDG_RUNTIME_DIR", folder.toString());
        b.environment().remove("JAVA_TOOL_OPTIONS");
        b.redirectError(folder.resolve("err").toFile());
        Process p = b.start();
        started.add(p);
        return p;
    }

    @AfterEach
    void end() throws Exception {
        for (Process p : started) {
            p.destroyForcibly().waitFor();
        }
    }

    private String err() throws IOException {
        return Files.readString(folder.resolve("err"));
    }

    private static String ready(Process p) throws IOException {
        return p.inputReader().readLine();
    }

    private int end(Process p) throws Exception {
        assertTrue(p.waitFor(60, TimeUnit.SECONDS), () -> "it does not end");
        assertEquals(null, p.inputReader().readLine(), "a second line on the standard output");
        try (var left = Files.list(folder.resolve("vireo"))) {
            assertEquals(List.of(), left.toList(), "the framework's files stay");
        }
        return p.exitValue();
    }

    @Test
    void readyThenSigtermThenZero() throws Exception {
        Process p = run();
        assertEquals("vireo: ready, 0 NICs", ready(p), this::log);
        // by handle: the process object would close the streams too
        p.toHandle().destroy();
        assertEquals(0, end(p), this::log);
        assertFalse(err().contains("ERROR") || err().contains("WARN"), err());
    }

    @Test
    void qmpSessionAndQuit() throws Exception {
        Path socket = folder.resolve("q");
        Process p = run("--qmp", socket.toString());
        assertEquals("vireo: ready, 0 NICs", ready(p), this::log);
        try (SocketChannel c = SocketChannel.open(StandardProtocolFamily.UNIX)) {
            c.connect(UnixDomainSocketAddress.of(socket));
            BufferedReader in = new BufferedReader(new InputStreamReader(Channels.newInputStream(c), StandardCharsets.UTF_8));
            OutputStream out = Channels.newOutputStream(c);
            assertTrue(in.readLine().startsWith("{\"QMP\":{\"version\":{\"vireo\":"));
            out.write("{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"query-status\",\"id\":1}\n{\"execute\":\"quit\"}\n".getBytes());
            assertEquals("{\"return\":{}}", in.readLine());
            assertEquals("{\"return\":{\"running\":true,\"status\":\"running\"},\"id\":1}", in.readLine());
            assertTrue((in.readLine() + in.readLine()).contains("\"SHUTDOWN\""));
            assertEquals(null, in.readLine());
        }
        assertEquals(0, end(p), this::log);
        assertFalse(Files.exists(socket));
    }

    @Test
    void wrongCommandLinesEndWithTwo() throws Exception {
        Process p = run("--foo");
        assertEquals(2, p.waitFor());
        assertEquals("vireo run: unknown option --foo; known are "
                + "--backends, --config, --descriptor-store, --incoming, --log-level, --netdev, --nic, --qmp, --standby, --workers\n",
                err());
        p = run("--netdev", "tap,id=a,id=b");
        assertEquals(2, end(p));
        assertEquals("vireo run: --netdev tap,id=a,id=b: 'id' is given twice: a and b\n", err());
    }

    @ParameterizedTest
    @ValueSource(strings = {"--nic id=a,zz=1", "--netdev tap,id=a,zz=1", "--netdev vhost-user,id=a,zz=1"})
    void theHelpNamesEachOption(String line) throws Exception {
        assertEquals(1, end(run(line.split(" "))));
        Matcher known = Pattern.compile("(?:known are|type \\S+ has) \\[([^]]+)]").matcher(err());
        assertTrue(known.find(), err());
        Process help = new ProcessBuilder(DIST.resolve("../../../../vireo").toString(), "run", "--help").start();
        started.add(help);
        String text = new String(help.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        for (String option : known.group(1).split(", ")) {
            assertTrue(Pattern.compile("\\b" + option + "\\b").matcher(text).find(), () -> option + " in\n" + text);
        }
    }

    @Test
    void whatDoesNotWorkEndsWithOneAndOneLine() throws Exception {
        Process p = run("--qmp", folder.resolve("none/q").toString());
        assertEquals(1, end(p));
        assertEquals("vireo run: cannot listen on " + folder + "/none/q: there is no folder " + folder + "/none\n", err());
        p = run("--descriptor-store", "on");
        assertEquals(1, end(p));
        assertEquals("vireo run: descriptor store: NOTIFY_SOCKET is not set, so there is no service manager that keeps it; start this as a"
                + " service of systemd with NotifyAccess=all and FileDescriptorStoreMax=, or without the store\n", err());
    }

    @Test
    void whatAKilledProcessLeftIsRemovedAndWhatALivingOneHasIsNot() throws Exception {
        Process killed = run();
        assertEquals("vireo: ready, 0 NICs", ready(killed), this::log);
        killed.destroyForcibly().waitFor();
        Process living = run();
        assertEquals("vireo: ready, 0 NICs", ready(living), this::log);
        Process third = run();
        assertEquals("vireo: ready, 0 NICs", ready(third), this::log);
        try (var folders = Files.list(folder.resolve("vireo"))) {
            List<String> names = folders.map(f -> f.getFileName().toString().replaceAll("-.*", "")).sorted().toList();
            assertEquals(List.of(living.pid(), third.pid()).stream().map(String::valueOf).sorted().toList(), names);
        }
    }

    private String log() {
        try {
            return err();
        } catch (IOException e) {
            return e.toString();
        }
    }
}
