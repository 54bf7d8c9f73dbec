// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.vireo.guest.GuestNic;
import org.vireo.posix.Descriptors;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.Requirements;

/** Daemons whose NICs are files of a folder: they follow it, and a guest goes on however they succeed one another. */
final class ConfigFolderIT {
    private static final Duration LIMIT = Duration.ofSeconds(40);
    private static final Pattern NEXT = Pattern.compile("completed: process ([0-9]+) goes on");
    private static final int KILL = 9;

    @TempDir
    private Path work;
    @RegisterExtension
    final OnTap on = new OnTap();
    private final Descriptors fds = new Descriptors();
    private final List<Long> processes = new ArrayList<>();
    private Path folder;
    private long sent;

    @BeforeEach
    void files() throws IOException {
        // reached by a link
        folder = Files.createSymbolicLink(work.resolve("config"), Files.createDirectory(work.resolve("real")));
        write("netdev.tap-net0.cfg", "ifname=" + on.tap());
        write("nic-nic0.cfg", "netdev=net0", "socket=" + work.resolve("nic0"));
    }

    @AfterEach
    void cleanUp() {
        processes.forEach(p -> ProcessHandle.of(p).ifPresent(ProcessHandle::destroyForcibly));
    }

    private void write(String name, String... lines) throws IOException {
        Files.write(folder.resolve(name), List.of(lines));
    }

    private void delete(String name) throws IOException {
        Files.delete(folder.resolve(name));
    }

    private Vireo daemon(String... more) {
        List<String> options = new ArrayList<>(List.of("--config", folder + "//"));
        options.addAll(List.of(more));
        return Vireo.run(on.namespace(), work.resolve("qmp"), options.toArray(String[]::new));
    }

    private GuestNic guest() throws IOException {
        return Guests.connect(fds, work.resolve("nic0"));
    }

    /** Each frame arrives once, or one more or less was lost or repeated with each process that was killed. */
    private void flows(GuestNic g, int killed) {
        Guests.send(g, 200, LIMIT);
        sent += 200;
        Await.until(LIMIT, "all frames of the guest on the TAP", () -> Math.abs(on.arrived() - sent) <= killed);
    }

    private static long said(Vireo v, String text) {
        return v.process().lines().stream().filter(l -> l.contains(text)).count();
    }

    private static void awaitSaid(Vireo v, long times, String text) {
        Await.until(LIMIT, times + " times: " + text, () -> said(v, text) == times);
    }

    private static void awaitNic(Vireo v, String id, String state) {
        Await.until(LIMIT, id + " to be " + state, () -> {
            try {
                return v.client("nic", "list").stream().anyMatch(l -> l.startsWith(id + " ") && l.contains(state));
            } catch (AssertionError e) {
                // nobody serves QMP for a moment
                return false;
            }
        });
    }

    private static List<String> nics(Vireo v) {
        return v.client("nic", "list").stream().filter(l -> l.startsWith("nic")).map(l -> l.split(" +")[0]).filter(i -> !i.equals("nic"))
                .sorted().toList();
    }

    private void upgrade(Vireo v) {
        List<String> end = v.client("upgrade");
        Matcher m = NEXT.matcher(end.getLast());
        assertTrue(m.matches(), end.toString());
        processes.add(Long.parseLong(m.group(1)));
        assertEquals(0, v.process().exitCode(LIMIT), "the old process ends in good order");
    }

