// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.peers;

import java.nio.file.Path;
import java.util.List;
import org.vireo.bench.guest.GuestImage;
import org.vireo.bench.guest.GuestTraffic;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Daemon;
import org.vireo.bench.host.Namespace;
import org.vireo.bench.host.Stage;
import org.vireo.bench.host.Tools;

/** What others have made as the external back-end (netdev type vhost-user) of a Linux guest under QEMU. */
final class BackEndCases {
    private static final List<String> GUEST = List.of("qemu-system-x86_64", "qemu-system-x86", "busybox", "busybox-static", "cpio", "cpio",
            "ethtool", "ethtool", "ping", "iputils-ping");
    private static final String HOST = "192.0.2.1";

    private BackEndCases() {
    }

    static void addTo(List<PeerCase> all) {
        for (String packed : List.of("off", "on")) {
            for (boolean listens : new boolean[] {true, false}) {
                for (int queues : new int[] {1, 2}) {
                    String what = (listens ? "listens" : "connects") + ", queues=" + queues + ", guest asks for packed=" + packed;
                    all.add(new PeerCase("testpmd net_vhost", what, false, with("dpdk-testpmd", "dpdk-dev"),
                            (s, i) -> testpmd(s, i, listens, queues, packed)));
                }
            }
            for (boolean listens : new boolean[] {true, false}) {
                String what = (listens ? "dpdkvhostuser" : "dpdkvhostuserclient") + ", guest asks for packed=" + packed;
                all.add(new PeerCase("Open vSwitch with DPDK", what, false, with(OpenVSwitch.PROGRAM, OpenVSwitch.PACKAGE),
                        (s, i) -> openVSwitch(s, i, listens, packed)));
            }
        }
    }

    private static List<String> with(String command, String name) {
        List<String> n = new java.util.ArrayList<>(GUEST);
        n.addAll(List.of(command, name));
        return n;
    }

    /** A daemon whose NIC's rings an external back-end serves. */
    private static Path daemon(Stage stage, Namespace in, Path backEnd, boolean listens, int queues) throws BenchException {
        Path nic = stage.folder().resolve("nic0.sock");
        String netdev = "vhost-user,id=net0,path=" + backEnd + ",queues=" + queues + (listens ? ",reconnect-ms=100" : ",server=on");
        new Daemon(stage, in, "vireo", List.of("--netdev", netdev, "--nic", "id=nic0,netdev=net0,queues=" + queues + ",socket=" + nic),
                false);
        return nic;
    }

    private static String testpmd(Stage stage, GuestImage image, boolean listens, int queues, String packed) throws BenchException {
        Namespace host = new Namespace(stage, "host");
        Path socket = stage.folder().resolve("vhu0");
        String device = "net_vhost0,iface=" + socket + ",queues=" + queues + (listens ? "" : ",client=1");
        Path nic;
        TestPmd pmd;
        if (listens) {
            pmd = new TestPmd(stage, host, device, queues);
            nic = daemon(stage, host, socket, true, queues);
        } else {
            nic = daemon(stage, host, socket, false, queues);
            pmd = new TestPmd(stage, host, device, queues);
        }
        address(host);
        LinuxGuest g = guest(stage, image, nic, queues, packed);
        GuestTraffic t = new GuestTraffic(stage, host);
        t.check("at first");
        // the guest goes on using all queues: testpmd passes frames from a queue to that of the same number, used or not
        g.reload();
        t.check("with the driver reloaded");
        // another one in its place
        stage.run(List.of("kill", "-KILL", String.valueOf(pmd.program().pid())));
        stage.end(pmd.program());
        if (listens) {
            Tools.removeSocket(socket);
        }
        pmd = new TestPmd(stage, host, device, queues);
        address(host);
        t.check("with another testpmd");
        return rings(g) + "; killed and started again; driver reloaded";
    }

    private static void address(Namespace host) throws BenchException {
        PeerFar.address(host, TestPmd.INTERFACE, HOST);
    }

    private static LinuxGuest guest(Stage stage, GuestImage image, Path nic, int queues, String packed) throws BenchException {
        LinuxGuest g = new LinuxGuest(stage, image, new LinuxGuest.Options(nic, queues, queues, false, List.of("packed=" + packed)));
        if (packed.equals("off") && g.has(LinuxGuest.RING_PACKED)) {
            throw new BenchException("the guest has packed rings without asking for them");
        }
        return g;
    }

    private static String rings(LinuxGuest g) throws BenchException {
        return (g.has(LinuxGuest.RING_PACKED) ? "packed" : "split") + " rings";
    }

    private static String openVSwitch(Stage stage, GuestImage image, boolean listens, String packed) throws BenchException {
        Namespace host = new Namespace(stage, "host");
        try (OpenVSwitch ovs = new OpenVSwitch(stage, host)) {
            Path nic;
            Path socket = ovs.folder().resolve("vhu0");
            if (listens) {
                ovs.addServer("vhu0");
                nic = daemon(stage, host, socket, true, 1);
            } else {
                nic = daemon(stage, host, socket, false, 1);
                ovs.addClient("vhu0", socket);
            }
            PeerFar.address(host, OpenVSwitch.BRIDGE, HOST);
            LinuxGuest g = guest(stage, image, nic, 1, packed);
            GuestTraffic t = new GuestTraffic(stage, host);
            t.check("at first");
            g.reload();
            t.check("with the driver reloaded");
            ovs.restart(listens ? socket : null);
            PeerFar.address(host, OpenVSwitch.BRIDGE, HOST);
            t.check("with Open vSwitch started again");
            return rings(g) + "; killed and started again; driver reloaded";
        }
    }
}
