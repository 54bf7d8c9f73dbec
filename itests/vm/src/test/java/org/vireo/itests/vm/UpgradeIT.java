// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Isolated;
import org.vireo.guest.FrontEnd;
import org.vireo.guest.GuestNic;
import org.vireo.posix.Descriptors;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.Requirements;
import org.vireo.testsupport.TestNamespace;

/** {@code vireo upgrade}: another build goes on with the guests, or the old one does. */
@Isolated("it loads the machine")
final class UpgradeIT {
    private static final Duration LIMIT = Duration.ofSeconds(60);
    private static final int MANY = 20;
    private static final Pattern NEXT = Pattern.compile("completed: process ([0-9]+) goes on");

    @TempDir
    private Path folder;
    private TestNamespace namespace;
    private final List<Long> processes = new ArrayList<>();

    @BeforeEach
    void requirements() {
        Requirements.root();
        Requirements.tap();
        Requirements.namespaces();
        namespace = TestNamespace.create();
    }

    @AfterEach
    void cleanUp() {
        processes.forEach(p -> ProcessHandle.of(p).ifPresent(ProcessHandle::destroyForcibly));
        if (namespace != null) {
            namespace.close();
        }
    }

    private static void send(GuestNic g) {
        Guests.send(g, 100, LIMIT);
    }

    private long arrived() {
        return namespace.framesReceived("vupgrade0");
    }

    /** The new process's pid. */
    private long upgrade(Vireo old, String... more) {
        List<String> command = new ArrayList<>(List.of("upgrade"));
        command.addAll(List.of(more));
        List<String> said = old.client(command.toArray(String[]::new));
        Matcher m = NEXT.matcher(said.getLast());
        assertTrue(m.matches(), said.toString());
        processes.add(Long.parseLong(m.group(1)));
        return processes.getLast();
    }

    private static Path build(Path folder, String script) throws IOException {
        Files.createDirectories(folder);
        Path command = Files.writeString(folder.resolve("vireo"), script);
        Files.setPosixFilePermissions(command, PosixFilePermissions.fromString("rwxr-xr-x"));
        return folder;
    }

    @Test
    void guestsGoOnThereAndBack() throws Exception {
        String pair = "unix:" + folder.resolve("pair");
        try (Vireo first = Vireo.run(namespace, folder.resolve("qmp"), "--standby", pair,
                "--netdev", "tap,id=net0,ifname=vupgrade0", "--nic", "id=nic0,netdev=net0,socket=" + folder.resolve("nic0"),
                "--netdev", "tap,id=net1,ifname=vupgrade1", "--nic", "id=nic1,netdev=net1,socket=" + folder.resolve("nic1"),
                "--nic", "id=nic2,socket=" + folder.resolve("nic2"), "--netdev", "tap,id=spare,ifname=vupgrade2");
                GuestNic guest = Guests.connect(new Descriptors(), folder.resolve("nic0"))) {
            namespace.run("ip", "link", "set", "vupgrade0", "up");
            long before = arrived();
            send(guest);
            List<String> said = first.client("upgrade", "--dry-run");
            assertEquals("it would work", said.getLast(), said.toString());
            assertTrue(said.stream().anyMatch(l -> l.startsWith("ok      nics: ")), said.toString());
            assertTrue(first.process().isAlive());
            upgrade(first);
            assertEquals(0, first.process().exitCode(LIMIT), "the old process ends in good order");
            send(guest);
            // the same socket answers, for all NICs, those without a VMM and without a netdev too, and for what no NIC has
            List<String> nics = first.client("nic", "list");
            assertTrue(nics.stream().anyMatch(l -> l.startsWith("nic0") && l.contains("running")), nics.toString());
            assertTrue(nics.stream().anyMatch(l -> l.startsWith("nic1") && l.contains("listening")), nics.toString());
            assertTrue(nics.stream().anyMatch(l -> l.startsWith("nic2") && l.contains("listening")), nics.toString());
            assertTrue(first.client("netdev", "list").stream().anyMatch(l -> l.startsWith("spare")));
            Await.until(LIMIT, "it has the place of the old one", () -> first.client("standby").contains("role: active"));
            first.client("nic", "add", "id=nic3,netdev=spare,socket=" + folder.resolve("nic3"));
            upgrade(first, "--return");
            send(guest);
            Await.until(LIMIT, "each frame of the guest on the TAP, once", () -> arrived() - before == 300);
            first.client("qmp", "quit");
            assertTrue(guest.frontEnd().awaitClosed(System.nanoTime() + LIMIT.toNanos()));
        }
    }

