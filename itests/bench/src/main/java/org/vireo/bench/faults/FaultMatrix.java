// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.faults;

import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.FutureTask;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Daemon;
import org.vireo.bench.host.DaemonPair;
import org.vireo.bench.host.DaemonPair.Member;
import org.vireo.bench.host.Namespace;
import org.vireo.bench.host.ProcessView;
import org.vireo.bench.host.Stage;
import org.vireo.bench.traffic.NumberedTraffic;
import org.vireo.bench.traffic.TapNetwork;

/**
 * The failure matrix: at each point of a handover, on either side, something goes wrong, and afterwards exactly one process has the NIC,
 * the guest's traffic flows, the next handover works, and nothing was leaked, lost or repeated beyond what is permitted. In a network
 * namespace of its own. One thread.
 */
public final class FaultMatrix implements AutoCloseable {
    static final String TAP = DaemonPair.TAP;
    /** For a machine with few processors that others use too. */
    private static final int MARGIN_MILLIS = 1_500;
    static final Duration HIT_LIMIT = Duration.ofSeconds(40);
    /** The longest deadline of a handover, PREPARE's, and a margin. */
    private static final Duration END_LIMIT = Duration.ofSeconds(35);
    static final Duration LIMIT = Duration.ofSeconds(20);
    private static final int TRIES = 3;
    private static final int NOBODY_MILLIS = 1_500;

    private final Stage stage;
    private final boolean packed;
    private final Namespace here;
    private final DaemonPair daemons;
    private NumberedTraffic traffic;
    private Map<String, Integer> ownersDescriptors;
    private Map<String, Integer> othersDescriptors;
    private Map<String, Integer> ownersThreads;
    private Map<String, Integer> othersThreads;

    /**
     * What became of one case.
     *
     * @param what the case
     * @param owner who had the NIC afterwards
     * @param gapMillis the longest time without a frame
     * @param frames lost and repeated, both ways; null if the guest had to begin anew
     * @param dropped by the TAP's queue
     * @param second the next handover: ok, or what became of it
     * @param outcome what the daemon that began said of it
     * @param problems what should not be
     */
    record Row(FaultCase what, String owner, double gapMillis, NumberedTraffic.Both frames, long dropped, String second, String outcome,
            List<String> problems) {
        static final String HEAD = """
                | step | side | fault | owner | gap ms | lost/repeated | next handover | problems |
                |---|---|---|---|---|---|---|---|""";

        private static final String GAP = "gap of ";

        /** Whether the guest was served again in the time that the protocol's deadlines leave. */
        static void checkGap(FaultCase what, double millis, List<String> problems) {
            if (millis > what.darkMillis() + MARGIN_MILLIS) {
                problems.add(GAP + Math.round(millis) + " ms, at most " + what.darkMillis() + " and a margin are permitted");
            }
        }

        /** Whether nothing was wrong but the time that it took. */
        boolean isOnlyTooDark() {
            return problems.size() == 1 && problems.getFirst().startsWith(GAP);
        }

        long lost() {
            return frames == null ? 0 : frames.lost() - dropped;
        }

        long repeated() {
            return frames == null ? 0 : frames.repeated();
        }

        Map<String, Object> toMap() {
            Map<String, Object> m = new LinkedHashMap<>();
            m.put("step", what.step());
            m.put("side", what.side().name().toLowerCase(Locale.ROOT));
            m.put("fault", what.fault());
            m.put("owner", owner);
            m.put("gapMillis", Math.round(gapMillis));
            m.put("lost", frames == null ? -1 : lost());
            m.put("repeated", frames == null ? -1 : repeated());
            m.put("dropped", dropped);
            m.put("second", second);
            m.put("outcome", outcome);
            m.put("problems", problems);
            return m;
        }

        String line() {
            return String.format(Locale.ROOT, "| %s | %s | %s | %s | %d | %s | %s | %s |", what.step(),
                    what.side().name().toLowerCase(Locale.ROOT), what.fault(), owner, Math.round(gapMillis),
                    frames == null ? "anew" : lost() + "/" + repeated(), second, problems.isEmpty() ? "" : String.join("; ", problems));
        }
    }

