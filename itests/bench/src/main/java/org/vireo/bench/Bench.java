// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench;

import java.io.IOException;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.vireo.bench.faults.Faults;
import org.vireo.bench.figures.Freezes;
import org.vireo.bench.guest.SoftGuestSide;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Json;
import org.vireo.bench.host.OwnNetwork;
import org.vireo.bench.host.Progress;
import org.vireo.bench.host.Stage;
import org.vireo.bench.host.UserNamespace;
import org.vireo.bench.measure.DpdkGuest;
import org.vireo.bench.measure.ExternalBackEnd;
import org.vireo.bench.measure.Harness;
import org.vireo.bench.measure.Neighbours;
import org.vireo.bench.measure.Pairs;
import org.vireo.bench.measure.RingLayouts;
import org.vireo.bench.measure.Singles;
import org.vireo.bench.peers.Peers;
import org.vireo.bench.series.Failover;
import org.vireo.bench.series.HandoverSeries;
import org.vireo.bench.series.Many;
import org.vireo.bench.series.SwapSeries;
import org.vireo.bench.series.ToAndFro;
import org.vireo.bench.traffic.Load;
import org.vireo.bench.vm.VmMigration;
import org.vireo.bench.vm.VmPhases;
import org.vireo.bench.vm.VmmChange;

/** {@code vireo bench}: measures, in pairs against a floor where there is one. Prints what it measured; judges nothing by its exit code. */
public final class Bench {
    /** What runs in a network namespace of its own. */
    private static final Set<String> OWN_NETWORK = Set.of("faults", "to-and-fro", "many", "vm-migration", "vm-phases");

    private Bench() {
    }

    /**
     * Runs.
     *
     * @param args see {@code --help}
     */
    public static void main(String[] args) {
        Progress.begin();
        int code = 0;
        try {
            if (Arrays.asList(args).contains("--help") || Arrays.asList(args).contains("-h")) {
                System.out.print(BenchOptions.help(args));
            } else {
                code = run(BenchOptions.parse(args), args);
            }
        } catch (IllegalArgumentException e) {
            System.err.println("vireo bench: " + e.getMessage());
            code = 2;
        } catch (BenchException | IOException e) {
            System.err.println("vireo bench: " + e.getMessage());
            code = 1;
        }
        System.exit(code);
    }

    private static int run(BenchOptions o, String[] args) throws BenchException, IOException {
        if (OWN_NETWORK.contains(o.what()) && !OwnNetwork.isInside() && !UserNamespace.isNeeded()) {
            return OwnNetwork.again(args);
        }
        if (UserNamespace.isNeeded()) {
            throw new BenchException("run this as root: it makes namespaces and TAPs, and pins processes");
        }
        try (Stage stage = new Stage("vireo-bench")) {
            switch (o.what()) {
                case "faults" -> {
                    return Faults.run(stage, o.quick(), o.only(), o.json(), o.packed()) ? 0 : 1;
                }
                case "peers" -> {
                    return Peers.run(stage, o.quick(), o.only(), o.json()) ? 0 : 1;
                }
                case "handover" -> print(o, handover(stage, o.countOr(20, 3), !o.warm(), o.packed()));
                case "swap" -> print(o, swap(stage, o.countOr(20, 3), o.inPlace(), o.packed()));
                case "neighbours" -> print(o, Neighbours.run(stage, new Harness(stage), o.pairs()));
                case "to-and-fro" -> print(o, ToAndFro.run(stage, o.countOr(500, 20), o.packed()));
                case "many" -> print(o, Many.run(stage, o.countOr(20, 2), o.packed()));
                case "vm-migration" -> print(o, VmMigration.run(stage, o.countOr(50, 3), o.packed()));
                case "vm-phases" -> print(o, VmPhases.run(stage, o.quick(), o.only(), o.packed()));
                case "vmm-change" -> print(o, VmmChange.run(stage, o.pairs(), o.packed(), o.quick()));
                case "standby" -> print(o, Failover.run(stage, o.countOr(5, 5), o.packed(),
                        o.quick() ? new int[] {16, 256} : new int[] {16, 64, 256, 512, 1024}));
                case "start" -> print(o, Singles.start(stage, new Harness(stage), o.countOr(5, 5)));
                case "idle-nics" -> print(o, Singles.idleNics(stage, new Harness(stage), o.pairs(), o.countOr(1000, 50)));
                case "packed" -> print(o, RingLayouts.run(stage, new Harness(stage), o.pairs(), o.quick()));
                case "external" -> print(o, ExternalBackEnd.run(stage, new Harness(stage), o.pairs(), o.quick()));
                case "alloc" -> print(o, Singles.alloc(stage, new Harness(stage)));
                case "dpdk" -> print(o, DpdkGuest.run(new Harness(stage), o.quick()));
                default -> pairs(stage, o);
            }
        }
        return 0;
    }

    private static void pairs(Stage stage, BenchOptions o) throws BenchException {
        Pairs p = new Pairs();
        p.run(new Harness(stage), o.pairs(), o.quick());
        List<Map<String, Object>> rows = p.rows();
        System.out.print(o.json() ? Json.write(Map.of("rows", rows)) + "\n" : Pairs.table(rows));
    }

    private static void print(BenchOptions o, Map<String, Object> result) {
        if (o.json()) {
            System.out.println(Json.write(result));
        } else {
            result.forEach((k, v) -> System.out.printf(Locale.ROOT, "%-28s %s%n", k, v instanceof String s ? s : Json.write(v)));
        }
    }

    private static Map<String, Object> handover(Stage stage, int count, boolean fresh, boolean packed) throws BenchException {
        HandoverSeries s = new HandoverSeries(stage, new SoftGuestSide(stage, packed), Progress::say);
        s.begin();
        HandoverSeries.Result r = s.run(count, SoftGuestSide.RATE, fresh);
        s.end();
        return under(r.count(), r.freezes(), r.counts());
    }

    private static Map<String, Object> swap(Stage stage, int count, boolean inPlace, boolean packed) throws BenchException {
        SoftGuestSide guest = new SoftGuestSide(stage, packed);
        HandoverSeries s = new HandoverSeries(stage, guest, Progress::say);
        s.begin();
        SwapSeries.Result r = new SwapSeries(stage, s.owner(), inPlace, Progress::say).run(guest, count, SoftGuestSide.RATE);
        s.end();
        Map<String, Object> m = under(r.count(), r.freezes(), r.counts());
        if (inPlace) {
            // from the command to its answer: how long the guest was without its network is the longest gap
            m.put("goal", "none set");
        }
        if (!r.more().isEmpty()) {
            m.put("class loaders of bundles", r.loaders());
            m.put("the daemon", r.more());
        }
        return m;
    }

    private static Map<String, Object> under(int count, Freezes f, Load.Counts c) {
        Map<String, Object> m = new LinkedHashMap<>();
        m.put("count", count);
        f.addTo(m);
        m.put("goal", "median <= 1000, p99 <= 5000, nothing lost");
        m.put("lost", c.lost());
        m.put("duplicated", c.duplicated());
        m.put("reordered", c.reordered());
        m.put("outRate", c.outRate());
        m.put("inRate", c.inRate());
        m.put("longestGapMicros", c.longestGapMicros());
        return m;
    }
}
