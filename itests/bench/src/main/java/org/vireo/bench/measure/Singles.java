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
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.vireo.bench.figures.Freezes;
import org.vireo.bench.figures.Ratios;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Daemon;
import org.vireo.bench.host.Namespace;
import org.vireo.bench.host.Program;
import org.vireo.bench.host.Progress;
import org.vireo.bench.host.Stage;
import org.vireo.bench.host.Tools;
import org.vireo.guest.FrontEnd;
import org.vireo.guest.GuestNic;
import org.vireo.posix.Descriptors;

/** Measurements of Vireo alone. */
public final class Singles {
    private static final Duration LIMIT = Duration.ofSeconds(120);
    private static final String TAP = "tap0";
    static final int RX_PACKETS = 1;
    private static final Pattern ALLOCATED = Pattern.compile("^\"vireo-worker[^\"]*\".* allocated=([0-9.]+)([BKMG]) ");

    private Singles() {
    }

    private static Namespace namespace(Stage stage) throws BenchException {
        Namespace n = new Namespace(stage, "host");
        tap(n, TAP);
        return n;
    }

    static void tap(Namespace n, String name) throws BenchException {
        n.run("ip", "tuntap", "add", "dev", name, "mode", "tap", "vnet_hdr");
        n.run("ip", "link", "set", name, "up");
    }

    private static List<String> nic(Path socket) {
        return List.of("--netdev", "tap,id=net0,ifname=" + TAP, "--nic", "id=nic0,netdev=net0,socket=" + socket);
    }

    static List<String> load(Harness h, Path socket, double seconds, String... more) {
        List<String> c = new ArrayList<>(List.of(h.path("vuload").toString(), "--socket", socket.toString(), "--mode", "tx", "--size", "64",
                "--poll", "--warmup", "0", "--connect-ms", "60000", "--secs", String.format(Locale.ROOT, "%.1f", seconds)));
        c.addAll(List.of(more));
        return c;
    }

