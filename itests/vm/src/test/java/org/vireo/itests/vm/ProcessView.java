// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.TreeMap;
import org.vireo.testsupport.Await;

/**
 * What a process has, as proc(5) shows it, so that two moments can be compared. Left out is what the JVM opens and starts as it likes:
 * files, and threads that come and go by themselves.
 *
 * @param things how many descriptors of each target, and threads of each name
 * @param mappings lines of /proc/PID/maps
 * @param megabytes resident
 */
record ProcessView(Map<String, Integer> things, int mappings, long megabytes) {
    private static final Duration LIMIT = Duration.ofSeconds(60);
    private static final String FOREIGN = "(C1|C2|GC|VM|G1|Sweeper|Service|Monitor|Signal|Notification|Reference|Finalizer|Common|Attach"
            + "|FelixResolver|ForkJoinPool|vireo-qmp|vireo-backend).*";
    private static final int SAME = 4;
    /** In the names of what a rehearsal makes. */
    private static final String REHEARSAL = "rehear";

    static ProcessView of(long pid) {
        Path proc = Path.of("/proc", Long.toString(pid));
        try {
            Map<String, Integer> things = new TreeMap<>();
            count(proc.resolve("fd"), things, p -> kind(Files.readSymbolicLink(p).toString()));
            count(proc.resolve("task"), things, p -> thread(Files.readString(p.resolve("comm")).strip()));
            int mappings = Files.readAllLines(proc.resolve("maps")).size();
            long rss = Files.readAllLines(proc.resolve("status")).stream().filter(l -> l.startsWith("VmRSS:"))
                    .mapToLong(l -> Long.parseLong(l.replaceAll("[^0-9]", ""))).findFirst().orElse(0);
            return new ProcessView(things, mappings, rss >> 10);
        } catch (IOException e) {
            throw new AssertionError("process " + pid + ": " + e, e);
        }
    }

    /** When what has just been done is over in it: nothing is rehearsed, and several looks are the same. */
    static ProcessView settled(long pid) {
        Map<?, ?>[] last = {Map.of()};
        int[] same = {0};
        return Await.value(LIMIT, "process " + pid + " to come to rest", () -> {
            ProcessView v = of(pid);
            same[0] = v.things.equals(last[0]) ? same[0] + 1 : 0;
            last[0] = v.things;
            return same[0] >= SAME && v.things.keySet().stream().noneMatch(k -> k.contains(REHEARSAL)) ? v : null;
        });
    }

    private interface Kind {
        /** Empty: it does not count. */
        String of(Path p) throws IOException;
    }

    private static void count(Path dir, Map<String, Integer> to, Kind kind) {
        String[] all = dir.toFile().list();
        for (String n : all == null ? new String[0] : all) {
            try {
                String k = kind.of(dir.resolve(n));
                if (!k.isEmpty()) {
                    to.merge(k, 1, Integer::sum);
                }
            } catch (IOException e) {
                // it has ended
            }
        }
    }

    private static String kind(String target) {
        boolean file = target.startsWith("/") && !target.startsWith("/dev/net") && !target.startsWith("/memfd:");
        return file ? "" : target.replaceAll(":\\[[0-9]+]$", "").replaceAll(" \\(deleted\\)$", "");
    }

    private static String thread(String name) {
        return name.matches(FOREIGN) ? "" : "thread " + name.replaceAll("[0-9]+$", "N");
    }

    /** What it has more, or less, than at an earlier moment; empty: the same. */
    Map<String, Integer> more(ProcessView before) {
        Map<String, Integer> d = new TreeMap<>(things);
        before.things.forEach((k, n) -> d.merge(k, -n, Integer::sum));
        d.values().removeIf(n -> n == 0);
        return d;
    }

    /** For people. */
    String since(ProcessView before) {
        Map<String, Integer> d = more(before);
        return (d.isEmpty() ? "descriptors and threads the same" : d.toString()) + ", mappings " + before.mappings + " then " + mappings
                + ", resident " + before.megabytes + " then " + megabytes + " MB";
    }
}
