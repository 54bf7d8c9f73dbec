// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.peers;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.vireo.bench.guest.GuestTraffic;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Daemon;
import org.vireo.bench.host.Json;
import org.vireo.bench.host.Namespace;
import org.vireo.bench.host.Stage;

/** The host's side of a case: a namespace, in it a TAP with an address, and a daemon with one NIC on it. One thread. */
final class PeerHost {
    static final String TAP = "tap0";

    private final Namespace namespace;
    private final GuestTraffic traffic;
    private final Path socket;
    private final Daemon daemon;

    /**
     * Makes it.
     *
     * @param stage what it belongs to
     * @param pairs queue pairs
     * @param mtu of the TAP and the NIC, 0: the usual one
     * @param nic more options of the NIC
     */
    PeerHost(Stage stage, int pairs, int mtu, String... nic) throws BenchException {
        namespace = new Namespace(stage, "host");
        List<String> add = new ArrayList<>(List.of("ip", "tuntap", "add", "dev", TAP, "mode", "tap", "vnet_hdr"));
        if (pairs > 1) {
            add.add("multi_queue");
        }
        namespace.run(add.toArray(String[]::new));
        namespace.run("ip", "addr", "add", "192.0.2.1/24", "dev", TAP);
        // what comes while a guest is stopped is to wait there
        namespace.run("ip", "link", "set", TAP, "txqueuelen", "10000", "up");
        List<String> options = new ArrayList<>(List.of("id=nic0", "netdev=net0", "queues=" + pairs));
        if (mtu > 0) {
            namespace.run("ip", "link", "set", TAP, "mtu", String.valueOf(mtu));
            options.add("mtu=" + mtu);
        }
        options.addAll(List.of(nic));
        traffic = new GuestTraffic(stage, namespace, this::counts);
        socket = stage.folder().resolve("nic0.sock");
        options.add("socket=" + socket);
        daemon = new Daemon(stage, namespace, "vireo", List.of("--netdev", "tap,id=net0,ifname=" + TAP + ",queues=" + pairs, "--nic",
                String.join(",", options)), false);
    }

    Namespace namespace() {
        return namespace;
    }

    GuestTraffic traffic() {
        return traffic;
    }

    /** The NIC's socket. */
    Path socket() {
        return socket;
    }

    /** One of the NIC's counters. */
    long counter(String name) throws BenchException {
        return Json.number(counters(), name);
    }

    /** All of them. */
    Map<?, ?> counters() throws BenchException {
        Map<?, ?> nic = (Map<?, ?>) ((List<?>) daemon.execute("query-nics", Map.of())).getFirst();
        return (Map<?, ?>) nic.get("counters");
    }

    /** The NIC's counters, and what the TAP says that it has dropped. */
    private Map<String, Long> counts() throws BenchException {
        Map<String, Long> all = new TreeMap<>();
        counters().forEach((name, n) -> all.put(String.valueOf(name), ((Number) n).longValue()));
        all.put("tap-dropped", namespace.counter(TAP, Namespace.TX_DROP));
        return all;
    }

    /** Ends the daemon, in good order: it has not failed meanwhile. */
    void end() throws BenchException {
        daemon.quit();
    }
}
