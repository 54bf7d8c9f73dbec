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
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileTime;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vireo.testsupport.Await;

/** What people do to a folder of configuration files, looked at by a clock that is driven by hand. */
class ConfigFolderTest {
    private static final String NETDEV = "netdev.tap-net0.cfg";
    private static final String NIC = "nic-nic0.cfg";

    @TempDir
    Path work;

    private final FakeFramework framework = new FakeFramework();
    private final FakeNics nics = new FakeNics();
    private final FakeHandovers handovers = new FakeHandovers();
    private final List<String> said = Collections.synchronizedList(new ArrayList<>());
    private long now = 1;
    private Path folder;
    private Operations operations;
    private ConfigFolder config;

    @BeforeEach
    void prepare() throws IOException {
        folder = Files.createDirectory(work.resolve("config"));
        operations = new Operations(new NetdevStore(framework.context(), framework.configurationAdmin()), () -> nics, () -> handovers);
        config = make(folder);
    }

    private ConfigFolder make(Path path) {
        Set<String> given = Set.of("netdev given", "NIC given");
        return new ConfigFolder(path, operations, this::said, given::contains, () -> now);
    }

    private void said(String event, Map<String, ?> data) {
        Object what = event.equals("CONFIG_APPLIED") ? data.get("done") : data.get("reason");
        String file = Path.of(data.get("file").toString()).getFileName().toString();
        said.add(event.substring("CONFIG_".length()) + " " + file + ": " + what);
    }

    private void begin(BooleanSupplier active) throws IOException {
        config.read();
        config.activeWhen(active);
    }

    private void begin() throws IOException {
        begin(() -> true);
    }

    private Path write(String name, String... lines) throws IOException {
        return Files.write(folder.resolve(name), List.of(lines));
    }

    private void pass(long millis) {
        now += TimeUnit.MILLISECONDS.toNanos(millis);
        config.look();
    }

    /** What has changed is seen, and a second later it counts. */
    private void settle() {
        for (int i = 0; i < 4; i++) {
            pass(500);
        }
    }

    private void nothingElse() {
        for (int i = 0; i < 20; i++) {
            pass(500);
        }
        assertEquals(List.of(), said);
    }

    /** What was said since the last time, all of it. */
    private void expect(String... messages) {
        List<String> all = List.copyOf(said);
        said.clear();
        assertEquals(messages.length, all.size(), all.toString());
        for (int i = 0; i < messages.length; i++) {
            assertTrue(all.get(i).contains(messages[i]), all.get(i) + " instead of " + messages[i]);
        }
        nothingElse();
    }

    private void startBoth() throws IOException {
        write(NETDEV, "ifname=tap0");
        write(NIC, "netdev=net0", "socket=/s0");
        begin();
        expect("APPLIED netdev.tap-net0.cfg: netdev net0 is made", "APPLIED nic-nic0.cfg: NIC nic0 is made");
    }

    private Map<String, String> options(String nic) {
        return nics.nics.get(nic).options();
    }

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

    // ---- with other processes

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
