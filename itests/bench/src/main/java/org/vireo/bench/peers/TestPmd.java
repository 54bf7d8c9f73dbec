// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.peers;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Namespace;
import org.vireo.bench.host.Program;
import org.vireo.bench.host.Stage;

/**
 * DPDK's testpmd, told what to do on its standard input: it passes frames between a device under test, its port 0, and an interface of the
 * kernel that it makes, port 1. It needs no huge pages, and takes what the others leave of the processors. One thread.
 */
final class TestPmd {
    /** The interface that it makes. */
    static final String INTERFACE = "dtap0";
    private static final String PROMPT_OF_START = "packet forwarding - ports=";
    private static final Duration LIMIT = Duration.ofSeconds(60);

    private final Program program;

    /**
     * Starts one; it forwards when this returns.
     *
     * @param stage what it belongs to
     * @param in the namespace that it, and so its interface, is in
     * @param device the device under test, as {@code --vdev} has it
     * @param queues of the device
     */
    TestPmd(Stage stage, Namespace in, String device, int queues) throws BenchException {
        // line by line, so that one can wait for what it says
        List<String> c = new ArrayList<>(List.of("nice", "-n", "19", "stdbuf", "-oL", "dpdk-testpmd", "--lcores", "0@(0-1),1@(0-1)",
                "--no-huge", "-m", "256", "--iova-mode=va", "--no-pci", "--no-telemetry", "--single-file-segments",
                "--log-level=pmd.net.virtio.*:debug", "--force-max-simd-bitwidth=512",
                "--file-prefix=pmd", "--vdev", device,
                // the same address each time: whoever knows it knows no wrong one
                "--vdev", "net_tap0,iface=" + INTERFACE + ",mac=52:54:00:00:00:07", "--", "-i", "--total-num-mbufs=8192",
                "--rxq=" + queues, "--txq=" + queues, "--forward-mode=io", "--no-flush-rx", "--disable-link-check", "--no-lsc-interrupt"));
        // where its own files are, which it does not delete
        program = in.start("testpmd", c, Map.of("RUNTIME_DIRECTORY", stage.folder().toString()));
        start();
    }

    Program program() {
        return program;
    }

    private void start() throws BenchException {
        int mark = program.mark();
        program.say("start");
        program.await(PROMPT_OF_START, mark, LIMIT);
    }

    /** Stops the device and starts it again, with so many queues. */
    void restart(int queues) throws BenchException {
        for (String c : List.of("stop", "port stop all", "port config all rxq " + queues, "port config all txq " + queues,
                "port start all")) {
            program.say(c);
        }
        start();
    }

    /** Which way of receiving the driver has chosen. */
    String receivePath() throws BenchException {
        String line = program.lines().reversed().stream().filter(l -> l.contains("Rx path on port")).findFirst()
                .orElseThrow(() -> new BenchException("testpmd does not tell its receive path: " + program.said()));
        return line.substring(line.indexOf("using ") + "using ".length(), line.indexOf(" Rx path"));
    }

    /** Ends it in good order. */
    void quit() throws BenchException {
        program.say("stop");
        program.say("quit");
        program.result(LIMIT);
    }
}
