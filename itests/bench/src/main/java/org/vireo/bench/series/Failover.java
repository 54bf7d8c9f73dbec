// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.series;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.vireo.bench.figures.Freezes;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Daemon;
import org.vireo.bench.host.Json;
import org.vireo.bench.host.Namespace;
import org.vireo.bench.host.Progress;
import org.vireo.bench.host.Stage;
import org.vireo.guest.FrontEnd;
import org.vireo.guest.GuestNic;
import org.vireo.posix.Descriptors;

/**
 * The active process is killed (SIGKILL) again and again, under traffic; a standby goes on with the guest, whose connection stays open. The
 * guest is in this process, and has touched as much memory as is asked for. One thread, beside the guest's own.
 */
public final class Failover implements AutoCloseable {
    private static final Duration LIMIT = Duration.ofSeconds(60);
    private static final String TAP = "tap0";
    private static final int RX_PACKETS = 1;
    /** One page of each of so many buffers: 128 MiB a pair. */
    private static final int RING = 32768;
    private static final int PAGES_A_MEGABYTE = 256;
    private static final int SETTLE_MILLIS = 500;

    private final Stage stage;
    private final Namespace host;
    private final Path socket;
    private final String pairing;
    private final String name;
    private final int pairs;
    private final int ring;
    private int started;
    private Daemon active;
    private Daemon standby;
    private GuestNic guest;
    private FailoverTraffic traffic;

    /**
     * A guest behind an active process that has a standby.
     *
     * @param stage what it belongs to
     * @param name of this one among several
     * @param megabytes memory that the guest has touched, and the active process too
     * @param packed whether it has packed rings
     */
    Failover(Stage stage, String name, int megabytes, boolean packed) throws BenchException {
        this.stage = stage;
        this.name = name;
        pairs = Math.max(1, (megabytes * PAGES_A_MEGABYTE + RING - 1) / RING);
        ring = Math.max(256, Integer.highestOneBit(megabytes * PAGES_A_MEGABYTE / pairs));
        host = new Namespace(stage, "host");
        List<String> tap = new ArrayList<>(List.of("ip", "tuntap", "add", "dev", TAP, "mode", "tap", "vnet_hdr"));
        if (pairs > 1) {
            tap.add("multi_queue");
        }
        host.run(tap.toArray(String[]::new));
        host.run("ip", "link", "set", TAP, "up");
        socket = stage.folder().resolve(name + ".sock");
        pairing = "unix:" + stage.folder().resolve(name + ".pair");
        active = daemon();
        standby = daemon();
        try {
            guest = GuestNic.options().packed(packed).pairs(pairs).ringSize(ring).receiveBytes(2048).transmitBytes(4096)
                    .indirect(false).start(new Descriptors(), FrontEnd.connect(new Descriptors(), socket, Duration.ofSeconds(10)));
        } catch (IOException e) {
            throw new BenchException("the guest does not start: " + e.getMessage(), e);
        }
        traffic = new FailoverTraffic(guest);
        traffic.touchAll();
    }

    private Daemon daemon() throws BenchException {
        String queues = pairs > 1 ? ",queues=" + pairs : "";
        return new Daemon(stage, host, name + "-" + ++started, List.of("--standby", pairing, "--netdev",
                "tap,id=net0,ifname=" + TAP + queues, "--nic", "id=nic0,netdev=net0,socket=" + socket + queues), false);
    }

    /** What became of one kill. */
    record Outcome(double gapMillis, long surplus) { }

    /**
     * Kills the active process, sees that the guest goes on, and starts another standby.
     *
     * @return how long no frame of the guest went out, and by how many frames the TAP has more than were sent
     */
    Outcome kill() throws BenchException {
        standby.awaitIdle();
        traffic.start();
        Daemon.pause(SETTLE_MILLIS);
        traffic.forgetGaps();
        stage.run(List.of("kill", "-KILL", String.valueOf(active.program().pid())));
        Daemon.pause(SETTLE_MILLIS);
        double gap = traffic.longestGapMillis();
        traffic.stop();
        if (!active.program().isAlive()) {
            stage.end(active.program());
        }
        active = standby;
        Map<?, ?> nic = (Map<?, ?>) ((List<?>) active.execute("query-nics", Map.of())).getFirst();
        if (!"running".equals(nic.get("state"))) {
            throw new BenchException("the standby has not taken the NIC: " + Json.write(nic));
        }
        long surplus = host.counter(TAP, RX_PACKETS) - traffic.sent();
        standby = daemon();
        return new Outcome(gap, surplus);
    }

    int megabytes() {
        return pairs * ring / PAGES_A_MEGABYTE;
    }

    @Override
    public void close() {
        traffic.stop();
        guest.close();
    }

    /**
     * Kills a few times for each of several guests.
     *
     * @param stage what they belong to
     * @param count kills of each
     * @param packed whether they have packed rings
     * @param sizes megabytes touched
     * @return for each size gaps, and frames lost or repeated
     */
    public static Map<String, Object> run(Stage stage, int count, boolean packed, int... sizes) throws BenchException {
        Map<String, Object> m = new LinkedHashMap<>();
        m.put("goal", "gap <= 10 ms with 256 MiB; at most one frame a ring lost or repeated by a kill");
        for (int size : sizes) {
            List<Long> gaps = new ArrayList<>();
            List<Long> surplus = new ArrayList<>();
            try (Failover f = new Failover(stage, "guest" + size, size, packed)) {
                long before = 0;
                for (int i = 1; i <= count; i++) {
                    Outcome o = f.kill();
                    gaps.add((long) (o.gapMillis * 1000));
                    surplus.add(o.surplus - before);
                    if (Math.abs(o.surplus - before) > f.pairs) {
                        throw new BenchException("kill " + i + " with " + f.megabytes() + " MiB: " + (o.surplus - before)
                                + " frames more came out than were sent, at most " + f.pairs + " may be repeated or lost");
                    }
                    before = o.surplus;
                    Progress.say(String.format(Locale.ROOT, "%d MiB, kill %d of %d: gap %.1f ms, frames repeated less lost %d",
                            f.megabytes(), i, count, o.gapMillis, surplus.getLast()));
                }
                Freezes all = new Freezes(gaps);
                m.put(f.megabytes() + " MiB", Map.of("gapMicrosMedian", all.median(), "gapMicrosMax", all.max(), "repeatedLessLost",
                        surplus));
                f.active.quit();
            }
        }
        return m;
    }
}
