// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.tap;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.vireo.net.api.NetdevException;

/** The options of a netdev: what is taken, what is refused and how. */
class TapOptionsTest {
    @Test
    void nothingGivenMeansWhatQemuMeans() throws Exception {
        TapOptions o = TapOptions.parse("n", Map.of());
        assertEquals("tap%d", o.ifname());
        assertTrue(o.anyName() && o.fds().isEmpty());
        assertEquals(1, o.queues());
        assertEquals(-1, o.sndbuf());
        assertNull(o.script());
        assertNull(o.downscript());
        assertNull(o.vnetHdr());
        assertNull(o.bridge());
        assertEquals(0, o.mtu());
    }

    @Test
    void allGiven() throws Exception {
        TapOptions o = TapOptions.parse("n", Map.of("ifname", "tap7", "queues", 4, "script", "/a", "downscript", "/b", "sndbuf", 65536L,
                "vnet_hdr", "off", "br", "br0", "mtu", "9000"));
        assertEquals(new TapOptions("n", "tap7", List.of(), 4, "/a", "/b", 65536, false, "br0", 9000), o);
        assertEquals(List.of(7, 8), TapOptions.parse("n", Map.of("fds", "7:8")).fds());
        assertEquals(2, TapOptions.parse("n", Map.of("fds", "7:8")).queues());
        assertEquals(List.of(7), TapOptions.parse("n", Map.of("fd", 7)).fds());
        assertNull(TapOptions.parse("n", Map.of("script", "no", "downscript", "")).script());
    }

    @Test
    void whatAFrameworkAddsIsNoOption() throws Exception {
        TapOptions.parse("n", Map.of("service.pid", "netdev.tap~n", "service.factoryPid", "netdev.tap", "component.id", 3,
                "component.name", "x",
                "felix.fileinstall.filename", "file:/x", "netdev.id", "n", "netdev.type", "tap", "objectClass", new String[0],
                "osgi.ds.satisfying.condition.target", "(osgi.condition.id=true)"));
    }

    @Test
    void idIsThePropertyOrTheInstance() {
        assertEquals("netdev net1: option x=1 is unknown: type tap has "
                + "[br, downscript, fd, fds, ifname, mtu, queues, script, sndbuf, vnet_hdr]",
                assertThrows(NetdevException.class, () -> new TapBackend(Map.<String, Object>of("service.pid", "netdev.tap~net1", "x", 1))
                        .validate()).getMessage());
        assertTrue(assertThrows(NetdevException.class, () -> new TapBackend(Map.<String, Object>of("service.pid", "netdev.tap~net1",
                "netdev.id", "net2", "x", 1)).validate()).getMessage().startsWith("netdev net2:"));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "vhost      | on        | Vireo moves the frames itself",
        "vhostfd    | 7         | Vireo moves the frames itself",
        "vhostforce | on        | Vireo moves the frames itself",
        "helper     | /x        | use br=BRIDGE",
        "poll-us    | 50        | leave it out",
        "ifnam      | tap0      | is unknown",
        "ifname     | a/b       | has to be an interface name",
        "ifname     | tap%s     | has to be an interface name",
        "ifname     | 1234567890123456 | has to be an interface name",
        "ifname     | ..        | has to be an interface name",
        "br         | br%d      | has to be the name of a bridge",
        "queues     | 0         | has to be a number of 1 to 256",
        "queues     | 257       | has to be a number of 1 to 256",
        "queues     | two       | has to be a number of 1 to 256",
        "sndbuf     | -1        | has to be a number of 0 to",
        "mtu        | 67        | has to be a number of 68 to",
        "vnet_hdr   | maybe     | has to be on or off",
        "script     | up.sh     | has to be an absolute path, or no",
        "fd         | -1        | has to be a number",
        "fds        | 7:x       | has to be descriptor numbers joined by colons",
        "fds        | 7:        | has to be descriptor numbers joined by colons",
        "fds        | 7:7       | each once",
    })
    void refusedWithNameValueAndRemedy(String name, String value, String why) {
        String message = assertThrows(NetdevException.class, () -> new TapBackend("net0", Map.of(name, value)).validate()).getMessage();
        assertTrue(message.startsWith("netdev net0: option " + name + "=" + value + " "), message);
        assertTrue(message.contains(why), message);
    }

    @ParameterizedTest
    @CsvSource({"ifname, tap0", "queues, 2", "script, /x", "downscript, /x", "vnet_hdr, on", "br, br0", "mtu, 1500", "fds, 8"})
    void passedDescriptorsExcludeWhatTheyAlreadyAre(String name, String value) {
        assertThrows(NetdevException.class, () -> TapOptions.parse("n", Map.of("fd", "7", name, value)), name);
    }

    @Test
    void offloadsAreWhatTheKernelTakes() {
        assertEquals(0, TapFacts.offload(TapFacts.GUEST_TSO4), "nothing without checksums");
        assertEquals(1, TapFacts.offload(TapFacts.GUEST_CSUM | TapFacts.GUEST_ECN), "ECN with TSO only");
        assertEquals(1, TapFacts.offload(TapFacts.GUEST_CSUM | TapFacts.GUEST_USO4), "USO for both only");
        assertEquals(0x7f, TapFacts.offload(TapFacts.GUEST_OFFLOADS));
    }
}
