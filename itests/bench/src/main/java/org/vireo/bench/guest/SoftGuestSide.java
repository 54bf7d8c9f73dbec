// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.guest;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Json;
import org.vireo.bench.host.Namespace;
import org.vireo.bench.host.Ping;
import org.vireo.bench.host.Program;
import org.vireo.bench.host.Stage;
import org.vireo.bench.host.Tools;
import org.vireo.bench.traffic.Load;

/** A network namespace as the guest: its TAP is joined to the NIC by a driver in a process, so its TCP is the kernel's. */
public final class SoftGuestSide implements Guest {
    /** What measurements ask for. */
    public static final int RATE = 50_000;

    /** Of what a processor carries of a traffic whose senders and receivers it runs too, a part that leaves room for what is shown. */
    private static final int RATE_OF_A_PROCESSOR = 10_000;
    private static final Duration LIMIT = Duration.ofSeconds(60);
    private static final String TAP = "tap0";
    private static final String ETH = "eth0";
    private static final String HOST_IP = "192.0.2.1";
    private static final String GUEST_IP = "192.0.2.2";
    private static final int RX_DROP = 3;

    private final Stage stage;
    private final boolean packed;
    private final Namespace host;
    private final Namespace guest;
    private Program program;

    /**
     * Makes both namespaces and the host's TAP.
     *
     * @param stage what they belong to
     * @param packed whether the guest has packed rings
     * @throws BenchException not permitted
     */
    public SoftGuestSide(Stage stage, boolean packed) throws BenchException {
        this.stage = stage;
        this.packed = packed;
        host = new Namespace(stage, "host");
        guest = new Namespace(stage, "guest");
        host.run("ip", "tuntap", "add", "dev", TAP, "mode", "tap");
        host.run("ip", "addr", "add", HOST_IP + "/24", "dev", TAP);
        // what waits while nobody reads: 0.2 s at RATE. The default of 1,000 frames is 20 ms, less than a busy host stalls
        host.run("ip", "link", "set", TAP, "txqueuelen", "10000", "up");
    }

    @Override
    public String kind() {
        return "soft";
    }

    @Override
    public Namespace host() {
        return host;
    }

    @Override
    public String tap() {
        return TAP;
    }

    @Override
    public void attach(Path socket) throws BenchException {
        // its code runs for as long as the whole run: it may compile well
        List<String> command = new ArrayList<>(Tools.java("org.vireo.guest.SoftGuestMain", "--socket", socket.toString(), "--tap", ETH,
                "--ip", GUEST_IP + "/24", "--packed", packed ? "on" : "off", "--until-stdin-closes"));
        program = guest.start("the guest", command, Map.of());
        program.await("ready", LIMIT);
    }

    @Override
    public int ping(int count) throws BenchException {
        return Ping.from(host, GUEST_IP, count);
    }

    @Override
    public Map<String, Object> tcp(double seconds) throws BenchException {
        Program server = host.start("the TCP server", Tools.java("org.vireo.guest.TcpLoad", "serve", "--at", HOST_IP + ":7000"));
        Program client = null;
        try {
            server.await("ready", LIMIT);
            client = guest.start("the TCP client", Tools.java("org.vireo.guest.TcpLoad", "run", "--to", HOST_IP + ":7000", "--secs",
                    String.format(Locale.ROOT, "%.1f", seconds)));
            Map<String, Object> m = Json.object(client.result(LIMIT).getFirst());
            if (!Boolean.TRUE.equals(m.get("ok"))) {
                throw new BenchException("TCP moved nothing: " + Json.write(m));
            }
            return m;
        } finally {
            if (client != null) {
                stage.end(client);
            }
            stage.end(server);
        }
    }

    @Override
    public int rate() {
        return Math.min(RATE, RATE_OF_A_PROCESSOR * Runtime.getRuntime().availableProcessors());
    }

    @Override
    public Load load(int rate) throws BenchException {
        return new Load(stage, Map.entry(host, HOST_IP), Map.entry(guest, GUEST_IP), rate);
    }

    @Override
    public List<String> drops() throws BenchException {
        return List.of("host's TAP queue " + host.counter(TAP, Namespace.TX_DROP) + " and input " + host.counter(TAP, RX_DROP),
                "guest's TAP queue " + guest.counter(ETH, Namespace.TX_DROP) + " and input " + guest.counter(ETH, RX_DROP));
    }

    @Override
    public void requireAlive() throws BenchException {
        if (!program.isAlive()) {
            throw new BenchException("the guest ended: " + program.said());
        }
    }
}
