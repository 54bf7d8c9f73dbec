// SPDX-License-Identifier: Apache-2.0
package org.vireo.control;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileTime;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What people do to the files of a configuration folder that is followed. */
class ConfigFolderChangesTest extends ConfigFolderSetup {
    @Test
    void newChangedAndRemovedFilesAreFollowed() throws Exception {
        begin();
        write(NETDEV, "ifname=tap0");
        write(NIC, "netdev=net0", "socket=/s0");
        pass(500);
        pass(500);
        assertEquals(List.of(), said, "not yet for a second");
        pass(500);
        expect("APPLIED netdev.tap-net0.cfg: netdev net0 is made", "APPLIED nic-nic0.cfg: NIC nic0 is made");
        write(NIC, "netdev=net0", "socket=/s0", "mtu=9000");
        settle();
        expect("APPLIED nic-nic0.cfg: NIC nic0 is made anew: mtu=9000 instead of nothing");
        assertEquals("9000", options("nic0").get("mtu"));
        // both go: the NIC first
        Files.delete(folder.resolve(NETDEV));
        Files.delete(folder.resolve(NIC));
        settle();
        expect("APPLIED nic-nic0.cfg: has been removed, and so is NIC nic0",
                "APPLIED netdev.tap-net0.cfg: has been removed, and so is netdev net0");
        assertTrue(nics.nics.isEmpty());
        assertTrue(framework.configurations.isEmpty());
    }

    @Test
    void aFileThatIsStillWrittenDoesNotCount() throws Exception {
        begin();
        for (int i = 1; i < 10; i++) {
            Files.writeString(folder.resolve(NIC), "socket=/s0\nmtu=" + "9".repeat(i));
            pass(900);
            assertEquals(List.of(), said);
        }
        Files.writeString(folder.resolve(NIC), "socket=/s0\nmtu=1");
        settle();
        expect("APPLIED nic-nic0.cfg: NIC nic0 is made");
        assertEquals("1", options("nic0").get("mtu"));
    }

    @Test
    void theContentDecidesAndNoTime() throws Exception {
        startBoth();
        nics.connect("nic0", 12);
        Path file = folder.resolve(NIC);
        FileTime then = Files.getLastModifiedTime(file);
        Files.setLastModifiedTime(file, FileTime.fromMillis(System.currentTimeMillis() + 5_000));
        settle();
        Files.setLastModifiedTime(file, FileTime.fromMillis(1_000));
        settle();
        // an editor that renames, with the same content, and with another comment
        write("tmp", "netdev=net0", "socket=/s0");
        Files.move(folder.resolve("tmp"), file, StandardCopyOption.REPLACE_EXISTING);
        settle();
        write(NIC, "# a remark", "netdev=net0", "socket=/s0");
        settle();
        nothingElse();
        // the same length and the time of before: it is new all the same
        nics.connect("nic0", 0);
        write(NIC, "# a remark", "netdev=net0", "socket=/s1");
        Files.setLastModifiedTime(file, then);
        settle();
        expect("APPLIED nic-nic0.cfg: NIC nic0 is made anew: socket=/s1 instead of /s0");
    }

    @Test
    void aNicThatAVmmHasIsNotTakenAway() throws Exception {
        startBoth();
        nics.connect("nic0", 12);
        write(NIC, "netdev=net0", "socket=/s0", "mtu=9000");
        settle();
        expect("REFUSED nic-nic0.cfg: NIC nic0: mtu=9000 instead of nothing takes a new NIC, and the VMM with pid 12 uses this one, which"
                + " goes on as it is; end the VMM, then touch the file");
        assertFalse(options("nic0").containsKey("mtu"));
        // nor when the VMM goes for a moment
        nics.connect("nic0", 0);
        settle();
        nothingElse();
        Files.setLastModifiedTime(folder.resolve(NIC), FileTime.fromMillis(1_000));
        settle();
        expect("APPLIED nic-nic0.cfg: NIC nic0 is made anew: mtu=9000 instead of nothing");
        // changed and changed back
        nics.connect("nic0", 12);
        write(NIC, "netdev=net0", "socket=/s0");
        settle();
        expect("REFUSED nic-nic0.cfg: NIC nic0: mtu= instead of 9000");
        write(NIC, "socket=/s0", "netdev=net0", "mtu=9000");
        settle();
        nothingElse();
        assertEquals("", config.problems());
    }

