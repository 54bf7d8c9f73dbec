// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileTime;
import java.time.Duration;
import java.util.Arrays;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.vireo.guest.GuestNic;
import org.vireo.posix.Descriptors;
import org.vireo.testsupport.Await;

/** What people do to a folder of backends, while a guest uses one of them: each new content is one swap, everything else is none. */
final class BackendFolderIT {
    private static final Duration LIMIT = Duration.ofSeconds(40);

    @TempDir
    private Path work;
    private Path folder;
    private Path file;
    @RegisterExtension
    final OnTap on = new OnTap();
    private final Descriptors fds = new Descriptors();
    private Vireo vireo;
    private GuestNic guest;
    private long sent;
    private int swaps;

    @BeforeEach
    void start() throws IOException {
        Path real = Files.createDirectory(work.resolve("real"));
        // reached by a link, and with a slash too many
        folder = Files.createSymbolicLink(work.resolve("backends"), real);
        file = folder.resolve("tap.jar");
        TapBundle.version(file, "0.2.0");
        vireo = Vireo.run(on.namespace(), work.resolve("qmp"), "--backends", folder + "//", "--netdev", "tap,id=net0,ifname=" + on.tap(),
                "--nic", "id=nic0,netdev=net0,socket=" + work.resolve("nic0"));
        guest = Guests.connect(fds, work.resolve("nic0"));
        flows();
    }

    @AfterEach
    void cleanUp() {
        if (guest != null) {
            guest.close();
        }
        if (vireo != null) {
            vireo.close();
        }
    }

    private void flows() {
        Guests.send(guest, 200, LIMIT);
        sent += 200;
        Await.until(LIMIT, "all frames of the guest on the TAP", () -> on.arrived() == sent);
    }

    private long said(String text) {
        return vireo.process().lines().stream().filter(l -> l.contains(text)).count();
    }

    /** The content of the file is new: exactly one swap, to this version. */
    private void swapped(String version) {
        swaps++;
        Await.until(LIMIT, "swap " + swaps, () -> said("rings stood still for") == swaps);
        Await.until(LIMIT, "the former one removed", () -> vireo.client("backend", "list").stream().filter(l -> l.contains(TapBundle.NAME))
                .count() == 2);
        assertTrue(String.join("\n", vireo.client("netdev", "list")).contains(TapBundle.NAME + " " + version));
        flows();
    }

    /** One message about it, and no swap. */
    private void refused(Path what, String why) {
        Await.until(LIMIT, what + " refused: " + why, () -> vireo.process().lines().stream()
                .anyMatch(l -> l.contains("BackendFolder: " + what + ": ") && l.contains(why)));
        assertEquals(swaps, said("rings stood still for"));
        flows();
    }

