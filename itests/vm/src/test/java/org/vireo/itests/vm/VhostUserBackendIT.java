// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.AsynchronousCloseException;
import java.nio.channels.ServerSocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Isolated;
import org.vireo.guest.DeviceStates;
import org.vireo.guest.FrontEnd;
import org.vireo.guest.GuestNic;
import org.vireo.guest.RefusedException;
import org.vireo.posix.Descriptors;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.Requirements;
import org.vireo.testsupport.TestNamespace;
import org.vireo.testsupport.TestProcess;
import org.vireo.testsupport.TestTap;
import org.vireo.vhostuser.ProtocolFeatures;

/** Netdev type vhost-user: the guest's rings are served by an external process, DPDK's testpmd or another daemon. */
@Isolated("a testpmd takes a whole processor")
final class VhostUserBackendIT {
    private static final Duration LIMIT = Duration.ofSeconds(30);
    private static final String HOST = "10.77.0.1/24";
    private static final String GUEST = "10.77.0.2";

    @TempDir
    private Path folder;
    @RegisterExtension
    final OnTap on = new OnTap();
    private final Descriptors fds = new Descriptors();
    private TestNamespace inside;
    /** Its peer is where a testpmd sends what the guest sends. */
    private TestTap veth;

    @BeforeEach
    void network() {
        Requirements.dpdk();
        inside = TestNamespace.create();
        veth = TestTap.veth(on.namespace()).up();
    }

    @AfterEach
    void cleanUp() {
        if (veth != null) {
            veth.close();
        }
        if (inside != null) {
            inside.close();
        }
    }

    private Path socket() {
        return folder.resolve("vu");
    }

    private Path nic() {
        return folder.resolve("nic0");
    }

    /** A daemon with a NIC whose rings are an external back-end's. */
    private Vireo daemon(String netdev, String... more) {
        List<String> options = new ArrayList<>(List.of("--netdev", "vhost-user,id=net0,path=" + socket() + netdev, "--nic",
                "id=nic0,netdev=net0,socket=" + nic()));
        options.addAll(List.of(more));
        return Vireo.run(on.namespace(), folder.resolve("qmp"), options.toArray(String[]::new));
    }

    private TestProcess testpmd() throws IOException {
        return Testpmd.listening(on.namespace(), socket(), veth.peer());
    }

    /** A guest with an address, in a namespace of its own. */
    private TestProcess guest() {
        TestProcess g = TestProcess.start(inside.command(List.of(Vireo.ROOT.resolve("vireo").toString(), "guest", "--socket",
                nic().toString(), "--tap", "guest0", "--ip", GUEST + "/24")), Vireo.environment(), null);
        try {
            g.awaitLine("ready", LIMIT);
            return g;
        } catch (AssertionError e) {
            g.close();
            throw e;
        }
    }

    private static void awaitNics(Monitor m, String... words) {
        Await.until(LIMIT, List.of(words) + " of the NICs", () -> {
            String said = m.does("query-nics");
            return List.of(words).stream().allMatch(said::contains);
        });
    }

    /** Here it listens; one that connects does the same in the backend's own tests. */
    @Test
    void aGuestGoesOnWhenItsBackEndComesLateDiesAndReturns() throws Exception {
        veth.address(HOST);
        try (Vireo v = daemon(",reconnect-ms=100"); Monitor m = new Monitor(folder.resolve("qmp"))) {
            awaitNics(m, "no-backend", "no back-end", "start one that listens on " + socket());
            assertTrue(m.does("query-netdevs").contains("waits: "));
            try (TestProcess first = testpmd()) {
                awaitNics(m, "listening");
                try (TestProcess guest = guest(); Pings pings = Pings.start(on.namespace(), GUEST)) {
                    awaitNics(m, "running");
                    first.signal("KILL");
                    awaitNics(m, "running", "its link is down: the back-end at " + socket() + " has gone (",
                            "Vireo connects again every 100 ms");
                    first.exitCode(LIMIT);
                    try (TestProcess second = testpmd()) {
                        pings.awaitMore();
                        assertTrue(second.isAlive());
                        String nics = m.does("query-nics");
                        assertTrue(nics.contains("running") && !nics.contains("its link is down"), nics);
                        assertTrue(guest.isAlive(), "the VMM keeps its connection");
                    }
                }
            }
            assertTrue(v.process().isAlive());
        }
    }

