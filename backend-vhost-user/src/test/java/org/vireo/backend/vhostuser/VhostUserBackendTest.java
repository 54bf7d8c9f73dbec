// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.vireo.net.api.NetdevException;

/** Options are checked before anything is opened. */
class VhostUserBackendTest {
    private static final String PATH = "/run/x.sock";

    @Test
    void optionsAreRead() throws Exception {
        assertEquals(new VhostUserOptions("n", PATH, false, 0, 1, false), VhostUserOptions.parse("n", Map.of("path", PATH)));
        assertEquals(new VhostUserOptions("n", PATH, false, 500, 4, true), VhostUserOptions.parse("n", Map.of("path", PATH,
                "reconnect-ms", 500, "queues", "4",
                "vhostforce", "on", "service.pid", "netdev.vhostuser~n", "osgi.ds.satisfying.condition.target", "x")));
        assertTrue(VhostUserOptions.parse("n", Map.of("path", PATH, "server", true)).server());
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "chardev      | c0      | Vireo has no chardevs",
        "reconnect    | 1       | reconnect-ms=",
        "wait         | off     | leave it out",
        "pat          | /x      | is unknown",
        "path         | x.sock  | has to be an absolute path",
        "server       | maybe   | has to be on or off",
        "vhostforce   | 2       | has to be on or off",
        "reconnect-ms | -1      | has to be a number of 0",
        "queues       | 0       | has to be a number of 1 to 256",
        "queues       | x       | has to be a number of 1 to 256",
    })
    void refusedWithNameValueAndRemedy(String name, String value, String why) {
        Map<String, String> options = new java.util.HashMap<>(Map.of("path", PATH));
        options.put(name, value);
        String message = assertThrows(NetdevException.class, () -> new VhostUserBackend("net0", options).validate()).getMessage();
        assertTrue(message.startsWith("netdev net0: option " + name + "=" + value + " ") && message.contains(why), message);
    }

    /** Names with a dot are the framework's, whatever they are. */
    @Test
    void whatAFrameworkAddsIsIgnored() throws NetdevException {
        assertEquals(PATH, VhostUserOptions.parse("n", Map.of("path", PATH, "org.example.any", "1", "service.pid", "x", "objectClass", "y"))
                .path());
    }

    @Test
    void pathIsNeededAndServersDoNotReconnect() {
        assertTrue(assertThrows(NetdevException.class, () -> new VhostUserBackend(Map.of("service.pid",
                "netdev.vhostuser~net7")).validate())
                .getMessage().startsWith("netdev net7: option path is missing"));
        assertThrows(NetdevException.class, () -> VhostUserOptions.parse("n", Map.of("path", PATH, "server", "on", "reconnect-ms", "5")));
        assertThrows(NetdevException.class, () -> VhostUserOptions.parse("n", Map.of("path", "/" + "x".repeat(107))));
    }
}
