// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench;

import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import org.vireo.bench.figures.Freezes;
import org.vireo.bench.host.Json;
import org.vireo.bench.series.HandoverSeries;
import org.vireo.bench.series.SwapSeries;
import org.vireo.bench.traffic.Load;

/**
 * What a demonstration showed.
 *
 * @param guest its kind
 * @param pingsSent echo requests
 * @param pingsLost those without an answer
 * @param tcp out_mbit and in_mbit; empty if a byte was wrong or a connection failed
 * @param handover the handovers
 * @param swap the swaps of its backend
 */
record DemoResult(String guest, int pingsSent, int pingsLost, Map<String, Object> tcp, HandoverSeries.Result handover,
        SwapSeries.Result swap) {
    boolean ok() {
        return pingsLost == 0 && !tcp.isEmpty() && handover.counts().clean() && swap.counts().clean();
    }

    private static Map<String, Object> of(int count, Load.Counts c, Freezes f) {
        Map<String, Object> freeze = new LinkedHashMap<>();
        freeze.put("median", f.median());
        freeze.put("p99", f.p99());
        freeze.put("max", f.max());
        Map<String, Object> m = new LinkedHashMap<>();
        m.put("count", count);
        m.put("lost", c.lost());
        m.put("duplicated", c.duplicated());
        m.put("reordered", c.reordered());
        m.put("freezeMicros", freeze);
        return m;
    }

    String json() {
        Map<String, Object> ping = new LinkedHashMap<>();
        ping.put("sent", pingsSent);
        ping.put("lost", pingsLost);
        Map<String, Object> t = new LinkedHashMap<>();
        t.put("ok", !tcp.isEmpty());
        t.put("out_mbit", mbit("out_mbit"));
        t.put("in_mbit", mbit("in_mbit"));
        Map<String, Object> all = new LinkedHashMap<>();
        all.put("guest", guest);
        all.put("ping", ping);
        all.put("tcp", t);
        all.put("handover", of(handover.count(), handover.counts(), handover.freezes()));
        all.put("swap", of(swap.count(), swap.counts(), swap.freezes()));
        return Json.write(all);
    }

    private long mbit(String name) {
        return tcp.isEmpty() ? 0 : Json.number(tcp, name);
    }

    String table() {
        StringBuilder b = new StringBuilder();
        row(b, "guest", guest);
        row(b, "ping", String.format(Locale.ROOT, "%d sent, %d lost", pingsSent, pingsLost));
        row(b, "TCP", tcp.isEmpty() ? "failed" : String.format(Locale.ROOT, "%,d Mbit/s out, %,d Mbit/s in, every byte checked",
                mbit("out_mbit"), mbit("in_mbit")));
        table(b, "handovers", handover.count(), handover.counts(), handover.freezes());
        table(b, "swaps", swap.count(), swap.counts(), swap.freezes());
        row(b, "result", ok() ? "the guest noticed nothing"
                : "NOT CLEAN; where the kernel threw frames away outside of Vireo the machine is too busy for this rate: try --rate 5000");
        return b.toString();
    }

    private static void table(StringBuilder b, String what, int count, Load.Counts c, Freezes f) {
        row(b, what, String.valueOf(count));
        row(b, "  load", String.format(Locale.ROOT, "%,d numbered frames, %,d/s out and %,d/s in", c.sent(), c.outRate(), c.inRate()));
        row(b, "  lost", String.valueOf(c.lost()));
        row(b, "  duplicated", String.valueOf(c.duplicated()));
        row(b, "  reordered", String.valueOf(c.reordered()));
        row(b, "  freeze", String.format(Locale.ROOT, "median %.2f ms, p99 %.2f ms, max %.2f ms", f.median() / 1e3, f.p99() / 1e3,
                f.max() / 1e3));
        row(b, "  silence", String.format(Locale.ROOT, "%.2f ms at most between two frames at a receiver", c.longestGapMicros() / 1e3));
    }

    private static void row(StringBuilder b, String name, String value) {
        b.append(String.format(Locale.ROOT, "%-14s%s%n", name, value));
    }
}
