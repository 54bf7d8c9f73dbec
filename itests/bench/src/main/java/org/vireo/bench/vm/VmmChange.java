// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.vm;

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
import java.util.stream.IntStream;
import org.vireo.bench.figures.Ratios;
import org.vireo.bench.guest.GuestImage;
import org.vireo.bench.guest.GuestTraffic;
import org.vireo.bench.guest.Vm;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Daemon;
import org.vireo.bench.host.Json;
import org.vireo.bench.host.Namespace;
import org.vireo.bench.host.Ping;
import org.vireo.bench.host.Program;
import org.vireo.bench.host.Progress;
import org.vireo.bench.host.Stage;
import org.vireo.bench.host.Tools;
import org.vireo.net.api.Fd;
import org.vireo.posix.Descriptors;
import org.vireo.posix.linux.SharedMemory;

/**
 * {@code vireo bench vmm-change}: a Linux under one QEMU migrates to another one on the same host, under a ping every millisecond: with one
 * TAP that Vireo keeps for it, two NICs naming its netdev, and with QEMU's own way, two TAPs on a bridge, in turn. One thread.
 */
public final class VmmChange {
    private static final String HOST = "192.0.2.1";
    private static final String TAP = "tap0";
    private static final String BRIDGE = "br0";
    private static final String MAC = "52:54:00:76:69:72";
    private static final Duration LIMIT = Duration.ofSeconds(90);
    private static final int FULL_PINGS = 6_000;
    private static final int QUICK_PINGS = 3_000;
    private static final int ALIVE_PINGS = 5;
    private static final long LOOK_MILLIS = 20;
    private static final long BYTES_PER_SECOND = 10_000_000_000L;
    /**
     * QEMU stops the guest when it thinks that the rest of its memory takes no longer than that. It is 300 otherwise, and then what is
     * measured is how much happened to be left.
     */
    private static final int DOWNTIME_MILLIS = 20;
    /** A guest that did not come through answers no more. */
    private static final int PATIENCE_SECONDS = 60;
    private static final Pattern ANSWER = Pattern.compile("\\[([0-9.]+)] .* bytes from .*");
    private static final List<Variant> VARIANTS = List.of(new Variant("memory copied", false, 1),
            new Variant("memory shared", true, 1), new Variant("memory shared, 4 queue pairs", true, 4));

    private final Stage stage;
    private final GuestImage image;
    private final boolean packed;
    private final int pings;

    /**
     * How a VM moves.
     *
     * @param name for the result
     * @param shared both QEMUs have the guest's memory (x-ignore-shared), which otherwise is copied
     * @param pairs queue pairs of its NIC, processors of the guest, and flows
     */
    private record Variant(String name, boolean shared, int pairs) { }

    /**
     * What one move cost.
     *
     * @param gapMillis longest time between two answers of one flow
     * @param lost questions without an answer
     * @param lives whether the guest answers afterwards
     */
    private record Cost(double gapMillis, int lost, boolean lives) {
        @Override
        public String toString() {
            return lives ? String.format(Locale.ROOT, "%.0f ms, %d lost", gapMillis, lost) : "the guest did not live on";
        }
    }

    private VmmChange(Stage stage, boolean packed, boolean quick) throws BenchException {
        Tools.require("ping", "iputils-ping");
        this.stage = stage;
        this.packed = packed;
        pings = quick ? QUICK_PINGS : FULL_PINGS;
        image = Vm.image(stage);
    }

    /**
     * Measures.
     *
     * @param stage what it belongs to
     * @param pairs how often each
     * @param packed whether the guest may have packed rings
     * @param quick fewer pings
     * @return what each move cost
     * @throws BenchException something is missing, or a VM does not move
     */
    public static Map<String, Object> run(Stage stage, int pairs, boolean packed, boolean quick) throws BenchException {
        VmmChange c = new VmmChange(stage, packed, quick);
        Map<String, Object> m = new LinkedHashMap<>();
        m.put("pairs", pairs);
        m.put("pings", c.pings);
        for (Variant v : VARIANTS) {
            m.put(v.name, c.compare(v, pairs));
        }
        return m;
    }

