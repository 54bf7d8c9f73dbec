// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.vireo.guest.FrontEnd;
import org.vireo.guest.GuestNic;
import org.vireo.posix.Descriptors;
import org.vireo.testsupport.Await;
import org.vireo.vhostuser.VirtioNet;

/**
 * What serves a guest is stopped, killed or replaced by a broken version: how long until the guest's next frame passes, from that event or,
 * where there is nobody meanwhile, from the moment when somebody is there again.
 */
final class ReturnsIT {
    private static final Duration LIMIT = Duration.ofSeconds(60);
    private static final int TIMES = Rounds.of(1, 50);
    private static final int SIZE = 256;

    @TempDir
    private Path folder;
    @RegisterExtension
    final OnBridge on = new OnBridge();
    private final Descriptors fds = new Descriptors();

    private Path socket() {
        return folder.resolve("vu");
    }

    private Spare spare(String name, String netdev, Path socket) throws IOException {
        Spare s = new Spare(on.namespace(), folder.resolve(name), netdev, socket);
        s.serve();
        return s;
    }

    /** What happens to the back-end before it is there again. */
    private interface Absence {
        void pass() throws Exception;
    }

    /** A broken version lacks what the guest has acknowledged, and hangs up. */
    @Test
    void aBackEndThatWasStoppedAndOneAfterABrokenVersion() throws Exception {
        try (Spare far = spare("far", "tap,ifname=" + on.tap(), socket());
                Spare near = spare("near", "vhost-user,reconnect-ms=20,path=" + socket(), folder.resolve("nic0"));
                Spare others = spare("others", "tap,ifname=" + on.otherTap(), folder.resolve("nic1"));
                RingLoad load = new RingLoad(GuestNic.options().ringSize(SIZE).receiveBytes(RingLoad.RECEIVE_BYTES)
                        .start(fds, FrontEnd.connect(fds, folder.resolve("nic0"), LIMIT)), Guests.connect(fds, folder.resolve("nic1")))) {
            assertUsedAtOnce("a back-end that was stopped", far, load, () -> { });
            assertUsedAtOnce("a back-end after a broken version of it", far, load, () -> {
                try (FlappingBackEnd broken = new FlappingBackEnd(socket(), VirtioNet.VERSION_1 | VirtioNet.PROTOCOL_FEATURES, 20)) {
                    Await.until(LIMIT, "Vireo to try it", () -> broken.connections() >= 2);
                }
            });
            assertTrue(near.nics().contains("\"running\"") && others.nics().contains("\"running\""));
        }
    }

    private static void assertUsedAtOnce(String what, Spare far, RingLoad load, Absence absence) throws Exception {
        long[] times = new long[TIMES];
        for (int i = 0; i < TIMES; i++) {
            load.run(2_000_000);
            far.leave();
            absence.pass();
            load.drain();
            long begin = System.nanoTime();
            far.serve();
            load.awaitFrame(what);
            times[i] = System.nanoTime() - begin;
            load.assertWhole(what);
        }
        Rounds.judge(what + ": from its start to the next frame", times);
    }

    private Vireo daemon() {
        return Vireo.run(on.namespace(), folder.resolve("qmp"), "--standby", "unix:" + folder.resolve("pair"), "--netdev",
                "vhost-user,id=net0,reconnect-ms=20,path=" + socket(), "--nic", "id=nic0,netdev=net0,socket=" + folder.resolve("nic0"));
    }

    private void awaitStandby() {
        Await.until(LIMIT, "the standby to have the NIC", () -> {
            try (Monitor m = new Monitor(folder.resolve("qmp"))) {
                return m.does("query-standby").contains("\"prepared\"");
            } catch (IOException e) {
                // in between nobody serves it
                return false;
            }
        });
    }

    /** With a standby; a broken version is refused, and the daemon goes on. */
    @Test
    void aDaemonThatIsStoppedKilledAndUpgradedToABrokenVersion() throws Exception {
        Path broken = Files.writeString(folder.resolve("vireo"), "#!/bin/sh\necho broken >&2\nexit 1\n");
        Files.setPosixFilePermissions(broken, PosixFilePermissions.fromString("rwxr-xr-x"));
        long[] stopped = new long[TIMES];
        long[] killed = new long[TIMES];
        long[] upgraded = new long[TIMES];
        try (Spare far = spare("far", "tap,ifname=" + on.tap(), socket())) {
            Vireo active = daemon();
            Vireo standby = null;
            try (GuestNic guest = Guests.connect(fds, folder.resolve("nic0")); Sleeper sleeper = new Sleeper(guest)) {
                for (int i = 0; i < 2 * TIMES; i++) {
                    standby = daemon();
                    awaitStandby();
                    if (i % 2 == 0) {
                        upgraded[i / 2] = upgrade(broken, sleeper);
                    }
                    sleeper.longestNanos();
                    active.process().signal(i % 2 == 0 ? "TERM" : "KILL");
                    active.process().exitCode(LIMIT);
                    standby.process().awaitLine("1 NIC taken", LIMIT);
                    goesOn(sleeper);
                    (i % 2 == 0 ? stopped : killed)[i / 2] = sleeper.longestNanos();
                    active.close();
                    active = standby;
                    standby = null;
                }
            } finally {
                active.close();
                if (standby != null) {
                    standby.close();
                }
            }
            assertTrue(far.daemon().process().isAlive());
        }
        Rounds.judge("a daemon with a standby is upgraded to a broken version: longest sleep of the guest", upgraded);
        Rounds.judge("a daemon with a standby is stopped: longest sleep of the guest", stopped);
        Rounds.judge("a daemon with a standby is killed: longest sleep of the guest", killed);
    }

    private static void goesOn(Sleeper sleeper) {
        long before = sleeper.sleeps();
        Await.until(LIMIT, "the guest to go on", () -> sleeper.sleeps() > before + 2);
    }

    private long upgrade(Path broken, Sleeper sleeper) throws IOException {
        sleeper.longestNanos();
        try (Monitor m = new Monitor(folder.resolve("qmp"))) {
            m.does("upgrade", "command", broken.toString());
            String said = Await.value(LIMIT, "the end of the upgrade", () -> {
                String s = m.does("query-upgrade");
                return s.contains("\"failed\"") || s.contains("\"completed\"") ? s : null;
            });
            assertTrue(said.contains("\"failed\""), said);
            assertTrue(m.does("query-nics").contains("\"running\""));
        }
        goesOn(sleeper);
        return sleeper.longestNanos();
    }
}
