// SPDX-License-Identifier: Apache-2.0
package org.vireo.control;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.vireo.control.qmp.QmpServer;
import org.vireo.testsupport.Await;

@Timeout(60)
class QmpTest {
    @TempDir
    Path folder;

    private final FakeFramework framework = new FakeFramework();
    private final FakeNics nics = new FakeNics();
    private final FakeHandovers handovers = new FakeHandovers();
    private final EventHub events = new EventHub();
    private Startup startup;
    private StrictClient client;

    @BeforeEach
    void start() throws Exception {
        framework.properties.put("vireo.qmp", folder.resolve("q").toString());
        startup = new Startup(framework.context(), new NetdevStore(framework.context(), framework.configurationAdmin()), events, nics,
                handovers);
        assertEquals(Map.of("nics", 0), startup.call());
        client = connect();
    }

    private StrictClient connect() throws Exception {
        return new StrictClient(folder.resolve("q"));
    }

    @AfterEach
    void stop() throws Exception {
        nics.gate.countDown();
        client.close();
        startup.close();
    }

    @Test
    void negotiationComesFirst() throws Exception {
        Map<?, ?> greeting = client.greeting();
        assertEquals(List.of(), greeting.get("capabilities"));
        assertEquals("CommandNotFound: Expecting capabilities negotiation with 'qmp_capabilities'", client.refused("query-status",
                Map.of()));
        assertEquals("GenericError: Capability 'oob' is not offered", client.refused("qmp_capabilities", Map.of("enable", List.of("oob"))));
        assertEquals(Map.of(), client.execute("qmp_capabilities", Map.of()));
        assertTrue(client.refused("qmp_capabilities",
                Map.of()).startsWith("CommandNotFound: Capabilities negotiation is already complete"));
        assertEquals(Map.of("running", true, "status", "running"), client.execute("query-status", Map.of()));
    }

    @Test
    void anyIdIsGivenBackAndNoneIfThereWasNone() throws Exception {
        client.negotiate();
        client.send("{\"execute\":\"query-status\",\"id\":{\"a\":[1,null]}}{\"execute\":\"nope\",\"id\":7}\n"
                + "{\"execute\":\"query-status\"}\n");
        assertEquals(Map.of("a", Arrays.asList(1L, null)), client.next().get("id"));
        Map<?, ?> refused = client.next();
        assertEquals(7L, refused.get("id"));
        assertEquals("CommandNotFound: The command nope has not been found", StrictClient.error(refused));
        assertFalse(client.next().containsKey("id"));
    }

    @Test
    void whatIsNoRequestIsNamed() throws Exception {
        client.negotiate();
        Map<String, String> cases = new java.util.LinkedHashMap<>();
        cases.put("[]", "QMP input must be a JSON object");
        cases.put("{}", "QMP input lacks member 'execute'");
        cases.put("{\"execute\":1}", "QMP input member 'execute' must be a string");
        cases.put("{\"execute\":\"query-status\",\"args\":1}", "QMP input member 'args' is unexpected");
        cases.put("{\"exec-oob\":\"query-status\"}", "QMP input member 'exec-oob' is unexpected");
        cases.put("{\"execute\":\"query-status\",\"arguments\":[]}", "QMP input member 'arguments' must be an object");
        cases.put("{\"execute\":\"query-status\",\"arguments\":{\"x\":1}}", "Parameter 'x' is unexpected");
        cases.put("{\"execute\":\"query-status\",\"execute\":\"quit\"}", "JSON parse error");
        cases.put("{'execute':'query-status'}", "JSON parse error");
        cases.put("{]", "JSON parse error");
        cases.put("GET / HTTP/1.1", "JSON parse error");
        for (Map.Entry<String, String> c : cases.entrySet()) {
            client.send(c.getKey() + "\n");
            String error = StrictClient.error(client.next());
            assertTrue(error.startsWith("GenericError: " + c.getValue()), c + " gives " + error);
        }
        assertEquals(Map.of("running", true, "status", "running"), client.execute("query-status", Map.of()));
    }

    @Test
    void anIncompleteMessageIsAnsweredAlthoughNothingFollows() throws Exception {
        client.negotiate();
        client.send("{\"execute\": \n");
        assertTrue(StrictClient.error(client.next()).contains("ends before it is complete"));
    }

