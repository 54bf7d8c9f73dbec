// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.measure;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.vireo.bench.figures.Ratios;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Daemon;
import org.vireo.bench.host.Namespace;
import org.vireo.bench.host.Program;
import org.vireo.bench.host.Progress;
import org.vireo.bench.host.Stage;
import org.vireo.guest.FrontEnd;
import org.vireo.guest.GuestNic;
import org.vireo.posix.Descriptors;

/**
 * What a swap of one NIC's backend costs the NIC beside it: that one sends as fast as it can, in seconds with a swap of the other one, and
 * in seconds without, in turn. One thread.
 */
public final class Neighbours {
    private static final Duration LIMIT = Duration.ofSeconds(60);
    private static final String BUSY = "tap0";
    private static final String SWAPPED = "tap1";
    private static final int WARM_UP_SWAPS = 3;
    private static final long WARM_UP_MILLIS = 10_000;
    /** A swap is prepared at the lowest priority, which beside a busy neighbour takes seconds. */
    private static final long WINDOW_MILLIS = 10_000;
    /** Each change of a value that can be changed while the port is open is a swap of that netdev alone. */
    private static final int SNDBUF = 1_000_000;

    private final Daemon daemon;
    private final Namespace here;
    private final GuestNic guest;
    private int made;

    private Neighbours(Daemon daemon, Namespace here, GuestNic guest) {
        this.daemon = daemon;
        this.here = here;
        this.guest = guest;
    }

    /** Measures, in so many pairs of seconds. */
    public static Map<String, Object> run(Stage stage, Harness h, int pairs) throws BenchException {
        Namespace here = new Namespace(stage, "host");
        List<String> options = new ArrayList<>();
        for (String tap : List.of(BUSY, SWAPPED)) {
            Singles.tap(here, tap);
            options.addAll(List.of("--netdev", "tap,id=net-" + tap + ",ifname=" + tap, "--nic",
                    "id=nic-" + tap + ",netdev=net-" + tap + ",socket=" + socket(stage, tap)));
        }
        Daemon daemon = new Daemon(stage, here, "daemon", options, false);
        Descriptors fds = new Descriptors();
        try (GuestNic guest = GuestNic.options().start(fds, FrontEnd.connect(fds, socket(stage, SWAPPED), LIMIT))) {
            Neighbours n = new Neighbours(daemon, here, guest);
            for (int i = 0; i < WARM_UP_SWAPS; i++) {
                // the first ones load classes, which is not what a swap costs
                n.swap();
            }
            double seconds = (WARM_UP_MILLIS + 2.0 * pairs * WINDOW_MILLIS) / 1_000 + 30;
            Program load = here.start("vuload", Singles.load(h, socket(stage, BUSY), seconds));
            Map<String, Object> result = n.compare(pairs);
            stage.end(load);
            return result;
        } catch (IOException e) {
            throw new BenchException("the guest does not start: " + e.getMessage(), e);
        } finally {
            daemon.quit(LIMIT);
        }
    }

    private static Path socket(Stage stage, String tap) {
        return stage.folder().resolve("neighbours-" + tap);
    }

    private Map<String, Object> compare(int pairs) throws BenchException {
        Daemon.pause(WARM_UP_MILLIS);
        List<Double> ratios = new ArrayList<>();
        for (int i = 0; i < pairs; i++) {
            boolean swapsFirst = i % 2 == 1;
            double first = window(swapsFirst);
            double second = window(!swapsFirst);
            ratios.add(swapsFirst ? first / second : second / first);
            Progress.say(String.format(Locale.ROOT, "pair %d of %d: %,.0f frames/s with a swap, %,.0f without", i + 1, pairs,
                    swapsFirst ? first : second, swapsFirst ? second : first));
        }
        Map<String, Object> m = new LinkedHashMap<>();
        m.put("pairs", pairs);
        m.put("secondsEach", WINDOW_MILLIS / 1_000);
        Ratios.add(ratios, ">= 0.99", m);
        return m;
    }

    private void swap() throws BenchException {
        daemon.execute("netdev-change", Map.of("id", "net-" + SWAPPED, "sndbuf", SNDBUF + ++made));
        // the trial of the new one ends with its first frame
        if (!guest.transmit(0).send(new byte[60], System.nanoTime() + LIMIT.toNanos())) {
            throw new BenchException("the NIC that was swapped takes no frame");
        }
    }

    /** Frames a second of the busy one. */
    private double window(boolean swaps) throws BenchException {
        long from = here.counter(BUSY, Singles.RX_PACKETS);
        long begin = System.nanoTime();
        if (swaps) {
            swap();
        }
        long spent = (System.nanoTime() - begin) / 1_000_000;
        if (spent > WINDOW_MILLIS) {
            throw new BenchException("a swap took " + spent + " ms, longer than what is looked at");
        }
        Daemon.pause(WINDOW_MILLIS - spent);
        long frames = here.counter(BUSY, Singles.RX_PACKETS) - from;
        return frames * 1e9 / (System.nanoTime() - begin);
    }
}
