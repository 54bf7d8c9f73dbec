// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.peers;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import org.vireo.bench.guest.GuestImage;
import org.vireo.bench.guest.Vm;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Stage;

/** A Linux under QEMU with one NIC over vhost-user, and what can be done to that. One thread. */
final class LinuxGuest {
    /** Virtio feature bits, as they stand in sysfs. */
    static final int MRG_RXBUF = 15;
    /** See {@link #MRG_RXBUF}. */
    static final int RING_PACKED = 34;
    private static final String MAC = "52:54:00:76:69:72";
    private static final Pattern PACKETS = Pattern.compile("([rt]x)_queue_([0-9]+)_packets: ([0-9]+)");

    private final Vm vm;
    private final Path socket;
    private final int pairs;
    private final int cpus;
    private final boolean listens;
    private final List<String> device;

    /**
     * Where a guest's NIC is and what it is like.
     *
     * @param socket the NIC's
     * @param pairs queue pairs
     * @param cpus processors of the guest
     * @param listens whether QEMU is the server
     * @param device properties of the NIC, as {@code packed=on}
     */
    record Options(Path socket, int pairs, int cpus, boolean listens, List<String> device) {
        static Options of(PeerHost host, String... device) {
            return new Options(host.socket(), 1, 1, false, List.of(device));
        }

        Options queues(int n, int processors) {
            return new Options(socket, n, processors, listens, device);
        }

        Options listening() {
            return new Options(socket, pairs, cpus, true, device);
        }
    }

    /**
     * Boots one.
     *
     * @param stage what it belongs to
     * @param image what it boots
     * @param o its NIC
     * @param more options of QEMU's
     */
    LinuxGuest(Stage stage, GuestImage image, Options o, String... more) throws BenchException {
        this(stage, Vm.kernel(image), o, more);
    }

    /** As above, with QEMU's options that say what it boots. */
    LinuxGuest(Stage stage, List<String> boot, Options o, String... more) throws BenchException {
        socket = o.socket;
        pairs = o.pairs;
        cpus = o.cpus;
        listens = o.listens;
        device = o.device;
        List<String> c = new ArrayList<>(List.of("-chardev", "socket,id=c0,path=" + socket
                + (listens ? ",server=on,wait=off" : ",reconnect=1"), "-netdev", "vhost-user,id=n0,chardev=c0,queues=" + pairs, "-device",
                String.join(",", properties("virtio-net-pci,id=v0,netdev=n0,mac=" + MAC))));
        c.addAll(List.of(more));
        vm = new Vm(stage, "qemu", boot, o.cpus, c);
        vm.awaitBoot(0);
    }

    /** QEMU 7.2 ends with MSI-X on vhost-user without KVM: no vectors. */
    private List<String> properties(String first) {
        List<String> p = new ArrayList<>(List.of(first, "vectors=0"));
        if (pairs > 1) {
            p.add("mq=on");
        }
        p.addAll(device);
        return p;
    }

    Vm vm() {
        return vm;
    }

    /** Whether the driver and the device agreed on a feature. */
    boolean has(int bit) throws BenchException {
        return vm.run("cat /sys/bus/virtio/devices/virtio*/features").getLast().charAt(bit) == '1';
    }

    /** Takes the driver out and loads it again. */
    void reload() throws BenchException {
        vm.run("rmmod virtio_net && insmod /modules/virtio_net.ko && network");
    }

    /** Has the driver use so many queue pairs (the control queue's MQ command). */
    void useQueues(int n) throws BenchException {
        vm.run("ethtool -L eth0 combined " + n);
    }

    /** Lets each processor transmit on each queue, by the hash of the flow; the driver gives each one a queue of its own. */
    void spread() throws BenchException {
        vm.run("for q in /sys/class/net/eth0/queues/tx-*; do echo " + Integer.toHexString((1 << cpus) - 1) + " >$q/xps_cpus; done");
    }

    /** How many it uses. */
    int queues() throws BenchException {
        String last = vm.run("ethtool -l eth0").stream().filter(l -> l.startsWith("Combined:")).toList().getLast();
        return Integer.parseInt(last.substring(last.indexOf(':') + 1).strip());
    }

    /** Frames of each queue so far: received ones, then transmitted ones. */
    long[][] packets() throws BenchException {
        long[][] n = new long[2][pairs];
        for (String l : vm.run("ethtool -S eth0")) {
            Matcher m = PACKETS.matcher(l);
            if (m.find()) {
                n[m.group(1).equals("rx") ? 0 : 1][Integer.parseInt(m.group(2))] = Long.parseLong(m.group(3));
            }
        }
        return n;
    }

    /** Pulls the NIC out, with its netdev too if that is wanted. */
    void unplug(boolean netdev) throws BenchException {
        vm.unplug("v0");
        if (netdev) {
            // takes the character device along
            vm.execute("netdev_del", Map.of("id", "n0"));
        }
    }

    /** Plugs it in again. */
    void plug(boolean netdev) throws BenchException {
        if (netdev) {
            Map<String, Object> address = Map.of("type", "unix", "data", Map.of("path", socket.toString()));
            Map<String, Object> side = listens ? Map.of("addr", address, "server", true, "wait", false)
                    : Map.of("addr", address, "server", false, "reconnect", 1L);
            vm.execute("chardev-add", Map.of("id", "c0", "backend", Map.of("type", "socket", "data", side)));
            vm.execute("netdev_add", Map.of("type", "vhost-user", "id", "n0", "chardev", "c0", "queues", (long) pairs));
        }
        Map<String, Object> d = new java.util.LinkedHashMap<>();
        properties("driver=virtio-net-pci").forEach(p -> d.put(p.substring(0, p.indexOf('=')), value(p.substring(p.indexOf('=') + 1))));
        d.putAll(Map.of("id", "v0", "netdev", "n0", "mac", MAC));
        vm.execute("device_add", d);
        vm.run("network");
    }

    private static Object value(String s) {
        return switch (s) {
            case "on" -> true;
            case "off" -> false;
            default -> s.chars().allMatch(Character::isDigit) ? (Object) Long.valueOf(s) : s;
        };
    }

    /** Plugs memory in, and waits until the guest has it. */
    void plugMemory(String id, int megabytes) throws BenchException {
        long before = memory();
        vm.execute("object-add", Map.of("qom-type", "memory-backend-memfd", "id", "m" + id, "size", (long) megabytes << 20, "share", true));
        vm.execute("device_add", Map.of("driver", "pc-dimm", "id", id, "memdev", "m" + id));
        long end = System.nanoTime() + 30_000_000_000L;
        while (memory() <= before) {
            if (System.nanoTime() - end > 0) {
                throw new BenchException("the guest does not take " + megabytes + " MB of memory into use");
            }
        }
    }

    /** Takes memory out again. */
    void unplugMemory(String id) throws BenchException {
        vm.unplug(id);
        vm.execute("object-del", Map.of("id", "m" + id));
    }

    private long memory() throws BenchException {
        return Long.parseLong(vm.run("grep MemTotal /proc/meminfo").getLast().replaceAll("[^0-9]", ""));
    }

    /** Names the queues that had no frame between two counts, of the first so many. */
    static String idle(long[][] before, long[][] after, int queues) {
        List<String> idle = new ArrayList<>();
        for (int way = 0; way < 2; way++) {
            String name = way == 0 ? "receive queue " : "transmit queue ";
            int w = way;
            IntStream.range(0, queues).filter(q -> after[w][q] <= before[w][q]).forEach(q -> idle.add(name + q));
        }
        return String.join(", ", idle);
    }
}