    /** What it says makes it go on does. */
    @Test
    void withoutReconnectItGoesOnWhenTheNetdevIsChanged() throws Exception {
        try (Vireo v = daemon(""); Monitor m = new Monitor(folder.resolve("qmp"))) {
            TestProcess first = testpmd();
            awaitNics(m, "listening");
            try (GuestNic g = Guests.connect(fds, nic())) {
                send(g, veth.name(), 100);
                first.close();
                Files.deleteIfExists(socket());
                awaitNics(m, "failed",
                        "without reconnect-ms Vireo does not connect again: start it, then 'vireo netdev change net0 reconnect-ms=200'");
                v.client("netdev", "change", "net0", "reconnect-ms=200");
                awaitNics(m, "no-backend", "start one that listens on " + socket() + "; this is tried again every second");
                try (TestProcess second = testpmd()) {
                    awaitNics(m, "running");
                    send(g, veth.name(), 100);
                    assertTrue(second.isAlive());
                }
            } finally {
                first.close();
            }
        }
    }

    private void send(GuestNic g, String to, int count) {
        long before = on.namespace().framesReceived(to);
        Guests.send(g, count, LIMIT);
        Await.until(LIMIT, "all frames of the guest at " + to, () -> on.namespace().framesReceived(to) - before == count);
    }

    private GuestNic withOffloads() throws IOException {
        return GuestNic.options().features(GuestNic.RING_FEATURES | GuestNic.OFFLOAD_FEATURES).start(fds,
                FrontEnd.connect(fds, nic(), LIMIT));
    }

    @Test
    void aRunningGuestMovesFromATapToABackEndAndBackUnlessThatLacksWhatItAcknowledged() throws Exception {
        String tap = "ifname=" + on.tap();
        try (TestProcess pmd = testpmd(); Vireo v = Vireo.run(on.namespace(), folder.resolve("qmp"), "--netdev", "tap,id=net0," + tap,
                "--nic", "id=nic0,netdev=net0,socket=" + nic())) {
            Await.until(LIMIT, "testpmd to listen", () -> Files.exists(socket()));
            try (GuestNic g = Guests.connect(fds, nic())) {
                send(g, on.tap(), 500);
                for (int i = 0; i < 2; i++) {
                    v.client("backend", "swap", "net0", "--to", "vhost-user", "path=" + socket());
                    send(g, veth.name(), 500);
                    v.client("backend", "swap", "net0", "--to", "tap", tap);
                    send(g, on.tap(), 500);
                }
            }
            try (GuestNic g = withOffloads()) {
                send(g, on.tap(), 100);
                String said = String.join("\n", v.failingClient("backend", "swap", "net0", "--to", "vhost-user", "path=" + socket()));
                assertTrue(said.contains("lacks HOST_TSO4 HOST_TSO6") && said.contains("which the guest acknowledged"), said);
                send(g, on.tap(), 100);
            }
            assertTrue(pmd.isAlive());
        }
    }

    private Vireo standby() {
        return daemon(",reconnect-ms=100", "--standby", "unix:" + folder.resolve("pair"));
    }

    /** Whoever is active serves the socket; in between nobody does. */
    private void awaitStandby(String... words) {
        Await.until(LIMIT, List.of(words) + " of the standbys", () -> {
            try (Monitor m = new Monitor(folder.resolve("qmp"))) {
                String said = m.does("query-standby");
                return List.of(words).stream().allMatch(said::contains);
            } catch (IOException e) {
                return false;
            }
        });
    }

    /** The rings are the back-end's: no frame waits for a daemon. */
    @Test
    void ringsGoOnWhileTheirDaemonIsAwayHandsThemOverAndIsKilled() throws Exception {
        veth.address(HOST);
        try (TestProcess pmd = testpmd(); Vireo first = standby(); Vireo second = standby()) {
            try (TestProcess guest = guest(); Pings pings = Pings.start(on.namespace(), GUEST)) {
                first.process().signal("STOP");
                pings.awaitMore();
                first.process().signal("CONT");
                assertEquals(0, pings.lost(), "frames do not pass the daemon");
                awaitStandby("prepared");
                first.process().signal("TERM");
                assertEquals(0, first.process().exitCode(LIMIT));
                second.process().awaitLine("1 NIC taken", LIMIT);
                awaitStandby("\"active\"");
                try (Vireo third = standby(); Pings more = Pings.start(on.namespace(), GUEST)) {
                    awaitStandby("prepared");
                    second.process().signal("KILL");
                    second.process().exitCode(LIMIT);
                    awaitStandby("\"active\"");
                    more.awaitMore();
                    // while rings are taken over the back-end has none to put frames into
                    int lost = more.lost();
                    assertTrue(lost < 1_000, lost + " pings were lost, one each 5 ms");
                    assertTrue(guest.isAlive(), "the VMM keeps its connection");
                    guest.signal("TERM");
                    guest.exitCode(LIMIT);
                    try (TestProcess again = guest(); Pings last = Pings.start(on.namespace(), GUEST)) {
                        assertEquals(0, last.lost());
                        assertTrue(again.isAlive() && third.process().isAlive());
                    }
                }
            }
            assertTrue(pmd.isAlive());
        }
    }

