// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.peers;

import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.vireo.bench.guest.GuestImage;
import org.vireo.bench.guest.GuestTraffic;
import org.vireo.bench.guest.Vm;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Daemon;
import org.vireo.bench.host.Program;
import org.vireo.bench.host.Stage;

/** QEMU, and in it a Linux, as the peer: what its operator and its guest do to a NIC. */
final class LinuxGuestCases {
    private static final String PEER = "QEMU, Linux guest";
    private static final List<String> NEEDS = List.of("qemu-system-x86_64", "qemu-system-x86", "busybox", "busybox-static", "cpio", "cpio",
            "ethtool", "ethtool", "ping", "iputils-ping");
    private static final List<String> FIRMWARE_NEEDS = Stream.concat(NEEDS.stream(),
            Stream.of("/usr/lib/ipxe/qemu/pxe-virtio.rom", "ipxe-qemu")).toList();
    private static final int RELOADS = 10;
    private static final int STOPS = 50;
    private static final int PLUGS = 5;
    private static final int DIMM_ROUNDS = 10;
    private static final int DIMMS = 10;
    private static final int DIMM_MEGABYTES = 128;
    private static final int QUEUE_CHANGES = 20;
    private static final int PURGED_A_CHANGE = 3;
    private static final int FLOWS = 16;
    private static final int JUMBO = 9_000;
    /** IPv4 and ICMP headers. */
    private static final int PING_HEADERS = 28;

    private LinuxGuestCases() {
    }

    static void addTo(List<PeerCase> all) {
        all.add(new PeerCase(PEER, "packed=on queues=2: a little of everything", true, NEEDS, LinuxGuestCases::shortLife));
        for (String packed : List.of("off", "on")) {
            for (String mrg : List.of("on", "off")) {
                String layout = "packed=" + packed + " mrg_rxbuf=" + mrg;
                add(all, layout + ": driver reloaded " + RELOADS + " times, system_reset, reboot, stop and cont " + STOPS
                        + " times under traffic", (s, i) -> life(s, i, packed, mrg));
                add(all, layout + " host_mtu=" + JUMBO, (s, i) -> jumbo(s, i, packed, mrg));
            }
            for (int[] q : new int[][] {{2, 2}, {4, 4}, {8, 8}, {8, 2}, {4, 1}}) {
                add(all, "packed=" + packed + " queues=" + q[0] + " -smp " + q[1] + ": queues in use changed under traffic",
                        (s, i) -> queues(s, i, packed, q[0], q[1]));
            }
            for (boolean listens : new boolean[] {false, true}) {
                add(all, "packed=" + packed + (listens ? ", QEMU listens" : "") + ": NIC and netdev unplugged and plugged " + PLUGS
                        + " times, NIC alone " + PLUGS + " times under traffic", (s, i) -> plugs(s, i, packed, listens));
            }
            all.add(new PeerCase(PEER, "packed=" + packed + ": the firmware (iPXE) loads the kernel through the NIC", false,
                    FIRMWARE_NEEDS, (s, i) -> firmware(s, i, packed)));
            for (int pairs : new int[] {1, 2}) {
                add(all, "packed=" + packed + " queues=" + pairs + ": a DIMM plugged and unplugged " + DIMM_ROUNDS + " times, " + DIMMS
                        + " DIMMs at once, under traffic", (s, i) -> memory(s, i, packed, pairs));
            }
        }
    }

    private static void add(List<PeerCase> all, String what, PeerCase.Body body) {
        all.add(new PeerCase(PEER, what, false, NEEDS, body));
    }

    private static void require(boolean fulfilled, String otherwise) throws BenchException {
        if (!fulfilled) {
            throw new BenchException(otherwise);
        }
    }

    private static void requireRings(LinuxGuest g, String packed) throws BenchException {
        boolean has = g.has(LinuxGuest.RING_PACKED);
        require(has == packed.equals("on"), "the guest has " + (has ? "packed" : "split") + " rings with packed=" + packed);
    }

