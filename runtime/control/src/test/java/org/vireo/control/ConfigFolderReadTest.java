// SPDX-License-Identifier: Apache-2.0
package org.vireo.control;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.time.Duration;
import java.util.Comparator;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vireo.testsupport.Await;

/** Which files of a configuration folder are read, and what is said of those that are wrong. */
class ConfigFolderReadTest extends ConfigFolderSetup {
    @Test
    void atTheStartAllFilesAreReadNetdevsFirst() throws Exception {
        framework.hasOther = true;
        framework.otherType = "vhost-user";
        Files.writeString(folder.resolve("nic-a.cfg"), "# a NIC\n! of mine\n\nnetdev = net-0 \nsocket: /s\\\n   /a\n");
        Files.write(folder.resolve("netdev.tap-net-0.cfg"), "\ufeffifname=täp0\r\nqueues 4 \r\n".getBytes(StandardCharsets.UTF_8));
        write("netdev.vhostuser-v.cfg", "path=/p", "a=b=c,d");
        begin();
        assertEquals(Set.of("netdev.tap~net-0", "netdev.vhostuser~v"), framework.configurations.keySet());
        assertEquals(Map.of("ifname", "täp0", "queues", "4", "netdev.id", "net-0", "netdev.type", "tap"),
                framework.configurations.get("netdev.tap~net-0"));
        assertEquals("b=c,d", framework.configurations.get("netdev.vhostuser~v").get("a"));
        assertEquals("vhost-user", framework.configurations.get("netdev.vhostuser~v").get("netdev.type"));
        assertEquals(Map.of("id", "a", "netdev", "net-0", "socket", "/s/a"), options("a"));
        assertEquals(1, config.nics());
        assertEquals("", config.problems());
        said.clear();
        nothingElse();
    }

