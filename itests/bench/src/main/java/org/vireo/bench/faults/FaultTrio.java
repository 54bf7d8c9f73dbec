// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.faults;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.vireo.bench.faults.FaultCase.Owner;
import org.vireo.bench.faults.FaultCase.Side;
import org.vireo.bench.faults.FaultCase.Vmm;
import org.vireo.bench.faults.FaultMatrix.Row;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Daemon;
import org.vireo.bench.host.DaemonPair;
import org.vireo.bench.host.DaemonPair.Member;
import org.vireo.bench.host.Json;
import org.vireo.bench.host.Namespace;
import org.vireo.bench.host.Stage;
import org.vireo.bench.traffic.NumberedTraffic;

/**
 * Faults at a handover from a process that has a standby: three processes may take the NIC, one does. Each case has processes of its own.
 * One thread.
 */
final class FaultTrio {
    private static final String TAP = DaemonPair.TAP;
    private static final int OTHERS_OFFER_MILLIS = 500;
    private static final int FENCED_AND_KILLED_MILLIS = 1_000;

    private final Stage stage;
    private final Namespace here;
    private final Path nicSocket;
    private final boolean packed;
    private int started;

    /**
     * A fault at one process, perhaps after one at another.
     *
     * @param what where, and what is permitted
     * @param victim whose process
     * @param firstPoint where the target is stopped for a while before, or null
     */
    record Case(FaultCase what, Owner victim, String firstPoint) { }

    FaultTrio(Stage stage, Namespace here, Path nicSocket, boolean packed) {
        this.stage = stage;
        this.here = here;
        this.nicSocket = nicSocket;
        this.packed = packed;
    }

    /** All of them. */
    static List<Case> all() {
        List<Case> all = new ArrayList<>();
        source(all, "PREPARE not sent", "before:send.PREPARE", Owner.STANDBY);
        source(all, "PREPARED came", "after:recv.PREPARED", Owner.STANDBY, Owner.TARGET);
        source(all, "frozen, TAP left", "after:tap-del@recv.PREPARED", Owner.STANDBY, Owner.TARGET);
        source(all, "offered, OFFER not sent", "before:send.OFFER", Owner.STANDBY, Owner.TARGET);
        source(all, "OFFER sent", "after:send.OFFER", Owner.STANDBY, Owner.TARGET);
        source(all, "DROPPED not sent", "before:send.DROPPED", Owner.TARGET);
        target(all, "OFFER came", "after:recv.OFFER", "kill", 200, Owner.SOURCE);
        target(all, "taken, TAP not read", "before:tap-add@send.PREPARED", "kill", 0, Owner.SOURCE, Owner.STANDBY);
        target(all, "taken, TAP not read", "before:tap-add@send.PREPARED", "stop:2000", FENCED_AND_KILLED_MILLIS, Owner.SOURCE,
                Owner.STANDBY);
        target(all, "RUNNING not sent", "before:send.RUNNING", "kill", 0, Owner.SOURCE, Owner.STANDBY);
        // two faults: who is left is the standby
        all.add(new Case(of("OFFER sent, target stopped", Side.SOURCE, "SIGKILL", "after:send.OFFER", "kill", 0, Owner.STANDBY,
                Owner.TARGET), Owner.SOURCE, "after:send.PREPARED"));
        all.add(new Case(of("OFFER sent, target stopped", Side.SOURCE, "SIGSTOP 2000 ms", "after:send.OFFER", "stop:2000",
                OTHERS_OFFER_MILLIS, Owner.STANDBY, Owner.TARGET), Owner.SOURCE, "after:send.PREPARED"));
        return all;
    }

    private static FaultCase of(String step, Side side, String fault, String point, String action, int dark, Owner... owners) {
        return new FaultCase("standby: " + step, side, fault, point, action, Vmm.NOTHING, Set.of(owners), dark, false);
    }

    private static void source(List<Case> all, String step, String point, Owner... owners) {
        all.add(new Case(of(step, Side.SOURCE, "SIGKILL", point, "kill", 0, owners), Owner.SOURCE, null));
    }

    private static void target(List<Case> all, String step, String point, String action, int dark, Owner... owners) {
        all.add(new Case(of(step, Side.TARGET, action.equals("kill") ? "SIGKILL" : "SIGSTOP 2000 ms", point, action, dark, owners),
                Owner.TARGET, null));
    }

    private Member start(String... more) throws BenchException {
        int n = ++started;
        Path in = stage.folder().resolve("trio-in" + n);
        List<String> options = new ArrayList<>(List.of("--netdev", "tap,id=net0,ifname=" + TAP, "--nic", "id=nic0,netdev=net0,socket="
                + nicSocket));
        for (String m : more) {
            options.add(m.replace("{in}", in.toString()));
        }
        return new Member(new Daemon(stage, here, "trio-" + n, options, false), in);
    }