    @Test
    void filesAreFollowedAndUpgraded() throws Exception {
        write("nic-bad.cfg", "socket=" + work.resolve("bad"), "unknown=1");
        try (Vireo v = daemon(); GuestNic guest = guest()) {
            assertTrue(v.process().stdout().getLast().endsWith("ready, 1 NIC; of the files in " + folder + " 1 refused (nic-bad.cfg)"),
                    v.process().stdout().toString());
            assertEquals(1, said(v, "nic-bad.cfg: NIC bad: unknown option unknown=1"));
            flows(guest, 0);
            // a NIC before its netdev; one that nobody uses is made anew, one that a guest has is not
            write("nic-nic1.cfg", "netdev=net1", "socket=" + work.resolve("nic1"));
            awaitSaid(v, 1, "nic-nic1.cfg: waits: NIC nic1: netdev=net1: there is no such netdev");
            write("netdev.tap-net1.cfg", "ifname=vconfig1");
            awaitSaid(v, 1, "nic-nic1.cfg: NIC nic1 is made");
            write("nic-nic1.cfg", "netdev=net1", "socket=" + work.resolve("nic1"), "mtu=1400");
            write("nic-nic0.cfg", "netdev=net0", "socket=" + work.resolve("nic0"), "mtu=1400");
            awaitSaid(v, 1, "nic-nic1.cfg: NIC nic1 is made anew: mtu=1400 instead of 0");
            awaitSaid(v, 1, "nic-nic0.cfg: NIC nic0: mtu=1400 instead of 0 takes a new NIC");
            write("netdev.tap-net0.cfg", "ifname=" + on.tap(), "sndbuf=100000");
            awaitSaid(v, 1, "netdev.tap-net0.cfg: netdev net0 is changed");
            // not the files': they stay with who asked for that
            write("nic-nic2.cfg", "socket=" + work.resolve("nic2"));
            awaitSaid(v, 1, "nic-nic2.cfg: NIC nic2 is made");
            v.client("nic", "del", "nic2");
            v.client("nic", "add", "id=nic3,socket=" + work.resolve("nic3"));
            awaitSaid(v, 1, "nic-nic2.cfg: NIC nic2 has gone, deleted or moved by somebody else");
            flows(guest, 0);

            upgrade(v);
            flows(guest, 0);
            // the next process follows the same files: what was refused is, what was deleted stays so
            awaitSaid(v, 2, "nic-nic0.cfg: NIC nic0: mtu=1400 instead of 0 takes a new NIC");
            write("nic-nic4.cfg", "socket=" + work.resolve("nic4"));
            awaitSaid(v, 1, "nic-nic4.cfg: NIC nic4 is made");
            assertEquals(List.of("nic0", "nic1", "nic3", "nic4"), nics(v));
            delete("nic-nic1.cfg");
            delete("nic-nic4.cfg");
            delete("netdev.tap-net1.cfg");
            awaitSaid(v, 1, "netdev.tap-net1.cfg: has been removed, and so is netdev net1");
            assertEquals(List.of("nic0", "nic3"), nics(v));
            flows(guest, 0);
            delete("nic-nic0.cfg");
            assertTrue(guest.frontEnd().awaitClosed(System.nanoTime() + LIMIT.toNanos()), "a removed file is a deleted NIC");
            v.client("qmp", "quit");
        }
    }

    @Test
    void standbysGoOnWithTheFiles() throws Exception {
        String pair = "unix:" + work.resolve("pair");
        try (Vireo first = daemon("--standby", pair); Vireo second = daemon("--standby", pair); GuestNic guest = guest()) {
            Await.until(LIMIT, "a standby", () -> String.join("\n", first.client("standby")).contains("nic0: prepared"));
            // changed on the active one alone, and told to the standby by that
            write("nic-nic1.cfg", "socket=" + work.resolve("nic1"));
            awaitSaid(first, 1, "nic-nic1.cfg: NIC nic1 is made");
            write("nic-nic1.cfg", "socket=" + work.resolve("nic1"), "mtu=1400");
            awaitSaid(first, 1, "nic-nic1.cfg: NIC nic1 is made anew");
            Await.until(LIMIT, "a standby", () -> String.join("\n", first.client("standby")).contains("nic1: prepared"));
            flows(guest, 0);
            first.process().signal("KILL");
            assertEquals(128 + KILL, first.process().exitCode(LIMIT));
            flows(guest, 1);
            awaitNic(second, "nic0", "running");
            awaitNic(second, "nic1", "listening");
            write("nic-nic2.cfg", "socket=" + work.resolve("nic2"));
            awaitSaid(second, 1, "nic-nic2.cfg: NIC nic2 is made");
            assertEquals(0, said(second, "ERROR"), second.process().lines().toString());
            delete("nic-nic1.cfg");
            awaitSaid(second, 1, "nic-nic1.cfg: has been removed, and so is NIC nic1");
            assertEquals(List.of("nic0", "nic2"), nics(second));
            flows(guest, 1);
        }
    }

    @Test
    void whatTheServiceManagerKeptIsTheFilesAgain() throws Exception {
        Requirements.command("cc");
        Requirements.command("systemd-notify");
        try (ServiceManager manager = new ServiceManager(on.namespace(), work, 500, "--config", folder.toString())) {
            manager.start();
            try (GuestNic guest = guest()) {
                flows(guest, 0);
                Await.until(LIMIT, "the NIC in the store", () -> manager.store().stream().anyMatch(n -> n.startsWith("nic-")));
                assertEquals(-KILL, manager.end(KILL));
                write("nic-nic0.cfg", "netdev=net0", "socket=" + work.resolve("nic0"), "mtu=1400");
                manager.start();
                flows(guest, 1);
                assertTrue(manager.lines().stream().anyMatch(l -> l.contains("mtu=1400 instead of 0 takes a new NIC")),
                        manager.lines().toString());
                delete("nic-nic0.cfg");
                assertTrue(guest.frontEnd().awaitClosed(System.nanoTime() + LIMIT.toNanos()), "a removed file is a deleted NIC");
            }
        }
    }
}