    private Map<String, Object> compare(Variant v, int pairs) throws BenchException {
        List<Cost> vireo = new ArrayList<>();
        List<Cost> qemu = new ArrayList<>();
        List<Double> ratios = new ArrayList<>();
        for (int i = 0; i < pairs; i++) {
            // each goes first every other time
            boolean qemuFirst = i % 2 == 1;
            for (boolean ours : new boolean[] {!qemuFirst, qemuFirst}) {
                (ours ? vireo : qemu).add(move(v, ours));
            }
            if (vireo.getLast().lives && qemu.getLast().lives) {
                ratios.add(vireo.getLast().gapMillis / qemu.getLast().gapMillis);
            }
            Progress.say(v.name + ", pair " + (i + 1) + " of " + pairs + ": Vireo " + vireo.getLast() + "; QEMU's TAPs "
                    + qemu.getLast());
        }
        Map<String, Object> m = new LinkedHashMap<>();
        m.put("vireo", vireo.stream().map(Cost::toString).toList());
        m.put("qemu", qemu.stream().map(Cost::toString).toList());
        if (!ratios.isEmpty()) {
            Ratios.add(ratios, "none set: longest gap, Vireo's to QEMU's", m);
        }
        return m;
    }

    private Cost move(Variant v, boolean ours) throws BenchException {
        // a file of this process, which two QEMUs can open and which does not outlive it
        try (Stage own = new Stage("vireo-vmm"); Fd memory = SharedMemory.create(new Descriptors(), "guest", Vm.BYTES, false)) {
            return new Move(own, v, ours, Path.of("/proc/" + ProcessHandle.current().pid() + "/fd/" + memory.number())).run();
        } catch (IOException e) {
            throw new BenchException("no place for a stage, or for a guest's memory: " + e.getMessage(), e);
        }
    }

    /** One VM that moves once. */
    private final class Move {
        private final Stage own;
        private final Variant variant;
        private final boolean ours;
        private final Namespace host;
        private final Path memory;

        Move(Stage own, Variant variant, boolean ours, Path memory) throws BenchException {
            this.own = own;
            this.variant = variant;
            this.ours = ours;
            host = new Namespace(own, "host");
            this.memory = variant.shared ? memory : null;
        }

        Cost run() throws BenchException {
            Daemon daemon = ours ? daemon() : null;
            if (!ours) {
                bridge();
            }
            Vm from = machine(0);
            from.awaitBoot(0);
            Vm to = machine(1, "-incoming", "defer");
            String channel = "unix:" + own.folder().resolve("channel");
            to.execute("migrate-incoming", Map.of("uri", channel));
            if (variant.shared) {
                for (Vm vm : List.of(from, to)) {
                    vm.execute("migrate-set-capabilities", Map.of("capabilities",
                            List.of(Map.of("capability", "x-ignore-shared", "state", true))));
                }
            }
            from.execute("migrate-set-parameters", Map.of("max-bandwidth", BYTES_PER_SECOND, "downtime-limit", DOWNTIME_MILLIS));
            new GuestTraffic(own, host).awaitAnswer("before it moves");
            List<Program> flows = new ArrayList<>();
            for (int i = 0; i < variant.pairs; i++) {
                flows.add(host.start("ping", List.of("ping", "-n", "-D", "-I", source(i), "-i", interval(), "-c",
                        String.valueOf(pings / variant.pairs), "-w", String.valueOf(PATIENCE_SECONDS), Vm.GUEST)));
            }
            for (Program p : flows) {
                p.await("icmp_seq=" + pings / variant.pairs / 4 + " ", LIMIT);
            }
            from.execute("migrate", Map.of("uri", channel));
            awaitMoved(from);
            double gap = 0;
            int lost = 0;
            for (Program p : flows) {
                p.awaitEnd(LIMIT);
                gap = Math.max(gap, longestGap(p));
                Ping.Count c = Ping.count(p);
                lost += c.sent() - c.answered();
            }
            boolean lives = Ping.from(host, Vm.GUEST, ALIVE_PINGS) > 0;
            own.end(from.program());
            own.end(to.program());
            if (daemon != null) {
                daemon.quit();
            }
            return new Cost(gap, lost, lives);
        }

