// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.vm;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Daemon;
import org.vireo.bench.host.Json;
import org.vireo.bench.host.Namespace;
import org.vireo.bench.host.Progress;
import org.vireo.bench.host.Stage;
import org.vireo.bench.traffic.UdpFrame;

/**
 * {@code vireo bench vm-migration}: a VM moves to and fro between two hosts, each with a daemon of its own, under numbered blocks. Hosts
 * are network namespaces, joined by a switch in this process's. The VMs' memory is copied by what the devices log; after each move every
 * byte is compared, and at the end one page is left out on purpose, which has to be found. One thread.
 */
public final class VmMigration {
    private static final Duration LIMIT = Duration.ofSeconds(30);
    private static final int RATE = 5_000;
    private static final int PROGRESS = 10;
    private static final String SWITCH = "br0";

    private final Stage stage;
    private final boolean packed;
    private final List<Host> hosts = new ArrayList<>();

    /** A host: its namespace, its daemon, and its VMM. */
    private static final class Host {
        final Namespace network;
        final Daemon daemon;
        final VmMachine vmm;

        Host(Stage stage, String name, boolean packed) throws BenchException {
            network = new Namespace(stage, name);
            network.run("ip", "link", "add", "br0", "type", "bridge");
            network.run("ip", "tuntap", "add", "dev", "tap0", "mode", "tap", "vnet_hdr");
            Namespace.own(stage).run("ip", "link", "add", "to-" + name, "type", "veth", "peer", "name", "uplink", "netns",
                    String.valueOf(network.holder().pid()));
            Namespace.own(stage).run("ip", "link", "set", "to-" + name, "master", SWITCH, "up");
            for (String port : new String[] {"tap0", "uplink"}) {
                network.run("ip", "link", "set", port, "master", "br0", "up");
            }
            network.run("ip", "link", "set", "br0", "up");
            Path nic = stage.folder().resolve(name + ".nic");
            daemon = new Daemon(stage, network, name, List.of("--netdev", "tap,id=net0,ifname=tap0", "--nic",
                    "id=nic0,netdev=net0,mac=" + UdpFrame.GUEST_MAC + ",socket=" + nic), false);
            vmm = new VmMachine(stage, "at " + name, nic, packed, 1);
        }
    }

    private VmMigration(Stage stage, boolean packed) {
        this.stage = stage;
        this.packed = packed;
    }

    /**
     * Runs.
     *
     * @param stage what it belongs to; in a network namespace of its own
     * @param count moves
     * @param packed whether the guest has packed rings
     * @return what it took
     * @throws BenchException a byte differed, or anything else was not as it must be
     */
    public static Map<String, Object> run(Stage stage, int count, boolean packed) throws BenchException {
        return new VmMigration(stage, packed).run(count);
    }

    private void network() throws BenchException {
        Namespace here = Namespace.own(stage);
        here.run("sh", "-c", "for f in all default; do echo 1 2>/dev/null >/proc/sys/net/ipv6/conf/$f/disable_ipv6; done");
        here.run("ip", "link", "set", "lo", "up");
        here.run("ip", "link", "add", SWITCH, "address", UdpFrame.HOST_MAC, "type", "bridge");
        here.run("ip", "addr", "add", UdpFrame.HOST + "/24", "dev", SWITCH);
        here.run("ip", "link", "set", SWITCH, "up");
        here.run("ip", "neigh", "replace", UdpFrame.GUEST, "lladdr", UdpFrame.GUEST_MAC, "dev", SWITCH, "nud", "permanent");
    }

    private Map<String, Object> run(int count) throws BenchException {
        network();
        hosts.add(new Host(stage, "hosta", packed));
        hosts.add(new Host(stage, "hostb", packed));
        Host has = hosts.getFirst();
        Host other = hosts.getLast();
        has.vmm.end(has.vmm.begin("boot"));
        try (VmTraffic traffic = new VmTraffic(RATE, 1)) {
            traffic.awaitFlow(LIMIT);
            List<Double> gaps = new ArrayList<>();
            List<Double> stands = new ArrayList<>();
            long pages = 0;
            for (int i = 0; i < count; i++) {
                traffic.forgetGaps();
                Map<String, Object> did = move(has.vmm, other.vmm, i);
                traffic.awaitFlow(LIMIT);
                gaps.add(traffic.longestGapMillis());
                stands.add(((Number) did.get("standMillis")).doubleValue());
                pages += Json.number(did, "pages") + Json.number(did, "lastPages");
                Host h = has;
                has = other;
                other = h;
                if ((i + 1) % PROGRESS == 0 || i + 1 == count) {
                    Progress.say(String.format(Locale.ROOT, "%d of %d moves, no answer for %.0f ms", i + 1, count, gaps.getLast()));
                }
            }
            String found = spoiled(has.vmm, other.vmm, count);
            traffic.awaitFlow(LIMIT);
            traffic.pause();
            Map<String, Object> m = new LinkedHashMap<>();
            m.put("moves", count);
            m.put("differentPages", 0);
            m.put("pagesWrittenMeanwhile", pages);
            m.put("gapMillis", middle(gaps));
            m.put("standMillis", middle(stands));
            Map<String, Object> counts = has.vmm.end(has.vmm.begin("counts"));
            m.put("sent", traffic.sent());
            m.put("lost", traffic.sent() - Json.number(counts, "taken"));
            m.put("repeated", counts.get("repeated"));
            m.put("late", counts.get("late"));
            m.put("aPageThatWasLeftOut", found);
            return m;
        } finally {
            for (Host h : hosts) {
                h.vmm.close();
                h.daemon.quit();
            }
        }
    }

    private Map<String, Object> move(VmMachine from, VmMachine to, int number) throws BenchException {
        Path at = stage.folder().resolve("vm" + number);
        int comes = to.listen(at, VmMove.Phase.NONE);
        Map<String, Object> did = from.end(from.begin("move " + at + " " + VmMove.Phase.NONE));
        to.end(comes);
        return did;
    }

    /** One bit less in the log: it has to be found, and the VM goes on where it was. */
    private String spoiled(VmMachine from, VmMachine to, int number) throws BenchException {
        Path at = stage.folder().resolve("vm" + number);
        int comes = to.listen(at, VmMove.Phase.NONE);
        String said = from.failure(from.begin("spoil " + at + " " + VmMove.Phase.NONE));
        to.failure(comes);
        if (!said.contains(" 1 of ") || said.indexOf("page 0x") == said.lastIndexOf("page 0x")
                || !said.substring(said.indexOf("page 0x"), said.indexOf(';')).equals(said.substring(said.lastIndexOf("page 0x")))) {
            throw new BenchException("a page was left out, and what was found is: " + said);
        }
        return "found: " + said.substring(said.lastIndexOf("page 0x"));
    }

    private static String middle(List<Double> of) {
        List<Double> s = of.stream().sorted().toList();
        return String.format(Locale.ROOT, "median %.1f, longest %.1f", s.get(s.size() / 2), s.getLast());
    }
}
