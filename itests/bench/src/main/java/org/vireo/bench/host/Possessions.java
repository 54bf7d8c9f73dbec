// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.host;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

/**
 * What a process has, so that two moments can be compared.
 *
 * @param descriptors how many of each kind
 * @param threads how many of each name
 * @param mappings lines of /proc/PID/maps
 * @param rssKb resident memory
 */
public record Possessions(Map<String, Integer> descriptors, Map<String, Integer> threads, int mappings, long rssKb) {
    /** What it has when it is at rest. */
    public static Possessions of(long pid) throws BenchException {
        ProcessView.awaitRest(pid);
        Path proc = Path.of("/proc", String.valueOf(pid));
        try {
            int mappings = Files.readAllLines(proc.resolve("maps")).size();
            long rss = Files.readAllLines(proc.resolve("status")).stream().filter(l -> l.startsWith("VmRSS:"))
                    .mapToLong(l -> Long.parseLong(l.replaceAll("[^0-9]", ""))).findFirst().orElse(0);
            return new Possessions(ProcessView.descriptors(pid), ProcessView.threads(pid), mappings, rss);
        } catch (IOException e) {
            throw new BenchException(proc + ": " + e.getMessage(), e);
        }
    }

    /** How it differs later, for people. */
    public String more(Possessions later) {
        String d = ProcessView.difference(descriptors, later.descriptors);
        String t = ProcessView.difference(threads, later.threads);
        return "descriptors " + (d.isEmpty() ? "the same" : d) + ", threads " + (t.isEmpty() ? "the same" : t) + ", mappings "
                + mappings + " then " + later.mappings + ", RSS " + rssKb / 1024 + " MB then " + later.rssKb / 1024 + " MB";
    }
}