        /** Together they ask once a millisecond. */
        private String interval() {
            return String.format(Locale.ROOT, "%.3f", variant.pairs / 1e3);
        }

        private String source(int flow) {
            return flow == 0 ? HOST : "192.0.2." + (10 + flow);
        }

        private void addresses(String itf) throws BenchException {
            for (int i = 0; i < variant.pairs; i++) {
                host.run("ip", "addr", "add", source(i) + "/24", "dev", itf);
            }
            host.run("ip", "link", "set", itf, "up");
        }

        private void tap(String name) throws BenchException {
            List<String> add = new ArrayList<>(List.of("ip", "tuntap", "add", "dev", name, "mode", "tap", "vnet_hdr"));
            if (variant.pairs > 1) {
                add.add("multi_queue");
            }
            host.run(add.toArray(String[]::new));
            // what comes while the guest stands still waits there
            host.run("ip", "link", "set", name, "txqueuelen", "10000", "up");
        }

        private Daemon daemon() throws BenchException {
            tap(TAP);
            addresses(TAP);
            List<String> options = new ArrayList<>(List.of("--netdev", "tap,id=net0,ifname=" + TAP + ",queues=" + variant.pairs));
            for (int i = 0; i < 2; i++) {
                options.addAll(List.of("--nic", "id=nic" + i + ",netdev=net0,queues=" + variant.pairs + ",mac=" + MAC + ",socket="
                        + own.folder().resolve("nic" + i)));
            }
            Daemon d = new Daemon(own, host, "vireo", options, false);
            d.awaitIdle();
            return d;
        }

        private void bridge() throws BenchException {
            host.run("ip", "link", "add", BRIDGE, "type", "bridge");
            addresses(BRIDGE);
            for (int i = 0; i < 2; i++) {
                tap("tap" + i);
                host.run("ip", "link", "set", "tap" + i, "master", BRIDGE);
            }
        }

        private Vm machine(int number, String... more) throws BenchException {
            String netdev = ours ? "vhost-user,id=n0,chardev=c0" : "tap,id=n0,ifname=tap" + number + ",script=no,downscript=no,vhost=off";
            // vectors=0: QEMU 7.2 ends with MSI-X on vhost-user without KVM
            String device = "virtio-net-pci,netdev=n0,mac=" + MAC + ",vectors=0,packed=" + (packed ? "on" : "off");
            if (variant.pairs > 1) {
                netdev += ",queues=" + variant.pairs;
                device += ",mq=on";
            }
            List<String> options = new ArrayList<>();
            if (ours) {
                options.addAll(List.of("-chardev", "socket,id=c0,path=" + own.folder().resolve("nic" + number)));
            }
            options.addAll(List.of("-netdev", netdev, "-device", device));
            options.addAll(List.of(more));
            return Vm.in(host, own, "qemu" + number, Vm.kernel(image), variant.pairs, memory, options);
        }

        private void awaitMoved(Vm from) throws BenchException {
            long end = System.nanoTime() + LIMIT.toNanos();
            while (true) {
                Map<?, ?> m = (Map<?, ?>) from.execute("query-migrate", Map.of());
                if ("completed".equals(m.get("status"))) {
                    return;
                }
                if ("failed".equals(m.get("status")) || System.nanoTime() - end > 0) {
                    throw new BenchException(variant.name + ": the VM did not move within " + LIMIT.toSeconds() + " s: " + Json.write(m));
                }
                Daemon.pause(LOOK_MILLIS);
            }
        }
    }

    private static double longestGap(Program ping) throws BenchException {
        double[] at = ping.lines().stream().map(ANSWER::matcher).filter(Matcher::matches)
                .mapToDouble(m -> 1e3 * Double.parseDouble(m.group(1))).toArray();
        return IntStream.range(1, at.length).mapToDouble(i -> at[i] - at[i - 1]).max()
                .orElseThrow(() -> new BenchException("ping: " + ping.said()));
    }
}
