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
import org.vireo.bench.host.ProcessView;
import org.vireo.bench.host.Progress;
import org.vireo.bench.host.Stage;
import org.vireo.bench.traffic.UdpFrame;

/**
 * {@code vireo bench vm-phases}: a VM moves to another VMM on the same host, and keeps its TAP, which two NICs share; at each phase of that
 * something goes wrong, or the daemon is replaced, or is killed while a standby waits. Who has the VM then has the TAP; nothing is lost and
 * nothing is left. One thread.
 */
public final class VmPhases {
    private static final Duration LIMIT = Duration.ofSeconds(30);
    private static final int PAIRS = 4;
    private static final int FLOWS = 16;
    private static final int RATE = 1_000;
    private static final int LOOKS = 250;
    private static final String TAP = "tap0";

    private final Stage stage;
    private final boolean packed;
    private final Namespace here;
    private final String pairing;
    private final VmMachine[] machines = new VmMachine[2];
    private Daemon active;
    private Daemon standby;
    private int started;
    private int moves;
    /** Which machine has the VM. */
    private int has;
    private VmTraffic traffic;

    /** What happens. */
    enum Event {
        /** Nothing: it has to work, too. */
        NOTHING,
        /** Nobody listens where the VM is to go. */
        REFUSED,
        /** The VMM that gets the VM is killed. */
        TARGET_DIES,
        /** The VMM that has the VM gives up. */
        CANCELLED,
        /** The daemon hands its NICs over to its standby, and ends. */
        HANDOVER,
        /** The daemon is killed, and its standby goes on. */
        DAEMON_KILLED;

        boolean replaces() {
            return this == HANDOVER || this == DAEMON_KILLED;
        }

        boolean moves() {
            return this == NOTHING || replaces();
        }
    }

    /** Something that happens, and when. */
    record Case(VmMove.Phase phase, Event event) {
        /** All of them. */
        static List<Case> all() {
            List<Case> all = new ArrayList<>(List.of(new Case(VmMove.Phase.NONE, Event.NOTHING),
                    new Case(VmMove.Phase.NONE, Event.REFUSED)));
            for (VmMove.Phase p : VmMove.Phase.values()) {
                for (Event e : List.of(Event.TARGET_DIES, Event.CANCELLED, Event.HANDOVER, Event.DAEMON_KILLED)) {
                    // what runs at the target cannot be taken back
                    if (p != VmMove.Phase.NONE && !(p == VmMove.Phase.STARTED && e == Event.CANCELLED)) {
                        all.add(new Case(p, e));
                    }
                }
            }
            return all;
        }

        boolean isTelling() {
            return event == Event.NOTHING || phase == VmMove.Phase.STARTED && event == Event.TARGET_DIES
                    || phase == VmMove.Phase.STOPPED && event == Event.CANCELLED
                    || phase == VmMove.Phase.MEMORY && event == Event.DAEMON_KILLED;
        }

        String line() {
            return (event + (phase == VmMove.Phase.NONE ? "" : " at " + phase)).toLowerCase(Locale.ROOT).replace('_', ' ');
        }
    }

    private VmPhases(Stage stage, boolean packed) {
        this.stage = stage;
        this.packed = packed;
        here = Namespace.own(stage);
        pairing = "unix:" + stage.folder().resolve("pair");
    }

    /**
     * Runs.
     *
     * @param stage what it belongs to; in a network namespace of its own
     * @param quick only the cases that tell most
     * @param only part of what a case is called
     * @param packed whether the guest has packed rings
     * @return each case: how long nobody answered, and what was lost
     * @throws BenchException something was not as it must be
     */
    public static Map<String, Object> run(Stage stage, boolean quick, String only, boolean packed) throws BenchException {
        List<Case> cases = Case.all().stream().filter(c -> !quick || c.isTelling()).filter(c -> c.line().contains(only)).toList();
        if (cases.isEmpty()) {
            throw BenchException.noCase(only, Case.all().stream().map(Case::line).toList());
        }
        return new VmPhases(stage, packed).run(cases);
    }