    /** From exec to the first frame on the TAP; a guest tries to connect all the time. */
    public static Map<String, Object> start(Stage stage, Harness h, int count) throws BenchException {
        List<Long> micros = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            Namespace n = namespace(stage);
            Path socket = stage.folder().resolve("start" + i);
            Program guest = n.start("vuload", load(h, socket, 1, "--rate", "1000"));
            List<String> c = new ArrayList<>(List.of(Tools.vireo().toString(), "run"));
            c.addAll(nic(socket));
            long begin = System.nanoTime();
            Program p = n.start("vireo run", c, Map.of("VIREO_DIST", Tools.home().toString()));
            while (n.counter(TAP, RX_PACKETS) <= 0) {
                if (!p.isAlive() || !guest.isAlive()) {
                    throw new BenchException("no frame came: " + p.said() + "; " + guest.said());
                }
                if (System.nanoTime() - begin > LIMIT.toNanos()) {
                    throw new BenchException("no frame came within " + LIMIT.toSeconds() + " s: " + p.said());
                }
                Daemon.pause(1);
            }
            micros.add((System.nanoTime() - begin) / 1_000);
            Progress.say("start " + (i + 1) + ": first frame after " + micros.getLast() / 1_000 + " ms");
            stage.end(guest);
            stage.end(p);
            n.close();
        }
        Freezes f = new Freezes(micros);
        Map<String, Object> m = new LinkedHashMap<>();
        m.put("firstFrameMicrosMedian", f.median());
        m.put("firstFrameMicrosMax", f.max());
        m.put("goal", "<= 500000");
        return m;
    }

    /** Bytes that the workers allocated while a million frames and more went by, as the JVM counts them by thread. */
    public static Map<String, Object> alloc(Stage stage, Harness h) throws BenchException {
        Namespace n = namespace(stage);
        Path socket = stage.folder().resolve("alloc");
        Daemon d = new Daemon(stage, n, "daemon", nic(socket), false);
        Program guest = n.start("vuload", load(h, socket, 40));
        awaitFrames(n, guest, 1_000_000);
        double before = allocated(stage, d.program().pid());
        long from = n.counter(TAP, RX_PACKETS);
        awaitFrames(n, guest, from + 1_000_000);
        long frames = n.counter(TAP, RX_PACKETS) - from;
        double bytes = allocated(stage, d.program().pid()) - before;
        stage.end(guest);
        d.quit();
        Map<String, Object> m = new LinkedHashMap<>();
        m.put("frames", frames);
        m.put("workerBytes", (long) bytes);
        m.put("bytesPerFrame", bytes / frames);
        m.put("goal", "0");
        return m;
    }

    private static void awaitFrames(Namespace n, Program guest, long count) throws BenchException {
        long end = System.nanoTime() + LIMIT.toNanos();
        while (n.counter(TAP, RX_PACKETS) < count) {
            if (!guest.isAlive() || System.nanoTime() > end) {
                throw new BenchException("only " + n.counter(TAP, RX_PACKETS) + " of " + count + " frames: " + guest.said());
            }
            Daemon.pause(20);
        }
    }

    private static double allocated(Stage stage, long pid) throws BenchException {
        double sum = 0;
        int workers = 0;
        String jcmd = Path.of(System.getProperty("java.home"), "bin", "jcmd").toString();
        for (String l : stage.run(List.of(jcmd, String.valueOf(pid), "Thread.print", "-e"))) {
            Matcher m = ALLOCATED.matcher(l);
            if (m.find()) {
                workers++;
                sum += Double.parseDouble(m.group(1)) * switch (m.group(2)) {
                    case "K" -> 1 << 10;
                    case "M" -> 1 << 20;
                    case "G" -> 1 << 30;
                    default -> 1;
                };
            }
        }
        if (workers == 0) {
            throw new BenchException("jcmd names no vireo-worker thread with its allocation");
        }
        return sum;
    }

    /** CPU of the daemon a frame, with and without idle NICs that a guest is connected to, in pairs. */
    public static Map<String, Object> idleNics(Stage stage, Harness h, int pairs, int idle) throws BenchException {
        List<Double> ratios = new ArrayList<>();
        for (int i = 0; i < pairs; i++) {
            double[] cost = new double[2];
            for (int k = 0; k < 2; k++) {
                boolean many = (i + k) % 2 == 1;
                cost[many ? 1 : 0] = cost(stage, h, i + (many ? "many" : "one"), many ? idle : 0);
            }
            ratios.add(cost[1] / cost[0]);
            Progress.say(String.format(Locale.ROOT, "pair %d of %d: %.0f ns a frame alone, %.0f beside %d idle NICs", i + 1, pairs,
                    cost[0], cost[1], idle));
        }
        Map<String, Object> m = new LinkedHashMap<>();
        m.put("idleNics", idle);
        Ratios.add(ratios, "<= 1.05", m);
        return m;
    }

    private static double cost(Stage stage, Harness h, String name, int idle) throws BenchException {
        Namespace n = namespace(stage);
        Path socket = stage.folder().resolve(name);
        Daemon d = new Daemon(stage, n, "daemon-" + name, nic(socket), false);
        List<GuestNic> guests = new ArrayList<>();
        try {
            for (int i = 0; i < idle; i++) {
                Path s = stage.folder().resolve(name + "-" + i);
                d.execute("netdev_add", Map.of("type", "tap", "id", "idle" + i, "ifname", "idle" + i));
                d.execute("device_add", Map.of("id", "idlenic" + i, "netdev", "idle" + i, "socket", s.toString()));
                Descriptors fds = new Descriptors();
                guests.add(GuestNic.options().pairs(1).ringSize(16).start(fds, FrontEnd.connect(fds, s, Duration.ofSeconds(10))));
            }
            Program guest = n.start("vuload", load(h, socket, 60));
            awaitFrames(n, guest, 2_000_000);
            long cpu = d.program().cpuNanos();
            long from = n.counter(TAP, RX_PACKETS);
            Daemon.pause(3_000);
            double each = (double) (d.program().cpuNanos() - cpu) / (n.counter(TAP, RX_PACKETS) - from);
            stage.end(guest);
            return each;
        } catch (IOException e) {
            throw new BenchException("idle NIC " + guests.size() + ": " + e.getMessage(), e);
        } finally {
            guests.forEach(GuestNic::close);
            // the kernel takes 60 ms to delete an interface, one after another
            d.quit(Duration.ofSeconds(20).plusMillis(200L * idle));
            n.close();
        }
    }
}
