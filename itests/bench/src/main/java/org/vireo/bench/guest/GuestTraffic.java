// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.guest;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Json;
import org.vireo.bench.host.Namespace;
import org.vireo.bench.host.Ping;
import org.vireo.bench.host.Program;
import org.vireo.bench.host.Stage;
import org.vireo.bench.host.Tools;
import org.vireo.bench.traffic.ChecksummedTcp;

/** What has to work between a host and a guest: pings, and TCP both ways with checksums. One thread. */
public final class GuestTraffic {
    /** How much TCP moves each way. */
    public static final int MEGABYTES = 2;
    private static final Duration ANSWER_LIMIT = Duration.ofSeconds(30);
    private static final Duration TCP_LIMIT = Duration.ofSeconds(120);
    private static final int PINGS = 10;
    private static final int MOST_PINGS = 1_000_000;
    private static final int IN_FLIGHT = 10;

    private final Stage stage;
    private final Namespace host;
    private final Counts counts;

    /** What is counted on the way, by name; for messages. */
    public interface Counts {
        /** The counts so far. */
        Map<String, Long> now() throws BenchException;
    }

    /**
     * Traffic with {@link Vm#GUEST}, who serves {@link ChecksummedTcp}.
     *
     * @param stage what its programs belong to
     * @param host where it begins
     */
    public GuestTraffic(Stage stage, Namespace host) {
        this(stage, host, Map::of);
    }

    /** As above; where something is lost it is told what was counted meanwhile. */
    public GuestTraffic(Stage stage, Namespace host, Counts counts) {
        this.stage = stage;
        this.host = host;
        this.counts = counts;
    }

    /**
     * Waits until the guest answers; then each ping is answered, and TCP moves bytes that are right.
     *
     * @param when for the message
     */
    public void check(String when) throws BenchException {
        awaitAnswer(when);
        Map<String, Long> before = counts.now();
        int answered = Ping.from(host, Vm.GUEST, PINGS);
        if (answered != PINGS) {
            Map<String, Long> since = new TreeMap<>(counts.now());
            before.forEach((name, n) -> since.merge(name, -n, Long::sum));
            since.values().removeIf(n -> n == 0);
            throw new BenchException(when + ": " + (PINGS - answered) + " of " + PINGS + " pings are not answered; counted since then: "
                    + since);
        }
        try {
            tcp();
        } catch (BenchException e) {
            throw new BenchException(when + ": " + e.getMessage(), e);
        }
    }

    /** Waits for the first answer. */
    public void awaitAnswer(String when) throws BenchException {
        long end = System.nanoTime() + ANSWER_LIMIT.toNanos();
        while (!answers()) {
            if (System.nanoTime() - end > 0) {
                throw new BenchException(when + ": the guest does not answer within " + ANSWER_LIMIT.toSeconds() + " s");
            }
            // it may know an address that is no longer true
            host.run("ip", "neigh", "flush", "all");
        }
    }

    private boolean answers() throws BenchException {
        Program p = host.start("ping", List.of("ping", "-n", "-c", "1", "-W", "1", Vm.GUEST));
        try {
            return p.awaitEnd(ANSWER_LIMIT) == 0;
        } finally {
            stage.end(p);
        }
    }

    /** TCP both ways. */
    public void tcp() throws BenchException {
        Program p = client();
        try {
            p.result(TCP_LIMIT);
        } finally {
            stage.end(p);
        }
    }

    /** As many short TCP connections, one after the other: each is a flow of its own. */
    public void flows(int count) throws BenchException {
        Program p = host.start("the TCP client", Tools.java(ChecksummedTcp.class.getName(), Vm.GUEST, "connections",
                String.valueOf(count)));
        try {
            p.result(TCP_LIMIT);
        } finally {
            stage.end(p);
        }
    }

    private Program client(String... more) throws BenchException {
        List<String> c = Tools.java(ChecksummedTcp.class.getName(), Vm.GUEST, String.valueOf(MEGABYTES));
        c.addAll(List.of(more));
        return host.start("the TCP client", c);
    }

    /** Pings 200 times a second, for as long as it is let; returns when some were answered. */
    public Program pings() throws BenchException {
        Program p = host.start("ping", List.of("ping", "-n", "-i", "0.005", "-c", String.valueOf(MOST_PINGS), Vm.GUEST));
        p.await("icmp_seq=10 ", ANSWER_LIMIT);
        return p;
    }

    /** Pings 200 times a second and moves bytes with TCP again and again, until {@link Running#end}. */
    public Running start() throws BenchException {
        return new Running(pings(), client("again"));
    }

    /** Traffic that runs beside something. */
    public final class Running {
        private final Program pings;
        private final Program tcp;

        private Running(Program pings, Program tcp) {
            this.pings = pings;
            this.tcp = tcp;
        }

        /** Ends it: no byte was wrong, and each ping but the last moment's has its answer. Returns how much it was. */
        public String end() throws BenchException {
            return end(0);
        }

        /**
         * As above, where pings may be lost.
         *
         * @param permitted so many
         */
        public String end(int permitted) throws BenchException {
            tcp.say("end");
            Map<String, Object> moved = Json.object(tcp.result(TCP_LIMIT).getFirst());
            stage.end(tcp);
            // which makes it print its summary
            stage.run(List.of("kill", "-INT", String.valueOf(pings.pid())));
            pings.awaitEnd(ANSWER_LIMIT);
            stage.end(pings);
            Ping.Count c = Ping.count(pings);
            // those of the last moment are on their way
            int lost = c.sent() - c.answered();
            if (lost > permitted + IN_FLIGHT) {
                throw new BenchException(lost + " of " + c.sent() + " pings are not answered");
            }
            return c.sent() + " pings" + (lost > IN_FLIGHT ? ", of which " + lost + " were lost," : "") + " and "
                    + (long) MEGABYTES * Json.number(moved, "rounds") + " MB each way meanwhile";
        }
    }
}