    @Test
    void garbageAndHugeLinesCostOneErrorEach() throws Exception {
        client.negotiate();
        byte[] garbage = new byte[10 * 1024 * 1024];
        Arrays.fill(garbage, (byte) 0xff);
        garbage[garbage.length - 1] = '\n';
        client.send(garbage);
        assertTrue(StrictClient.error(client.next()).contains("JSON parse error"));
        client.send("{\"execute\":\"" + "x".repeat(10 * 1024 * 1024) + "\"}\n");
        assertTrue(StrictClient.error(client.next()).contains("longer than"));
        client.send("{\"execute\":\"query-status\",\"arguments\":" + "{\"a\":".repeat(10_000) + "1" + "}".repeat(10_001) + "\n");
        assertTrue(StrictClient.error(client.next()).contains("JSON parse error"));
        client.execute("query-status", Map.of());
    }

    @Test
    void netdevsAndNicsComeAndGo() throws Exception {
        client.negotiate();
        assertEquals(Map.of(), client.execute("netdev_add", Map.of("type", "tap", "id", "net0", "ifname", "tap0", "queues", 2, "vnet_hdr",
                true)));
        assertEquals("2", framework.configurations.get("netdev.tap~net0").get("queues"));
        assertEquals("on", framework.configurations.get("netdev.tap~net0").get("vnet_hdr"));
        assertEquals("GenericError: netdev net0: the id is taken", client.refused("netdev_add", Map.of("type", "tap", "id", "net0")));
        assertEquals(Map.of(), client.execute("device_add", Map.of("driver", "virtio-net", "id", "nic0", "netdev", "net0", "mtu", 9000)));
        assertEquals(Map.of("id", "nic0", "netdev", "net0", "mtu", "9000"), nics.nics.get("nic0").options());
        assertEquals("GenericError: netdev net0 is in use by NIC nic0; delete that first", client.refused("netdev_del", Map.of("id",
                "net0")));
        Map<?, ?> nic = (Map<?, ?>) ((List<?>) client.execute("query-nics", Map.of())).getFirst();
        assertEquals("listening", nic.get("state"));
        assertEquals(Map.of("transmit-frames", 5L), nic.get("counters"));
        Map<?, ?> netdev = (Map<?, ?>) ((List<?>) client.execute("query-netdevs", Map.of())).getFirst();
        assertEquals("no backend", netdev.get("state"));
        assertEquals(Map.of("ifname", "tap0", "queues", "2", "vnet_hdr", "on"), netdev.get("options"));
        assertEquals(List.of(Map.of("type", "tap", "id", 7L, "bundle", "org.example.tap", "version", "4.5.6", "active", true)),
                client.execute("query-backends", Map.of()));
        assertEquals(Map.of(), client.execute("device_del", Map.of("id", "nic0")));
        assertEquals("DeviceNotFound: Device 'nic0' not found", client.refused("device_del", Map.of("id", "nic0")));
        assertEquals(List.of(), nics.gone);
        assertEquals(Map.of(), client.execute("netdev_del", Map.of("id", "net0")));
        assertEquals(List.of("net0"), nics.gone, "it answers when one of the same id may be added");
        assertEquals("DeviceNotFound: Device 'net0' not found", client.refused("netdev_del", Map.of("id", "net0")));
        assertTrue(framework.configurations.isEmpty());
    }

    @Test
    void argumentsAreChecked() throws Exception {
        client.negotiate();
        assertEquals("GenericError: Parameter 'id' is missing", client.refused("device_add", Map.of("driver", "virtio-net")));
        assertTrue(client.refused("device_add", Map.of("driver", "e1000", "id", "a")).contains("'e1000' is not a driver"));
        assertEquals("GenericError: Invalid parameter type for 'id', expected: string, got a number", client.refused("device_del",
                Map.of("id", 1)));
        assertEquals("GenericError: Invalid parameter type for 'x', expected: string, number or boolean, got an array",
                client.refused("device_add", Map.of("id", "a", "x", List.of())));
        assertTrue(client.refused("netdev_add", Map.of("type", "tap", "id", "a)(b=*")).contains("an id begins with a letter"));
        assertTrue(client.refused("netdev_add", Map.of("type", "tap", "id", "a", "service.pid",
                "x")).contains("not the name of an option"));
        assertTrue(client.refused("netdev_add", Map.of("type", "x", "id", "a")).contains("no bundle provides the type 'x'; there are tap"));
        assertTrue(client.refused("netdev_add", Map.of("type", "tap", "id", "bad")).contains("no such interface"));
        assertEquals("DeviceNotFound: Device '*' not found", client.refused("netdev_del", Map.of("id", "*")));
        assertTrue(framework.configurations.isEmpty());
        assertTrue(nics.nics.isEmpty());
        assertEquals("GenericError: internal error: java.lang.IllegalStateException: boom", client.refused("device_add", Map.of("id",
                "explode")));
    }

