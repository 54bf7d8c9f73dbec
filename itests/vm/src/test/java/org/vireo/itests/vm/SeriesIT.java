// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.vireo.guest.FrontEnd;
import org.vireo.guest.GuestNic;
import org.vireo.posix.Descriptors;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.Requirements;
import org.vireo.testsupport.TestProcess;
import org.vireo.testsupport.TestTap;

/**
 * The same again and again with a netdev of type vhost-user: swaps from and to a TAP, handovers, NICs that come and go. Each works at the
 * first try, the guest's rings go on, no call is lost, and what the processes have in the end they had after the first ten.
 */
final class SeriesIT {
    private static final Duration LIMIT = Duration.ofSeconds(30);
    private static final int SWAPS = Rounds.of(1, 250);
    private static final int HANDOVERS = Rounds.of(1, 1_000);
    private static final int NICS = Rounds.of(2, 1_000);
    /** After so many, which is an even number, a process has what it needs. */
    private static final int FIRST = 10;
    private static final int FRAMES = 20;
    /** A sleep of the guest that is worth a word. */
    private static final long SHORT_NANOS = 100_000_000;

    @TempDir
    private Path folder;
    @RegisterExtension
    final OnTap on = new OnTap();
    private final Descriptors fds = new Descriptors();
    private TestTap other;

    @BeforeEach
    void otherTap() {
        other = TestTap.tap(on.namespace(), "vnet_hdr").up();
    }

    @AfterEach
    void cleanUp() {
        if (other != null) {
            other.close();
        }
    }

    private Path socket() {
        return folder.resolve("vu");
    }

    private Path nic() {
        return folder.resolve("nic0");
    }

    private static long frames(long pid, String itf) throws IOException {
        return Files.readAllLines(Path.of("/proc/" + pid + "/net/dev")).stream().map(String::strip).filter(l -> l.startsWith(itf + ":"))
                .mapToLong(l -> Long.parseLong(l.split("\\s+")[2])).findFirst().orElseThrow();
    }

    private static void awaitMore(String what, long pid, String itf) throws IOException {
        long before = frames(pid, itf);
        Await.until(LIMIT, "frames of the guest at " + itf + " after " + what, () -> frames(pid, itf) >= before + FRAMES);
    }

    private Spare backEnd() throws IOException {
        Spare s = new Spare(on.namespace(), folder.resolve("far"), "tap,ifname=" + other.name(), socket());
        s.serve();
        // on a busy machine a cold process takes longer for its first VMM than a swap waits
        try (FrontEnd first = FrontEnd.connect(fds, socket(), LIMIT)) {
            first.getFeatures();
        }
        return s;
    }

    /** @param before null: there were too few rounds */
    private static void tellFlat(String who, ProcessView before, long pid) {
        if (before != null) {
            Await.until(LIMIT, who + " has more than after the first rounds: " + ProcessView.of(pid).more(before),
                    () -> ProcessView.of(pid).more(before).values().stream().noneMatch(n -> n > 0));
            Rounds.tell(who + ": " + ProcessView.of(pid).since(before));
        }
    }

    @Test
    @Tag(Rounds.COUNT)
    void aGuestMovesBetweenATapAndABackEnd() throws Exception {
        try (Spare far = backEnd(); Vireo v = Vireo.run(on.namespace(), folder.resolve("qmp"), "--netdev",
                "tap,id=net0,ifname=" + on.tap(), "--nic", "id=nic0,netdev=net0,socket=" + nic());
                Monitor m = new Monitor(folder.resolve("qmp")); GuestNic guest = Guests.connect(fds, nic());
                Sleeper sleeper = new Sleeper(guest)) {
            long pid = v.process().pid();
            List<Long> sleeps = new ArrayList<>();
            ProcessView before = null;
            for (int i = 1; i <= SWAPS; i++) {
                sleeper.longestNanos();
                m.does("netdev-swap", "id", "net0", "type", "vhost-user", "path", socket().toString());
                awaitMore("swap " + i + " to the back-end", pid, other.name());
                sleeps.add(sleeper.longestNanos());
                m.does("netdev-swap", "id", "net0", "type", "tap", "ifname", on.tap());
                awaitMore("swap " + i + " to the TAP", pid, on.tap());
                sleeps.add(sleeper.longestNanos());
                if (i == FIRST) {
                    before = ProcessView.settled(pid);
                }
            }
            Rounds.tell(Rounds.distribution("swaps to and fro, the guest's longest sleep", of(sleeps)));
            tellFlat("the daemon", before, pid);
            assertTrue(far.daemon().process().isAlive());
        }
    }

