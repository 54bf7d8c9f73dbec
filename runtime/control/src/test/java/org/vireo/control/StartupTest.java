// SPDX-License-Identifier: Apache-2.0
package org.vireo.control;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.vireo.net.api.nic.NicState;

class StartupTest {
    @TempDir
    Path folder;

    private final FakeFramework framework = new FakeFramework();
    private final FakeNics nics = new FakeNics();
    private final FakeHandovers handovers = new FakeHandovers();
    private final EventHub events = new EventHub();
    private Startup startup;

    private Map<String, Object> start(FakeNics frontend, FakeHandovers handover) {
        startup = new Startup(framework.context(), new NetdevStore(framework.context(), framework.configurationAdmin()), events, frontend,
                handover);
        return startup.call();
    }

    private Map<String, Object> start() {
        return start(nics, handovers);
    }

    @AfterEach
    void stop() {
        if (startup != null) {
            startup.close();
        }
    }

    @Test
    void whatWasAskedForIsMade() {
        framework.properties.put("vireo.run.netdev.0", "tap,id=net0,ifname=tap0,queues=2");
        framework.properties.put("vireo.run.nic.0", "id=nic0,netdev=net0,socket=/a,,b");
        framework.properties.put("vireo.run.nic.1", "virtio-net,id=nic1,socket=/c");
        assertEquals(Map.of("nics", 2), start());
        assertEquals(List.of("netdev.tap~net0"), List.copyOf(framework.configurations.keySet()));
        assertEquals(Map.of("ifname", "tap0", "queues", "2", "netdev.id", "net0", "netdev.type", "tap"),
                framework.configurations.get("netdev.tap~net0"));
        assertEquals(Map.of("id", "nic0", "netdev", "net0", "socket", "/a,b"), nics.nics.get("nic0").options());
        assertEquals(NicState.LISTENING, nics.nics.get("nic1").state());
        assertEquals(Map.of("id", "nic1", "socket", "/c"), nics.nics.get("nic1").options());
    }

