// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.osgi;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertSame;
import static org.junit.Assert.assertTrue;
import static org.junit.Assert.fail;

import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.After;
import org.junit.Assume;
import org.junit.Before;
import org.junit.Test;
import org.ops4j.pax.exam.Configuration;
import org.ops4j.pax.exam.Option;
import org.osgi.framework.Bundle;
import org.vireo.guest.FrontEnd;
import org.vireo.guest.GuestNic;
import org.vireo.net.api.Fds;
import org.vireo.net.api.NetBackend;
import org.vireo.net.api.nic.NetdevStatus;
import org.vireo.net.api.nic.NicState;
import org.vireo.net.api.nic.NicStatus;
import org.vireo.net.api.nic.Nics;
import org.vireo.testsupport.TestBundle;

/**
 * A NIC through the life of its backend's bundle: it waits without one, serves when the bundle arrives, is parked while it is away, and
 * serves on when it returns. The guest asks the host for its address (ARP), so each answer has gone both ways through the TAP.
 */
public class ServingNicIT extends Container {
    private static final Duration PATIENCE = Duration.ofSeconds(10);
    private static final byte[] HOST = {(byte) 198, 51, 100, 1};

    private final String tap = "vp" + ProcessHandle.current().pid();
    private Path folder;
    private Fds fds;
    private Nics nics;
    private Bundle backend;
    private org.osgi.service.cm.Configuration configuration;

    /**
     * The container: no backend in it.
     *
     * @return its options
     */
    @Configuration
    public Option[] house() {
        List<String> artifacts = new ArrayList<>(HOUSE);
        artifacts.add("vireo-guest");
        artifacts.addAll(Platform.TEST_BUNDLES);
        artifacts.add("vireo-test-support");
        return container(artifacts);
    }

    /** Makes the TAP, the netdev's configuration, and the NIC, in this order; no backend is there. */
    @Before
    public void make() throws Exception {
        requireTap();
        ip("tuntap", "add", "dev", tap, "mode", "tap");
        ip("address", "add", "198.51.100.1/30", "dev", tap);
        ip("link", "set", tap, "up");
        folder = Files.createTempDirectory("vireo-it");
        fds = context.getService(awaitService(Fds.class, "(objectClass=*)"));
        nics = context.getService(awaitService(Nics.class, "(objectClass=*)"));
        configuration = netdev(NetBackend.PID_PREFIX + "tap", "net0", Map.of("ifname", tap));
        nics.add(Map.of("id", "nic0", "netdev", "net0", "socket", socket().toString()), false);
    }

    /** Removes all of it; whatever has become of the backend, the frontend is the same object. */
    @After
    public void remove() throws Exception {
        if (nics != null) {
            assertSame("the frontend is the same object", nics, context.getService(awaitService(Nics.class, "(objectClass=*)")));
        }
        if (nics != null && !nics.list().isEmpty()) {
            nics.remove("nic0");
        }
        if (configuration != null) {
            configuration.delete();
        }
        if (backend != null) {
            backend.uninstall();
        }
        if (Files.exists(Path.of("/sys/class/net", tap))) {
            ip("link", "delete", tap);
        }
        if (folder != null) {
            Files.deleteIfExists(socket());
            Files.delete(folder);
        }
    }

    private static void requireTap() {
        boolean there = Files.isWritable(Path.of("/dev/net/tun")) && "root".equals(System.getProperty("user.name"));
        if (!there && "1".equals(System.getenv("VIREO_REQUIRE_ALL"))) {
            fail("VIREO_REQUIRE_ALL=1, but missing: root and /dev/net/tun");
        }
        Assume.assumeTrue("missing: root and /dev/net/tun", there);
    }

    private Path socket() {
        return folder.resolve("nic0");
    }

    private static void ip(String... arguments) throws Exception {
        List<String> command = new ArrayList<>(List.of("ip"));
        command.addAll(List.of(arguments));
        Process p = new ProcessBuilder(command).redirectErrorStream(true).start();
        String said;
        try (InputStream in = p.getInputStream()) {
            said = new String(in.readAllBytes(), StandardCharsets.UTF_8);
        }
        assertTrue(command + " does not end", p.waitFor(10, TimeUnit.SECONDS));
        assertEquals(command + ": " + said, 0, p.exitValue());
    }

    private NicStatus nic() {
        return nics.list().stream().filter(n -> n.id().equals("nic0")).findFirst().orElseThrow(() -> new AssertionError("NIC is gone"));
    }

    private void awaitNic(NicState wanted) {
        await("state " + wanted + " of nic0", () -> nic().state() == wanted ? Boolean.TRUE : null);
    }

    private String netdevState() {
        return nics.netdevs().stream().filter(n -> n.id().equals("net0")).map(NetdevStatus::state).findFirst().orElse("unknown");
    }

    private static long soon() {
        return System.nanoTime() + PATIENCE.toNanos();
    }

    private static byte[] arpRequest() {
        String hex = "ffffffffffff" + "020000000002" + "0806" + "0001080006040001"
                + "020000000002" + "c6336402" + "000000000000" + "c6336401";
        return java.util.Arrays.copyOf(HexFormat.of().parseHex(hex), 60);
    }

    /** Takes frames until the host's answer comes; it sends others of its own. */
    private static void awaitAnswer(GuestNic guest) {
        long deadline = soon();
        while (true) {
            byte[] frame = guest.receive(0).take(deadline);
            assertNotNull("no answer from the host", frame);
            int at = guest.receive(0).headerBytes();
            boolean arpReply = frame.length >= at + 42 && frame[at + 12] == 8 && frame[at + 13] == 6 && frame[at + 21] == 2;
            if (arpReply && java.util.Arrays.equals(HOST, java.util.Arrays.copyOfRange(frame, at + 28, at + 32))) {
                return;
            }
        }
    }

