// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.peers;

import java.util.List;
import org.vireo.bench.guest.GuestImage;
import org.vireo.bench.guest.Vm;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Stage;
import org.vireo.bench.host.Tools;

/** DPDK's virtio-user as the guest: another driver, which polls, in a process of its own. */
final class DpdkGuestCases {
    private static final String PEER = "DPDK virtio-user";
    private static final List<String> NEEDS = List.of("dpdk-testpmd", "dpdk-dev", "busybox", "busybox-static", "ping", "iputils-ping");
    private static final int RESTARTS = 3;
    private static final String VECTORIZED = ",mrg_rxbuf=0,in_order=0,vectorized=1";

    private DpdkGuestCases() {
    }

    static void addTo(List<PeerCase> all) {
        all.add(new PeerCase(PEER, "a little of everything" + VECTORIZED, true, NEEDS, DpdkGuestCases::shortLife));
        for (boolean listens : new boolean[] {false, true}) {
            for (int queues : new int[] {1, 2}) {
                add(all, listens, queues, ",in_order=1", "mergeable buffer");
                add(all, listens, queues, ",in_order=0", "mergeable buffer");
                add(all, listens, queues, ",in_order=1,mrg_rxbuf=0", "standard");
                add(all, listens, queues, ",in_order=0,mrg_rxbuf=0", "standard");
                add(all, listens, queues, VECTORIZED, "vectorized");
                add(all, listens, queues, ",packed_vq=1,in_order=1", "packed ring mergeable buffer");
                add(all, listens, queues, ",packed_vq=1,in_order=0", "packed ring mergeable buffer");
                add(all, listens, queues, ",packed_vq=1,in_order=1,mrg_rxbuf=0", "packed ring standard");
                add(all, listens, queues, ",packed_vq=1,in_order=0,mrg_rxbuf=0", "packed ring standard");
                // its vectors are for AVX-512 and for rings that are used in order, which is not offered: it goes the standard way
                add(all, listens, queues, ",packed_vq=1,in_order=1,mrg_rxbuf=0,vectorized=1", "packed ring standard");
            }
        }
    }

    private static void add(List<PeerCase> all, boolean listens, int queues, String options, String path) {
        all.add(new PeerCase(PEER, "queues=" + queues + options + (listens ? ", it listens" : ""), false, NEEDS,
                (s, i) -> run(s, listens, queues, options, path)));
    }

    private static String run(Stage stage, boolean listens, int queues, String options, String path) throws BenchException {
        PeerFar far = new PeerFar(stage, TestPmd.INTERFACE);
        PeerHost h = listens ? new PeerHost(stage, queues, 0, "server=off", "reconnect-ms=100") : new PeerHost(stage, queues, 0);
        String device = "net_virtio_user0,path=" + h.socket() + ",queues=" + queues + options + (listens ? ",server=1" : "");
        TestPmd pmd = new TestPmd(stage, far.namespace(), device, queues);
        far.address(Vm.GUEST);
        h.traffic().check("at first");
        requirePath(pmd, path);
        for (int i = 0; i < RESTARTS; i++) {
            // fewer and more in turn, as a driver that is configured anew does
            pmd.restart(1 + i % queues);
            far.address(Vm.GUEST);
            h.traffic().awaitAnswer("with the device restarted");
        }
        h.traffic().check("with the device restarted");
        pmd.quit();
        if (listens) {
            Tools.removeSocket(h.socket());
        }
        pmd = new TestPmd(stage, far.namespace(), device, queues);
        far.address(Vm.GUEST);
        h.traffic().check("with another testpmd");
        pmd.quit();
        h.end();
        return "receive path: " + path + "; " + RESTARTS + " restarts of the device, the process started again";
    }

    private static String shortLife(Stage stage, GuestImage image) throws BenchException {
        PeerFar far = new PeerFar(stage, TestPmd.INTERFACE);
        PeerHost h = new PeerHost(stage, 1, 0);
        TestPmd pmd = new TestPmd(stage, far.namespace(), "net_virtio_user0,path=" + h.socket() + VECTORIZED, 1);
        far.address(Vm.GUEST);
        h.traffic().check("at first");
        requirePath(pmd, "vectorized");
        pmd.restart(1);
        far.address(Vm.GUEST);
        h.traffic().check("with the device restarted");
        h.end();
        return "receive path: vectorized; a restart of the device";
    }

    private static void requirePath(TestPmd pmd, String path) throws BenchException {
        if (!pmd.receivePath().equals(path)) {
            throw new BenchException("the receive path is \"" + pmd.receivePath() + "\", not \"" + path + '"');
        }
    }
}
