// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.guest;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Json;
import org.vireo.bench.host.Namespace;
import org.vireo.bench.host.Ping;
import org.vireo.bench.host.Program;
import org.vireo.bench.host.Stage;
import org.vireo.bench.host.Tools;
import org.vireo.bench.traffic.ChecksummedTcp;
import org.vireo.bench.traffic.Load;

/**
 * A Linux under QEMU as the guest ({@link GuestImage}). It answers ping, serves TCP with checksums, and routes between two subnets on its
 * one interface: numbered frames from one namespace to the other cross the NIC in both directions, and the guest's kernel moves them.
 */
public final class QemuGuest implements Guest {
    private static final Duration BOOT_LIMIT = Duration.ofSeconds(120);
    private static final String TAP = "tap0";
    private static final String BRIDGE = "br0";
    private static final String HOST_IP = "192.0.2.1";
    private static final String GUEST_IP = "192.0.2.2";
    private static final String PEER_IP = "192.0.2.129";
    private static final String GUEST_PEER_IP = "192.0.2.130";
    private static final int DATA_MEGABYTES = 16;
    /** Emulated without KVM, a guest moves a few thousand frames a second. */
    private static final int RATE = 1_000;
    private static final String INIT = """
            #!/bin/busybox sh
            B=/bin/busybox
            $B mount -t proc proc /proc
            $B mount -t sysfs sysfs /sys
            $B mount -t devtmpfs dev /dev
            for m in %s; do $B insmod /modules/$m.ko || echo "no $m"; done
            $B ip link set lo up
            $B ip addr add %s/25 dev eth0
            $B ip addr add %s/25 dev eth0
            $B ip link set eth0 up
            for f in ip_forward conf/all/accept_redirects; do echo 1 >/proc/sys/net/ipv4/$f; done
            for c in all default eth0; do
                echo 0 >/proc/sys/net/ipv4/conf/$c/rp_filter
                echo 0 >/proc/sys/net/ipv4/conf/$c/send_redirects
            done
            $B dd if=/dev/urandom of=/data bs=1M count=%d 2>/dev/null
            $B nc -ll -p 7001 -e /bin/sink &
            $B nc -ll -p 7002 -e /bin/source &
            echo guest is up
            while :; do $B sleep 3600; done
            """;

    private final Stage stage;
    private final Namespace host;
    private final Namespace peer;
    private final GuestImage image;
    private Program program;

    /**
     * Makes the namespaces, the TAP with its bridge, and the guest's initramfs.
     *
     * @param stage what they belong to
     * @throws BenchException a package is missing, or it is not permitted
     */
    public QemuGuest(Stage stage) throws BenchException {
        this.stage = stage;
        image = GuestImage.build(stage, INIT.formatted(String.join(" ", GuestImage.MODULES), GUEST_IP, GUEST_PEER_IP, DATA_MEGABYTES),
                Map.of());
        host = new Namespace(stage, "host");
        peer = new Namespace(stage, "peer");
        host.run("ip", "link", "add", BRIDGE, "type", "bridge");
        host.run("ip", "tuntap", "add", "dev", TAP, "mode", "tap");
        host.run("ip", "link", "set", TAP, "txqueuelen", "1000", "master", BRIDGE, "up");
        host.run("ip", "link", "add", "topeer", "type", "veth", "peer", "name", "eth0", "netns", String.valueOf(peer.holder().pid()));
        host.run("ip", "link", "set", "topeer", "master", BRIDGE, "up");
        host.run("ip", "addr", "add", HOST_IP + "/25", "dev", BRIDGE);
        host.run("ip", "link", "set", BRIDGE, "up");
        host.run("ip", "route", "add", "192.0.2.128/25", "via", GUEST_IP);
        peer.run("ip", "addr", "add", PEER_IP + "/25", "dev", "eth0");
        peer.run("ip", "link", "set", "eth0", "up");
        peer.run("ip", "route", "add", "192.0.2.0/25", "via", GUEST_PEER_IP);
    }

    @Override
    public String kind() {
        return "qemu";
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
        // vectors=0: QEMU 7.2 ends with MSI-X on vhost-user without KVM
        program = host.start("QEMU", List.of("qemu-system-x86_64", "-M", "pc,accel=tcg", "-cpu", "qemu64", "-m", "256", "-nic", "none",
                "-nographic", "-no-reboot", "-kernel", image.kernel().toString(), "-initrd", image.initramfs().toString(),
                "-append", "console=ttyS0 panic=-1 quiet", "-object", "memory-backend-memfd,id=m0,size=256M,share=on", "-numa",
                "node,memdev=m0", "-chardev", "socket,id=c0,path=" + socket, "-netdev", "vhost-user,id=n0,chardev=c0",
                "-device", "virtio-net-pci,netdev=n0,mac=52:54:00:76:69:72,vectors=0"), Map.of());
        program.await("guest is up", BOOT_LIMIT);
    }

    @Override
    public int ping(int count) throws BenchException {
        return Ping.from(host, GUEST_IP, count);
    }

    @Override
    public Map<String, Object> tcp(double seconds) throws BenchException {
        // bytes, not seconds: what an emulated guest does in a second differs by a factor of ten
        Program p = host.start("the TCP client", Tools.java(ChecksummedTcp.class.getName(), GUEST_IP, String.valueOf(DATA_MEGABYTES)));
        try {
            return Json.object(p.result(Duration.ofSeconds(120)).getFirst());
        } finally {
            stage.end(p);
        }
    }

    @Override
    public int rate() {
        return RATE;
    }

    @Override
    public Load load(int rate) throws BenchException {
        return new Load(stage, Map.entry(host, HOST_IP), Map.entry(peer, PEER_IP), rate);
    }

    @Override
    public List<String> drops() throws BenchException {
        return List.of("host's TAP queue " + host.counter(TAP, Namespace.TX_DROP));
    }

    @Override
    public void requireAlive() throws BenchException {
        if (!program.isAlive()) {
            throw new BenchException("the guest ended: " + program.said());
        }
    }
}
