// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.vireo.bench.guest.Guest;
import org.vireo.bench.guest.QemuGuest;
import org.vireo.bench.guest.SoftGuestSide;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Stage;
import org.vireo.bench.host.Tools;
import org.vireo.bench.host.UserNamespace;
import org.vireo.bench.series.HandoverSeries;
import org.vireo.bench.series.SwapSeries;

/** {@code vireo demo}: a guest keeps its network while its NIC moves between processes, and while its backend is replaced. */
public final class Demo {
    private static final int PINGS = 20;
    private static final int MOST_SWAPS = 3;
    private static final double TCP_SECONDS = 2;
    private static final long BEGIN = System.nanoTime();

    private Demo() {
    }

    /**
     * Runs.
     *
     * @param args see {@code --help}
     */
    public static void main(String[] args) {
        int code;
        try {
            code = run(args);
        } catch (IllegalArgumentException e) {
            System.err.println("vireo demo: " + e.getMessage());
            code = 2;
        } catch (BenchException e) {
            System.err.println("vireo demo: " + e.getMessage());
            code = 1;
        }
        System.exit(code);
    }

    private static int run(String[] args) throws BenchException {
        DemoOptions o = DemoOptions.parse(Arrays.asList(args));
        if (o.help()) {
            System.out.print(DemoOptions.HELP);
            return 0;
        }
        Tools.require("unshare", "util-linux", "nsenter", "util-linux", "ip", "iproute2", "ping", "iputils-ping");
        Path tun = Path.of("/dev/net/tun");
        if (!Files.isReadable(tun) || !Files.isWritable(tun)) {
            throw new BenchException("no access to " + tun + " (modprobe tun; it needs mode 0666)");
        }
        if (UserNamespace.isNeeded()) {
            List<String> again = new ArrayList<>(List.of("demo"));
            again.addAll(Arrays.asList(args));
            return UserNamespace.run(again);
        }
        DemoResult r;
        try (Stage stage = new Stage("vireo-demo")) {
            r = show(stage, o);
        } catch (IOException e) {
            throw new BenchException("no folder for sockets: " + e.getMessage(), e);
        }
        System.out.print(o.json() ? r.json() + "\n" : r.table());
        System.out.flush();
        return r.ok() ? 0 : 1;
    }

    private static DemoResult show(Stage stage, DemoOptions o) throws BenchException {
        Guest guest = o.guest().equals("qemu") ? new QemuGuest(stage) : new SoftGuestSide(stage, false);
        HandoverSeries series = new HandoverSeries(stage, guest, Demo::progress);
        series.begin();
        int lost = PINGS - guest.ping(PINGS);
        progress("ping: " + PINGS + " sent, " + lost + " lost");
        Map<String, Object> tcp = tcp(guest);
        HandoverSeries.Result h = series.run(o.count(), o.rate() == 0 ? guest.rate() : o.rate(), true);
        if (!h.counts().clean()) {
            progress("the numbered traffic was not clean: " + h.counts());
            progress("thrown away outside of Vireo: receiving sockets " + h.counts().droppedBySocket() + ", "
                    + String.join(", ", guest.drops()));
        }
        SwapSeries.Result s = new SwapSeries(stage, series.owner(), false, Demo::progress).run(guest, Math.min(o.count(), MOST_SWAPS),
                o.rate() == 0 ? guest.rate() : o.rate());
        if (!s.counts().clean()) {
            progress("the numbered traffic was not clean during the swaps: " + s.counts() + ", " + String.join(", ", guest.drops()));
        }
        series.end();
        return new DemoResult(guest.kind(), PINGS, lost, tcp, h, s);
    }

    private static Map<String, Object> tcp(Guest guest) {
        try {
            Map<String, Object> m = guest.tcp(TCP_SECONDS);
            progress("TCP: " + m.get("out_mbit") + " Mbit/s out, " + m.get("in_mbit") + " Mbit/s in");
            return m;
        } catch (BenchException e) {
            progress("TCP failed: " + e.getMessage());
            return Map.of();
        }
    }

    private static void progress(String what) {
        System.err.printf(Locale.ROOT, "%5.1f s  %s%n", (System.nanoTime() - BEGIN) / 1e9, what);
    }
}