    private static void roundTrip(GuestNic guest) {
        assertTrue(guest.transmit(0).send(arpRequest(), soon()));
        awaitAnswer(guest);
    }

    private String carrier() throws Exception {
        return Files.readString(Path.of("/sys/class/net", tap, "carrier")).strip();
    }

    /** Waits, serves, is parked, serves on. */
    @Test
    public void nicLivesThroughTheLifeOfItsBackend() throws Exception {
        awaitNic(NicState.NO_BACKEND);

        backend = start("vireo-backend-tap");
        awaitNic(NicState.LISTENING);
        try (FrontEnd vmm = FrontEnd.connect(fds, socket(), PATIENCE); GuestNic guest = GuestNic.options().start(fds, vmm)) {
            awaitNic(NicState.RUNNING);
            roundTrip(guest);
            assertEquals("open", netdevState());

            backend.stop();
            awaitNic(NicState.NO_BACKEND);
            assertEquals("parked", netdevState());
            assertEquals("the TAP's descriptors are kept", "1", carrier());
            long sent = framesFromGuest();
            assertTrue(guest.transmit(0).send(arpRequest(), soon()));

            backend.start();
            awaitNic(NicState.RUNNING);
            awaitAnswer(guest);
            assertEquals("the frame that waited was sent once", sent + 1, framesFromGuest());
            roundTrip(guest);
            assertEquals("open", netdevState());
        }
        awaitNic(NicState.LISTENING);
    }

    /** The same bundle is updated in place, many times, under a guest that goes on talking. */
    @Test
    public void updatesOfTheBackendLoseNothing() throws Exception {
        backend = start("vireo-backend-tap");
        awaitNic(NicState.LISTENING);
        try (FrontEnd vmm = FrontEnd.connect(fds, socket(), PATIENCE); GuestNic guest = GuestNic.options().start(fds, vmm)) {
            roundTrip(guest);
            long before = framesFromGuest();
            for (int i = 0; i < 10; i++) {
                try (InputStream jar = Files.newInputStream(House.jar("vireo-backend-tap"))) {
                    backend.update(jar);
                }
                roundTrip(guest);
            }
            assertEquals(before + 10, framesFromGuest());
        }
    }

    private void awaitServedBy(Bundle b) {
        await("net0 served by " + b, () -> nics.netdevs().stream().anyMatch(n -> n.id().equals("net0") && n.bundleId() == b.getBundleId())
                ? Boolean.TRUE : null);
    }

    /** Another version of the backend, with a ranking, installed and started beside the one that is there. */
    private Bundle beside(String version, int ranking) throws Exception {
        Path made = TestBundle.variant(House.jar("vireo-backend-tap"), folder.resolve("beside"), Map.of("Bundle-Version", version),
                Map.of("OSGI-INF/org.vireo.backend.tap.TapBackend.xml", xml -> xml.replace("<service>",
                        "<property name=\"service.ranking\" type=\"Integer\" value=\"" + ranking + "\"/><service>")));
        try (InputStream jar = Files.newInputStream(made)) {
            Bundle b = context.installBundle("beside:" + version, jar);
            b.start();
            return b;
        } finally {
            Files.delete(made);
        }
    }

    /** An older version does not take over by coming later; it does by its ranking, and gives way when it is removed. */
    @Test
    public void anOlderVersionTakesOverByItsRankingOnly() throws Exception {
        backend = start("vireo-backend-tap");
        awaitNic(NicState.LISTENING);
        List<Bundle> others = new ArrayList<>();
        try (FrontEnd vmm = FrontEnd.connect(fds, socket(), PATIENCE); GuestNic guest = GuestNic.options().start(fds, vmm)) {
            roundTrip(guest);
            others.add(beside("0.0.1", 0));
            awaitService(NetBackend.class, "(&(netdev.id=net0)(service.bundleid=" + others.getFirst().getBundleId() + "))");
            for (int i = 0; i < 20; i++) {
                roundTrip(guest);
            }
            awaitServedBy(backend);
            others.add(beside("0.0.2", 5));
            awaitServedBy(others.getLast());
            roundTrip(guest);
            others.removeLast().uninstall();
            awaitServedBy(backend);
            roundTrip(guest);
            // the older one goes on where nobody else is left
            Bundle former = backend;
            backend = others.removeLast();
            former.uninstall();
            awaitServedBy(backend);
            roundTrip(guest);
        } finally {
            for (Bundle b : others) {
                b.uninstall();
            }
        }
    }

    /** Later versions come beside the one that serves, and take over: the frontend is the same object, the guest loses no frame. */
    @Test
    public void laterVersionsTakeOverFromOneAnother() throws Exception {
        backend = start("vireo-backend-tap");
        awaitNic(NicState.LISTENING);
        try (FrontEnd vmm = FrontEnd.connect(fds, socket(), PATIENCE); GuestNic guest = GuestNic.options().start(fds, vmm)) {
            roundTrip(guest);
            long before = framesFromGuest();
            for (int i = 1; i <= 3; i++) {
                Bundle former = backend;
                backend = beside("99.0." + i, 0);
                awaitServedBy(backend);
                roundTrip(guest);
                former.uninstall();
                roundTrip(guest);
            }
            assertEquals(before + 6, framesFromGuest());
            assertEquals(NicState.RUNNING, nic().state());
        }
    }

    private long framesFromGuest() throws Exception {
        return Long.parseLong(Files.readString(Path.of("/sys/class/net", tap, "statistics/rx_packets")).strip());
    }
}
