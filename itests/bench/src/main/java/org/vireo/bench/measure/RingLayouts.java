// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.measure;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
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
import org.vireo.guest.GuestRam;
import org.vireo.guest.ReceiveQueue;
import org.vireo.guest.TransmitQueue;
import org.vireo.posix.Descriptors;

/**
 * What packed rings are worth: frames of 64 bytes a second through one NIC with packed and with split rings in turn, each time with a guest
 * of this process that has connected anew. The guest polls when it transmits, so that nobody is woken; when it receives it sleeps while
 * there is nothing, so that the feeder has a processor. One thread.
 */
public final class RingLayouts {
    private static final Duration LIMIT = Duration.ofSeconds(60);
    private static final String TAP = "tap0";
    private static final int FRAME = 64;
    private static final int BATCH = 32;
    private static final int TX_PACKETS = 9;
    private static final long FULL_NANOS = 3_000_000_000L;
    private static final long QUICK_NANOS = 500_000_000L;

    private final Stage stage;
    private final Harness harness;
    private final Namespace here;
    private final Path socket;
    private final Daemon daemon;
    private final long windowNanos;

    private RingLayouts(Stage stage, Harness harness, boolean quick) throws BenchException {
        this.stage = stage;
        this.harness = harness;
        windowNanos = quick ? QUICK_NANOS : FULL_NANOS;
        here = new Namespace(stage, "host");
        Singles.tap(here, TAP);
        socket = stage.folder().resolve("layouts");
        daemon = new Daemon(stage, here, "daemon", List.of("--netdev", "tap,id=net0,ifname=" + TAP, "--nic",
                "id=nic0,netdev=net0,socket=" + socket), false);
    }

    /**
     * Measures.
     *
     * @param stage what it belongs to
     * @param harness has the feeder
     * @param pairs how often each
     * @param quick short and rough
     * @return the ratios, packed to split
     * @throws BenchException the NIC has no packed rings, or something else is missing
     */
    public static Map<String, Object> run(Stage stage, Harness harness, int pairs, boolean quick) throws BenchException {
        RingLayouts l = new RingLayouts(stage, harness, quick);
        try {
            Map<String, Object> m = new LinkedHashMap<>();
            m.put("pairs", pairs);
            m.put("secondsEach", l.windowNanos / 1e9);
            m.put("transmit 64 B", l.compare("transmit", l::transmit, pairs));
            m.put("receive 64 B", l.compare("receive", l::receive, pairs));
            return m;
        } finally {
            l.daemon.quit(LIMIT);
        }
    }

    /** What a guest does from now on for so long. */
    private interface Work {
        void run(GuestNic guest, long nanos) throws BenchException;
    }

    /**
     * What was measured.
     *
     * @param rate frames a second
     * @param cost CPU nanoseconds of the daemon a frame
     */
    private record Result(double rate, double cost) { }

    private Map<String, Object> compare(String what, Work work, int pairs) throws BenchException {
        // both kinds are compiled before either counts
        measure(false, work);
        measure(true, work);
        List<Double> rates = new ArrayList<>();
        List<Double> costs = new ArrayList<>();
        List<Double> packedRates = new ArrayList<>();
        List<Double> splitRates = new ArrayList<>();
        for (int i = 0; i < pairs; i++) {
            boolean packedFirst = i % 2 == 1;
            Result first = measure(packedFirst, work);
            Result second = measure(!packedFirst, work);
            Result packed = packedFirst ? first : second;
            Result split = packedFirst ? second : first;
            packedRates.add(packed.rate);
            splitRates.add(split.rate);
            rates.add(packed.rate / split.rate);
            costs.add(packed.cost / split.cost);
            Progress.say(String.format(Locale.ROOT, "%s, pair %d of %d: %,.0f frames/s packed, %,.0f split", what, i + 1, pairs,
                    packed.rate, split.rate));
        }
        Map<String, Object> m = new LinkedHashMap<>();
        m.put("packedRate", Math.round(Ratios.median(packedRates)));
        m.put("splitRate", Math.round(Ratios.median(splitRates)));
        Ratios.add(rates, "none set", m);
        m.put("cpuPerFrameRatioMedian", Ratios.median(costs));
        return m;
    }

    private Result measure(boolean packed, Work work) throws BenchException {
        Descriptors fds = new Descriptors();
        try (GuestNic guest = GuestNic.options().packed(packed).start(fds, FrontEnd.connect(fds, socket, LIMIT))) {
            work.run(guest, windowNanos / 4);
            long frames = frames();
            long cpu = daemon.program().cpuNanos();
            long began = System.nanoTime();
            work.run(guest, windowNanos);
            double seconds = (System.nanoTime() - began) / 1e9;
            frames = frames() - frames;
            if (frames == 0) {
                throw new BenchException("no frame moved: " + daemon.program().said());
            }
            return new Result(frames / seconds, (double) (daemon.program().cpuNanos() - cpu) / frames);
        } catch (IOException e) {
            throw new BenchException("the guest with " + (packed ? "packed" : "split") + " rings does not start: " + e.getMessage(), e);
        }
    }

    /** What went through the TAP, either way: only one at a time. */
    private long frames() throws BenchException {
        return here.counter(TAP, Singles.RX_PACKETS) + here.counter(TAP, TX_PACKETS);
    }

    private void transmit(GuestNic guest, long nanos) {
        TransmitQueue q = guest.transmit(0);
        int bytes = q.headerBytes() + FRAME;
        for (int slot = 0; slot < q.slots(); slot++) {
            MemorySegment frame = GuestRam.MEMORY.asSlice(q.buffer(slot), bytes);
            // to all, of a type that nobody takes
            frame.set(ValueLayout.JAVA_LONG_UNALIGNED, q.headerBytes(), -1L);
            frame.set(ValueLayout.JAVA_SHORT_UNALIGNED, q.headerBytes() + 12, (short) 0xb588);
        }
        long end = System.nanoTime() + nanos;
        while (System.nanoTime() - end < 0) {
            for (int n = 0; n < BATCH; n++) {
                int slot = q.claim();
                if (slot < 0) {
                    Thread.onSpinWait();
                    break;
                }
                q.submit(slot, bytes);
            }
            q.publish();
        }
    }

    private void receive(GuestNic guest, long nanos) throws BenchException {
        ReceiveQueue q = guest.receive(0);
        Program feeder = here.start("tapload", List.of(harness.path("tapload").toString(), "send", "--if", TAP, "--size",
                String.valueOf(FRAME), "--secs", String.format(Locale.ROOT, "%.2f", nanos / 1e9)));
        try {
            while (feeder.isAlive()) {
                int n = 0;
                while (n < BATCH && q.next()) {
                    q.recycle();
                    n++;
                }
                q.publish();
                if (n == 0) {
                    q.awaitUsed(System.nanoTime() + 1_000_000);
                    q.disarmCalls();
                }
            }
            feeder.result(LIMIT);
        } finally {
            stage.end(feeder);
        }
    }
}
