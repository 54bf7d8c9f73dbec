// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.traffic;

import java.util.ArrayList;
import java.util.List;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.DaemonPair;
import org.vireo.bench.host.Namespace;
import org.vireo.bench.host.Stage;

/** This process's own network, with the TAP of a NIC whose guest is in this process, at the other end. One thread. */
public final class TapNetwork {
    private TapNetwork() {
    }

    /** This process's own network: the TAP, and what {@link NumberedTraffic} needs. */
    public static Namespace make(Stage stage) throws BenchException {
        Namespace here = Namespace.own(stage);
        here.run("sh", "-c", "for f in all default; do echo 1 2>/dev/null >/proc/sys/net/ipv6/conf/$f/disable_ipv6; done");
        here.run("ip", "link", "set", "lo", "up");
        tap(here);
        return here;
    }

    /** The TAP. */
    public static void tap(Namespace here, String... more) throws BenchException {
        List<String> add = new ArrayList<>(List.of("ip", "tuntap", "add", "dev", DaemonPair.TAP, "mode", "tap", "vnet_hdr"));
        add.addAll(List.of(more));
        here.run(add.toArray(String[]::new));
        // what a NIC's dark time costs is to be counted, and not lost in the queue
        here.run("ip", "link", "set", DaemonPair.TAP, "address", UdpFrame.HOST_MAC, "txqueuelen", "10000");
        here.run("ip", "addr", "add", UdpFrame.HOST + "/24", "dev", DaemonPair.TAP);
        here.run("ip", "link", "set", DaemonPair.TAP, "up");
        here.run("ip", "neigh", "replace", UdpFrame.GUEST, "lladdr", UdpFrame.GUEST_MAC, "dev", DaemonPair.TAP, "nud", "permanent");
    }
}
