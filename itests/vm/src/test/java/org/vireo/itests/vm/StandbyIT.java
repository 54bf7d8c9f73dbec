// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Isolated;
import org.vireo.guest.GuestNic;
import org.vireo.net.api.Fd;
import org.vireo.posix.Descriptors;
import org.vireo.posix.linux.Processes;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.TestProcess;
import org.vireo.vhostuser.Request;

/** Daemons that stand by for one another are killed; the guest keeps its NIC, and its VMM its connection. */
@Isolated("it loads the machine")
final class StandbyIT {
    private static final Duration LIMIT = Duration.ofSeconds(30);
    private static final int SIGCONT = 18;

    @TempDir
    private Path folder;
    @RegisterExtension
    final OnTap on = new OnTap();
    private final Descriptors fds = new Descriptors();
    private long sent;

    /** All are started alike, as units of a service manager are. */
    private Vireo daemon() {
        return daemon("");
    }

    private Vireo daemon(String fence) {
        return Vireo.run(on.namespace(), folder.resolve("qmp"), "--standby", "unix:" + folder.resolve("pair") + fence, "--netdev",
                "tap,id=net0,ifname=" + on.tap(), "--nic", "id=nic0,netdev=net0,socket=" + folder.resolve("nic0"));
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

    private void kill(Vireo daemon) {
        daemon.process().signal("KILL");
        daemon.process().exitCode(LIMIT);
    }

    private void awaitRole(Vireo daemon, String text) {
        Await.until(LIMIT, text + " of " + daemon.client("standby"), () -> String.join("\n", daemon.client("standby")).contains(text));
    }

    /** It serves QMP only from then on. */
    private static void awaitActive(Vireo daemon) {
        Await.until(LIMIT, "the second to be active", () -> {
            try {
                return String.join("\n", daemon.client("standby")).contains("role: active");
            } catch (AssertionError e) {
                return false;
            }
        });
    }

    @Test
    void theGuestGoesOnHoweverOftenItsDaemonIsKilled() throws Exception {
        try (Vireo first = daemon(); Vireo second = daemon(); GuestNic guest = guest()) {
            awaitRole(first, "nic0: prepared");
            send(guest, 1_000);
            // an orderly end with a standby is a handover: nothing is lost
            first.process().signal("TERM");
            assertEquals(0, first.process().exitCode(LIMIT));
            send(guest, 1_000);
            Await.until(LIMIT, "all frames of the guest on the TAP", () -> on.arrived() == sent);
            // the same QMP socket is served by whoever is active
            Await.until(LIMIT, "QMP of the second", () -> {
                try {
                    return String.join("\n", second.client("nic", "list")).contains("running");
                } catch (AssertionError e) {
                    return false;
                }
            });
            try (Vireo third = daemon()) {
                awaitRole(second, "standby " + third.process().pid() + ": ready");
                // a NIC that comes later, and one that goes
                second.client("netdev", "add", "tap,id=net1,ifname=vstandby1");
                second.client("nic", "add", "id=nic1,netdev=net1,socket=" + folder.resolve("nic1"));
                awaitRole(second, "nic1: prepared");
                second.client("netdev", "add", "tap,id=net2,ifname=vstandby2");
                second.client("nic", "add", "id=nic2,netdev=net2,socket=" + folder.resolve("nic2"));
                awaitRole(second, "nic2: prepared");
                second.client("nic", "del", "nic2");
                // not as the command lines say
                second.client("netdev", "change", "net0", "mtu=1400,sndbuf=100000");
                awaitRole(second, "nic0: prepared");
                kill(second);
                send(guest, 1_000);
                Await.until(LIMIT, "QMP of the third", () -> {
                    try {
                        List<String> nics = third.client("nic", "list");
                        return nics.stream().anyMatch(l -> l.startsWith("nic0") && l.contains("running"))
                                && nics.stream().anyMatch(l -> l.startsWith("nic1") && l.contains("listening"))
                                && nics.stream().noneMatch(l -> l.startsWith("nic2"));
                    } catch (AssertionError e) {
                        return false;
                    }
                });
                assertTrue(third.client("netdev", "list").stream().anyMatch(l -> l.startsWith("net0") && l.contains("mtu=1400")
                        && l.contains("sndbuf=100000")), third.client("netdev", "list").toString());
                // the kill may have repeated or lost one frame of the ring
                Await.until(LIMIT, "all frames of the guest on the TAP", () -> Math.abs(on.arrived() - sent) <= 1);
                third.process().signal("TERM");
                assertEquals(0, third.process().exitCode(LIMIT));
                assertTrue(guest.frontEnd().awaitClosed(soon()), "an orderly end without a standby is an end");
            }
        }
    }

    /** One that hangs is ended for its guest, if the operator wants that. */
    @Test
    void aDaemonThatStandsStillIsFencedAndEnded() throws Exception {
        try (Vireo first = daemon(",fence=auto"); Vireo second = daemon(",fence=auto"); GuestNic guest = guest()) {
            awaitRole(first, "nic0: prepared");
            send(guest, 1_000);
            first.process().signal("STOP");
            // waits in the rings until somebody serves them
            send(guest, 1_000);
            assertEquals(128 + 9, first.process().exitCode(LIMIT));
            Await.until(LIMIT, "all frames of the guest on the TAP", () -> Math.abs(on.arrived() - sent) <= 1);
            awaitActive(second);
        }
    }

    /** One that wakes in time lets go of its NIC, and makes room: nothing is lost. */
    @Test
    void aDaemonThatWakesWhenItIsFencedLetsGo() throws Exception {
        try (Vireo first = daemon(",fence=auto"); Vireo second = daemon(",fence=auto"); GuestNic guest = guest()) {
            awaitRole(first, "nic0: prepared");
            send(guest, 1_000);
            try (Fd process = Processes.open(fds, first.process().pid())) {
                first.process().signal("STOP");
                second.process().awaitLine("NIC nic0: fenced: FENCED", LIMIT);
                // it has half a second: no time for a command that has to start
                assertEquals(0, Processes.signal(process, SIGCONT));
            }
            send(guest, 1_000);
            assertEquals(0, first.process().exitCode(LIMIT), String.join("\n", first.process().lines()));
            first.process().awaitLine("NIC nic0: fenced by a standby, since this process stood still; it has let go", LIMIT);
            Await.until(LIMIT, "all frames of the guest on the TAP", () -> on.arrived() == sent);
            awaitActive(second);
        }
    }

    /** The VMM says something at the moment of each death: it is answered once, or has to connect anew; its NIC works afterwards. */
    @Test
    void aRequestAtTheMomentOfDeathIsAnsweredOrTheConnectionEnds() throws Exception {
        Random random = new Random(4711);
        Vireo active = daemon();
        Vireo standby = daemon();
        GuestNic guest = guest();
        try {
            for (int round = 0; round < 4; round++) {
                awaitRole(active, "nic0: prepared");
                TestProcess victim = active.process();
                long after = random.nextLong(TimeUnit.MILLISECONDS.toNanos(30));
                Thread killer = Thread.ofPlatform().start(() -> {
                    LockSupport.parkNanos(after);
                    victim.signal("KILL");
                });
                guest = talkUntilDead(guest, killer);
                send(guest, 100);
                active.close();
                active = standby;
                standby = daemon();
            }
        } finally {
            guest.close();
            active.close();
            standby.close();
        }
    }

    /** Stops and starts a ring again and again; both have an answer, or show in the next answer. */
    private GuestNic talkUntilDead(GuestNic guest, Thread killer) throws Exception {
        int base = guest.transmit(0).usedSeen();
        long end = 0;
        while (end == 0 || System.nanoTime() - end < 0) {
            try {
                assertEquals(base & 0xffff, guest.frontEnd().stop(1), "where the ring stopped");
                guest.frontEnd().vringDescriptor(Request.SET_VRING_KICK, 1, guest.transmit(0).kickFd());
            } catch (IOException e) {
                // nobody knew whether the answer had been sent
                assertFalse(killer.isAlive(), "the connection ended before the kill: " + e);
                guest.close();
                return Await.value(LIMIT, "the VMM connects anew", () -> {
                    try {
                        return guest();
                    } catch (IOException again) {
                        return null;
                    }
                });
            }
            if (end == 0 && !killer.isAlive()) {
                end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(100);
            }
        }
        return guest;
    }
}
