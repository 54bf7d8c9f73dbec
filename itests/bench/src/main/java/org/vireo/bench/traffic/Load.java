// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.traffic;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Json;
import org.vireo.bench.host.Namespace;
import org.vireo.bench.host.Program;
import org.vireo.bench.host.Stage;
import org.vireo.bench.host.Tools;

/** Numbered traffic both ways between two ends, each a {@link LoadEnd} in a namespace of its own. One thread. */
public final class Load {
    private static final Duration LIMIT = Duration.ofSeconds(40);
    private static final int PORT = 9_000;
    private static final double WARM_UP_SECONDS = 2;

    private final Stage stage;
    private final Program host;
    private final Program guest;

    /**
     * What came of it, of both directions together.
     *
     * @param sent frames
     * @param lost frames that have not come
     * @param duplicated frames that came again
     * @param reordered frames that came late
     * @param droppedBySocket frames of the lost ones that the receiving socket itself counted as thrown away
     * @param outRate frames a second from the guest
     * @param inRate frames a second to the guest
     * @param longestGapMicros longest silence at a receiver
     */
    public record Counts(long sent, long lost, long duplicated, long reordered, long droppedBySocket, long outRate, long inRate,
            long longestGapMicros) {
        /** Whether nothing was lost, repeated or reordered. */
        public boolean clean() {
            return sent > 0 && lost == 0 && duplicated == 0 && reordered == 0;
        }
    }

    /**
     * Starts both ends.
     *
     * @param stage what they belong to
     * @param host namespace and address of the host's end
     * @param guest namespace and address of the guest's end
     * @param rate frames a second and direction
     * @throws BenchException the ends do not find each other
     */
    public Load(Stage stage, Map.Entry<Namespace, String> host, Map.Entry<Namespace, String> guest, int rate) throws BenchException {
        this.stage = stage;
        this.host = end("the host's load", host, guest, rate);
        this.guest = end("the guest's load", guest, host, rate);
        this.host.await("counting", LIMIT);
        this.guest.await("counting", LIMIT);
    }

    private static Program end(String name, Map.Entry<Namespace, String> at, Map.Entry<Namespace, String> to, int rate)
            throws BenchException {
        return at.getKey().start(name, Tools.java(LoadEnd.class.getName(), at.getValue(), to.getValue(), String.valueOf(PORT),
                String.valueOf(rate), String.valueOf(WARM_UP_SECONDS)), Map.of());
    }

    /** Whether both ends still send; the message says which does not. */
    public void requireAlive() throws BenchException {
        for (Program p : List.of(host, guest)) {
            if (!p.isAlive()) {
                throw new BenchException("numbered traffic ended early: " + p.said());
            }
        }
    }

    /** Stops sending, waits for what is under way, and counts. */
    public Counts stop() throws BenchException {
        host.endInput();
        guest.endInput();
        Map<String, Object> h = result(host);
        Map<String, Object> g = result(guest);
        stage.end(host);
        stage.end(guest);
        Map<?, ?> in = Json.member(g, "receive");
        Map<?, ?> out = Json.member(h, "receive");
        return new Counts(both(in, out, "sent"), both(in, out, "lost"), both(in, out, "duplicated"), both(in, out, "reordered"),
                both(in, out, "droppedBySocket"), Json.number(Json.member(g, "send"), "rate"), Json.number(Json.member(h, "send"), "rate"),
                Math.max(Json.number(in, "longestGapMicros"), Json.number(out, "longestGapMicros")));
    }

    private static long both(Map<?, ?> a, Map<?, ?> b, String name) {
        return Json.number(a, name) + Json.number(b, name);
    }

    private static Map<String, Object> result(Program p) throws BenchException {
        List<String> lines = p.result(LIMIT);
        if (lines.size() != 1) {
            throw new BenchException("numbered traffic: no result: " + p.said());
        }
        Map<String, Object> m = Json.object(lines.getFirst());
        if (!Boolean.TRUE.equals(Json.member(m, "receive").get("ended"))) {
            throw new BenchException("numbered traffic: the end of it did not arrive: " + lines.getFirst());
        }
        return m;
    }
}