    @Test
    void anotherDaemonIsABackEndToo() throws Exception {
        on.namespace().run("ip", "addr", "add", HOST, "dev", on.tap());
        try (Vireo outer = Vireo.run(on.namespace(), folder.resolve("outer"), "--netdev", "tap,id=net0,ifname=" + on.tap(), "--nic",
                "id=nic0,netdev=net0,socket=" + socket()); Vireo inner = daemon(",reconnect-ms=100")) {
            try (TestProcess guest = guest(); Pings pings = Pings.start(on.namespace(), GUEST)) {
                // one that is stuck may write into the rings when it wakes up: nobody else gets them before
                outer.process().signal("STOP");
                String said = String.join("\n", inner.failingClient("backend", "swap", "net0", "--to", "tap", "ifname=vspare0"));
                assertTrue(said.contains("(stopped: 'kill -CONT ") && said.contains("may still use them: end it"), said);
                outer.process().signal("CONT");
                pings.awaitMore();
                assertTrue(guest.isAlive());
            }
            itsStateIsPartOfTheDevices();
            assertTrue(outer.process().isAlive() && inner.process().isAlive());
        }
    }

    /** A VMM that migrates its VM takes it along: here to the same host. */
    private void itsStateIsPartOfTheDevices() throws IOException {
        try (GuestNic g = GuestNic.options().protocol(GuestNic.PROTOCOL | ProtocolFeatures.DEVICE_STATE).start(fds,
                FrontEnd.connect(fds, nic(), LIMIT))) {
            FrontEnd f = g.frontEnd();
            send(g, on.tap(), 100);
            int[] bases = {f.stop(0), f.stop(1)};
            byte[] state = DeviceStates.save(f, fds, LIMIT);
            String text = new String(state, StandardCharsets.ISO_8859_1);
            assertTrue(text.indexOf("VRDS") == 0 && text.lastIndexOf("VRDS") > 0, "one in the other: " + text);
            DeviceStates.load(f, fds, state, LIMIT);
            byte[] damaged = state.clone();
            damaged[damaged.length - 1]++;
            assertThrows(RefusedException.class, () -> DeviceStates.load(f, fds, damaged, LIMIT));
            f.start(g.receive(0), bases[0]);
            f.start(g.transmit(0), bases[1]);
            send(g, on.tap(), 100);
        }
    }

    @Test
    void aBadBackEndIsNamedAndCostsItsOwnNicOnly() throws Exception {
        Path silent = folder.resolve("silent");
        Path rude = folder.resolve("rude");
        Path file = Files.writeString(folder.resolve("file"), "no socket");
        List<Path> all = List.of(silent, rude, file, folder.resolve("qmp"), Files.createDirectory(folder.resolve("dir")));
        Thread closer;
        try (ServerSocketChannel says = listen(silent); ServerSocketChannel closes = listen(rude);
                Vireo v = Vireo.run(on.namespace(), folder.resolve("qmp"), "--netdev", "tap,id=good,ifname=" + on.tap(), "--nic",
                        "id=good,netdev=good,socket=" + nic()); Monitor m = new Monitor(folder.resolve("qmp"))) {
            closer = Thread.ofPlatform().start(() -> closeAll(closes));
            for (Path bad : all) {
                String id = bad.getFileName().toString();
                m.does("netdev_add", "type", "vhost-user", "id", id, "path", bad.toString());
                m.does("device_add", "id", id, "netdev", id, "socket", folder.resolve("nic-" + id).toString());
            }
            awaitNics(m, "no answer to GET_FEATURES within 2000 ms; process " + ProcessHandle.current().pid() + " accepts no connection",
                    "it closed the connection", file + ": it is a file, not a socket",
                    folder.resolve("dir") + ": it is a folder, not a socket", "at its other end is this process itself");
            try (GuestNic g = Guests.connect(fds, nic())) {
                send(g, on.tap(), 100);
            }
            for (Path bad : all) {
                m.does("device_del", "id", bad.getFileName().toString());
            }
            assertEquals("no socket", Files.readString(file));
            assertTrue(says.isOpen() && v.process().isAlive());
        }
        assertTrue(closer.join(LIMIT));
    }

    private static ServerSocketChannel listen(Path path) throws IOException {
        ServerSocketChannel c = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
        return c.bind(UnixDomainSocketAddress.of(path));
    }

    /** Hangs up on everybody, until the listener is closed. */
    private static void closeAll(ServerSocketChannel listener) {
        try {
            while (true) {
                listener.accept().close();
            }
        } catch (AsynchronousCloseException e) {
            // the test is over
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
