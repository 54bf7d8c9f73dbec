// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.OpenFiles;

/** What this process holds: descriptors, threads, and mappings of the memory that the kit lends. */
final class Census {
    /** How the names of the kit's own threads begin. */
    static final String OWN = "vireo-tck ";
    /** How /proc calls what the kit's guests share. */
    private static final String LENT = "memfd:vireo-tck-";

    private final Map<String, Integer> descriptors;
    private final Set<Thread> threads;
    private final long mapped;

    private Census(Map<String, Integer> descriptors, Set<Thread> threads, long mapped) {
        this.descriptors = descriptors;
        this.threads = threads;
        this.mapped = mapped;
    }

    static Census take() {
        return new Census(descriptors(), Thread.getAllStackTraces().keySet(), mapped());
    }

    /** Whether more of the guest's memory is mapped than there was. */
    boolean mapsMore() {
        return mapped() > mapped;
    }

    /** Bytes of memory of the kit's guests that are mapped. */
    private static long mapped() {
        try (Stream<String> lines = Files.lines(Path.of("/proc/self/maps"), StandardCharsets.ISO_8859_1)) {
            return lines.filter(l -> l.contains(LENT)).mapToLong(l -> {
                String[] range = l.substring(0, l.indexOf(' ')).split("-");
                return Long.parseUnsignedLong(range[1], 16) - Long.parseUnsignedLong(range[0], 16);
            }).sum();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Waits until nothing is left that was not there: what the JVM itself opens for a moment goes away again. */
    void expectNothingMore(String after) {
        try {
            Await.until(TckSupport.limit(), "nothing left " + after, () -> left().isEmpty());
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
        long more = mapped() - mapped;
        s.append(more > 0 ? "[" + more + " bytes of the guest's memory are still mapped]" : "");
        String t = Thread.getAllStackTraces().keySet().stream().filter(x -> !threads.contains(x) && x.isAlive()).map(Thread::getName)
                .filter(n -> !n.startsWith("output of ") && !n.startsWith(OWN) && !n.equals("process reaper"))
                .collect(Collectors.joining(", "));
        return t.isEmpty() ? s.toString() : s + "[threads: " + t + "]";
    }

    private static Map<String, Integer> descriptors() {
        Map<String, Integer> kinds = new TreeMap<>();
        OpenFiles.links().values().forEach(what -> kinds.merge(what.replaceAll("\\[[0-9]+]", "[]"), 1, Integer::sum));
        return kinds;
    }
}
