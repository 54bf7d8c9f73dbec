// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench;

import java.util.Arrays;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/**
 * The command line of {@code vireo bench}.
 *
 * @param what the measurement, {@code pairs} if none is named
 * @param pairs how many pairs
 * @param count how often, 0: what the measurement takes by itself
 * @param quick short and rough
 * @param json whether the result is one JSON object
 * @param warm handovers to and fro between two daemons
 * @param inPlace swaps by updates of the bundle that serves
 * @param packed whether the guest has packed rings
 * @param only what the line of a case has to contain
 */
record BenchOptions(String what, int pairs, int count, boolean quick, boolean json, boolean warm, boolean inPlace, boolean packed,
        String only) {
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

    /** The count that is asked for, or that of the full run or of the quick one. */
    int countOr(int full, int brief) {
        return count != 0 ? count : quick ? brief : full;
    }

    /** All of it, or what concerns the measurement that is named: its own lines, and the options that mean something to it. */
    static String help(String[] args) {
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

    static BenchOptions parse(String[] args) {
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
        return new BenchOptions(named, pairs == 0 ? quick ? 1 : 5 : pairs, count, quick, json, warm, inPlace, packed, only);
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
}
