// SPDX-License-Identifier: Apache-2.0
package com.example.vireo.tapmeter;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import org.vireo.net.api.NetBackend;
import org.vireo.tck.BackendFixture;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.Requirements;
import org.vireo.testsupport.TestTap;

/** Gives the kit a TAP whose interface is wired, both ways, to a TAP of the test (tc-mirred(8)). */
public final class MeterFixture implements BackendFixture {
    /** A fixture. */
    public MeterFixture() {
        // nothing is made before it is asked for
    }

    @Override
    public void require() {
        Requirements.tap();
        Requirements.command("tc");
    }

    @Override
    public int maxPairs() {
        return 4;
    }

    @Override
    public Network network(int pairs) throws IOException {
        return new Wire(pairs, Map.of());
    }

    @Override
    public CongestedNetwork congestedNetwork() throws IOException {
        return new Wire(1, Map.of("sndbuf", "65536"));
    }

    @Override
    public Map<String, Map<String, ?>> refusedOptions() {
        return Map.of("nonsense", Map.of("ifname", "tap0", "nonsense", "1"), "queues=many", Map.of("ifname", "tap0", "queues", "many"),
                "257", Map.of("ifname", "tap0", "queues", "257"), "downscript", Map.of("ifname", "tap0", "downscript", "here/it/is"),
                "sndbuf", Map.of("ifname", "tap0", "sndbuf", "-1"), "ifname", Map.of("ifname", "a/b"));
    }

    @Override
    public NetBackend backend(String id, Map<String, ?> options) {
        return new MeterBackend(id, options);
    }

    @Override
    public Map<String, String> systemProperties() {
        return Map.of();
    }

    @Override
    public void close() {
        // a backend without open port holds nothing
    }

    /** Two TAPs, each of which hands on what arrives to the other one. */
    static final class Wire implements CongestedNetwork {
        private static final Duration LIMIT = Duration.ofSeconds(10);

        private final Map<String, String> options = new LinkedHashMap<>();
        private final TestTap tap;
        private final WireTap wire;

        Wire(int pairs, Map<String, String> more) throws IOException {
            tap = pairs > 1 ? TestTap.tap("vnet_hdr", "multi_queue") : TestTap.tap("vnet_hdr");
            WireTap w = null;
            boolean done = false;
            try {
                tap.up();
                w = new WireTap();
                tap.run("ip", "link", "set", w.name(), "up");
                redirect(tap.name(), w.name());
                redirect(w.name(), tap.name());
                done = true;
            } finally {
                if (!done) {
                    tap.close();
                }
                if (!done && w != null) {
                    w.close();
                }
            }
            wire = w;
            options.put("ifname", tap.name());
            if (pairs > 1) {
                options.put("queues", Integer.toString(pairs));
            }
            options.putAll(more);
        }

        private void redirect(String from, String to) {
            tap.run("tc", "qdisc", "add", "dev", from, "ingress");
            tap.run("tc", "filter", "add", "dev", from, "parent", "ffff:", "protocol", "all", "u32", "match", "u8", "0", "0", "action",
                    "mirred", "egress", "redirect", "dev", to);
        }

        @Override
        public Map<String, ?> options() {
            return options;
        }

        @Override
        public void send(byte[] frame) {
            // the kernel notices a TAP's new carrier a little later, and drops what is sent to it before
            Await.until(LIMIT, tap.name() + " is operational", this::operational);
            wire.send(frame);
        }

        private boolean operational() throws IOException {
            String state = Files.readString(Path.of("/sys/class/net", tap.name(), "operstate")).strip();
            return state.equals("up") || state.equals("unknown");
        }

        @Override
        public byte[] take(Duration limit) {
            return wire.take(limit);
        }

        @Override
        public String observe() {
            // the carrier is what a netdev changes by being open, and nothing else
            return tap.run("ip", "-d", "-o", "link", "show", "dev", tap.name()).replaceAll("<[^>]*>|state \\w+|num[rt]xqueues \\d+", "");
        }

        @Override
        public void block() {
            tap.run("tc", "qdisc", "add", "dev", wire.name(), "root", "tbf", "rate", "8kbit", "burst", "1600", "limit", "10000000");
        }

        @Override
        public void unblock() {
            tap.run("tc", "qdisc", "change", "dev", wire.name(), "root", "tbf", "rate", "1gbit", "burst", "1000000", "limit", "10000000");
        }

        @Override
        public void close() {
            wire.close();
            tap.close();
        }
    }
}
