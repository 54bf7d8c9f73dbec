// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.vireo.guest.GuestNic;
import org.vireo.posix.Descriptors;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.Requirements;

/** One daemon alone, whose NICs the service manager keeps: what is started next goes on with them. */
final class DescriptorStoreIT {
    private static final Duration LIMIT = Duration.ofSeconds(30);
    private static final int MOST = 500;
    private static final int KILL = 9;
    private static final int TERM = 15;

    @TempDir
    private Path folder;
    @RegisterExtension
    final OnTap on = new OnTap();
    private ServiceManager manager;
    private final Descriptors fds = new Descriptors();
    private long sent;

    @BeforeEach
    void requirements() {
        Requirements.command("cc");
        Requirements.command("systemd-notify");
    }

    @AfterEach
    void cleanUp() {
        if (manager != null) {
            manager.close();
        }
    }

    private void manage(int most) {
        manager = new ServiceManager(on.namespace(), folder, most, "--netdev", "tap,id=net0,ifname=" + on.tap(), "--nic",
                "id=nic0,netdev=net0,socket=" + folder.resolve("nic0"));
    }

    private GuestNic guest() throws IOException {
        return Guests.connect(fds, folder.resolve("nic0"));
    }

    private static long soon() {
        return System.nanoTime() + LIMIT.toNanos();
    }

    private void send(GuestNic g, int count) {
        Guests.send(g, count, LIMIT);
        sent += count;
    }

    private void awaitArrived(int tolerance) {
        Await.until(LIMIT, "all frames of the guest on the TAP", () -> Math.abs(on.arrived() - sent) <= tolerance);
    }

    /** Waits until one picture of each NIC is stored and nothing else. */
    private void awaitRest(int nics) {
        Await.until(LIMIT, nics + " NICs in the store", () -> manager.store().stream().filter(n -> n.startsWith("nic-")).count() == nics);
    }

    private List<String> nics() {
        return manager.daemon().client("nic", "list");
    }

    @Test
    void theGuestGoesOnAfterKillAndAfterRestart() throws Exception {
        manage(MOST);
        manager.start();
        assertTrue(manager.lines().contains("told READY=1"), manager.lines().toString());
        try (GuestNic guest = guest()) {
            send(guest, 500);
            awaitRest(1);
            int kept = manager.store().size();
            for (int round = 0; round < 3; round++) {
                assertEquals(-KILL, manager.end(KILL));
                manager.start();
                send(guest, 500);
                awaitArrived(round + 1);
                awaitRest(1);
                assertEquals(kept, manager.store().size(), "descriptors kept: " + manager.store());
            }
            long before = on.arrived();
            // a restart in good order loses nothing, not even one frame
            assertEquals(0, manager.end(TERM));
            manager.start();
            Guests.send(guest, 500, LIMIT);
            Await.until(LIMIT, "500 frames more", () -> on.arrived() == before + 500);
            assertTrue(nics().stream().anyMatch(l -> l.startsWith("nic0") && l.contains("running")), nics().toString());
            // stopped: the store goes, and with it the connection
            assertEquals(0, manager.end(TERM));
            manager.clear();
            assertTrue(guest.frontEnd().awaitClosed(soon()));
        }
        manager.start();
        try (GuestNic again = guest()) {
            Guests.send(again, 500, LIMIT);
        }
    }

    /** NICs that come and go, VMMs that come and go: what is stored follows, and what has gone does not come back. */
    @Test
    void whatHasGoneDoesNotComeBack() throws Exception {
        manage(MOST);
        manager.start();
        awaitRest(1);
        int idle = manager.store().size();
        manager.daemon().client("netdev", "add", "tap,id=net1,ifname=vstore1");
        manager.daemon().client("nic", "add", "id=nic1,netdev=net1,socket=" + folder.resolve("nic1"));
        awaitRest(2);
        try (GuestNic guest = guest(); GuestNic second = Guests.connect(fds, folder.resolve("nic1"))) {
            send(guest, 100);
            Guests.send(second, 100, LIMIT);
        }
        Await.until(LIMIT, "the VMMs' descriptors to be gone from " + manager.store(), () -> manager.store().size() == 2 * idle);
        manager.daemon().client("nic", "del", "nic1");
        manager.daemon().client("netdev", "del", "net1");
        Await.until(LIMIT, "the second NIC to be gone from " + manager.store(), () -> manager.store().size() == idle);
        assertEquals(-KILL, manager.end(KILL));
        manager.start();
        List<String> nics = nics();
        assertEquals(1, nics.stream().filter(l -> l.startsWith("nic")).count(), nics.toString());
        try (GuestNic guest = guest()) {
            send(guest, 100);
        }
    }

    /** A set with a hole is not used: it is said, closed, and the NIC starts anew. */
    @Test
    void whatIsIncompleteIsReportedAndStartsAnew() throws Exception {
        manage(MOST);
        manager.start();
        try (GuestNic guest = guest()) {
            send(guest, 100);
            awaitRest(1);
            List<String> store = manager.store();
            manager.drop(store.stream().filter(n -> n.startsWith("fd-")).findFirst().orElseThrow());
            assertEquals(-KILL, manager.end(KILL));
            manager.start();
            assertTrue(manager.lines().stream().anyMatch(l -> l.contains("was not kept; FileDescriptorStoreMax=")),
                    manager.lines().toString());
            assertTrue(guest.frontEnd().awaitClosed(soon()), "a connection that nobody serves stays open");
            assertFalse(manager.store().stream().anyMatch(store::contains), "what is of no use stays: " + manager.store());
        }
        try (GuestNic again = guest()) {
            Guests.send(again, 100, LIMIT);
        }
    }

    /** The next build stores what the one before has removed, and is the main process: when it is killed, its NICs are kept. */
    @Test
    void anUpgradedDaemonIsKeptToo() throws Exception {
        manage(MOST);
        long first = manager.start();
        try (GuestNic guest = guest()) {
            send(guest, 500);
            manager.daemon().client("upgrade");
            manager.awaitEnd();
            assertTrue(manager.mainPid() != first, manager.lines().toString());
            send(guest, 500);
            awaitRest(1);
            assertEquals(-KILL, manager.end(KILL));
            manager.start();
            send(guest, 500);
            awaitArrived(1);
        }
    }
}