    @Test
    void aFolderThatIsNotThereIsNamed() {
        config = make(work.resolve("none"));
        IOException e = assertThrows(IOException.class, this::begin);
        assertEquals(work.resolve("none") + ": is no folder; make it before, with files " + ConfigFile.NAMES + " in it", e.getMessage());
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            nic-a.cfg           | socket=/a\\nunknown=1         | NIC a: unknown option unknown=1
            nic-a.cfg           | socket=/a\\nmtu=1\\nmtu=2     | 'mtu' is given twice: 1 and 2
            nic-a.cfg           | id=b\\nsocket=/a              | id=b: the file's name tells it; leave the line out
            nic-a.cfg           | driver=e1000\\nsocket=/a      | driver=e1000: there is only virtio-net; leave the line out
            nic-a.cfg           | socket=\\\\uXYZ               | a backslash begins an escape, and this is none
            nic-a.cfg           | socket=/other                 | NIC a: socket=/other belongs to NIC given
            nic-0a.cfg          | socket=/a                     | NIC '0a': an id begins with a letter
            nic-a b.cfg         | socket=/a                     | NIC 'a b': an id begins with a letter
            nic-ü.cfg           | socket=/a                     | NIC 'ü': an id begins with a letter
            nic-given.cfg       | socket=/a                     | NIC given is there already, made by the command line, and stays as it is
            nic-explode.cfg     | socket=/a                     | unexpected: java.lang.IllegalStateException: boom
            netdev.tap-bad0.cfg | ifname=x                      | netdev bad0: ifname=tapx: there is no such interface
            netdev.tap-a.cfg    | type=tap                      | type=tap: the file's name tells it; leave the line out
            netdev.tap-a.cfg    | service.ranking=5             | netdev a: 'service.ranking' is not the name of an option
            netdev.tap-given.cfg | ifname=x                     | netdev given is there already, made by the command line
            """)
    void whatIsWrongIsSaidOnceAndTheOthersStart(String name, String content, String why) throws Exception {
        operations.addNetdev("tap", "given", Map.of());
        operations.addNic(Map.of("id", "given", "socket", "/other"));
        Files.writeString(folder.resolve(name), content.replace("\\n", "\n").replace("\\\\", "\\"));
        write("nic-z.cfg", "socket=/z");
        begin();
        assertEquals("of the files in " + folder + " 1 refused (" + name + ")", config.problems());
        said.sort(Comparator.reverseOrder());
        expect("REFUSED " + name + ": " + why, "APPLIED nic-z.cfg: NIC z is made");
        assertEquals(Set.of("given", "z"), nics.nics.keySet());
        assertEquals(Set.of("netdev.tap~given"), framework.configurations.keySet());
    }

    @Test
    void whatIsNoTextOrTooMuchIsSaidOnce() throws Exception {
        Files.write(folder.resolve("nic-latin.cfg"), "socket=/ä".getBytes(StandardCharsets.ISO_8859_1));
        Files.write(folder.resolve("nic-zeros.cfg"), new byte[100]);
        try (RandomAccessFile f = new RandomAccessFile(folder.resolve("nic-huge.cfg").toFile(), "rw")) {
            f.setLength(100_000_000);
        }
        Files.createSymbolicLink(folder.resolve("nic-link.cfg"), work.resolve("nowhere"));
        begin();
        expect("REFUSED nic-huge.cfg: is larger than any configuration, which has 64 KiB at most",
                "REFUSED nic-latin.cfg: is no text in UTF-8", "REFUSED nic-link.cfg: cannot be read: ",
                "REFUSED nic-zeros.cfg: is no text: it has a byte 00 in it");
        assertEquals("of the files in " + folder + " 4 refused (nic-huge.cfg, nic-latin.cfg, nic-link.cfg, ...)", config.problems());
        // the link leads somewhere now
        Files.writeString(work.resolve("nowhere"), "socket=/l");
        settle();
        expect("APPLIED nic-link.cfg: NIC link is made");
        // and nowhere again: what it made stays
        Files.delete(work.resolve("nowhere"));
        settle();
        expect("REFUSED nic-link.cfg: cannot be read: ");
        assertTrue(nics.nics.containsKey("link"));
        Files.writeString(work.resolve("nowhere"), "socket=/l");
        settle();
        nothingElse();
        Files.delete(folder.resolve("nic-link.cfg"));
        settle();
        expect("APPLIED nic-link.cfg: has been removed, and so is NIC link");
    }

    @ParameterizedTest
    @ValueSource(strings = {".nic-a.cfg.swp", ".nic-a.cfg", "nic-a.cfg~", "#nic-a.cfg#", "4913", ".#nic-a.cfg", "nic-a.cfg.tmp",
        "nic-a.cfg.bak", "nic-a.cfg.dpkg-new", "nic-a.cfg.rpmsave", "nic-a.conf",
        "nic.a.cfg", "nic~a.cfg", "netdev.tap~a.cfg", "netdev-tap-a.cfg",
        "netdev.cfg", "nic-.cfg", "sub.cfg/nic-a.cfg", "nic-a.cfg/nic-b.cfg"})
    void otherFilesAreNotLookedAt(String name) throws Exception {
        Files.createDirectories(folder.resolve(name).getParent());
        write(name, "socket=/a");
        begin();
        nothingElse();
        assertTrue(nics.nics.isEmpty());
        Files.delete(folder.resolve(name));
        settle();
        nothingElse();
    }

    /** One whose backend takes its time holds up no other, nor their NICs. */
    @Test
    void netdevsAreMadeSideBySide() throws Exception {
        nics.slow = "slow";
        nics.gate = new CountDownLatch(1);
        write("netdev.tap-slow.cfg", "ifname=tap1");
        write("nic-slow.cfg", "netdev=slow", "socket=/s1");
        write(NETDEV, "ifname=tap0");
        write(NIC, "netdev=net0", "socket=/s0");
        Thread begins = Thread.ofPlatform().daemon().start(() -> assertDoesNotThrow(() -> begin()));
        Await.until(Duration.ofSeconds(20), "the other one's NIC is there", () -> nics.has("nic0"));
        assertFalse(nics.has("slow"));
        nics.gate.countDown();
        begins.join(20_000);
        expect("APPLIED netdev.tap-net0.cfg: netdev net0 is made", "APPLIED nic-nic0.cfg: NIC nic0 is made",
                "APPLIED netdev.tap-slow.cfg: netdev slow is made", "APPLIED nic-slow.cfg: NIC slow is made");
    }

    @Test
    void filesComeInAnyOrderAndBackendsLater() throws Exception {
        write(NIC, "netdev=net0", "socket=/s0");
        write("netdev.other-net0.cfg", "ifname=o0");
        begin();
        assertEquals("of the files in " + folder + " 2 waiting (netdev.other-net0.cfg, nic-nic0.cfg)", config.problems());
        expect("WAITING netdev.other-net0.cfg: netdev net0: no bundle provides the type 'other'; there are tap",
                "WAITING nic-nic0.cfg: NIC nic0: netdev=net0: there is no such netdev");
        framework.hasOther = true;
        pass(500);
        expect("APPLIED netdev.other-net0.cfg: netdev net0 is made", "APPLIED nic-nic0.cfg: NIC nic0 is made");
    }

    /** Its first hyphen is taken for the end of the type. */
    @Test
    void aTypeWithAHyphenIsWrittenWithoutInAFilesName() throws Exception {
        framework.hasOther = true;
        framework.otherType = "vhost-user";
        write("netdev.vhost-user-net-1.cfg", "path=/x");
        begin();
        expect("WAITING netdev.vhost-user-net-1.cfg: netdev user-net-1: no bundle provides the type 'vhost'; there are tap, vhost-user;"
                + " for netdev net-1 of type vhost-user call the file netdev.vhostuser-net-1.cfg");
        write("netdev.vhostuser-net-1.cfg", "path=/x");
        settle();
        expect("APPLIED netdev.vhostuser-net-1.cfg: netdev net-1 is made");
    }
}
