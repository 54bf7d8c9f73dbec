// SPDX-License-Identifier: Apache-2.0
package org.vireo.control;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.attribute.FileTime;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

/** A configuration folder beside others who make and delete NICs: QMP, and other processes. */
class ConfigFolderOthersTest extends ConfigFolderSetup {
    @Test
    void whatOthersMadeIsTheirs() throws Exception {
        operations.addNetdev("tap", "net0", Map.of("ifname", "tap0"));
        operations.addNic(Map.of("id", "nic1", "socket", "/s1"));
        // of a process that has begun with these: they are adopted; what comes later is not
        write("nic-x.cfg", "socket=/x");
        begin();
        expect("APPLIED nic-x.cfg: NIC x is made");
        write(NETDEV, "ifname=tap9");
        write("nic-nic1.cfg", "socket=/s1");
        settle();
        expect("REFUSED netdev.tap-net0.cfg: netdev net0 is there already, made by QMP",
                "REFUSED nic-nic1.cfg: NIC nic1 is there already, made by QMP");
        Files.delete(folder.resolve(NETDEV));
        Files.delete(folder.resolve("nic-nic1.cfg"));
        settle();
        nothingElse();
        assertEquals(Set.of("nic1", "x"), nics.nics.keySet());
        assertEquals("tap0", framework.configurations.get("netdev.tap~net0").get("ifname"));
    }

    @Test
    void whatOthersDeletedStaysDeletedUntilTheFileChanges() throws Exception {
        startBoth();
        operations.deleteNic("nic0");
        settle();
        Files.setLastModifiedTime(folder.resolve(NIC), FileTime.fromMillis(1_000));
        settle();
        nothingElse();
        assertTrue(nics.nics.isEmpty());
        write(NIC, "netdev=net0", "socket=/s0", "mtu=1500");
        settle();
        expect("APPLIED nic-nic0.cfg: NIC nic0 is made");
        // one that is there again, as it was, is the file's again: it went to another process and came back
        Map<String, String> options = options("nic0");
        operations.deleteNic("nic0");
        settle();
        operations.addNic(options);
        settle();
        Files.delete(folder.resolve(NIC));
        settle();
        expect("APPLIED nic-nic0.cfg: has been removed, and so is NIC nic0");
    }

    @Test
    void whileAnotherProcessServesNothingIsDone() throws Exception {
        boolean[] active = {false};
        write(NETDEV, "ifname=tap0");
        write(NIC, "netdev=net0", "socket=/s0");
        write("nic-bad.cfg", "mtu=1", "mtu=2");
        begin(() -> active[0]);
        expect("REFUSED nic-bad.cfg: 'mtu' is given twice");
        assertEquals(1, config.nics());
        write("nic-nic1.cfg", "socket=/s1");
        settle();
        nothingElse();
        // it is this one: the NIC has come with its netdev, and a VMM; the other one is nobody's
        operations.addNetdev("tap", "net0", Map.of("ifname", "tap7"));
        operations.addNic(Map.of("id", "nic0", "netdev", "net0", "socket", "/s0", "mtu", "9000"));
        nics.connect("nic0", 12);
        nics.refusedSwap = "netdev net0: ifname has to be tap0";
        active[0] = true;
        pass(500);
        expect("REFUSED netdev.tap-net0.cfg: netdev net0: ifname has to be tap0", "REFUSED nic-nic0.cfg: NIC nic0: mtu= instead of 9000",
                "APPLIED nic-nic1.cfg: NIC nic1 is made");
        write(NIC, "netdev=net0", "socket=/s0", "mtu=9000");
        write(NETDEV, "ifname=tap7");
        settle();
        nothingElse();
        Files.delete(folder.resolve(NIC));
        settle();
        expect("APPLIED nic-nic0.cfg: has been removed, and so is NIC nic0");
    }

    @Test
    void duringAnUpgradeFilesWaitAndTheNextProcessGoesOn() throws Exception {
        framework.hasOther = true;
        startBoth();
        operations.addNic(Map.of("id", "qmp", "socket", "/q"));
        write("nic-qmp.cfg", "socket=/q");
        write("nic-gone.cfg", "socket=/g");
        write("nic-taken.cfg", "socket=/t");
        settle();
        expect("APPLIED nic-gone.cfg: NIC gone is made", "REFUSED nic-qmp.cfg: NIC qmp is there already",
                "APPLIED nic-taken.cfg: NIC taken is made");
        operations.deleteNic("gone");
        settle();
        operations.changes().hold("an upgrade is under way");
        Files.delete(folder.resolve("nic-taken.cfg"));
        write("nic-late.cfg", "socket=/late");
        settle();
        nothingElse();
        List<String> known = config.known();
        config.end();
        operations.changes().hold(null);
        settle();
        nothingElse();
        // the next process has the same NICs and netdevs
        config = make(folder);
        config.goOn(known);
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
        while (!nics.has("late") || nics.has("taken")) {
            assertTrue(System.nanoTime() < end, "the next process does not go on");
            Thread.onSpinWait();
        }
        config.end();
        assertEquals(List.of("APPLIED nic-taken.cfg: has been removed, and so is NIC taken", "APPLIED nic-late.cfg: NIC late is made"),
                said);
        assertEquals(Set.of("nic0", "qmp", "late"), nics.nics.keySet());
    }
}