    private static long[] of(List<Long> all) {
        return all.stream().mapToLong(Long::longValue).toArray();
    }

    /** A NIC, and its netdev, that a guest is using. */
    @Test
    void nicsAndNetdevsComeAndGo() throws Exception {
        try (Spare far = backEnd(); Vireo v = Vireo.run(on.namespace(), folder.resolve("qmp"), "--nic",
                "id=stays,socket=" + folder.resolve("stays")); Monitor m = new Monitor(folder.resolve("qmp"))) {
            long pid = v.process().pid();
            ProcessView before = null;
            for (int i = 1; i <= NICS; i++) {
                boolean external = i % 2 == 0;
                if (external) {
                    m.does("netdev_add", "type", "vhost-user", "id", "net0", "path", socket().toString());
                } else {
                    m.does("netdev_add", "type", "tap", "id", "net0", "ifname", on.tap());
                }
                m.does("device_add", "id", "nic0", "netdev", "net0", "socket", nic().toString());
                String nics = m.does("query-nics");
                assertTrue(nics.contains("\"listening\""), "round " + i + ", at the first try: " + nics);
                String at = external ? other.name() : on.tap();
                long already = frames(pid, at);
                GuestNic guest = Guests.connect(fds, nic());
                try {
                    Guests.send(guest, FRAMES, LIMIT);
                    Await.until(LIMIT, "frames of round " + i, () -> frames(pid, at) == already + FRAMES);
                    if (i % 4 < 2) {
                        guest.close();
                    }
                    m.does("device_del", "id", "nic0");
                } finally {
                    guest.close();
                }
                m.does("netdev_del", "id", "net0");
                assertTrue(Files.notExists(nic()), "its socket goes with the NIC");
                if (i == FIRST) {
                    before = ProcessView.settled(pid);
                }
            }
            Rounds.tell(NICS + " NICs with their netdevs came and went");
            tellFlat("the daemon", before, pid);
            assertTrue(far.daemon().process().isAlive());
        }
    }

    @Test
    void aNicGoesToAndFro() throws Exception {
        try (Spare far = backEnd()) {
            goToAndFro("a Vireo", other.name(), far.daemon().process().pid());
        }
        if (Rounds.isFull()) {
            behindAForeignOne();
        }
    }

    private void behindAForeignOne() throws Exception {
        Requirements.dpdk();
        try (TestTap veth = TestTap.veth(on.namespace()).up();
                TestProcess pmd = Testpmd.listening(on.namespace(), socket(), veth.peer())) {
            Await.until(LIMIT, "testpmd to listen", () -> Files.exists(socket()));
            goToAndFro("testpmd", veth.name(), pmd.pid());
        }
    }

    /** Under a guest that sleeps on its call descriptor. */
    private void goToAndFro(String backEnd, String itf, long its) throws Exception {
        try (ToAndFro daemons = new ToAndFro(on.namespace(), folder, "--netdev", "vhost-user,id=net0,reconnect-ms=100,path=" + socket(),
                "--nic", "id=nic0,netdev=net0,socket=" + nic()); GuestNic guest = Guests.connect(fds, nic());
                Sleeper sleeper = new Sleeper(guest)) {
            long[] sleeps = new long[HANDOVERS];
            ProcessView[] before = null;
            long[] pids = {daemons.pid(0), daemons.pid(1), its};
            for (int i = 1; i <= HANDOVERS; i++) {
                sleeper.longestNanos();
                daemons.handOver();
                awaitMore("handover " + i, pids[0], itf);
                sleeps[i - 1] = sleeper.longestNanos();
                if (i == FIRST) {
                    before = Stream.of(0, 1, 2).map(p -> ProcessView.settled(pids[p])).toArray(ProcessView[]::new);
                }
            }
            Rounds.tell(Rounds.distribution("handovers with " + backEnd + " behind, the guest's longest sleep", sleeps) + "; over 100 ms: "
                    + Arrays.stream(sleeps).filter(n -> n > SHORT_NANOS).count() + "; asked once more " + daemons.refused() + " times");
            if (before == null) {
                return;
            }
            if (HANDOVERS % 2 == 1) {
                daemons.handOver();
            }
            String[] who = {"one daemon", "the other daemon", backEnd};
            for (int p = 0; p < who.length; p++) {
                tellFlat(who[p], before[p], pids[p]);
            }
        }
    }
}
