// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.measure;

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
import org.vireo.bench.host.Json;
import org.vireo.bench.host.Namespace;
import org.vireo.bench.host.Program;
import org.vireo.bench.host.Progress;
import org.vireo.bench.host.Stage;
import org.vireo.bench.host.Tools;

/**
 * What a NIC costs whose netdev is of type {@code vhost-user}: the load's frames a second with DPDK's testpmd as the back-end, connected
 * directly and through Vireo in turn. testpmd throws away what the guest sends, and has a frame for each buffer that the guest posts; it
 * polls on one processor, the load on the other. One thread.
 */
public final class ExternalBackEnd {
    private static final Duration LIMIT = Duration.ofSeconds(60);
    private static final int FULL_SECONDS = 3;
    /** Within which the load has connected, and the rings run. */
    private static final double WARMUP = 1;

    private final Stage stage;
    private final Harness harness;
    private final Namespace here;
    private final double seconds;
    private int started;

    private ExternalBackEnd(Stage stage, Harness harness, boolean quick) throws BenchException {
        Tools.require("dpdk-testpmd", "dpdk-dev");
        this.stage = stage;
        this.harness = harness;
        here = new Namespace(stage, "host");
        seconds = quick ? 0.5 : FULL_SECONDS;
    }

    /**
     * Measures.
     *
     * @param stage what it belongs to
     * @param harness has the load
     * @param pairs how often each
     * @param quick short and rough
     * @return the ratios, through Vireo to direct
     * @throws BenchException something is missing, or no frame moves
     */
    public static Map<String, Object> run(Stage stage, Harness harness, int pairs, boolean quick) throws BenchException {
        ExternalBackEnd e = new ExternalBackEnd(stage, harness, quick);
        Map<String, Object> m = new LinkedHashMap<>();
        m.put("pairs", pairs);
        m.put("secondsEach", e.seconds);
        m.put("transmit 64 B", e.compare("tx", pairs));
        m.put("receive 64 B", e.compare("rx", pairs));
        return m;
    }

    private Map<String, Object> compare(String mode, int pairs) throws BenchException {
        List<Double> ratios = new ArrayList<>();
        List<Double> directRates = new ArrayList<>();
        List<Double> throughRates = new ArrayList<>();
        for (int i = 0; i < pairs; i++) {
            // each goes first every other time
            boolean throughFirst = i % 2 == 1;
            double first = rate(mode, throughFirst);
            double second = rate(mode, !throughFirst);
            throughRates.add(throughFirst ? first : second);
            directRates.add(throughFirst ? second : first);
            ratios.add(throughRates.getLast() / directRates.getLast());
            Progress.say(String.format(Locale.ROOT, "%s, pair %d of %d: %,.0f frames/s direct, %,.0f through Vireo", mode, i + 1, pairs,
                    directRates.getLast(), throughRates.getLast()));
        }
        Map<String, Object> m = new LinkedHashMap<>();
        m.put("directRate", Math.round(Ratios.median(directRates)));
        m.put("throughRate", Math.round(Ratios.median(throughRates)));
        Ratios.add(ratios, ">= 0.99", m);
        return m;
    }

    private double rate(String mode, boolean vireo) throws BenchException {
        String name = "run" + started++;
        Path back = stage.folder().resolve(name + "-back");
        Program testpmd = here.start("testpmd", List.of("dpdk-testpmd", "--lcores", "0@0,1@1", "--no-huge", "-m", "256", "--iova-mode=va",
                "--no-pci", "--no-telemetry", "--file-prefix=" + stage.folder().getFileName() + name, "--vdev", "net_vhost0,iface=" + back
                + ",queues=1", "--vdev", "net_null0,size=64", "--", "--total-num-mbufs=4096", "--forward-mode=io", "--auto-start",
                "--no-lsc-interrupt", "--disable-link-check", "--stats-period", "1"));
        Daemon daemon = null;
        try {
            testpmd.await("Port statistics", LIMIT);
            Path socket = back;
            if (vireo) {
                socket = stage.folder().resolve(name);
                daemon = new Daemon(stage, here, "vireo-" + name, List.of("--netdev", "vhost-user,id=net0,path=" + back, "--nic",
                        "id=nic0,netdev=net0,socket=" + socket), false);
                daemon.awaitIdle();
            }
            Program load = here.start("vuload", List.of("taskset", "-c", "0", harness.path("vuload").toString(), "--socket",
                    socket.toString(), "--mode", mode, "--size", "64", "--poll", "--warmup", String.valueOf(WARMUP), "--secs",
                    String.format(Locale.ROOT, "%.2f", seconds)));
            try {
                Map<String, Object> r = Json.object(load.result(LIMIT).getLast());
                double rate = Ratios.real(r, mode + "_pps");
                if (!(rate > 0)) {
                    throw new BenchException("no frame moved: " + load.said() + "; " + testpmd.said());
                }
                return rate;
            } finally {
                stage.end(load);
            }
        } finally {
            if (daemon != null) {
                daemon.quit(LIMIT);
            }
            stage.end(testpmd);
        }
    }
}
