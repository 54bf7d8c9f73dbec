// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.measure;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.ToDoubleFunction;
import org.vireo.bench.figures.Ratios;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Json;
import org.vireo.bench.host.Progress;

/** Vireo and the floor in turn, and the ratios of what was measured next to each other: absolute figures of a machine mean little. */
public final class Pairs {
    /** What a row compares. */
    private enum Kind { RATIO, DIFFERENCE, ABSOLUTE }

    /**
     * A row of the table.
     *
     * @param name for people
     * @param test what vubench.sh calls it
     * @param kind how the two are compared
     * @param goal at least, for a ratio; at most, for the others
     * @param value of a result
     */
    private record Row(String name, String test, Kind kind, double goal, ToDoubleFunction<Map<String, Object>> value) { }

    private static final List<Row> ROWS = List.of(
            new Row("transmit 64 B", "tx64", Kind.RATIO, 0.95, r -> Ratios.real(r, "to_tap_pps")),
            new Row("transmit 1500 B", "tx1500", Kind.RATIO, 0.95, r -> Ratios.real(r, "to_tap_pps")),
            new Row("receive 64 B", "rx64", Kind.RATIO, 0.95, r -> Ratios.real(r, "from_tap_pps")),
            new Row("receive 1500 B", "rx1500", Kind.RATIO, 0.95, r -> Ratios.real(r, "from_tap_pps")),
            new Row("both ways 64 B", "txrx64", Kind.RATIO, 0.95, r -> Ratios.real(r, "to_tap_pps") + Ratios.real(r, "from_tap_pps")),
            new Row("both ways 1500 B", "txrx1500", Kind.RATIO, 0.95, r -> Ratios.real(r, "to_tap_pps") + Ratios.real(r, "from_tap_pps")),
            new Row("TSO out, Gbit/s", "tx65000", Kind.RATIO, 0.9, r -> Ratios.real(r, "to_tap_gbps")),
            new Row("TSO in, Gbit/s", "rx65000", Kind.RATIO, 0.9, r -> Ratios.real(r, "from_tap_gbps")),
            new Row("ping median, us", "ping.irq", Kind.DIFFERENCE, 5,
                    r -> Ratios.real(Json.member(Json.member(r, "gen"), "rtt_us"), "p50")),
            new Row("idle, CPUs", "idle_connected", Kind.ABSOLUTE, 0.001, r -> Ratios.real(r, "cpu")),
            new Row("idle RSS, MB", "idle_connected", Kind.ABSOLUTE, 100, r -> Ratios.real(Json.member(r, "gen"), "VmRSS_kb") / 1024));

    private final List<Map<String, Map<String, Object>>> vireo = new ArrayList<>();
    private final List<Map<String, Map<String, Object>>> floor = new ArrayList<>();

    /** Measures. */
    public void run(Harness h, int pairs, boolean quick) throws BenchException {
        List<String> options = quick ? List.of("--secs", "1", "--tests", "idle tx rx lat", "--sizes", "64") : List.of("--secs", "3");
        for (int i = 0; i < pairs; i++) {
            // each goes first every other time
            for (int k = 0; k < 2; k++) {
                boolean ours = (i + k) % 2 == 0;
                Progress.say("pair " + (i + 1) + " of " + pairs + ": " + (ours ? "vireo" : "the floor"));
                List<String> o = new ArrayList<>(options);
                o.addAll(ours ? List.of("--name", "vireo", "--prewarm", quick ? "2" : "5") : List.of("--name", "floor"));
                Map<String, Map<String, Object>> results = new LinkedHashMap<>();
                h.run(o, ours ? h.vireo("") : h.floor()).forEach(r -> results.put(String.valueOf(r.get("test")), r));
                (ours ? vireo : floor).add(results);
            }
        }
    }

    /** The rows that were measured. */
    public List<Map<String, Object>> rows() {
        List<Map<String, Object>> rows = new ArrayList<>();
        for (Row r : ROWS) {
            List<Double> a = new ArrayList<>();
            List<Double> b = new ArrayList<>();
            List<Double> compared = new ArrayList<>();
            List<Double> cost = new ArrayList<>();
            for (int i = 0; i < Math.min(vireo.size(), floor.size()); i++) {
                Map<String, Object> x = vireo.get(i).get(r.test);
                Map<String, Object> y = floor.get(i).get(r.test);
                if (x != null && y != null) {
                    a.add(r.value.applyAsDouble(x));
                    b.add(r.value.applyAsDouble(y));
                    compared.add(switch (r.kind) {
                        case RATIO -> a.getLast() / b.getLast();
                        case DIFFERENCE -> a.getLast() - b.getLast();
                        case ABSOLUTE -> a.getLast();
                    });
                    cost.add(Ratios.real(x, "cpu_ns_pkt") / Ratios.real(y, "cpu_ns_pkt"));
                }
            }
            if (!compared.isEmpty()) {
                Map<String, Object> m = new LinkedHashMap<>();
                m.put("row", r.name);
                m.put("pairs", compared.size());
                m.put("vireo", Ratios.median(a));
                m.put("floor", Ratios.median(b));
                m.put("compared", r.kind.name().toLowerCase(Locale.ROOT));
                m.put("median", Ratios.median(compared));
                m.put("least", compared.stream().min(Double::compare).orElseThrow());
                m.put("most", compared.stream().max(Double::compare).orElseThrow());
                m.put("goal", r.goal);
                m.put("reached", r.kind == Kind.RATIO ? Ratios.median(compared) >= r.goal : Ratios.median(compared) <= r.goal);
                double c = Ratios.median(cost);
                m.put("cpuPerFrameRatio", r.kind == Kind.RATIO && !Double.isNaN(c) ? (Object) c : null);
                rows.add(m);
            }
        }
        return rows;
    }

    /** The rows for people. */
    public static String table(List<Map<String, Object>> rows) {
        StringBuilder b = new StringBuilder(String.format(Locale.ROOT, "%-18s %14s %14s %8s %19s %9s %9s%n", "", "vireo", "floor", "median",
                "range", "goal", "CPU/frame"));
        for (Map<String, Object> r : rows) {
            boolean ratio = "ratio".equals(r.get("compared"));
            b.append(String.format(Locale.ROOT, "%-18s %14.2f %14.2f %8.3f %9.3f..%8.3f %s %7.3f%s %s%n", r.get("row"), r.get("vireo"),
                    r.get("floor"), r.get("median"), r.get("least"), r.get("most"), ratio ? ">=" : "<=", r.get("goal"),
                    r.get("cpuPerFrameRatio") == null ? "         -" : String.format(Locale.ROOT, " %9.3f", r.get("cpuPerFrameRatio")),
                    Boolean.TRUE.equals(r.get("reached")) ? "" : "MISSED"));
        }
        return b.toString();
    }
}