    /** One boot, a little of everything. */
    private static String shortLife(Stage stage, GuestImage image) throws BenchException {
        PeerHost h = new PeerHost(stage, 2, 0);
        LinuxGuest g = new LinuxGuest(stage, image, LinuxGuest.Options.of(h, "packed=on").queues(2, 1), "-m", "256M,slots=4,maxmem=2G");
        h.traffic().check("at first");
        requireRings(g, "on");
        g.useQueues(2);
        GuestTraffic.Running t = h.traffic().start();
        g.useQueues(1);
        g.useQueues(2);
        for (int i = 0; i < 3; i++) {
            stopAndGo(g);
        }
        g.plugMemory("d0", DIMM_MEGABYTES);
        g.unplugMemory("d0");
        String seen = t.end(lostByChanges(h, 2));
        flows(h, g, 2);
        g.reload();
        h.traffic().check("with the driver reloaded");
        g.unplug(false);
        g.plug(false);
        h.traffic().check("with the NIC plugged again");
        h.end();
        return seen;
    }

    private static void stopAndGo(LinuxGuest g) throws BenchException {
        g.vm().execute("stop", Map.of());
        Daemon.pause(20);
        g.vm().execute("cont", Map.of());
        Daemon.pause(20);
    }

    private static String life(Stage stage, GuestImage image, String packed, String mrg) throws BenchException {
        PeerHost h = new PeerHost(stage, 1, 0);
        LinuxGuest g = new LinuxGuest(stage, image, LinuxGuest.Options.of(h, "packed=" + packed, "mrg_rxbuf=" + mrg));
        h.traffic().check("at first");
        requireRings(g, packed);
        require(g.has(LinuxGuest.MRG_RXBUF) == mrg.equals("on"), "mergeable buffers are not as mrg_rxbuf=" + mrg + " says");
        for (int i = 0; i < RELOADS; i++) {
            g.reload();
            h.traffic().awaitAnswer("with the driver reloaded");
        }
        h.traffic().check("with the driver reloaded");
        g.vm().reset();
        h.traffic().check("after system_reset");
        g.vm().reboot();
        h.traffic().check("after reboot");
        GuestTraffic.Running t = h.traffic().start();
        for (int i = 0; i < STOPS; i++) {
            stopAndGo(g);
        }
        String seen = t.end();
        h.end();
        return seen;
    }

    private static String jumbo(Stage stage, GuestImage image, String packed, String mrg) throws BenchException {
        PeerHost h = new PeerHost(stage, 1, JUMBO);
        LinuxGuest g = new LinuxGuest(stage, image,
                LinuxGuest.Options.of(h, "packed=" + packed, "mrg_rxbuf=" + mrg, "host_mtu=" + JUMBO));
        String mtu = g.vm().run("cat /sys/class/net/eth0/mtu").getLast();
        require(mtu.equals(String.valueOf(JUMBO)), "the guest's MTU is " + mtu);
        h.traffic().check("at first");
        List<String> ping = h.namespace().run("ping", "-n", "-M", "do", "-s", String.valueOf(JUMBO - PING_HEADERS), "-c", "10", "-i",
                "0.05", "-w", "10", Vm.GUEST);
        require(ping.stream().filter(l -> l.contains(" bytes from ")).count() == 10, String.join("; ", ping));
        h.end();
        return "10 pings of " + JUMBO + " bytes";
    }

    private static String queues(Stage stage, GuestImage image, String packed, int pairs, int cpus) throws BenchException {
        PeerHost h = new PeerHost(stage, pairs, 0);
        LinuxGuest g = new LinuxGuest(stage, image, LinuxGuest.Options.of(h, "packed=" + packed).queues(pairs, cpus));
        h.traffic().check("at first");
        requireRings(g, packed);
        int used = Math.min(pairs, cpus);
        require(g.queues() == used, "the driver uses " + g.queues() + " pairs with " + cpus + " processors");
        flows(h, g, used);
        for (int n : new int[] {1, pairs, 2, pairs}) {
            g.useQueues(n);
            flows(h, g, n);
        }
        GuestTraffic.Running t = h.traffic().start();
        for (int i = 0; i < QUEUE_CHANGES; i++) {
            g.useQueues(1 + i * 7 % pairs);
        }
        g.useQueues(pairs);
        String seen;
        try {
            seen = t.end(lostByChanges(h, QUEUE_CHANGES));
        } catch (BenchException e) {
            throw new BenchException("after " + QUEUE_CHANGES + " changes: " + e.getMessage() + "; the NIC counted " + h.counters(), e);
        }
        g.reload();
        h.traffic().check("with the driver reloaded");
        g.useQueues(pairs);
        flows(h, g, pairs);
        g.vm().reset();
        h.traffic().check("after system_reset");
        require(g.queues() == used, "after the reset the driver uses " + g.queues() + " pairs");
        h.end();
        return QUEUE_CHANGES + " changes, " + seen;
    }