    @Test
    void migration() throws Exception {
        client.negotiate();
        assertEquals(Map.of("backend-transfer", true, "break-before-make", false), client.execute("query-migrate-parameters", Map.of()));
        assertEquals(Map.of(), client.execute("migrate-set-parameters", Map.of("backend-transfer", false)));
        assertEquals(Map.of(), client.execute("migrate-set-parameters", Map.of("break-before-make", true)));
        assertEquals(Map.of("backend-transfer", false, "break-before-make", true),
                client.execute("query-migrate-parameters", Map.of()));
        assertTrue(client.refused("migrate-set-parameters", Map.of("backend-transfer", "off")).contains("expected: boolean, got a string"));
        assertTrue(client.refused("migrate", Map.of("uri", "tcp:1")).contains("'tcp:1' is not unix:PATH"));
        assertTrue(client.refused("migrate", Map.of("uri", "unix:/a", "nics", List.of(1))).contains("array of strings"));
        assertTrue(client.refused("migrate", Map.of("uri", "unix:/a", "nics", List.of())).contains("'nics' is empty"));
        assertEquals(Map.of("role", "none"), client.execute("query-standby", Map.of()));
        assertEquals(Map.of(), client.execute("standby", Map.of("uri", "unix:/pair")));
        assertTrue(handovers.calls.remove("standBy unix:/pair true"), handovers.calls.toString());
        assertEquals(Map.of("status", "none"), client.execute("query-upgrade", Map.of()));
        assertTrue(client.refused("upgrade", Map.of()).contains("nothing to return to"));
        assertTrue(client.refused("upgrade", Map.of("command", "/nowhere/vireo")).contains("/nowhere/vireo is not a build's command"));
        assertEquals(Map.of(), client.execute("migrate", Map.of("uri", "unix:/a")));
        assertEquals(Map.of(), client.execute("migrate", Map.of("uri", "unix:/a", "nics", List.of("nic0"))));
        assertEquals(Map.of(), client.execute("migrate_cancel", Map.of()));
        handovers.status = Map.of("status", "completed", "nics", List.of(Map.of("id", "nic0")));
        assertEquals(handovers.status, client.execute("query-migrate", Map.of()));
        assertEquals(Map.of("running", false, "status", "postmigrate"), client.execute("query-status", Map.of()));
        assertEquals(Map.of(), client.execute("migrate-incoming", Map.of("uri", "unix:/b")));
        assertEquals(Map.of("running", false, "status", "inmigrate"), client.execute("query-status", Map.of()));
        assertEquals(List.of("start unix:/a []", "start unix:/a [nic0]", "cancel", "listen unix:/b"), handovers.calls);
    }

    private List<?> configured() {
        return framework.configurations.values().stream().map(d -> d.get("netdev.type") + " " + d.get("ifname")).sorted().toList();
    }

