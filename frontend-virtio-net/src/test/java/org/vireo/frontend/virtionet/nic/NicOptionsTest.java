// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.vireo.net.api.nic.NicException;
import org.vireo.vhostuser.VirtioNet;

/** A NIC's options. */
class NicOptionsTest {
    private static NicOptions parse(String... more) throws NicException {
        Map<String, String> o = new LinkedHashMap<>(Map.of("id", "nic0", "socket", "/s"));
        for (int i = 0; i < more.length; i += 2) {
            if (more[i + 1] == null) {
                o.remove(more[i]);
            } else {
                o.put(more[i], more[i + 1]);
            }
        }
        return NicOptions.parse(o);
    }

    @Test
    void defaults() throws Exception {
        NicOptions o = parse();
        assertEquals("", o.netdev());
        assertTrue(o.listen() && o.backendTransfer());
        assertFalse(o.anyMemory());
        assertEquals(1, o.pairs());
        assertEquals(0, o.mtu());
        assertEquals(0600, o.socketMode());
        assertEquals("vireo-1", o.machine());
        assertEquals(0, o.disabled());
        assertEquals(0, o.mac()[0] & 1);
        assertArrayEquals(o.mac(), parse().mac(), "the same id has the same address");
        assertEquals(Map.of("id", "nic0", "socket", "/s"), o.explicit());
        // what is sent to another process is read there as it was meant
        assertEquals(o.effective(), NicOptions.parse(o.effective()).effective());
    }

    @Test
    void offloadsCanBeSwitchedOff() throws Exception {
        NicOptions o = parse("csum", "off", "mrg_rxbuf", "no", "host_tso4", "on");
        assertEquals(VirtioNet.CSUM | VirtioNet.MRG_RXBUF, o.disabled());
    }

    @Test
    void anExplicitOptionBeatsTheMachine() throws Exception {
        assertFalse(parse("machine", "vireo-0").backendTransfer());
        assertTrue(parse("machine", "vireo-0", "backend-transfer", "on").backendTransfer());
        assertFalse(parse("backend-transfer", "off").backendTransfer());
    }

    /** What, which value, what to do. */
    @ParameterizedTest
    @CsvSource(delimiter = '|', nullValues = "NULL", value = {
        "id|NULL|option id= is missing",
        "id|''|option id= is missing",
        "id|9nic|id=9nic: an id is a letter",
        "id|a/b|id=a/b: an id is a letter",
        "socket|NULL|NIC nic0: option socket= is missing",
        "mac|52:54:00:12:34|NIC nic0: mac=52:54:00:12:34: six bytes",
        "mac|01:00:5e:00:00:01|is a group address",
        "mtu|67|68 to 65535",
        "mtu|65536|mtu=65536: a number of 0 to 65535",
        "mtu|-1|mtu=-1: a number",
        "mtu|big|mtu=big: a number",
        "queues|0|queues=0: a number of 1 to 64",
        "queues|65|queues=65: a number of 1 to 64",
        "server|maybe|server=maybe: on or off",
        "socket-mode|999|socket-mode=999: three octal digits",
        "socket-mode|77777|socket-mode=77777: three octal digits",
        "machine|vireo-7|machine=vireo-7: no such machine version",
        "guest-memory|private|guest-memory=private: shared",
        "reconnect-ms|0|reconnect-ms=0: a number of 1",
        "csum|2|csum=2: on or off",
        "vhost|on|unknown option vhost=on; known are [",
        "Mac|52:54:00:12:34:56|unknown option Mac=",
    })
    void wrongOptionsAreNamed(String key, String value, String message) {
        NicException e = assertThrows(NicException.class, () -> parse(key, value));
        assertTrue(e.getMessage().contains(message), e.getMessage());
    }
}
