// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.measure;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Progress;
import org.vireo.bench.host.Tools;

/** Frames a second with DPDK's testpmd as the guest (virtio-user), in both socket roles. */
public final class DpdkGuest {
    private static final Path HUGE_PAGES = Path.of("/proc/sys/vm/nr_hugepages");
    private static final int ENOUGH_PAGES = 300;

    private DpdkGuest() {
    }

    /** Measures, in a second for each role or in several; there are huge pages meanwhile. */
    public static Map<String, Object> run(Harness h, boolean quick) throws BenchException, IOException {
        Tools.require("dpdk-testpmd", "dpdk-dev");
        String before = Files.readString(HUGE_PAGES).strip();
        if (Integer.parseInt(before) < ENOUGH_PAGES) {
            Files.writeString(HUGE_PAGES, ENOUGH_PAGES + "\n");
        }
        try {
            Map<String, Object> m = new LinkedHashMap<>();
            for (boolean listens : new boolean[] {true, false}) {
                Progress.say(listens ? "vireo listens, testpmd connects" : "testpmd listens, vireo connects");
                List<String> options = new ArrayList<>(List.of("--name", "vireo", "--tests", "gen", "--secs", quick ? "1" : "3",
                        "--sizes", quick ? "64" : "64 1500"));
                if (!listens) {
                    options.add("--listen");
                }
                for (Map<String, Object> r : h.run(options, h.vireo(listens ? "" : ",server=off"))) {
                    m.put((listens ? "server " : "client ") + r.get("test"), r);
                }
            }
            return m;
        } finally {
            Files.writeString(HUGE_PAGES, before + "\n");
        }
    }
}
