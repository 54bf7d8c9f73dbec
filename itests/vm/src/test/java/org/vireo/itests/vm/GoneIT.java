// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.vireo.guest.GuestNic;
import org.vireo.posix.Descriptors;
import org.vireo.testsupport.Await;

/**
 * The external back-end of a running NIC has gone, or hangs, and its VMM may have gone too: NIC and netdev are deleted all the same, are
 * not found when they are deleted once more, and what is added anew under their names works.
 */
final class GoneIT {
    private static final Duration LIMIT = Duration.ofSeconds(30);
    /** How long both sides stay away before anybody deletes anything. */
    private static final int AWAY_SECONDS = Rounds.of(0, 70);
    private static final List<String> NOT_FOUND = List.of("\"DeviceNotFound\"");

    @TempDir
    private Path folder;
    @RegisterExtension
    final OnTap on = new OnTap();
    private final Descriptors fds = new Descriptors();
    private int started;

    /** How a far side goes. */
    private enum End { KILLED, DELETED, HANGING }

    private Path socket() {
        return folder.resolve("vu");
    }

    private Path nic() {
        return folder.resolve("nic0");
    }

    private CompletableFuture<Spare> begin() {
        return Spare.begin(on.namespace(), folder.resolve("far" + started++), "tap,ifname=" + on.tap(), socket());
    }

    private void add(Monitor m, String reconnect) throws IOException {
        m.does("netdev_add", "type", "vhost-user", "id", "net0", "path", socket().toString(), "reconnect-ms", reconnect);
        m.does("device_add", "id", "nic0", "netdev", "net0", "socket", nic().toString());
    }

    private GuestNic guest() throws IOException {
        GuestNic g = Guests.connect(fds, nic());
        long before = on.arrived();
        Guests.send(g, 100, LIMIT);
        Await.until(LIMIT, "all frames of the guest", () -> on.arrived() == before + 100);
        return g;
    }

    private void end(Spare far, End how) throws IOException {
        switch (how) {
            case KILLED -> far.kill();
            case DELETED -> far.leave();
            default -> far.daemon().process().signal("STOP");
        }
    }

    /** The wait is what is tried: whatever gives up after a while has done so. */
    private static void stayAway() throws InterruptedException {
        TimeUnit.SECONDS.sleep(AWAY_SECONDS);
    }

    private void delete(Monitor m) throws IOException {
        m.refuses(List.of("net0", "is in use by NIC nic0"), "netdev_del", "id", "net0");
        long begin = System.nanoTime();
        m.does("device_del", "id", "nic0");
        m.refuses(NOT_FOUND, "device_del", "id", "nic0");
        assertTrue(Files.notExists(nic()), "the socket goes with its NIC");
        m.does("netdev_del", "id", "net0");
        m.refuses(NOT_FOUND, "netdev_del", "id", "net0");
        assertTrue(System.nanoTime() - begin < TimeUnit.SECONDS.toNanos(10), "a deletion waits for nobody");
        assertTrue(m.does("query-nics").contains("[]") && m.does("query-netdevs").contains("[]"));
    }

    /** One case of the kind. */
    private record Case(String reconnectMillis, End how, boolean vmmGoes) { }

    private static List<Case> cases() {
        if (!Rounds.isFull()) {
            return List.of(new Case("0", End.KILLED, true), new Case("100", End.HANGING, false));
        }
        List<Case> all = new ArrayList<>();
        for (String reconnect : List.of("100", "0")) {
            for (End how : End.values()) {
                all.add(new Case(reconnect, how, false));
                all.add(new Case(reconnect, how, true));
            }
        }
        return all;
    }

    @Test
    void whatIsDeletedAfterTheFarSideHasGoneCanBeAddedAnew() throws Exception {
        Spare far = begin().join();
        try (Vireo v = Vireo.run(on.namespace(), folder.resolve("qmp")); Monitor m = new Monitor(folder.resolve("qmp"))) {
            ProcessView before = null;
            for (Case c : cases()) {
                CompletableFuture<Spare> next = begin();
                far.serve();
                add(m, c.reconnectMillis);
                try (GuestNic g = guest()) {
                    end(far, c.how);
                    if (c.vmmGoes) {
                        g.frontEnd().close();
                    }
                    stayAway();
                    delete(m);
                } finally {
                    far.close();
                    far = next.join();
                }
                far.serve();
                add(m, c.reconnectMillis);
                guest().close();
                delete(m);
                far.leave();
                before = before == null && Rounds.isFull() ? ProcessView.settled(v.process().pid()) : before;
            }
            if (before != null) {
                ProcessView first = before;
                Await.until(LIMIT, "it has nothing more than after the first one", () -> ProcessView.of(v.process().pid()).more(first)
                        .values().stream().noneMatch(n -> n > 0));
            }
            assertTrue(v.process().isAlive());
        } finally {
            far.close();
        }
    }
}