    @Test
    void withIncomingNicsWaitAndTheSocketIsThere() {
        framework.properties.put("vireo.run.nic.0", "id=nic0");
        framework.properties.put("vireo.run.nic.1", "id=nic1");
        framework.properties.put("vireo.incoming", "unix:/m");
        assertEquals(Map.of("nics", 2), start());
        assertEquals(NicState.AWAITING, nics.nics.get("nic0").state());
        assertEquals(NicState.AWAITING, nics.nics.get("nic1").state());
        assertEquals(List.of("listen unix:/m"), handovers.calls);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            tap,ifname=x                  | the id is missing
            id=net0                       | the type is missing
            tap,id=0x                     | id=0x: an id begins with a letter
            tap,id=a,id=b                 | 'id' is given twice
            """)
    void aWrongNetdevIsTheCommandLinesFault(String netdev, String why) {
        framework.properties.put("vireo.run.netdev.0", netdev);
        framework.properties.put("vireo.run.nic.0", "id=nic0");
        refused(start(), true, why, netdev);
        assertTrue(nics.nics.isEmpty());
    }

    @Test
    void idsAreGivenOnce() {
        framework.properties.put("vireo.run.nic.0", "id=nic0");
        framework.properties.put("vireo.run.nic.1", "id=nic0,mtu=9000");
        refused(start(), true, "two --nic with id=nic0");
        assertTrue(nics.nics.isEmpty());
    }

    @Test
    void aNicNamesANetdevThatIsThere() {
        framework.properties.put("vireo.run.netdev.0", "tap,id=net0,ifname=tap0");
        framework.properties.put("vireo.run.nic.0", "id=nic0,netdev=net9");
        refused(start(), false, "NIC nic0: netdev=net9: there is no such netdev; there are net0");
        assertTrue(nics.nics.isEmpty());
    }

    @Test
    void aFolderOfBackendsThatIsNotThereIsNamed() {
        framework.properties.put("vireo.backends", "/nowhere/backends");
        refused(start(), false, "/nowhere/backends: is no folder; make it before, with the bundles of backends in it");
    }

    private Path configured(String... nics) throws Exception {
        Path config = Files.createDirectories(folder.resolve("config"));
        Files.writeString(config.resolve("netdev.tap-net0.cfg"), "ifname=tap0");
        for (String nic : nics) {
            Files.writeString(config.resolve("nic-" + nic + ".cfg"), "netdev=net0\nsocket=/" + nic);
        }
        framework.properties.put("vireo.config", config.toString());
        return config;
    }

    @Test
    void aFolderOfFilesCountsWithTheCommandLine() throws Exception {
        Path config = configured("nic0", "nic1");
        framework.properties.put("vireo.run.nic.0", "id=nic1,socket=/mine");
        assertEquals(Map.of("nics", 2, "problems", "of the files in " + config + " 1 refused (nic-nic1.cfg)"), start());
        assertEquals("/mine", nics.nics.get("nic1").options().get("socket"));
        assertEquals("net0", nics.nics.get("nic0").netdev());
        assertEquals(Set.of("netdev.tap~net0"), framework.configurations.keySet());
        startup.close();
        framework.properties.put("vireo.config", "/nowhere/config");
        nics.nics.clear();
        refused(start(), false, "/nowhere/config: is no folder; make it before, with files netdev.TYPE-ID.cfg");
    }

    @Test
    void withIncomingTheNicsOfFilesWaitAndTheirNetdevsComeAlong() throws Exception {
        configured("nic0", "nic1");
        framework.properties.put("vireo.incoming", "unix:/m");
        assertEquals(Map.of("nics", 2), start());
        assertEquals(NicState.AWAITING, nics.nics.get("nic0").state());
        assertEquals(Set.of(), framework.configurations.keySet());
        // one has come, the other one is on its way
        startup.config().look();
        nics.put(nics.nics.get("nic0").options(), NicState.RUNNING);
        handovers.status = Map.of("status", "active");
        startup.config().look();
        assertEquals(Set.of(), framework.configurations.keySet());
        nics.put(nics.nics.get("nic1").options(), NicState.LISTENING);
        startup.config().look();
        assertEquals(Set.of(), framework.configurations.keySet());
        handovers.status = Map.of("status", "completed");
        startup.config().look();
        assertEquals(Set.of("netdev.tap~net0"), framework.configurations.keySet());
        assertEquals(Set.of("nic0", "nic1"), nics.nics.keySet());
    }

    @Test
    void aStandbyDoesNothingAboutFilesUntilItIsTheActiveOne() throws Exception {
        configured("nic0", "nic1");
        framework.properties.put("vireo.standby", "unix:/s");
        handovers.another = true;
        assertEquals(Map.of("nics", 2), start());
        assertEquals(List.of("standBy unix:/s true"), handovers.calls);
        startup.config().look();
        assertEquals(Set.of(), nics.nics.keySet());
        // it has taken one NIC from the process that died, with its netdev
        nics.put(Map.of("id", "nic0", "netdev", "net0", "socket", "/nic0"), NicState.RUNNING);
        startup.config().look();
        assertEquals(Set.of("nic0"), nics.nics.keySet());
        handovers.waiting.active(List.of());
        startup.config().look();
        assertEquals(NicState.RUNNING, nics.nics.get("nic0").state());
        assertEquals(NicState.LISTENING, nics.nics.get("nic1").state());
        assertEquals(Set.of("netdev.tap~net0"), framework.configurations.keySet());
        // the first of all
        startup.close();
        nics.nics.clear();
        framework.configurations.clear();
        handovers.another = false;
        assertEquals(Map.of("nics", 2), start());
        assertEquals(Set.of("nic0", "nic1"), nics.nics.keySet());
    }

    @Test
    void theFolderThatComesWithControlIsNotReadBefore() throws Exception {
        Path config = configured("nic0");
        framework.properties.put("vireo.config", "defer");
        framework.properties.put("vireo.incoming", "unix:/m");
        framework.properties.put("vireo.qmp", folder.resolve("q").toString());
        assertEquals(Map.of("nics", 0), start());
        try (StrictClient c = new StrictClient(folder.resolve("q"))) {
            c.negotiate();
            c.execute("take-control", Map.of("qmp", folder.resolve("q2").toString(), "config", config.toString(), "config-known",
                    List.of("made netdev.tap-net0.cfg", "made nic-nic0.cfg", "made nic-removed.cfg")));
        }
        long end = System.nanoTime() + 20_000_000_000L;
        while (!nics.has("nic0")) {
            assertTrue(System.nanoTime() < end, "the files do not count");
            Thread.onSpinWait();
        }
        assertEquals(NicState.LISTENING, nics.list().getFirst().state());
    }

    @Test
    void aNicThatWaitsGetsItsNetdevWithItsState() {
        framework.properties.put("vireo.run.nic.0", "id=nic0,netdev=net9");
        framework.properties.put("vireo.incoming", "unix:/m");
        assertEquals(Map.of("nics", 1), start());
    }

    @Test
    void twoNicsDoNotShareASocket() {
        framework.properties.put("vireo.run.nic.0", "id=nic0,socket=/s");
        framework.properties.put("vireo.run.nic.1", "id=nic1,socket=/s");
        refused(start(), false, "NIC nic1: socket=/s belongs to NIC nic0; choose another path");
        assertEquals(Set.of("nic0"), nics.nics.keySet());
    }

    @Test
    void anotherDriverIsRefused() {
        framework.properties.put("vireo.run.nic.0", "e1000,id=nic0");
        refused(start(), true, "'e1000' is not a driver");
    }

    @Test
    void anUnknownTypeIsRefusedWithTheKnownOnes() {
        framework.properties.put("vireo.run.netdev.0", "tun,id=net0");
        refused(start(), false, "no bundle provides the type 'tun'; there are tap");
    }

    @Test
    void aNetdevThatCannotWorkLeavesNoConfiguration() {
        framework.properties.put("vireo.run.netdev.0", "tap,id=bad0");
        refused(start(), false, "there is no such interface");
        assertTrue(framework.configurations.isEmpty());
    }

    @Test
    void withoutFrontendOrHandoverTheReasonIsClear() {
        framework.properties.put("vireo.run.nic.0", "id=nic0");
        refused(start(null, handovers), false, "no frontend is installed");
        framework.properties.put("vireo.incoming", "unix:/m");
        refused(start(nics, null), false, "no handover is installed");
        assertTrue(nics.nics.isEmpty());
    }

    @Test
    void theSocketIsForItsOwnerAndGoesAtTheEnd() throws Exception {
        Path socket = folder.resolve("q");
        framework.properties.put("vireo.qmp", socket.toString());
        assertEquals(Map.of("nics", 0), start());
        assertEquals("rw-------", PosixFilePermissions.toString(Files.getPosixFilePermissions(socket)));
        startup.close();
        try (var left = Files.list(folder)) {
            assertEquals(List.of(), left.toList());
        }
    }

    @Test
    void aSocketInUseIsNotTakenAndNothingElseTouched() throws Exception {
        Path socket = folder.resolve("q");
        framework.properties.put("vireo.qmp", socket.toString());
        start();
        Startup first = startup;
        framework.properties.put("vireo.run.nic.0", "id=nic0");
        refused(start(), false, "another process listens there");
        assertTrue(nics.nics.isEmpty());
        try (StrictClient c = new StrictClient(socket)) {
            c.negotiate();
        }
        first.close();
    }

    @Test
    void aDeadSocketIsReplacedAndAFileIsNot() throws Exception {
        Path socket = folder.resolve("q");
        try (var dead = java.nio.channels.ServerSocketChannel.open(java.net.StandardProtocolFamily.UNIX)) {
            dead.bind(java.net.UnixDomainSocketAddress.of(socket));
        }
        framework.properties.put("vireo.qmp", socket.toString());
        assertEquals(Map.of("nics", 0), start());
        startup.close();
        Files.writeString(socket, "precious");
        refused(start(), false, "not a socket");
        assertEquals("precious", Files.readString(socket));
        framework.properties.put("vireo.qmp", folder.resolve("none/q").toString());
        refused(start(), false, "there is no folder");
        framework.properties.put("vireo.qmp", "/" + "x".repeat(120));
        refused(start(), false, "107");
    }

    private static void refused(Map<String, Object> answer, boolean usage, String... parts) {
        assertEquals(usage, answer.get("usage"), answer.toString());
        for (String part : parts) {
            assertTrue(answer.get("error").toString().contains(part), answer.toString());
        }
        assertFalse(answer.containsKey("nics"));
    }
}