    /** Does one case. */
    Row run(Case c) throws BenchException {
        List<String> problems = new ArrayList<>();
        List<Member> all = new ArrayList<>();
        NumberedTraffic traffic = null;
        try {
            String pair = "unix:" + stage.folder().resolve("pair" + started);
            all.add(start("--standby", pair));
            traffic = new NumberedTraffic(nicSocket, 1, packed);
            all.add(start("--standby", pair));
            all.add(start("--incoming", "unix:{in}"));
            awaitStandby(all.get(0));
            return new Run(c, problems, all, traffic).all();
        } catch (BenchException e) {
            problems.add(e.getMessage());
            return new Row(c.what, "?", 0, null, 0, "-", "-", problems);
        } finally {
            if (traffic != null) {
                traffic.close();
            }
            for (Member m : all) {
                ProcessHandle.of(m.pid()).filter(ProcessHandle::isAlive).ifPresent(ProcessHandle::destroyForcibly);
                stage.end(m.daemon().program());
            }
        }
    }

    private static void awaitStandby(Member active) throws BenchException {
        long end = System.nanoTime() + FaultMatrix.LIMIT.toNanos();
        while (!Json.write(active.daemon().execute("query-standby", Map.of())).contains("\"ready\":true")) {
            if (System.nanoTime() - end > 0) {
                throw new BenchException("no standby: " + active.daemon().execute("query-standby", Map.of()));
            }
            Daemon.pause(20);
        }
    }

    /** One case on its way. */
    private final class Run {
        private final Case c;
        private final List<String> problems;
        private final List<Member> all;
        private final NumberedTraffic traffic;

        Run(Case c, List<String> problems, List<Member> all, NumberedTraffic traffic) {
            this.c = c;
            this.problems = problems;
            this.all = all;
            this.traffic = traffic;
        }

        private Member source() {
            return all.get(0);
        }

        private Member target() {
            return all.get(2);
        }

        Row all() throws BenchException {
            FaultCase what = c.what;
            traffic.resume();
            NumberedTraffic.Both before = traffic.pause();
            long dropped = here.counter(TAP, Namespace.TX_DROP);
            traffic.resume();
            fault();
            Member has = awaitOwner();
            double gap = traffic.longestGapMillis();
            Owner owner = has == null ? Owner.NOBODY : has == source() ? Owner.SOURCE : has == target() ? Owner.TARGET : Owner.STANDBY;
            check(what.owners().contains(owner), "owner is " + owner);
            if (has != null) {
                Row.checkGap(what, gap, problems);
            }
            long dead = all.stream().filter(m -> !m.isAlive()).count();
            String second = has == null ? "-" : second(has);
            NumberedTraffic.Both f = has == null ? null : traffic.pause().less(before);
            dropped = here.counter(TAP, Namespace.TX_DROP) - dropped;
            if (f != null) {
                check(f.out().lost() + f.out().repeated() <= dead, "from the guest " + f.out());
                check(f.in().lost() - dropped + f.in().repeated() <= dead, "to the guest " + f.in() + ", dropped " + dropped);
                check(f.out().reordered() == 0 && f.in().reordered() == 0, "reordered");
            }
            return new Row(what, owner.name().toLowerCase(java.util.Locale.ROOT), gap, f, dropped, second,
                    source().isAlive() ? source().outcome() : "dead", problems);
        }

        private void check(boolean good, String problem) {
            if (!good) {
                problems.add(problem);
            }
        }

        private void fault() throws BenchException {
            Member victim = c.victim == Owner.SOURCE ? source() : target();
            FaultPoint first = c.firstPoint == null ? null
                    : new FaultPoint(stage, target().pid(), target().socket(), TAP, c.firstPoint, "stop:3000");
            try (first; FaultPoint p = new FaultPoint(stage, victim.pid(), target().socket(), TAP, c.what.point(), c.what.action())) {
                traffic.forgetGaps();
                source().daemon().execute("migrate", Map.of("uri", target().uri()));
                if (!p.awaitHit(FaultMatrix.HIT_LIMIT)) {
                    problems.add("the handover did not come to this point");
                    return;
                }
                if (!p.awaitDone(FaultMatrix.LIMIT) && victim.isAlive()) {
                    problems.add("faultpoint: " + p.said());
                }
                if (first != null) {
                    first.awaitDone(FaultMatrix.LIMIT);
                }
            }
        }

        private Member awaitOwner() throws BenchException {
            long begin = System.nanoTime();
            while (true) {
                Member has = only();
                if (has != null && traffic.flows(Duration.ofMillis(500)) && only() == has) {
                    return has;
                }
                long millis = (System.nanoTime() - begin) / 1_000_000;
                if (has == null && c.what.owners().contains(Owner.NOBODY) && millis > 3_000) {
                    return null;
                }
                if (millis > FaultMatrix.LIMIT.toMillis()) {
                    throw new BenchException("nobody serves the guest; alive are " + all.stream().map(Member::isAlive).toList());
                }
                Daemon.pause(5);
            }
        }

        private Member only() {
            List<Member> reading = all.stream().filter(Member::reads).toList();
            if (reading.size() > 1 && reading.stream().allMatch(Member::reads) && !problems.contains("two read the TAP")) {
                problems.add("two read the TAP");
            }
            return reading.size() == 1 ? reading.getFirst() : null;
        }

        /** To a fresh process: those that are left may be of another kind. */
        private String second(Member has) {
            try {
                Member fresh = start("--incoming", "unix:{in}");
                all.add(fresh);
                has.daemon().migrate(fresh.uri(), Duration.ofSeconds(60));
                check(traffic.flows(FaultMatrix.LIMIT), "no traffic after the next handover");
                return "ok";
            } catch (BenchException e) {
                problems.add("the next handover: " + e.getMessage());
                return "failed";
            }
        }
    }
}