    @Test
    void aChangeThatIsWrongLeavesTheNicAsItWas() throws Exception {
        startBoth();
        write(NIC, "netdev=net0", "socket=/s0", "unknown=1");
        settle();
        expect("REFUSED nic-nic0.cfg: NIC nic0: unknown option unknown=1");
        write("nic-nic1.cfg", "socket=/s1");
        settle();
        expect("APPLIED nic-nic1.cfg: NIC nic1 is made");
        write(NIC, "netdev=net0", "socket=/s1");
        settle();
        expect("REFUSED nic-nic0.cfg: NIC nic0: socket=/s1 belongs to NIC nic1; choose another path; it is as it was");
        write(NIC, "netdev=net9", "socket=/s0");
        settle();
        expect("WAITING nic-nic0.cfg: NIC nic0: netdev=net9: there is no such netdev; the NIC goes on as it was");
        Files.write(folder.resolve(NIC), new byte[] {1, 2, 3});
        settle();
        expect("REFUSED nic-nic0.cfg: is no text");
        Files.setLastModifiedTime(folder.resolve(NIC), FileTime.fromMillis(1_000));
        settle();
        nothingElse();
        assertEquals(Map.of("id", "nic0", "netdev", "net0", "socket", "/s0"), options("nic0"));
        Files.delete(folder.resolve(NIC));
        settle();
        expect("APPLIED nic-nic0.cfg: has been removed, and so is NIC nic0");
    }

    /** A file that is called as the netdev's type is now goes on with the netdev. */
    @Test
    void aFileIsRenamedToTheTypeThatItsNetdevWasSwappedTo() throws Exception {
        framework.hasOther = true;
        startBoth();
        operations.swapNetdev("net0", "other", Map.of());
        write(NETDEV, "ifname=tap0", "mtu=9000");
        settle();
        expect("REFUSED netdev.tap-net0.cfg: netdev net0 is of type other now ('vireo backend swap'): name the file of that type");
        Files.move(folder.resolve(NETDEV), folder.resolve("netdev.other-net0.cfg"));
        settle();
        expect("APPLIED netdev.other-net0.cfg: netdev net0 is changed");
        Files.delete(folder.resolve("netdev.other-net0.cfg"));
        Files.delete(folder.resolve(NIC));
        settle();
        expect("APPLIED nic-nic0.cfg: has been removed, and so is NIC nic0",
                "APPLIED netdev.other-net0.cfg: has been removed, and so is netdev net0");
    }

    @Test
    void aChangedNetdevIsChanged() throws Exception {
        startBoth();
        nics.refusedSwap = "netdev net0: ifname has to be tap1";
        write(NETDEV, "ifname=tap1");
        settle();
        expect("REFUSED netdev.tap-net0.cfg: netdev net0: ifname has to be tap1");
        assertEquals("tap0", framework.configurations.get("netdev.tap~net0").get("ifname"));
        nics.refusedSwap = null;
        Files.setLastModifiedTime(folder.resolve(NETDEV), FileTime.fromMillis(1_000));
        settle();
        expect("APPLIED netdev.tap-net0.cfg: netdev net0 is changed");
        assertEquals(Set.of("netdev.tap~net0:2"), framework.configurations.keySet());
        assertEquals("tap1", framework.configurations.get("netdev.tap~net0:2").get("ifname"));
    }

    @Test
    void aNetdevInUseStaysUntilItsNicHasGone() throws Exception {
        startBoth();
        Files.delete(folder.resolve(NETDEV));
        settle();
        expect("WAITING netdev.tap-net0.cfg: has been removed, and netdev net0 goes as soon as that is possible: netdev net0 is in use by"
                + " NIC nic0; delete that first");
        // it comes back in time
        write(NETDEV, "ifname=tap0");
        settle();
        nothingElse();
        Files.delete(folder.resolve(NETDEV));
        settle();
        expect("WAITING netdev.tap-net0.cfg: ");
        Files.delete(folder.resolve(NIC));
        settle();
        expect("APPLIED nic-nic0.cfg: has been removed, and so is NIC nic0",
                "APPLIED netdev.tap-net0.cfg: has been removed, and so is netdev net0");
    }

