// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/** {@code vireo bench}: measures, in pairs against a floor where there is one. Prints what it measured; judges nothing by its exit code. */
public final class Bench {
    private static final String HELP = """
            vireo bench [WHAT] [--pairs N] [--count N] [--packed on|off] [--warm] [--quick] [--json]          as root

              (nothing)   transmit, receive, both ways, TSO, ping and idle, in pairs against a minimal device in C
              handover    freeze of N handovers under 50,000 numbered frames a second both ways
              to-and-fro  what two daemons have after N handovers between them, against the first ten
              many        50 NICs one after another, and a NIC with 8 queue pairs, to and fro: each one's freeze
              swap        N swaps of the backend by a newer version, side by side, under the same traffic
                          (--in-place: N updates of the bundle that serves)
              neighbours  frames a second of a NIC beside one whose backend is swapped, against seconds without a swap
              standby     the active process is killed under traffic: gap until a standby goes on, by the guest's memory
              start       from exec to the first frame forwarded
              idle-nics   CPU a frame of a busy NIC with 1,000 idle ones beside it, against none
              alloc       bytes that a worker allocates a frame
              packed      frames a second with packed rings and with split ones in turn, and CPU a frame
              peers       guests, VMMs and back-ends of others, and what is done to them; exit code 1 likewise (docs/peers.md)
              faults      something goes wrong at each point of a handover, on either side; exit code 1 if anything is not as it must be
              vm-migration a VM moves N times between two hosts by copying its memory, every byte compared; exit code 1 if one differs
              vm-phases   a VM moves to another VMM on the same host, and something goes wrong in each phase; exit code 1 likewise
              vmm-change  a Linux under QEMU moves to another QEMU on this host: longest gap of a ping, and that with QEMU's own TAPs
              dpdk        DPDK's testpmd as the guest (virtio-user), in both socket roles
              external    frames a second with DPDK's testpmd as the back-end of a vhost-user netdev, and directly, in turn

              --pairs N   pairs (5)
              --count N   handovers (20; to and fro 500; many 20), moves (50), swaps (20), kills (5), starts (5), idle NICs (1000)
              --quick     short and rough  --json      one JSON object
              --only TEXT of faults, vm-phases and peers those whose line contains this
              --warm      handovers to and fro between two daemons, instead of each to a fresh one
              --packed on the guest has packed rings (off): handover, to-and-fro, many, swap, standby, faults,
                          vm-migration, vm-phases, vmm-change

            A quiet machine with at least two CPUs is needed for figures that mean something.
            """;
    /** What runs in a network namespace of its own. */
    private static final Set<String> OWN_NETWORK = Set.of("faults", "to-and-fro", "many", "vm-migration", "vm-phases");
    /** Those whose guest is in Java or a Linux; the load in C has split rings only. */
    private static final Set<String> LAYOUTS = Set.of("handover", "to-and-fro", "many", "swap", "standby", "faults", "vm-migration",
            "vm-phases", "vmm-change");
    /** Which of them an option means something to; --quick and --json any. */
    private static final Map<String, Set<String>> TAKERS = Map.of(
            "--pairs", Set.of("pairs", "neighbours", "idle-nics", "packed", "external", "vmm-change"),
            "--count", Set.of("handover", "to-and-fro", "many", "swap", "standby", "start", "idle-nics", "vm-migration"),
            "--only", Set.of("faults", "vm-phases", "peers"),
            "--warm", Set.of("handover"),
            "--in-place", Set.of("swap"));
    private static final long BEGIN = System.nanoTime();

    private Bench() {
    }

    private record Options(String what, int pairs, int count, boolean quick, boolean json, boolean warm, boolean inPlace, boolean packed,
            String only) { }