    /** Of each kind one, and many: a guest with four pairs, a VMM that has not finished, NICs that nobody uses, QMP clients that wait. */
    @Test
    void manyNicsMove() throws Exception {
        List<String> options = new ArrayList<>(List.of("--nic", "id=bare,socket=" + folder.resolve("bare")));
        for (int i = 0; i < MANY; i++) {
            String queues = i == 1 ? ",queues=4" : "";
            options.addAll(List.of("--netdev", "tap,id=net" + i + ",ifname=vupgrade" + i + queues, "--nic",
                    "id=nic" + i + ",netdev=net" + i + ",socket=" + folder.resolve("nic" + i) + queues));
        }
        Descriptors fds = new Descriptors();
        try (Vireo first = Vireo.run(namespace, folder.resolve("qmp"), options.toArray(String[]::new));
                GuestNic guest = Guests.connect(fds, folder.resolve("nic0"));
                GuestNic four = GuestNic.options().pairs(4).start(fds, FrontEnd.connect(fds, folder.resolve("nic1"), LIMIT));
                FrontEnd negotiating = FrontEnd.connect(fds, folder.resolve("nic2"), LIMIT);
                // a command of its own would have to start while the upgrade waits for nobody
                Monitor monitor = new Monitor(folder.resolve("qmp"));
                SocketChannel idle = SocketChannel.open(StandardProtocolFamily.UNIX)) {
            idle.connect(UnixDomainSocketAddress.of(folder.resolve("qmp")));
            long features = negotiating.getFeatures();
            negotiating.vringSize(1, 128);
            namespace.run("ip", "link", "set", "vupgrade0", "up");
            long before = arrived();
            send(guest);
            Guests.send(four, 100, LIMIT);
            FutureTask<Long> upgrade = new FutureTask<>(() -> upgrade(first));
            Thread.ofPlatform().start(upgrade);
            first.process().awaitLine("upgrade to", LIMIT);
            // what comes during the checks moves too, what comes later is refused
            monitor.does("device_add", "id", "early", "socket", folder.resolve("early").toString());
            first.process().awaitLine("HandoverService: handover of", LIMIT);
            monitor.refuses(List.of("an upgrade is under way"), "device_add", "id", "late", "socket", folder.resolve("late").toString());
            upgrade.get(3, TimeUnit.MINUTES);
            assertEquals(0, first.process().exitCode(LIMIT));
            send(guest);
            for (int pair = 0; pair < 4; pair++) {
                assertTrue(four.transmit(pair).send(new byte[60], System.nanoTime() + LIMIT.toNanos()));
                assertTrue(four.transmit(pair).awaitAll(System.nanoTime() + LIMIT.toNanos()), "pair " + pair);
            }
            // the VMM goes on where it was
            assertEquals(features, negotiating.getFeatures());
            Await.until(LIMIT, "each frame of the guest on the TAP, once", () -> arrived() - before == 200);
            List<String> nics = first.client("nic", "list");
            assertEquals(MANY + 1, nics.stream().filter(l -> l.startsWith("nic") && Character.isDigit(l.charAt(3))
                    || l.startsWith("bare")).count(), nics.toString());
            assertTrue(nics.stream().anyMatch(l -> l.startsWith("early")) && nics.stream().noneMatch(l -> l.startsWith("late")),
                    nics.toString());
        }
    }

    @Test
    void theOldProcessGoesOnWhereTheBuildDoesNotWork() throws Exception {
        try (Vireo old = Vireo.run(namespace, folder.resolve("qmp"), "--netdev", "tap,id=net0,ifname=vupgrade0", "--nic",
                "id=nic0,netdev=net0,socket=" + folder.resolve("nic0"));
                GuestNic guest = Guests.connect(new Descriptors(), folder.resolve("nic0"))) {
            namespace.run("ip", "link", "set", "vupgrade0", "up");
            assertRefused(old, "is not a build's command", "--build", folder.resolve("nothing").toString());
            assertRefused(old, "nothing to return to", "--return");
            Path noJava = build(folder.resolve("no-java"), "#!/bin/sh\necho 'vireo: needs Java 99' >&2\nexit 1\n");
            assertRefused(old, "check start: it ends with exit code 1: vireo: needs Java 99", "--build", noJava.toString());
            // starts once, for the checks, and not when it matters
            Path once = build(folder.resolve("once"), "#!/bin/sh\nif [ -e \"$0.run\" ]; then exit 7; fi\ntouch \"$0.run\"\n"
                    + "export VIREO_DIST=" + Vireo.DIST + "\nexec " + Vireo.ROOT.resolve("vireo") + " \"$@\"\n");
            assertRefused(old, "it ends with exit code 7", "--build", once.toString());
            send(guest);
            old.client("netdev", "add", "tap,id=net1,ifname=vupgrade1");
            assertTrue(old.client("nic", "list").stream().anyMatch(l -> l.startsWith("nic0") && l.contains("running")));
            assertTrue(old.process().isAlive());
        }
    }

    private static void assertRefused(Vireo old, String why, String... options) {
        List<String> command = new ArrayList<>(List.of("upgrade"));
        command.addAll(List.of(options));
        List<String> said = old.failingClient(command.toArray(String[]::new));
        assertTrue(said.stream().anyMatch(l -> l.contains(why)), said.toString());
    }
}
