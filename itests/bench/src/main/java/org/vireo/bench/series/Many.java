// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.series;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.vireo.bench.figures.Freezes;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Daemon;
import org.vireo.bench.host.DaemonPair;
import org.vireo.bench.host.Json;
import org.vireo.bench.host.Namespace;
import org.vireo.bench.host.Progress;
import org.vireo.bench.host.Stage;
import org.vireo.bench.traffic.NumberedTraffic;
import org.vireo.bench.traffic.TapNetwork;
import org.vireo.guest.FrontEnd;
import org.vireo.guest.GuestNic;
import org.vireo.posix.Descriptors;

/**
 * What handovers of many NICs, and of one with many queue pairs, cost each of them. Each NIC has a guest that has started its rings;
 * the first one has numbered frames both ways. In a network namespace of its own. One thread.
 */
public final class Many {
    private static final int NICS = 50;
    private static final int PAIRS = 8;
    private static final int WARM_UP = 2;
    private static final Duration LIMIT = Duration.ofMinutes(3);

    private final Stage stage;
    private final Namespace here;
    private final int nics;
    private final int pairs;
    private final boolean packed;

    private Many(Stage stage, Namespace here, int nics, int pairs, boolean packed) {
        this.stage = stage;
        this.here = here;
        this.nics = nics;
        this.pairs = pairs;
        this.packed = packed;
    }

    /** Hands many NICs to and fro, then one of many pairs; {@code count} times each, and tells what that cost. */
    public static Map<String, Object> run(Stage stage, int count, boolean packed) throws BenchException {
        Namespace here = TapNetwork.make(stage);
        Map<String, Object> m = new LinkedHashMap<>();
        m.put("handovers", count);
        m.put(NICS + " NICs", new Many(stage, here, NICS, 1, packed).toAndFro(count));
        here.run("ip", "link", "del", DaemonPair.TAP);
        TapNetwork.tap(here, "multi_queue");
        m.put(PAIRS + " pairs", new Many(stage, here, 1, PAIRS, packed).toAndFro(count));
        return m;
    }

    private Path socket(int nic) {
        return stage.folder().resolve("many-" + nics + "-nic" + nic);
    }

    private String uri(int daemon) {
        return "unix:" + stage.folder().resolve("many-" + nics + "-in" + daemon);
    }

    private Daemon daemon(int n) throws BenchException {
        List<String> options = new ArrayList<>();
        for (int i = 0; i < nics; i++) {
            options.addAll(List.of("--netdev", "tap,id=net" + i + ",ifname=tap" + i + ",queues=" + pairs, "--nic",
                    "id=nic" + i + ",netdev=net" + i + ",queues=" + pairs + ",socket=" + socket(i)));
        }
        if (n > 0) {
            options.addAll(List.of("--incoming", uri(n)));
        }
        Daemon d = new Daemon(stage, here, "many-" + nics + "-daemon" + n, options, false);
        if (n == 0) {
            d.execute("migrate-incoming", Map.of("uri", uri(0)));
        }
        return d;
    }

    private Map<String, Object> toAndFro(int count) throws BenchException {
        Daemon owner = daemon(0);
        Daemon other = daemon(1);
        List<GuestNic> idle = new ArrayList<>();
        try (NumberedTraffic traffic = new NumberedTraffic(socket(0), pairs, packed)) {
            for (int i = 1; i < nics; i++) {
                idle.add(GuestNic.options().packed(packed)
                        .start(new Descriptors(), FrontEnd.connect(new Descriptors(), socket(i), LIMIT)));
            }
            traffic.resume();
            List<Long> freezes = new ArrayList<>();
            List<Long> totals = new ArrayList<>();
            double gap = 0;
            NumberedTraffic.Both before = null;
            for (int i = -WARM_UP; i < count; i++) {
                if (i == 0) {
                    before = traffic.pause();
                    traffic.resume();
                    freezes.clear();
                    totals.clear();
                    gap = 0;
                }
                traffic.forgetGaps();
                long began = System.nanoTime();
                for (Map<?, ?> nic : owner.migrateAll(uri((i + WARM_UP) % 2 == 0 ? 1 : 0), LIMIT)) {
                    freezes.add(Json.number(nic, "freeze-micros"));
                }
                totals.add((System.nanoTime() - began) / 1_000);
                gap = Math.max(gap, traffic.longestGapMillis());
                Daemon o = owner;
                owner = other;
                other = o;
                Progress.say(nics + " x " + pairs + ": handover " + (i + 1) + " of " + count + " in " + totals.getLast() / 1_000 + " ms");
            }
            NumberedTraffic.Both frames = traffic.pause().less(before);
            Map<String, Object> m = new LinkedHashMap<>();
            new Freezes(freezes).addTo(m);
            m.put("handoverMillisMedian", new Freezes(totals).median() / 1_000);
            m.put("longestGapMillis", Math.round(gap * 10) / 10.0);
            m.put("lost", frames.lost());
            m.put("duplicated", frames.repeated());
            m.put("reordered", frames.reordered());
            return m;
        } catch (IOException e) {
            throw new BenchException("a guest does not start: " + e.getMessage(), e);
        } finally {
            idle.forEach(GuestNic::close);
            owner.quit(LIMIT);
            other.quit(LIMIT);
        }
    }
}
