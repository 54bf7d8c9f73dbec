// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.host;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.function.Predicate;

/** A process as /proc shows it: whether it reads a TAP, and what descriptors and threads it has. */
public final class ProcessView {
    /** Threads that the JVM, the framework and pools start and end as they like. */
    private static final String FOREIGN = "(C1|C2|GC|VM|G1|Sweeper|Service|Monitor|Signal|Notification|Reference|Finalizer|Common|Attach"
            + "|FelixResolver|ForkJoinPool|vireo-qmp|vireo-backend).*";

    /** Of threads that rehearse, as comm tells it: 15 characters. */
    private static final String REHEARSAL = "rehear";
    private static final Duration REST_LIMIT = Duration.ofSeconds(120);
    private static final int LOOK_MILLIS = 200;
    /** So many looks in a row are the same when nothing happens any more. */
    private static final int SAME = 5;

    private ProcessView() {
    }

    /** Waits until a daemon rehearses nothing, and what it has stays as it is: only then it can be compared with later. */
    public static void awaitRest(long pid) throws BenchException {
        long end = System.nanoTime() + REST_LIMIT.toNanos();
        Map<String, Integer> last = Map.of();
        for (int same = 0; same < SAME;) {
            if (System.nanoTime() - end > 0) {
                throw new BenchException("process " + pid + " does not come to rest within " + REST_LIMIT.toSeconds() + " s: "
                        + threads(pid) + " " + last);
            }
            Daemon.pause(LOOK_MILLIS);
            Map<String, Integer> now = descriptors(pid);
            boolean rehearses = threads(pid).keySet().stream().anyMatch(n -> n.contains(REHEARSAL));
            same = !rehearses && now.equals(last) ? same + 1 : 0;
            last = now;
        }
    }

    private static Path proc(long pid, String what) {
        return Path.of("/proc", String.valueOf(pid), what);
    }

    /** Whether one of its epoll instances watches a descriptor of that TAP (proc(5), fdinfo: tfd). */
    static boolean reads(long pid, String tap) {
        try (DirectoryStream<Path> all = Files.newDirectoryStream(proc(pid, "fd"))) {
            for (Path fd : all) {
                if (target(fd).equals("anon_inode:[eventpoll]")) {
                    for (String l : info(pid, fd.getFileName().toString())) {
                        if (l.startsWith("tfd:") && isTap(pid, l.strip().split("\\s+")[1], tap)) {
                            return true;
                        }
                    }
                }
            }
        } catch (IOException e) {
            // it has ended
        }
        return false;
    }

    private static String target(Path fd) {
        try {
            return Files.readSymbolicLink(fd).toString();
        } catch (IOException e) {
            return "";
        }
    }

    private static List<String> info(long pid, String fd) {
        try {
            return Files.readAllLines(proc(pid, "fdinfo").resolve(fd));
        } catch (IOException e) {
            return List.of();
        }
    }

    private static boolean isTap(long pid, String fd, String tap) {
        return target(proc(pid, "fd").resolve(fd)).equals("/dev/net/tun")
                && info(pid, fd).stream().anyMatch(l -> l.startsWith("iff:") && l.substring(4).strip().equals(tap));
    }

    /** What its descriptors are, as proc(5) shows it. */
    public static List<String> files(long pid) throws BenchException {
        try (DirectoryStream<Path> all = Files.newDirectoryStream(proc(pid, "fd"))) {
            List<String> names = new ArrayList<>();
            all.forEach(fd -> names.add(target(fd)));
            return names;
        } catch (IOException e) {
            throw new BenchException("descriptors of " + pid + ": " + e.getMessage(), e);
        }
    }

    /** How many descriptors of each kind it has; of files only whether they are in memory. */
    public static Map<String, Integer> descriptors(long pid) throws BenchException {
        return count(proc(pid, "fd"), p -> Optional.of(target(p)).filter(t -> !t.isEmpty()).map(ProcessView::kind), k -> !k.equals("file"));
    }

    private static String kind(String target) {
        if (target.startsWith("/memfd:")) {
            return "memfd";
        }
        int colon = target.indexOf(':');
        if (target.startsWith("anon_inode:")) {
            return target.substring(colon + 1).replaceAll("[\\[\\]]", "");
        }
        return target.startsWith("/dev/net/") ? "tun" : target.startsWith("/") ? "file" : target.substring(0, colon);
    }

    /** How many threads of each name it has, without those that come and go by themselves. */
    public static Map<String, Integer> threads(long pid) throws BenchException {
        return count(proc(pid, "task"), p -> {
            try {
                return Optional.of(Files.readString(p.resolve("comm")).strip().replaceAll("-[0-9]+$", "-N"));
            } catch (IOException e) {
                return Optional.empty();
            }
        }, n -> !n.matches(FOREIGN));
    }

    private static Map<String, Integer> count(Path dir, java.util.function.Function<Path, Optional<String>> kind, Predicate<String> counts)
            throws BenchException {
        Map<String, Integer> m = new TreeMap<>();
        try (DirectoryStream<Path> all = Files.newDirectoryStream(dir)) {
            for (Path p : all) {
                kind.apply(p).filter(counts).ifPresent(k -> m.merge(k, 1, Integer::sum));
            }
        } catch (IOException e) {
            throw new BenchException(dir + ": " + e.getMessage(), e);
        }
        return m;
    }

    /** What one has more or less than the other, for a message; empty if nothing. */
    public static String difference(Map<String, Integer> before, Map<String, Integer> after) {
        StringBuilder b = new StringBuilder();
        Map<String, Integer> all = new TreeMap<>(before);
        after.forEach((k, v) -> all.merge(k, 0, Integer::sum));
        for (String k : all.keySet()) {
            int d = after.getOrDefault(k, 0) - before.getOrDefault(k, 0);
            if (d != 0) {
                b.append(b.isEmpty() ? "" : ", ").append(d > 0 ? "+" : "").append(d).append(' ').append(k);
            }
        }
        return b.toString();
    }
}