    @Test
    void aNetdevsOptionsChange() throws Exception {
        client.negotiate();
        client.execute("netdev_add", Map.of("type", "tap", "id", "net0", "ifname", "tap0", "sndbuf", "1000"));
        assertEquals("DeviceNotFound: Device 'none' not found", client.refused("netdev-change", Map.of("id", "none", "sndbuf", "1")));
        assertTrue(client.refused("netdev-change", Map.of("id", "net0")).contains("no option is named"));
        client.execute("netdev-change", Map.of("id", "net0", "ifname", "tap0"));
        assertEquals(List.of(), nics.swaps, "nothing is to change");
        nics.refusedSwap = "netdev net0: section port: ifname has to be tap1";
        assertEquals("GenericError: " + nics.refusedSwap, client.refused("netdev-change", Map.of("id", "net0", "ifname", "tap1")));
        assertEquals(List.of("tap tap0"), configured(), "what was refused stays configured as it was");
        nics.refusedSwap = null;
        client.execute("netdev-change", Map.of("id", "net0", "mtu", "9000", "sndbuf", ""));
        client.execute("netdev-change", Map.of("id", "net0", "mtu", "2000"));
        assertEquals(List.of("net0 to tap 2", "net0 to tap 3"), nics.swaps, "a revision that was refused is not used again");
        assertEquals(List.of("tap tap0"), configured());
        assertEquals(Map.of("ifname", "tap0", "mtu", "2000"), options("net0"));
        client.execute("netdev_del", Map.of("id", "net0"));
        assertEquals(List.of(), configured());
    }

    private Object options(String netdev) throws Exception {
        return ((List<?>) client.execute("query-netdevs", Map.of())).stream().map(n -> (Map<?, ?>) n)
                .filter(n -> netdev.equals(n.get("id"))).findFirst().orElseThrow().get("options");
    }

    @Test
    void anotherTypeTakesANetdevOverWithItsOptionsOrWithOthers() throws Exception {
        framework.hasOther = true;
        client.negotiate();
        client.execute("netdev_add", Map.of("type", "tap", "id", "net0", "ifname", "tap0"));
        assertEquals("DeviceNotFound: Device 'none' not found", client.refused("netdev-swap", Map.of("id", "none", "type", "other")));
        assertEquals("GenericError: netdev net0: is of type tap already; its options are changed by netdev-change (vireo netdev change)",
                client.refused("netdev-swap", Map.of("id", "net0", "type", "tap")));
        assertTrue(client.refused("netdev-swap", Map.of("id", "net0", "type", "x")).contains("no bundle provides the type 'x'"));
        nics.refusedSwap = "netdev net0: lacks VIRTIO_NET_F_CSUM, which the guest acknowledged";
        assertEquals("GenericError: " + nics.refusedSwap, client.refused("netdev-swap", Map.of("id", "net0", "type", "other")));
        assertEquals(List.of("tap tap0"), configured(), "what was refused stays configured as it was");
        nics.refusedSwap = null;
        client.execute("netdev-swap", Map.of("id", "net0", "type", "other"));
        assertEquals(List.of("net0 to other 3"), nics.swaps);
        assertEquals(List.of("other tap0"), configured());
        client.execute("netdev-swap", Map.of("id", "net0", "type", "tap", "ifname", "tap1"));
        assertEquals(List.of("tap tap1"), configured());
    }

    @Test
    void aBundlesPathIsAbsoluteAndItsFileIsLookedAt() throws Exception {
        client.negotiate();
        assertTrue(client.refused("backend-install", Map.of("path", "a.jar")).contains("Parameter 'path' is a.jar; it has to be absolute"));
        Path none = folder.resolve("none.jar");
        assertEquals("GenericError: " + none + ": is no file", client.refused("backend-install", Map.of("path", none.toString())));
        assertTrue(client.refused("backend-remove", Map.of("bundle", "8")).contains("'8' is neither id nor symbolic name"));
    }

    @Test
    void commandsAreListed() throws Exception {
        client.negotiate();
        List<?> names = ((List<?>) client.execute("query-commands", Map.of())).stream().map(m -> ((Map<?, ?>) m).get("name")).toList();
        assertTrue(names.containsAll(List.of("qmp_capabilities", "query-version", "device_add", "migrate-incoming", "quit")),
                names.toString());
        assertEquals(Map.of("vireo", Map.of("major", 1L, "minor", 2L, "micro", 3L), "package", "1.2.3"), client.execute("query-version",
                Map.of()));
    }

    @Test
    void eventsGoToThoseInCommandMode() throws Exception {
        client.greeting();
        try (StrictClient other = connect().negotiate()) {
            events.event("NIC_STATE", Map.of("id", "nic0"));
            Map<?, ?> e = other.next();
            assertEquals("NIC_STATE", e.get("event"));
            assertEquals(Map.of("id", "nic0"), e.get("data"));
        }
        assertEquals(Map.of(), client.execute("qmp_capabilities", Map.of()));
        events.event("SOMETHING", Map.of());
        Map<?, ?> e = client.next();
        assertEquals("SOMETHING", e.get("event"));
        assertFalse(e.containsKey("data"));
    }