    /**
     * Makes the TAP, the daemons and the guest, and sees what an orderly handover leaves.
     *
     * @param stage what they belong to
     * @param packed whether the guest has packed rings
     */
    FaultMatrix(Stage stage, boolean packed) throws BenchException {
        this.stage = stage;
        this.packed = packed;
        FaultPoint.build(stage);
        here = TapNetwork.make(stage);
        daemons = new DaemonPair(stage, here);
        renew();
    }

    /** Everything anew, after a case that left something broken. */
    private void renew() throws BenchException {
        if (traffic != null) {
            traffic.close();
            traffic = null;
        }
        daemons.end();
        daemons.complete();
        traffic = new NumberedTraffic(daemons.nicSocket(), 1, packed);
        traffic.resume();
        for (int i = 0; i < 2; i++) {
            daemons.handOver();
        }
        traffic.pause();
        ProcessView.awaitRest(daemons.owner().pid());
        ProcessView.awaitRest(daemons.other().pid());
        ownersDescriptors = ProcessView.descriptors(daemons.owner().pid());
        othersDescriptors = ProcessView.descriptors(daemons.other().pid());
        ownersThreads = ProcessView.threads(daemons.owner().pid());
        othersThreads = ProcessView.threads(daemons.other().pid());
    }

    /** Does one case. */
    Row run(FaultCase c) throws BenchException {
        List<String> problems = new ArrayList<>();
        try {
            return new Run(c, problems).all();
        } catch (BenchException e) {
            problems.add(e.getMessage());
            renew();
            return new Row(c, "?", 0, null, 0, "-", "-", problems);
        }
    }

    /** What the system calls of the owner and the other are, in an orderly handover: for who writes new points. */
    String events(boolean source) throws BenchException {
        Member from = daemons.owner();
        Member to = daemons.other();
        traffic.resume();
        try (FaultPoint p = new FaultPoint(stage, (source ? from : to).pid(), to.socket(), TAP, "after:nothing", "list")) {
            daemons.handOver();
            Daemon.pause(500);
            return p.said();
        } finally {
            traffic.pause();
        }
    }

    /** One case on its way. */
    private final class Run {
        private final FaultCase c;
        private final List<String> problems;
        private final Member source = daemons.owner();
        private final Member target = daemons.other();
        private final Member victim;
        private NumberedTraffic.Both before;
        private long droppedBefore;
        private boolean anew;
        private String second = "-";
        private String outcome = "-";

        Run(FaultCase c, List<String> problems) {
            this.c = c;
            this.problems = problems;
            victim = c.side() == FaultCase.Side.SOURCE ? source : target;
        }

        Row all() throws BenchException {
            before = traffic.pause();
            droppedBefore = dropped();
            traffic.resume();
            fault();
            Member has = awaitOwner();
            double gap = traffic.longestGapMillis();
            String owner = has == null ? "nobody" : has == source ? "source" : "target";
            check(c.owners().contains(FaultCase.Owner.valueOf(owner.toUpperCase(Locale.ROOT))), "owner is " + owner);
            if (has != null && !anew) {
                Row.checkGap(c, gap, problems);
            }
            liftLimit();
            boolean killed = !source.isAlive() || !target.isAlive();
            check(!killed || c.mayKill(), (source.isAlive() ? "the target" : "the source") + " died");
            daemons.settle(has);
            if (has == null) {
                // the VMM sees the end, and connects to whoever is started next
                traffic.hangUp();
                anew = true;
                daemons.complete();
                traffic.connectAnew();
                traffic.resume();
            } else {
                states(has);
                daemons.complete();
            }
            second();
            NumberedTraffic.Both after = traffic.pause();
            NumberedTraffic.Both frames = anew ? null : after.less(before);
            long dropped = dropped() - droppedBefore;
            Row row = new Row(c, owner, gap, frames, dropped, second, outcome, problems);
            if (frames != null) {
                frames(frames, dropped, killed);
            }
            leaks();
            return row;
        }

