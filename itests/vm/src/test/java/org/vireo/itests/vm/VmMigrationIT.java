// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Isolated;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.Requirements;
import org.vireo.testsupport.TestNamespace;
import org.vireo.testsupport.TestProcess;

/**
 * A VM with several queue pairs changes its VMM and keeps its TAP: one QEMU migrates it to another one, whose NIC names the same netdev.
 * QEMU is unmodified; the migration is cancelled, and Vireo itself is replaced in the middle of it. Both QEMUs have the guest's memory:
 * where it is copied QEMU 7.2 without KVM loses pages now and then, also with a TAP of its own; {@code VmMoveIT} compares copied memory.
 */
@Isolated("it loads the machine")
final class VmMigrationIT {
    private static final String HOST = "192.0.2.1";
    private static final String GUEST = "192.0.2.2";
    private static final int PAIRS = 4;
    private static final Duration BOOT = Duration.ofSeconds(120);
    private static final Duration LIMIT = Duration.ofSeconds(60);

    @TempDir
    private Path folder;
    private TestNamespace namespace;
    private Path shared;
    private Path image;
    private int machines;

    /** A VM, or what waits for one, and how it is told what to do. */
    private record Machine(TestProcess process, Monitor monitor) implements AutoCloseable {
        String human(String command) throws IOException {
            return monitor.does("human-monitor-command", "command-line", command);
        }

        @Override
        public void close() throws IOException {
            try (process) {
                monitor.close();
            }
        }
    }

    @BeforeEach
    void requirements() throws IOException {
        Requirements.root();
        Requirements.tap();
        Requirements.namespaces();
        Requirements.qemu();
        Requirements.command("cpio");
        Requirements.command("ping");
        namespace = TestNamespace.create();
        shared = Files.createTempFile(Path.of("/dev/shm"), "vireo-guest", "");
        image = GuestImage.build(folder, GUEST + "/24");
    }

    @AfterEach
    void cleanUp() throws IOException {
        if (shared != null) {
            Files.deleteIfExists(shared);
        }
        if (namespace != null) {
            namespace.close();
        }
    }

    private Path socket(String nic) {
        return folder.resolve(nic);
    }

    private String inFile() {
        return "memory-backend-file,id=m0,size=256M,share=on,mem-path=" + shared;
    }

    private Machine machine(String nic, String memory, String... more) throws IOException {
        Path qmp = folder.resolve("qemu" + machines++);
        String[] options = new String[more.length + 2];
        options[0] = "-qmp";
        options[1] = "unix:" + qmp + ",server=on,wait=off";
        System.arraycopy(more, 0, options, 2, more.length);
        TestProcess p = Qemu.start(folder, image, socket(nic), memory, PAIRS, options);
        try {
            Await.until(LIMIT, "QEMU listens at " + qmp, () -> Files.exists(qmp));
            return new Machine(p, new Monitor(qmp));
        } catch (IOException | AssertionError e) {
            p.close();
            throw e;
        }
    }

    /** One that waits for another one's VM. */
    private Machine waiting(String nic, String memory) throws IOException {
        return machine(nic, memory, "-incoming", "defer");
    }

    private void begin(Machine from, Machine to, String bandwidth) throws IOException {
        Path channel = folder.resolve("vm" + machines);
        Files.deleteIfExists(channel);
        to.monitor.does("migrate-incoming", "uri", "unix:" + channel);
        from.human("migrate_set_parameter max-bandwidth " + bandwidth);
        from.monitor.does("migrate", "uri", "unix:" + channel);
    }

    private static void share(Machine from, Machine to) throws IOException {
        for (Machine m : List.of(from, to)) {
            m.human("migrate_set_capability x-ignore-shared on");
        }
    }

    private static void await(Machine m, String status) {
        Await.until(LIMIT, "a migration that is " + status, () -> {
            String said = m.monitor.does("query-migrate");
            assertTrue(status.equals("failed") || !said.contains("\"failed\""), said);
            return said.contains("\"" + status + "\"");
        });
    }

    private static void awaitNic(Monitor vireo, String id, String state) {
        Pattern nic = Pattern.compile("\"id\": ?\"" + id + "\"[^{}]*\"" + state + "\"|\"" + state + "\"[^{}]*\"id\": ?\"" + id + "\"");
        Await.until(LIMIT, "NIC " + id + " is " + state, () -> nic.matcher(vireo.does("query-nics")).find());
    }

    private Pings ping(int count, String interval) {
        return Pings.start(namespace, GUEST, count, interval);
    }

    private Vireo daemon(int number, String... options) {
        return Vireo.run(namespace, folder.resolve("qmp" + number), options);
    }

    @Test
    void aVmKeepsItsTapWhenItChangesItsVmm() throws IOException {
        String nic = ",netdev=net0,queues=" + PAIRS + ",mac=52:54:00:00:00:01,socket=";
        Vireo vireo = daemon(0, "--netdev", "tap,id=net0,ifname=vmig0,queues=" + PAIRS, "--nic", "id=one" + nic + socket("one"),
                "--nic", "id=two" + nic + socket("two"));
        namespace.run("ip", "addr", "add", HOST + "/24", "dev", "vmig0");
        namespace.run("ip", "link", "set", "vmig0", "up");
        try (Machine first = machine("one", inFile())) {
            first.process.awaitLine(GuestImage.READY, BOOT);
            try (Pings pings = ping(200, "0.01"); Machine never = waiting("two", Qemu.PRIVATE)) {
                // given up half-way: it goes on where it is
                begin(first, never, "1m");
                await(first, "active");
                first.monitor.does("migrate_cancel");
                await(first, "cancelled");
                pings.assertAllAnswered(200);
                never.process.exitCode(LIMIT);
            }
            try (Machine second = waiting("two", inFile()); Pings pings = ping(1000, "0.01")) {
                // so slow that Vireo can be replaced meanwhile
                share(first, second);
                begin(first, second, "100k");
                await(first, "active");
                Path channel = folder.resolve("handover");
                Vireo next = daemon(1, "--incoming", "unix:" + channel);
                List<String> report = vireo.client("migrate", "unix:" + channel);
                assertTrue(String.join("\n", report).contains("moved"), () -> String.join("\n", report));
                vireo.close();
                vireo = next;
                first.human("migrate_set_parameter max-bandwidth 10g");
                await(first, "completed");
                pings.assertAllAnswered(1000);
                first.process.signal("TERM");
                first.process.exitCode(LIMIT);
                there(second);
            }
        } finally {
            vireo.close();
        }
    }

    /** Back to the first NIC; then it is stopped and goes on. */
    private void there(Machine second) throws IOException {
        try (Monitor vireo = new Monitor(folder.resolve("qmp1")); Machine third = waiting("one", inFile());
                Pings pings = ping(500, "0.01")) {
            awaitNic(vireo, "two", "running");
            share(second, third);
            begin(second, third, "10g");
            await(second, "completed");
            awaitNic(vireo, "one", "running");
            pings.assertAllAnswered(500);
            for (int i = 0; i < 5; i++) {
                third.monitor.does("stop");
                third.monitor.does("cont");
            }
            try (Pings more = ping(100, "0.01")) {
                more.assertAllAnswered(100);
            }
        }
    }
}
