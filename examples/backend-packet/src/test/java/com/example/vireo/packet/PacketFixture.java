// SPDX-License-Identifier: Apache-2.0
package com.example.vireo.packet;

import java.io.IOException;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import org.vireo.net.api.NetBackend;
import org.vireo.tck.BackendFixture;
import org.vireo.testsupport.Requirements;
import org.vireo.testsupport.TestTap;

/** Gives the kit one end of a veth pair; the test has the other one. */
public final class PacketFixture implements BackendFixture {
    /** A fixture. */
    public PacketFixture() {
        // nothing is made before it is asked for
    }

    @Override
    public void require() {
        Requirements.root();
        Requirements.tap();
        Requirements.command("tc");
    }

    @Override
    public int maxPairs() {
        return 4;
    }

    @Override
    public Network network(int pairs) throws IOException {
        return new Veth(pairs);
    }

    @Override
    public CongestedNetwork congestedNetwork() throws IOException {
        return new Veth(1);
    }

    @Override
    public Map<String, Map<String, ?>> refusedOptions() {
        return Map.of("nonsense", Map.of("ifname", "veth0", "nonsense", "1"), "ifname", Map.of("queues", "1"),
                "queues=many", Map.of("ifname", "veth0", "queues", "many"), "257", Map.of("ifname", "veth0", "queues", "257"),
                "promisc=maybe", Map.of("ifname", "veth0", "promisc", "maybe"), "rcvbuf=1", Map.of("ifname", "veth0", "rcvbuf", "1"));
    }

    @Override
    public NetBackend backend(String id, Map<String, ?> options) {
        return new PacketBackend(id, options);
    }

    @Override
    public Map<String, String> systemProperties() {
        return Map.of();
    }

    @Override
    public void close() {
        // a backend without open port holds nothing
    }

    /** A veth pair with the backend at one end. */
    private static final class Veth implements CongestedNetwork {
        private final Map<String, String> options = new LinkedHashMap<>();
        private final TestTap veth;
        private final RawSocket other;

        Veth(int pairs) throws IOException {
            veth = TestTap.veth(null).up();
            RawSocket socket = null;
            try {
                socket = new RawSocket(veth.peer());
            } finally {
                if (socket == null) {
                    veth.close();
                }
            }
            other = socket;
            options.put("ifname", veth.name());
            if (pairs > 1) {
                options.put("queues", Integer.toString(pairs));
            }
        }

        @Override
        public Map<String, ?> options() {
            return options;
        }

        @Override
        public void send(byte[] frame) {
            other.send(frame);
        }

        @Override
        public byte[] take(Duration limit) {
            return other.take(limit);
        }

        @Override
        public String observe() {
            return veth.run("ip", "-d", "-o", "link", "show", "dev", veth.name()) + veth.run("tc", "qdisc", "show", "dev", veth.name());
        }

        @Override
        public void block() {
            veth.run("tc", "qdisc", "add", "dev", veth.name(), "root", "tbf", "rate", "8kbit", "burst", "1600", "limit", "10000000");
        }

        @Override
        public void unblock() {
            veth.run("tc", "qdisc", "change", "dev", veth.name(), "root", "tbf", "rate", "1gbit", "burst", "1000000", "limit", "10000000");
        }

        @Override
        public void close() {
            other.close();
            veth.close();
        }
    }
}