        private void check(boolean good, String problem) {
            if (!good) {
                problems.add(problem);
            }
        }

        private void fault() throws BenchException {
            try (FaultPoint p = new FaultPoint(stage, victim.pid(), target.socket(), TAP, c.point(), c.action())) {
                traffic.forgetGaps();
                if (!comesTo(p)) {
                    problems.add("the handover did not come to this point: " + outcomeOf(source));
                    return;
                }
                vmm(p);
                if (!p.awaitDone(LIMIT) && victim.isAlive()) {
                    problems.add("faultpoint: " + p.said());
                }
                if (c.action().equals("kill")) {
                    check(diesSoon(victim), "it is killed and lives on");
                }
            }
        }

        /** A handover that ends before, as on a busy machine one may whose worker does not stop in time, is begun again. */
        private boolean comesTo(FaultPoint p) throws BenchException {
            for (int tries = 0; tries < TRIES; tries++) {
                source.daemon().execute("migrate", Map.of("uri", target.uri()));
                long end = System.nanoTime() + HIT_LIMIT.toNanos();
                while (!p.awaitHit(Duration.ofMillis(300))) {
                    if (System.nanoTime() - end > 0) {
                        return false;
                    }
                    if (isEnded(source) && !p.awaitHit(Duration.ofSeconds(1))) {
                        if (source.migration().equals("completed")) {
                            return false;
                        }
                        break;
                    }
                }
                if (p.awaitHit(Duration.ZERO)) {
                    return true;
                }
            }
            return false;
        }

        private boolean isEnded(Member m) {
            try {
                String status = m.migration();
                return !status.equals("setup") && !status.equals("active");
            } catch (BenchException e) {
                // it is being killed: that is the point
                return false;
            }
        }

        private void vmm(FaultPoint p) throws BenchException {
            switch (c.vmm()) {
                case ASKS -> {
                    FutureTask<Long> question = new FutureTask<>(() -> traffic.guest().frontEnd().queueNumber());
                    Thread.ofPlatform().daemon().name("vmm").start(question);
                    // it is in the socket before the process goes on
                    Daemon.pause(20);
                    p.release();
                    try {
                        question.get(LIMIT.toMillis(), java.util.concurrent.TimeUnit.MILLISECONDS);
                    } catch (InterruptedException e) {
                        Thread.currentThread().interrupt();
                        throw new BenchException("interrupted", e);
                    } catch (java.util.concurrent.ExecutionException | java.util.concurrent.TimeoutException e) {
                        problems.add("the VMM has no answer: " + e);
                    }
                }
                case HANGS_UP -> {
                    traffic.hangUp();
                    anew = true;
                    p.release();
                }
                default -> {
                    // nobody waits for it
                }
            }
        }

        /** Waits until one process has it and the guest is served, or nobody will. */
        private Member awaitOwner() throws BenchException {
            awaitEnd(source);
            awaitEnd(target);
            outcome = outcomeOf(source);
            if (anew) {
                traffic.connectAnew();
                traffic.resume();
            }
            long begin = System.nanoTime();
            while (true) {
                Member has = only();
                if (has != null && traffic.flows(Duration.ofMillis(500)) && only() == has) {
                    return has;
                }
                long millis = (System.nanoTime() - begin) / 1_000_000;
                if (has == null && c.owners().contains(FaultCase.Owner.NOBODY) && millis > NOBODY_MILLIS && !victim.isAlive()) {
                    check(traffic.isConnectionEnded(), "nobody has the NIC, and the VMM's connection stays open");
                    return null;
                }
                if (millis > LIMIT.toMillis()) {
                    throw new BenchException("nobody serves the guest: the source " + describe(source) + ", the target "
                            + describe(target));
                }
                Daemon.pause(5);
            }
        }

