// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.vireo.testsupport.Await;

/** What this process holds: descriptors and threads. */
final class Census {
    /** How the names of the kit's own threads begin. */
    static final String OWN = "vireo-tck ";

    private final Map<String, Integer> descriptors;
    private final Set<Thread> threads;

    private Census(Map<String, Integer> descriptors, Set<Thread> threads) {
        this.descriptors = descriptors;
        this.threads = threads;
    }

    static Census take() {
        return new Census(descriptors(), Thread.getAllStackTraces().keySet());
    }

    /** Waits until nothing is left that was not there: what the JVM itself opens for a moment goes away again. */
    void expectNothingMore(String after) {
        try {
            Await.until(TckSupport.LIMIT, "nothing left " + after, () -> left().isEmpty());
        } catch (AssertionError e) {
            throw new AssertionError("left " + after + ": " + left(), e);
        }
    }

    private String left() {
        StringBuilder s = new StringBuilder();
        descriptors().forEach((what, n) -> {
            int more = n - descriptors.getOrDefault(what, 0);
            s.append(more > 0 ? "[" + more + " " + what + "]" : "");
        });
        String t = Thread.getAllStackTraces().keySet().stream().filter(x -> !threads.contains(x) && x.isAlive()).map(Thread::getName)
                .filter(n -> !n.startsWith("output of ") && !n.startsWith(OWN) && !n.equals("process reaper"))
                .collect(Collectors.joining(", "));
        return t.isEmpty() ? s.toString() : s + "[threads: " + t + "]";
    }

    private static Map<String, Integer> descriptors() {
        Map<String, Integer> kinds = new TreeMap<>();
        File[] files = new File("/proc/self/fd").listFiles();
        if (files == null) {
            throw new IllegalStateException("no /proc/self/fd");
        }
        for (File f : files) {
            try {
                kinds.merge(Files.readSymbolicLink(Path.of(f.getPath())).toString().replaceAll("\\[[0-9]+]|/proc/[0-9]+/fd", "[]"), 1,
                        Integer::sum);
            } catch (IOException e) {
                continue; // the one of the listing itself
            }
        }
        return kinds;
    }
}
