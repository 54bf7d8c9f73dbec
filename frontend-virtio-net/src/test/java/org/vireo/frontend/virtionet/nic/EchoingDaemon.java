// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

/**
 * A process of its own with one NIC, whose network sends back each frame that comes. It waits for a line on its standard input before it
 * listens, so that the next one can be ready while the last one still serves, and ends with that input.
 */
final class EchoingDaemon {
    static final String READY = "ready";

    private EchoingDaemon() {
    }

    public static void main(String[] args) throws Exception {
        Harness h = new Harness(1);
        FakeNetwork net = h.network(1);
        h.backend("neta", net);
        if (System.in.read() < 0) {
            return;
        }
        h.nic("a", "socket", args[0]);
        Thread.ofPlatform().daemon().start(() -> echo(net));
        System.out.println(READY);
        while (System.in.read() >= 0) {
            // its end is the end
        }
        Runtime.getRuntime().halt(0);
    }

    private static void echo(FakeNetwork net) {
        while (true) {
            byte[] frame = net.poll(0);
            if (frame == null) {
                net.awaitFrame(0);
            } else {
                // or not, if the guest does not keep up
                net.send(0, frame);
            }
        }
    }
}