    /** Long enough for a file that has changed to be looked at. */
    private static void untilItWouldHaveBeenSeen() {
        LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(2_500));
    }

    private Path made(String name, Map<String, String> headers) throws IOException {
        return TapBundle.variant(work.resolve(name), headers);
    }

    @Test
    void eachNewContentIsOneSwapHoweverItIsWritten() throws Exception {
        assertTrue(String.join("\n", vireo.client("netdev", "list")).contains(TapBundle.NAME + " 0.2.0"), "what was there at the start");
        // cp
        Files.copy(made("a", Map.of("Bundle-Version", "0.3.0")), file, StandardCopyOption.REPLACE_EXISTING);
        swapped("0.3.0");
        // mv, as rsync does
        Files.move(made("b", Map.of("Bundle-Version", "0.4.0")), file, StandardCopyOption.REPLACE_EXISTING);
        swapped("0.4.0");
        // dd, with pauses, into the file that is in use
        byte[] slow = Files.readAllBytes(made("c", Map.of("Bundle-Version", "0.5.0")));
        try (FileChannel c = FileChannel.open(file, StandardOpenOption.WRITE, StandardOpenOption.TRUNCATE_EXISTING)) {
            for (int at = 0; at < slow.length; at += slow.length / 5 + 1) {
                c.write(ByteBuffer.wrap(slow, at, Math.min(slow.length / 5 + 1, slow.length - at)));
                LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(700));
            }
        }
        swapped("0.5.0");
        // touch, and an old time stamp: the content is the same
        Files.setLastModifiedTime(file, FileTime.fromMillis(System.currentTimeMillis()));
        untilItWouldHaveBeenSeen();
        Files.setLastModifiedTime(file, FileTime.fromMillis(1_000_000_000L));
        untilItWouldHaveBeenSeen();
        assertEquals(swaps, said("rings stood still for"));
        // the same version again with another content, and an old time stamp
        Files.copy(made("d", Map.of("Bundle-Version", "0.5.0", "Bundle-Description", "another")), file,
                StandardCopyOption.REPLACE_EXISTING);
        Files.setLastModifiedTime(file, FileTime.fromMillis(1_000_000_000L));
        swapped("0.5.0");
        // back to an older one: it goes in place
        Files.copy(made("e", Map.of("Bundle-Version", "0.4.5")), file, StandardCopyOption.REPLACE_EXISTING);
        Await.until(LIMIT, "the older one serves", () -> String.join("\n", vireo.client("netdev", "list")).contains(
                TapBundle.NAME + " 0.4.5"));
        flows();
        // removed: the one of the distribution goes on
        Files.delete(file);
        Await.until(LIMIT, "the other one serves", () -> vireo.client("netdev", "list").stream()
                .anyMatch(l -> l.contains(TapBundle.NAME) && !l.contains("0.4.5")));
        flows();
    }

    @Test
    void whatIsNoGoodIsSaidOnceAndNothingElseHappens() throws Exception {
        byte[] whole = Files.readAllBytes(TapBundle.JAR);
        Path half = Files.write(folder.resolve("half.jar"), Arrays.copyOf(whole, whole.length * 7 / 10));
        Path plain = TapBundle.variant(folder.resolve("plain.jar"), Map.of("Provide-Capability", "some.thing"));
        Path unresolved = TapBundle.variant(folder.resolve("unresolved.jar"), Map.of("Bundle-Version", "0.9.1", "Import-Package",
                "org.nowhere"));
        Path future = TapBundle.variant(folder.resolve("future.jar"), Map.of("Bundle-Version", "0.9.2", "Require-Capability",
                "osgi.ee;filter:=\"(&(osgi.ee=JavaSE)(version=99))\""));
        Path twice = Files.copy(file, folder.resolve("twice.jar"));
        // none of these is looked at
        Files.createDirectory(folder.resolve("old"));
        TapBundle.version(folder.resolve("old/tap.jar"), "0.9.3");
        TapBundle.version(folder.resolve(".tap.jar"), "0.9.4");
        TapBundle.version(folder.resolve("tap.jar~"), "0.9.5");
        TapBundle.version(folder.resolve("tap.jar.part"), "0.9.6");
        Files.createDirectory(folder.resolve("folder.jar"));
        refused(plain, "provides no net.backend");
        refused(unresolved, "org.nowhere");
        refused(future, "version=99");
        refused(twice, "is the same as tap.jar");
        refused(half, "is no whole jar file");
        untilItWouldHaveBeenSeen();
        for (Path p : new Path[] {half, plain, unresolved, future, twice}) {
            assertEquals(1, said("BackendFolder: " + p + ": "), "one message about " + p);
        }
        // a bad content in the place of a good one: the good one goes on
        Files.write(file, Arrays.copyOf(whole, whole.length / 2));
        refused(file, "is no whole jar file");
        Files.copy(unresolved, file, StandardCopyOption.REPLACE_EXISTING);
        refused(file, "org.nowhere");
        // it becomes whole
        Files.write(half, whole);
        Await.until(LIMIT, "installed when it is whole", () -> said(half + ": backend") == 1);
        // the folder vanishes, as a mount does, and comes back
        Path real = folder.toRealPath();
        Files.move(real, work.resolve("away"));
        Await.until(LIMIT, "said that it has gone", () -> said("cannot be read") == 1);
        flows();
        Files.move(work.resolve("away"), real);
        Await.until(LIMIT, "said that it is back", () -> said("is there again") == 1);
        assertEquals(swaps, said("rings stood still for"));
        flows();
    }
}