    private void network() throws BenchException {
        here.run("sh", "-c", "for f in all default; do echo 1 2>/dev/null >/proc/sys/net/ipv6/conf/$f/disable_ipv6; done");
        here.run("ip", "link", "set", "lo", "up");
        here.run("ip", "tuntap", "add", "dev", TAP, "mode", "tap", "vnet_hdr", "multi_queue");
        here.run("ip", "link", "set", TAP, "address", UdpFrame.HOST_MAC, "txqueuelen", "10000", "up");
        here.run("ip", "addr", "add", UdpFrame.HOST + "/24", "dev", TAP);
        here.run("ip", "neigh", "replace", UdpFrame.GUEST, "lladdr", UdpFrame.GUEST_MAC, "dev", TAP, "nud", "permanent");
    }

    private Path nic(int i) {
        return stage.folder().resolve("nic" + i);
    }

    private Daemon daemon() throws BenchException {
        List<String> options = new ArrayList<>(List.of("--standby", pairing, "--netdev", "tap,id=net0,ifname=" + TAP + ",queues=" + PAIRS));
        for (int i = 0; i < machines.length; i++) {
            options.addAll(List.of("--nic", "id=nic" + i + ",netdev=net0,queues=" + PAIRS + ",mac=" + UdpFrame.GUEST_MAC + ",socket="
                    + nic(i)));
        }
        return new Daemon(stage, here, "daemon-" + ++started, options, false);
    }

    private VmMachine machine(int i) throws BenchException {
        return new VmMachine(stage, "at nic" + i, nic(i), packed, PAIRS);
    }

    private Map<String, Object> run(List<Case> cases) throws BenchException {
        network();
        active = daemon();
        for (int i = 0; i < machines.length; i++) {
            machines[i] = machine(i);
        }
        machines[0].end(machines[0].begin("boot"));
        Map<String, Object> m = new LinkedHashMap<>();
        List<String> problems = new ArrayList<>();
        try (VmTraffic t = new VmTraffic(RATE, FLOWS)) {
            traffic = t;
            t.awaitFlow(LIMIT);
            for (Case c : cases) {
                String line = tried(c, problems);
                m.put(c.line(), line);
                Progress.say(m.size() + " of " + cases.size() + " " + c.line() + ": " + line);
            }
        }
        for (VmMachine v : machines) {
            v.close();
        }
        awaitNothing(problems);
        if (standby != null) {
            standby.quit();
        }
        active.quit();
        if (!problems.isEmpty()) {
            throw new BenchException(String.join("; ", problems));
        }
        return m;
    }

    /** What has come so far. */
    private record Counts(long sent, long taken, long repeated, long answers, long dropped) {
        long lost(Counts since) {
            return sent - since.sent - (taken - since.taken);
        }

        long unanswered(Counts since) {
            return taken - since.taken + repeated - since.repeated - (answers - since.answers);
        }
    }

    /** Of a VM that is whole; the traffic is paused meanwhile. */
    private Counts counts() throws BenchException {
        traffic.pause();
        Map<String, Object> c = machines[has].end(machines[has].begin("counts"));
        return new Counts(traffic.sent(), Json.number(c, "taken"), Json.number(c, "repeated"), traffic.answers(),
                here.counter(TAP, Namespace.TX_DROP));
    }

    private String tried(Case c, List<String> problems) throws BenchException {
        Daemon before = active;
        try {
            return one(c, problems);
        } catch (BenchException e) {
            for (Daemon d : new Daemon[] {before, active, standby}) {
                if (d != null && Boolean.getBoolean("vireo.bench.verbose")) {
                    Progress.say(d.name() + " said\n" + String.join("\n", d.program().lines()));
                }
            }
            throw new BenchException(c.line() + ": " + e.getMessage(), e);
        }
    }

    private String one(Case c, List<String> problems) throws BenchException {
        if (c.event.replaces() && standby == null) {
            standby = daemon();
        }
        Counts before = counts();
        traffic.awaitFlow(LIMIT);
        traffic.forgetGaps();
        happen(c);
        if (c.event.moves()) {
            has = 1 - has;
        }
        traffic.awaitFlow(LIMIT);
        double gap = traffic.longestGapMillis();
        Counts after = counts();
        check(c, before, after, problems);
        awaitPlaces(c, problems);
        return String.format(Locale.ROOT, "no answer for %.0f ms, lost %d, repeated %d, unanswered %d, dropped by the TAP %d", gap,
                after.lost(before), after.repeated - before.repeated, after.unanswered(before), after.dropped - before.dropped);
    }