        private void awaitEnd(Member m) throws BenchException {
            long end = System.nanoTime() + END_LIMIT.toNanos();
            while (m.isAlive()) {
                String status;
                try {
                    status = m.migration();
                } catch (BenchException e) {
                    if (diesSoon(m)) {
                        return;
                    }
                    throw e;
                }
                if (!status.equals("setup") && !status.equals("active")) {
                    return;
                }
                if (System.nanoTime() - end > 0) {
                    throw new BenchException("the handover of " + m.daemon().name() + " does not end: " + status);
                }
                Daemon.pause(5);
            }
        }

        /** One that is being killed is alive for a moment more. */
        private boolean diesSoon(Member m) throws BenchException {
            for (int i = 0; i < 250 && m.isAlive(); i++) {
                Daemon.pause(20);
            }
            return !m.isAlive();
        }

        /** The only process that reads the TAP. */
        private Member only() {
            boolean s = source.reads();
            boolean t = target.reads();
            if (s && t && source.reads()) {
                check(problems.contains("both read the TAP"), "both read the TAP");
            }
            return s == t ? null : s ? source : target;
        }

        private void states(Member has) throws BenchException {
            for (Member m : new Member[] {source, target}) {
                if (m.isAlive()) {
                    String state = m.state();
                    check(state.equals("running") == (m == has), (m == source ? "the source" : "the target") + " says that its NIC is "
                            + state);
                }
            }
        }

        private void second() {
            try {
                daemons.handOver();
                check(traffic.flows(LIMIT), "no traffic after the next handover");
                second = "ok";
            } catch (BenchException e) {
                second = "failed";
                problems.add("the next handover: " + e.getMessage());
            }
        }

        private void frames(NumberedTraffic.Both f, long dropped, boolean killed) {
            int most = killed ? 1 : 0;
            check(f.out().lost() + f.out().repeated() <= most, "from the guest " + f.out());
            check(f.in().lost() - dropped + f.in().repeated() <= most, "to the guest " + f.in() + ", dropped " + dropped);
            check(f.out().reordered() == 0 && f.in().reordered() == 0, "reordered");
        }

        private void leaks() throws BenchException {
            String d = "";
            for (int i = 0; i < 100; i++) {
                d = leak("owner", daemons.owner(), ownersDescriptors, ownersThreads)
                        + leak("other", daemons.other(), othersDescriptors, othersThreads);
                if (d.isEmpty()) {
                    return;
                }
                Daemon.pause(50);
            }
            problems.add("not as before: " + d.strip());
        }

        private String leak(String name, Member m, Map<String, Integer> descriptors, Map<String, Integer> threads) throws BenchException {
            String d = ProcessView.difference(descriptors, ProcessView.descriptors(m.pid()));
            // those of a pool that nobody needs any more end by and by
            Map<String, Integer> now = ProcessView.threads(m.pid());
            threads.forEach((k, v) -> now.merge(k, v, Math::max));
            String t = ProcessView.difference(threads, now);
            return d.isEmpty() && t.isEmpty() ? "" : " " + name + ": " + d + (d.isEmpty() || t.isEmpty() ? "" : ", ") + t;
        }

        private void liftLimit() throws BenchException {
            if (c.action().startsWith("nofile") && victim.isAlive()) {
                stage.run(List.of("prlimit", "--pid", String.valueOf(victim.pid()), "--nofile=1024:"));
            }
        }
    }

    private static String outcomeOf(Member m) throws BenchException {
        return m.isAlive() ? m.outcome() : "dead";
    }

    private static String describe(Member m) throws BenchException {
        return m.isAlive() ? "reads: " + m.reads() + ", NIC: " + m.state() + ", handover: " + m.outcome() : "is dead";
    }

    private long dropped() throws BenchException {
        return here.counter(TAP, Namespace.TX_DROP);
    }

    /** Ends the daemons and the guest, so that others may have the TAP. */
    FaultTrio trio() {
        close();
        return new FaultTrio(stage, here, stage.folder().resolve("trio.sock"), packed);
    }

    @Override
    public void close() {
        if (traffic != null) {
            traffic.close();
            traffic = null;
        }
        daemons.end();
    }
}
