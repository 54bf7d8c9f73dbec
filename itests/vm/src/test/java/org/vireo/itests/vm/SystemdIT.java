// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vireo.guest.GuestNic;
import org.vireo.posix.Descriptors;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.Requirements;
import org.vireo.testsupport.TestProcess;

/** The unit of packaging/systemd, but for its paths, with a real systemd: it keeps the NICs, and gives them to who is started next. */
final class SystemdIT {
    private static final Duration LIMIT = Duration.ofSeconds(60);
    private static final Path PACKAGED = Vireo.ROOT.resolve("packaging/systemd/vireo.service");

    @TempDir
    private Path folder;
    private TestProcess systemd;
    private int commands;

    @BeforeEach
    void start() throws Exception {
        Requirements.root();
        Requirements.tap();
        Requirements.command("unshare");
        Requirements.command("systemctl");
        Requirements.require(Files.exists(Path.of("/lib/systemd/systemd")), "systemd");
        Path units = Files.createDirectories(folder.resolve("units"));
        String unit = Files.readString(PACKAGED).replace("/opt/vireo/vireo", Vireo.ROOT.resolve("vireo").toString())
                .replace("/run/vireo/", folder + "/").replace("--config /etc/vireo", "--config " + folder.resolve("config/vireo"));
        Path config = Files.createDirectories(folder.resolve("config/vireo"));
        Files.writeString(config.resolve("netdev.tap-net0.cfg"), "ifname=vsystemd0");
        Files.writeString(config.resolve("nic-nic0.cfg"), "netdev=net0\nsocket=" + folder.resolve("nic0.sock"));
        Files.writeString(units.resolve("vireo.service"), unit.replace("[Service]\n",
                "[Service]\nEnvironment=VIREO_DIST=" + Vireo.DIST + " JAVA_HOME=" + System.getProperty("java.home") + "\n"));
        systemd = TestProcess.start("unshare", "--mount", "--pid", "--net", "--fork", "--mount-proc", "--kill-child", "sh",
                Vireo.ROOT.resolve("itests/vm/src/test/native/systemd.sh").toString(), folder.toString());
        systemd.awaitLine("systemd is there", LIMIT);
    }

    @AfterEach
    void end() {
        if (systemd != null) {
            systemd.close();
        }
    }

    /** Does a command in there; its output. */
    private String run(String command) {
        String mark = "done " + ++commands;
        int before = systemd.stdout().size();
        systemd.write(command + "; echo " + mark + " $?\n");
        Await.until(LIMIT, command + " to end: " + systemd.lines(), () -> systemd.stdout().stream().anyMatch(l -> l.startsWith(mark)));
        List<String> said = systemd.stdout().subList(before, systemd.stdout().size());
        assertEquals(mark + " 0", said.getLast(), systemd.lines().toString());
        return String.join("\n", said.subList(0, said.size() - 1));
    }

    private String property(String name) {
        return run("systemctl --user show --property " + name + " --value vireo.service");
    }

    private void await(String property, String value) {
        Await.until(LIMIT, property + " to be " + value, () -> property(property).equals(value));
    }

    @Test
    void itKeepsTheNicsOfItsUnit() throws Exception {
        run("systemctl --user start vireo.service");
        assertEquals("active", property("ActiveState"));
        try (GuestNic guest = Guests.connect(new Descriptors(), folder.resolve("nic0.sock"))) {
            Guests.send(guest, 500, LIMIT);
            // block, listener, TAP, connection, memory, two rings with kick and call, one picture
            await("NFileDescriptorStore", "10");
            for (int round = 1; round <= 2; round++) {
                run("kill -9 " + property("MainPID"));
                await("NRestarts", String.valueOf(round));
                await("ActiveState", "active");
                Guests.send(guest, 500, LIMIT);
                await("NFileDescriptorStore", "10");
            }
            run("systemctl --user restart vireo.service");
            Guests.send(guest, 500, LIMIT);
            run("VIREO_DIST=" + Vireo.DIST + " " + Vireo.ROOT.resolve("vireo") + " nic list --qmp " + folder.resolve("qmp")
                    + " | grep nic0.*running");
            run("systemctl --user stop vireo.service");
            assertTrue(guest.frontEnd().awaitClosed(System.nanoTime() + LIMIT.toNanos()));
            await("NFileDescriptorStore", "0");
        }
    }
}