    @Test
    void ofTwoFilesForOneIdTheFirstCounts() throws Exception {
        framework.hasOther = true;
        write("netdev.other-net0.cfg");
        write(NETDEV, "ifname=tap0");
        begin();
        expect("APPLIED netdev.other-net0.cfg: netdev net0 is made",
                "WAITING netdev.tap-net0.cfg: there are two files for netdev net0, and netdev.other-net0.cfg counts");
        Files.delete(folder.resolve("netdev.other-net0.cfg"));
        settle();
        expect("APPLIED netdev.other-net0.cfg: has been removed, and so is netdev net0",
                "APPLIED netdev.tap-net0.cfg: netdev net0 is made");
        // and a renamed one
        Files.move(folder.resolve(NETDEV), folder.resolve("netdev.tap-net1.cfg"));
        settle();
        expect("APPLIED netdev.tap-net1.cfg: netdev net1 is made", "APPLIED netdev.tap-net0.cfg: has been removed, and so is netdev net0");
    }

    @Test
    void aRenamedNicIsDeletedFirst() throws Exception {
        startBoth();
        Files.move(folder.resolve(NIC), folder.resolve("nic-a.cfg"));
        settle();
        expect("APPLIED nic-nic0.cfg: has been removed, and so is NIC nic0", "APPLIED nic-a.cfg: NIC a is made");
        // copied first, and the other one removed when somebody finds the time
        write("nic-b.cfg", "netdev=net0", "socket=/s0");
        settle();
        expect("REFUSED nic-b.cfg: NIC b: socket=/s0 belongs to NIC a");
        Files.delete(folder.resolve("nic-a.cfg"));
        settle();
        expect("APPLIED nic-a.cfg: has been removed, and so is NIC a", "APPLIED nic-b.cfg: NIC b is made");
    }

    @Test
    void aFolderThatVanishesIsNoEmptyFolder() throws Exception {
        startBoth();
        Files.move(folder, work.resolve("away"));
        settle();
        nothingElse();
        // an empty one in its place, as a mount point is
        Files.createDirectory(folder);
        settle();
        nothingElse();
        // files come, one after the other
        Files.copy(work.resolve("away").resolve(NIC), folder.resolve(NIC));
        settle();
        nothingElse();
        Files.copy(work.resolve("away").resolve(NETDEV), folder.resolve(NETDEV));
        settle();
        nothingElse();
        assertEquals(Set.of("nic0"), nics.nics.keySet());
        assertEquals(Set.of("netdev.tap~net0"), framework.configurations.keySet());
        Files.delete(folder.resolve(NIC));
        settle();
        expect("APPLIED nic-nic0.cfg: has been removed, and so is NIC nic0");
        // the last file of a folder that has been there all the time
        Files.delete(folder.resolve(NETDEV));
        settle();
        expect("APPLIED netdev.tap-net0.cfg: has been removed, and so is netdev net0");
    }

    @ParameterizedTest
    @ValueSource(strings = {"link", "link/", "config/../config", "./config//", "link/../config/."})
    void howeverTheFolderIsReachedThereIsOneOfEach(String way) throws Exception {
        Files.createSymbolicLink(work.resolve("link"), folder);
        config = make(Path.of("").toAbsolutePath().relativize(work.toRealPath()).resolve(way).toAbsolutePath());
        startBoth();
        write(NETDEV, "ifname=tap0", "# again");
        write(NIC, "netdev=net0", "socket=/s0", "mtu=1500");
        settle();
        expect("APPLIED nic-nic0.cfg: NIC nic0 is made anew: mtu=1500 instead of nothing");
        assertEquals(Set.of("netdev.tap~net0"), framework.configurations.keySet());
        assertEquals(Set.of("nic0"), nics.nics.keySet());
    }
}