    /**
     * Runs.
     *
     * @param args see {@code --help}
     */
    public static void main(String[] args) {
        int code = 0;
        try {
            if (Arrays.asList(args).contains("--help") || Arrays.asList(args).contains("-h")) {
                System.out.print(help(args));
            } else {
                code = run(parse(args), args);
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

    /** All of it, or what concerns the measurement that is named: its own lines, and the options that mean something to it. */
    private static String help(String[] args) {
        String what = Arrays.stream(args).filter(a -> HELP.contains("\n  " + a + " ") && !a.startsWith("-")).findFirst().orElse(null);
        if (what == null) {
            return HELP;
        }
        StringBuilder page = new StringBuilder("vireo bench " + what + " [OPTIONS]          as root\n");
        boolean its = true;
        for (String line : HELP.lines().skip(1).toList()) {
            boolean entry = line.startsWith("  ") && line.charAt(2) != ' ';
            its = entry ? concerns(line.strip().split(" ")[0], what) : its || !line.startsWith("  ");
            page.append(its ? line + "\n" : "");
        }
        return page.toString();
    }

    private static boolean concerns(String word, String what) {
        return word.equals(what) || word.equals("--packed") && LAYOUTS.contains(what)
                || word.startsWith("--") && !word.equals("--packed") && TAKERS.getOrDefault(word, Set.of(what)).contains(what);
    }

    private static Options parse(String[] args) {
        String what = "";
        Set<String> given = new TreeSet<>();
        int pairs = 0;
        int count = 0;
        boolean quick = false;
        boolean json = false;
        boolean warm = false;
        boolean inPlace = false;
        boolean packed = false;
        String only = "";
        for (int i = 0; i < args.length; i++) {
            String a = args[i];
            given.add(a);
            switch (a) {
                case "handover", "to-and-fro", "many", "swap", "neighbours", "standby",
                        "start", "idle-nics", "alloc", "packed", "faults", "peers", "vm-migration", "vm-phases",
                        "vmm-change", "dpdk", "external" -> {
                    if (!what.isEmpty()) {
                        throw new IllegalArgumentException(what + " and " + a + " are two measurements: give one");
                    }
                    what = a;
                }
                case "--quick" -> quick = true;
                case "--json" -> json = true;
                case "--warm" -> warm = true;
                case "--in-place" -> inPlace = true;
                case "--only" -> only = value(args, i++);
                case "--packed" -> packed = on(a, value(args, i++));
                case "--pairs", "--count" -> {
                    int n = DemoOptions.number(a, value(args, i++), 1, 10_000);
                    pairs = a.equals("--pairs") ? n : pairs;
                    count = a.equals("--count") ? n : count;
                }
                default -> throw new IllegalArgumentException("unknown argument " + a + " (vireo bench --help)");
            }
        }
        String named = what.isEmpty() ? "pairs" : what;
        for (String a : given) {
            Set<String> takers = TAKERS.get(a);
            if (takers != null && !takers.contains(named)) {
                throw new IllegalArgumentException(a + " means nothing to " + (what.isEmpty() ? "vireo bench without a word" : what)
                        + "; it is for " + String.join(", ", takers.stream().sorted().toList()));
            }
        }
        if (packed && !LAYOUTS.contains(named)) {
            throw new IllegalArgumentException("--packed on: " + named + " has a guest with split rings; packed ones can have "
                    + String.join(", ", LAYOUTS.stream().sorted().toList()) + ", and 'vireo bench packed' compares them");
        }
        return new Options(named, pairs == 0 ? quick ? 1 : 5 : pairs, count, quick, json, warm, inPlace, packed, only);
    }

    private static String value(String[] args, int i) {
        if (i + 1 == args.length) {
            throw new IllegalArgumentException(args[i] + " needs a value");
        }
        return args[i + 1];
    }

    private static boolean on(String name, String value) {
        if (!value.equals("on") && !value.equals("off")) {
            throw new IllegalArgumentException(name + " " + value + " is neither on nor off");
        }
        return value.equals("on");
    }

    private static int run(Options o, String[] args) throws BenchException, IOException {
        if (OWN_NETWORK.contains(o.what) && !Faults.isInside() && !UserNamespace.isNeeded()) {
            return Faults.again(args);
        }
        if (UserNamespace.isNeeded()) {
            throw new BenchException("run this as root: it makes namespaces and TAPs, and pins processes");
        }
        try (Stage stage = new Stage("vireo-bench")) {
            switch (o.what) {
                case "faults" -> {
                    return Faults.run(stage, o.quick, o.only, o.json, o.packed) ? 0 : 1;
                }
                case "peers" -> {
                    return Peers.run(stage, o.quick, o.only, o.json) ? 0 : 1;
                }
                case "handover" -> print(o, handover(stage, o.count == 0 ? o.quick ? 3 : 20 : o.count, !o.warm, o.packed));
                case "swap" -> print(o, swap(stage, o.count == 0 ? o.quick ? 3 : 20 : o.count, o.inPlace, o.packed));
                case "neighbours" -> print(o, Neighbours.run(stage, new Harness(stage), o.pairs));
                case "to-and-fro" -> print(o, ToAndFro.run(stage, o.count == 0 ? o.quick ? 20 : 500 : o.count, o.packed));
                case "many" -> print(o, Many.run(stage, o.count == 0 ? o.quick ? 2 : 20 : o.count, o.packed));
                case "vm-migration" -> print(o, VmMigration.run(stage, o.count == 0 ? o.quick ? 3 : 50 : o.count, o.packed));
                case "vm-phases" -> print(o, VmPhases.run(stage, o.quick, o.only, o.packed));
                case "vmm-change" -> print(o, VmmChange.run(stage, o.pairs, o.packed, o.quick));
                case "standby" -> print(o, Failover.run(stage, o.count == 0 ? 5 : o.count, o.packed,
                        o.quick ? new int[] {16, 256} : new int[] {16, 64, 256, 512, 1024}));
                case "start" -> print(o, Singles.start(stage, new Harness(stage), o.count == 0 ? 5 : o.count));
                case "idle-nics" -> print(o, Singles.idleNics(stage, new Harness(stage), o.pairs,
                        o.count == 0 ? o.quick ? 50 : 1000 : o.count));
                case "packed" -> print(o, RingLayouts.run(stage, new Harness(stage), o.pairs, o.quick));
                case "external" -> print(o, ExternalBackEnd.run(stage, new Harness(stage), o.pairs, o.quick));
                case "alloc" -> print(o, Singles.alloc(stage, new Harness(stage)));
                case "dpdk" -> print(o, dpdk(new Harness(stage), o.quick));
                default -> pairs(stage, o);
            }
        }
        return 0;
    }

    private static void pairs(Stage stage, Options o) throws BenchException {
        Pairs p = new Pairs();
        p.run(new Harness(stage), o.pairs, o.quick);
        List<Map<String, Object>> rows = p.rows();
        System.out.print(o.json ? Json.write(Map.of("rows", rows)) + "\n" : Pairs.table(rows));
    }

    private static void print(Options o, Map<String, Object> result) {
        if (o.json) {
            System.out.println(Json.write(result));
        } else {
            result.forEach((k, v) -> System.out.printf(Locale.ROOT, "%-28s %s%n", k, v instanceof String s ? s : Json.write(v)));
        }
    }

    private static Map<String, Object> handover(Stage stage, int count, boolean fresh, boolean packed) throws BenchException {
        HandoverSeries s = new HandoverSeries(stage, new SoftGuestSide(stage, packed), Bench::progress);
        s.begin();
        HandoverSeries.Result r = s.run(count, SoftGuestSide.RATE, fresh);
        s.end();
        return under(r.count(), r.freezes(), r.counts());
    }

    private static Map<String, Object> swap(Stage stage, int count, boolean inPlace, boolean packed) throws BenchException {
        SoftGuestSide guest = new SoftGuestSide(stage, packed);
        HandoverSeries s = new HandoverSeries(stage, guest, Bench::progress);
        s.begin();
        SwapSeries.Result r = new SwapSeries(stage, s.owner(), inPlace, Bench::progress).run(guest, count, SoftGuestSide.RATE);
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

    private static Map<String, Object> dpdk(Harness h, boolean quick) throws BenchException, IOException {
        Tools.require("dpdk-testpmd", "dpdk-dev");
        java.nio.file.Path pages = java.nio.file.Path.of("/proc/sys/vm/nr_hugepages");
        String before = java.nio.file.Files.readString(pages).strip();
        if (Integer.parseInt(before) < 300) {
            java.nio.file.Files.writeString(pages, "300\n");
        }
        try {
            Map<String, Object> m = new LinkedHashMap<>();
            for (boolean listens : new boolean[] {true, false}) {
                progress(listens ? "vireo listens, testpmd connects" : "testpmd listens, vireo connects");
                List<String> options = new ArrayList<>(List.of("--name", "vireo", "--tests", "gen", "--secs", quick ? "1" : "3",
                        "--sizes", quick ? "64" : "64 1500"));
                if (!listens) {
                    options.add("--listen");
                }
                for (Map<String, Object> r : h.run(options, h.vireo(listens ? "" : ",server=off"))) {
                    m.put((listens ? "server " : "client ") + r.get("test"), r);
                }
            }
            return m;
        } finally {
            java.nio.file.Files.writeString(pages, before + "\n");
        }
    }

    static void progress(String what) {
        System.err.printf(Locale.ROOT, "%6.1f s  %s%n", (System.nanoTime() - BEGIN) / 1e9, what);
    }
}
