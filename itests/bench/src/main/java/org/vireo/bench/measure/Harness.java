// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.measure;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Json;
import org.vireo.bench.host.NativeSource;
import org.vireo.bench.host.Program;
import org.vireo.bench.host.Stage;
import org.vireo.bench.host.Tools;

/** The floor, the load generator and the script that runs a server against it, unpacked and compiled in a stage's folder. */
public final class Harness {
    private static final List<String> FILES = List.of("vuload.c", "vuref.c", "tapload.c", "vubench.sh");
    private static final Duration LIMIT = Duration.ofHours(1);

    private final Stage stage;

    /** Unpacks and compiles all of it. */
    public Harness(Stage stage) throws BenchException {
        Tools.require("cc", "gcc", "ip", "iproute2", "taskset", "util-linux", "awk", "mawk", "sysctl", "procps");
        this.stage = stage;
        for (String f : FILES) {
            NativeSource.unpack(stage, f);
        }
    }

    Path path(String file) {
        return stage.folder().resolve(file);
    }

    /**
     * Runs vubench.sh once.
     *
     * @param options of the script, before the server's command
     * @param server the server's command
     * @return its results, one a test
     * @throws BenchException it failed
     */
    List<Map<String, Object>> run(List<String> options, List<String> server) throws BenchException {
        List<String> c = new ArrayList<>(List.of("bash", path("vubench.sh").toString(), "--runs", "1",
                "--out", path("results").toString()));
        c.addAll(options);
        c.add("--");
        c.addAll(server);
        Program p = stage.start("vubench.sh", c, Map.of("VIREO_DIST", Tools.home().toString()));
        try {
            p.endInput();
            return p.result(LIMIT).stream().filter(l -> l.startsWith("{")).map(Json::object).toList();
        } finally {
            stage.end(p);
        }
    }

    List<String> floor() {
        return List.of(path("vuref").toString(), "--socket", "{sock}", "--tap", "{tap}");
    }

    List<String> vireo(String more) {
        return List.of(Tools.vireo().toString(), "run", "--netdev", "tap,id=net0,ifname={tap}", "--nic", "id=nic0,netdev=net0,socket={sock}"
                + more);
    }
}