    @Test
    void aSlowCommandKeepsNobodyElse() throws Exception {
        client.negotiate();
        nics.gate = new CountDownLatch(1);
        client.send("{\"execute\":\"netdev_add\",\"arguments\":{\"type\":\"tap\",\"id\":\"net0\"},\"id\":1}"
                + "{\"execute\":\"query-status\",\"id\":2}");
        try (StrictClient other = connect().negotiate()) {
            other.execute("query-nics", Map.of());
            other.execute("query-netdevs", Map.of());
        }
        nics.gate.countDown();
        assertEquals(1L, client.next().get("id"));
        assertEquals(2L, client.next().get("id"));
    }

    @Test
    void whoDoesNotReadIsReadNoFurtherAndBothersNobody() throws Exception {
        client.negotiate();
        byte[] request = "{\"execute\":\"query-commands\"}\n".getBytes(java.nio.charset.StandardCharsets.UTF_8);
        ByteBuffer many = ByteBuffer.allocate(request.length * 1000);
        while (many.hasRemaining()) {
            many.put(request);
        }
        int sent = 0;
        long until = System.nanoTime() + 20_000_000_000L;
        for (int refusals = 0; refusals < 200 && System.nanoTime() < until;) {
            many.rewind();
            int n = client.channel.write(many);
            sent += n;
            refusals = n == 0 ? refusals + 1 : 0;
            if (n == 0) {
                TimeUnit.MILLISECONDS.sleep(1);
            }
        }
        assertTrue(sent < 8 * 1024 * 1024, "the server took " + sent + " bytes without being read");
        try (StrictClient other = connect().negotiate()) {
            other.execute("query-status", Map.of());
        }
    }

    @Test
    void whoDoesNotTakeEventsIsCutOff() throws Exception {
        client.negotiate();
        try (StrictClient other = connect().negotiate()) {
            String text = "x".repeat(64 * 1024);
            for (int i = 0; i < 100; i++) {
                events.event("BIG", Map.of("text", text));
                assertEquals("BIG", other.next().get("event"));
            }
            other.execute("query-status", Map.of());
        }
        String last = "";
        while (last != null) {
            last = lineOrEnd();
        }
        assertNull(last);
    }

    private String lineOrEnd() throws Exception {
        try {
            return client.line();
        } catch (AssertionError e) {
            // cut off inside a line
            return null;
        }
    }

    @Test
    void clientsAreBoundedAndTheirPlacesComeFree() throws Exception {
        client.negotiate();
        List<StrictClient> all = new ArrayList<>();
        try {
            for (int i = 1; i < QmpServer.MAX_CLIENTS; i++) {
                all.add(connect().negotiate());
            }
            try (StrictClient surplus = connect()) {
                assertNull(surplus.line());
            }
            all.removeLast().close();
            Await.until(Duration.ofSeconds(20), "the place of a client that left", () -> {
                try (StrictClient next = connect()) {
                    return next.line() != null;
                }
            });
        } finally {
            for (StrictClient c : all) {
                c.close();
            }
        }
        client.execute("query-status", Map.of());
    }

    @Test
    void answersReachAClientThatHasFinishedSending() throws Exception {
        client.negotiate();
        client.send("{\"execute\":\"query-status\",\"id\":1}");
        client.channel.shutdownOutput();
        assertEquals(1L, client.next().get("id"));
        assertNull(client.line());
    }

    @Test
    void quitStopsTheFramework() throws Exception {
        client.negotiate();
        client.send("{\"execute\":\"quit\",\"id\":9}\n");
        List<Object> seen = new ArrayList<>();
        for (int i = 0; i < 2; i++) {
            Map<?, ?> m = client.next();
            seen.add(m.containsKey("event") ? m.get("event") : m.get("id"));
        }
        assertTrue(seen.containsAll(List.of("SHUTDOWN", 9L)), seen.toString());
        assertTrue(framework.stopped.await(10, TimeUnit.SECONDS));
        startup.close();
        assertNull(client.line());
    }
}