    private void happen(Case c) throws BenchException {
        VmMachine source = machines[has];
        VmMachine target = machines[1 - has];
        Path at = stage.folder().resolve("vm" + moves++);
        boolean targets = c.phase == VmMove.Phase.STARTED;
        if (c.event == Event.REFUSED) {
            source.failure(source.begin("move " + at + " " + VmMove.Phase.NONE));
            return;
        }
        int comes = target.listen(at, targets ? c.phase : VmMove.Phase.NONE);
        int goes = source.begin("move " + at + " " + (targets ? VmMove.Phase.NONE : c.phase));
        VmMachine holder = targets ? target : source;
        if (c.phase != VmMove.Phase.NONE) {
            holder.awaitHolding(targets ? comes : goes);
        }
        if (c.event.replaces()) {
            // what changed last it has to have, too
            awaitStandby();
        }
        switch (c.event) {
            case TARGET_DIES -> {
                target.kill();
                machines[1 - has] = machine(1 - has);
            }
            case HANDOVER -> {
                active.quit();
                active = null;
            }
            case DAEMON_KILLED -> {
                stage.run(List.of("kill", "-9", String.valueOf(active.program().pid())));
                active.program().awaitEnd(LIMIT);
                stage.end(active.program());
                active = null;
            }
            default -> {
                // it says so itself
            }
        }
        if (active == null) {
            active = standby;
            standby = null;
        }
        if (c.phase != VmMove.Phase.NONE && !(targets && c.event == Event.TARGET_DIES)) {
            holder.release(c.event != Event.CANCELLED);
        }
        if (c.event.moves()) {
            source.end(goes);
            target.end(comes);
        } else {
            source.failure(goes);
            if (c.event != Event.TARGET_DIES) {
                target.failure(comes);
            }
        }
    }

    private void check(Case c, Counts before, Counts after, List<String> problems) {
        // a target that died has taken some with it; a daemon that was killed may have one for each ring
        long most = c.event == Event.DAEMON_KILLED ? PAIRS : 0;
        long lost = after.lost(before);
        long repeated = after.repeated - before.repeated;
        boolean dead = c.event == Event.TARGET_DIES && c.phase == VmMove.Phase.STARTED;
        if (!dead && (lost > most || repeated > most || Math.abs(after.unanswered(before)) > most)) {
            problems.add(c.line() + ": lost " + lost + ", repeated " + repeated + ", unanswered " + after.unanswered(before) + ", at most "
                    + most + " of each are permitted");
        }
    }

    /** Where the VM is the NIC runs, and nobody is at the other one. */
    private void awaitPlaces(Case c, List<String> problems) throws BenchException {
        long end = System.nanoTime() + LIMIT.toNanos();
        while (true) {
            List<?> nics = (List<?>) active.execute("query-nics", Map.of());
            Map<Integer, String> states = new LinkedHashMap<>();
            for (Object n : nics) {
                Map<?, ?> nic = (Map<?, ?>) n;
                states.put("nic0".equals(nic.get("id")) ? 0 : 1, String.valueOf(nic.get("state")));
            }
            if ("running".equals(states.get(has)) && states.get(1 - has) != null && !"running".equals(states.get(1 - has))) {
                return;
            }
            if (System.nanoTime() > end) {
                problems.add(c.line() + ": the VM is at nic" + has + ", and the NICs are " + Json.write(nics));
                return;
            }
            Daemon.pause(10);
        }
    }

    /** Of guests that have gone the daemon has nothing. */
    private void awaitNothing(List<String> problems) throws BenchException {
        List<String> left = List.of();
        for (int i = 0; i < LOOKS; i++) {
            left = ProcessView.files(active.program().pid()).stream()
                    .filter(f -> f.startsWith("/memfd:guest-ram") || f.startsWith("/memfd:log ")).toList();
            if (left.isEmpty()) {
                return;
            }
            Daemon.pause(20);
        }
        problems.add("the daemon has memory of guests that have gone: " + left);
    }

    /** All NICs are ready there as they are now. */
    private void awaitStandby() throws BenchException {
        long end = System.nanoTime() + LIMIT.toNanos();
        while (true) {
            String said = Json.write(active.execute("query-standby", Map.of()));
            if (said.split("\"state\":\"prepared\"", -1).length == machines.length + 1) {
                return;
            }
            if (System.nanoTime() - end > 0) {
                throw new BenchException("no standby: " + said);
            }
            Daemon.pause(20);
        }
    }
}
