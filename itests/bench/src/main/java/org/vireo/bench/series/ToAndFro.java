// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.series;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.vireo.bench.figures.Freezes;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.DaemonPair;
import org.vireo.bench.host.Namespace;
import org.vireo.bench.host.Possessions;
import org.vireo.bench.host.Progress;
import org.vireo.bench.host.Stage;
import org.vireo.bench.traffic.NumberedTraffic;
import org.vireo.bench.traffic.TapNetwork;

/**
 * A NIC goes to and fro between two daemons under numbered frames: what a process has after many handovers it had after the first ten.
 * In a network namespace of its own. One thread.
 */
public final class ToAndFro {
    private static final int FIRST = 10;
    private static final int PROGRESS = 50;

    private ToAndFro() {
    }

    /** Hands the NIC over {@code count} times, and compares. */
    public static Map<String, Object> run(Stage stage, int count, boolean packed) throws BenchException {
        Namespace here = TapNetwork.make(stage);
        DaemonPair daemons = new DaemonPair(stage, here);
        daemons.complete();
        try (NumberedTraffic traffic = new NumberedTraffic(daemons.nicSocket(), 1, packed)) {
            traffic.resume();
            handOver(daemons, FIRST);
            Possessions one = Possessions.of(daemons.owner().pid());
            Possessions two = Possessions.of(daemons.other().pid());
            NumberedTraffic.Both before = traffic.pause();
            long dropped = here.counter(DaemonPair.TAP, Namespace.TX_DROP);
            traffic.resume();
            Freezes freezes = new Freezes(handOver(daemons, count));
            NumberedTraffic.Both frames = traffic.pause().less(before);
            if (count % 2 == 1) {
                // so that each has what it had when it was looked at
                handOver(daemons, 1);
            }
            Map<String, Object> m = new LinkedHashMap<>();
            m.put("count", count);
            freezes.addTo(m);
            m.put("lost", frames.lost());
            m.put("droppedByTheTap", here.counter(DaemonPair.TAP, Namespace.TX_DROP) - dropped);
            m.put("duplicated", frames.repeated());
            m.put("reordered", frames.reordered());
            m.put("owner", one.more(Possessions.of(daemons.owner().pid())));
            m.put("other", two.more(Possessions.of(daemons.other().pid())));
            return m;
        } finally {
            daemons.end();
        }
    }

    private static List<Long> handOver(DaemonPair daemons, int count) throws BenchException {
        List<Long> freezes = new ArrayList<>();
        for (int i = 1; i <= count; i++) {
            freezes.add(((Number) daemons.handOver().get("freeze-micros")).longValue());
            if (i % PROGRESS == 0) {
                Progress.say(i + " of " + count + " handovers, frozen for " + freezes.getLast() + " us");
            }
        }
        return freezes;
    }
}