    /**
     * What is in a queue that the guest gives up is lost. The guest goes on transmitting there for some milliseconds, which is discarded,
     * as the specification has it, and counted; the TAP's queue is purged by the kernel.
     */
    private static int lostByChanges(PeerHost h, int changes) throws BenchException {
        return (int) h.counter("transmit-drop-disabled") + changes * PURGED_A_CHANGE;
    }

    /** Many flows, each of which may be on any queue: each queue that is in use has to see some of them. */
    private static void flows(PeerHost h, LinuxGuest g, int queues) throws BenchException {
        g.spread();
        long[][] before = g.packets();
        try {
            h.traffic().flows(FLOWS * queues);
        } catch (BenchException e) {
            throw new BenchException("with " + queues + " pairs in use: " + e.getMessage() + "; no frame in "
                    + LinuxGuest.idle(before, g.packets(), queues) + "; the NIC counted " + h.counters(), e);
        }
        String idle = LinuxGuest.idle(before, g.packets(), queues);
        require(idle.isEmpty(), "with " + queues + " pairs in use and " + FLOWS * queues + " flows there was no frame in " + idle);
    }

    private static String plugs(Stage stage, GuestImage image, String packed, boolean listens) throws BenchException {
        PeerHost h = listens ? new PeerHost(stage, 1, 0, "server=off", "reconnect-ms=100") : new PeerHost(stage, 1, 0);
        LinuxGuest.Options o = LinuxGuest.Options.of(h, "packed=" + packed);
        LinuxGuest g = new LinuxGuest(stage, image, listens ? o.listening() : o);
        h.traffic().check("at first");
        for (int i = 0; i < PLUGS; i++) {
            g.unplug(true);
            g.plug(true);
            h.traffic().check("with netdev and NIC plugged again");
        }
        for (int i = 0; i < PLUGS; i++) {
            Program pings = h.traffic().pings();
            g.unplug(false);
            g.plug(false);
            stage.end(pings);
            h.traffic().check("with the NIC plugged again");
        }
        requireRings(g, packed);
        h.end();
        return "traffic after each";
    }

    /** Another driver before Linux's: what it leaves of the rings is nothing that the next one wants. */
    private static String firmware(Stage stage, GuestImage image, String packed) throws BenchException {
        PeerHost h = new PeerHost(stage, 2, 0);
        NetBoot.serve(stage, h.namespace(), PeerHost.TAP, image);
        LinuxGuest g = new LinuxGuest(stage, List.of("-boot", "n"), LinuxGuest.Options.of(h, "packed=" + packed).queues(2, 2));
        h.traffic().check("at first");
        requireRings(g, packed);
        flows(h, g, 2);
        g.vm().reset();
        h.traffic().check("after system_reset");
        h.end();
        return "booted twice";
    }

    private static String memory(Stage stage, GuestImage image, String packed, int pairs) throws BenchException {
        PeerHost h = new PeerHost(stage, pairs, 0);
        LinuxGuest g = new LinuxGuest(stage, image, LinuxGuest.Options.of(h, "packed=" + packed).queues(pairs, pairs), "-m",
                "256M,slots=16,maxmem=8G");
        h.traffic().check("at first");
        requireRings(g, packed);
        GuestTraffic.Running t = h.traffic().start();
        for (int i = 0; i < DIMM_ROUNDS; i++) {
            g.plugMemory("d0", DIMM_MEGABYTES);
            g.unplugMemory("d0");
        }
        for (int i = 0; i < DIMMS; i++) {
            g.plugMemory("d" + i, DIMM_MEGABYTES);
        }
        h.traffic().tcp();
        for (int i = 0; i < DIMMS; i++) {
            g.unplugMemory("d" + i);
        }
        String seen = t.end();
        h.end();
        return seen;
    }
}
