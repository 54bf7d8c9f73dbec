// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.series;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Consumer;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.jar.JarOutputStream;
import java.util.jar.Manifest;
import org.vireo.bench.figures.Freezes;
import org.vireo.bench.guest.Guest;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Daemon;
import org.vireo.bench.host.Json;
import org.vireo.bench.host.Possessions;
import org.vireo.bench.host.Program;
import org.vireo.bench.host.Stage;
import org.vireo.bench.host.Tools;
import org.vireo.bench.traffic.Load;

/**
 * One daemon, whose NIC's backend is replaced by a newer version of it again and again. Side by side: each time the bundle that does not
 * serve is updated, and takes over. In place: the bundle that serves is updated. One thread.
 */
public final class SwapSeries {
    private static final Duration LIMIT = Duration.ofSeconds(60);
    private static final String BACKEND = "vireo-backend-tap.jar";
    private static final String VERSION = "Bundle-Version";
    private static final long SETTLE_MILLIS = 300;
    private static final int FIRST = 10;
    private static final String LOADER = "org.apache.felix.framework.BundleWiringImpl$BundleClassLoader";

    private final Stage stage;
    private final Daemon daemon;
    private final Consumer<String> progress;
    private final Path original;
    private final boolean inPlace;
    private final String[] version;
    private long idle;
    private long serving;
    private int made;

    /**
     * What came of it.
     *
     * @param count swaps
     * @param freezes of the NIC; in place how long each update took, of which the NIC was without its backend for a part
     * @param counts of the numbered traffic meanwhile
     * @param loaders class loaders of bundles in the daemon after ten swaps before these, and in the end; empty if there were few
     * @param more what else the daemon has in the end that it did not have then
     */
    public record Result(int count, Freezes freezes, Load.Counts counts, List<Long> loaders, String more) {
    }

    /**
     * A series; nothing is installed yet.
     *
     * @param stage has the folder for bundles
     * @param daemon has the NIC
     * @param inPlace whether the bundle that serves is updated
     * @param progress is told what happens, a line each
     */
    public SwapSeries(Stage stage, Daemon daemon, boolean inPlace, Consumer<String> progress) throws BenchException {
        this.stage = stage;
        this.daemon = daemon;
        this.inPlace = inPlace;
        this.progress = progress;
        try (var all = Files.walk(Tools.home().resolve("bundles"))) {
            original = all.filter(p -> p.getFileName().toString().equals(BACKEND)).findFirst()
                    .orElseThrow(() -> new BenchException("there is no " + BACKEND + " in " + Tools.home()));
            try (JarFile jar = new JarFile(original.toFile())) {
                version = jar.getManifest().getMainAttributes().getValue(VERSION).split("[.]");
            }
        } catch (IOException e) {
            throw new BenchException(Tools.home() + ": " + e.getMessage(), e);
        }
    }

    /** The same bundle, as a later version. */
    private Path later() throws BenchException {
        String v = version[0] + "." + version[1] + "." + (Integer.parseInt(version[2]) + ++made);
        Path copy = stage.folder().resolve("backend-" + v + ".jar");
        try (JarFile jar = new JarFile(original.toFile())) {
            Manifest m = new Manifest(jar.getManifest());
            m.getMainAttributes().putValue(VERSION, v);
            try (JarOutputStream out = new JarOutputStream(Files.newOutputStream(copy), m)) {
                for (JarEntry e : jar.stream().filter(e -> !e.getName().equals(JarFile.MANIFEST_NAME)).toList()) {
                    out.putNextEntry(new JarEntry(e.getName()));
                    try (InputStream in = jar.getInputStream(e)) {
                        in.transferTo(out);
                    }
                    out.closeEntry();
                }
            }
            return copy;
        } catch (IOException e) {
            throw new BenchException(copy + ": " + e.getMessage(), e);
        }
    }

    /**
     * Swaps under numbered traffic.
     *
     * @param guest who is on the NIC
     * @param count how often
     * @param rate frames a second and direction
     * @return what came of it
     */
    public Result run(Guest guest, int count, int rate) throws BenchException {
        serving = ((List<?>) daemon.execute("query-backends", Map.of())).stream().map(b -> (Map<?, ?>) b)
                .filter(b -> "tap".equals(b.get("type"))).mapToLong(b -> Json.number(b, "id")).findFirst()
                .orElseThrow(() -> new BenchException("no backend of type tap"));
        List<Long> loaders = new ArrayList<>();
        Possessions before = null;
        if (count > FIRST) {
            // counting stops the daemon: before the traffic, and after it
            for (int i = 1; i <= FIRST; i++) {
                next(i + " of " + FIRST + " beforehand");
            }
            loaders.add(loaders());
            before = Possessions.of(daemon.program().pid());
        }
        Load load = guest.load(rate);
        List<Long> freezes = new ArrayList<>();
        for (int i = 1; i <= count; i++) {
            Daemon.pause(SETTLE_MILLIS);
            freezes.add(next(i + " of " + count));
            load.requireAlive();
            guest.requireAlive();
        }
        Daemon.pause(SETTLE_MILLIS);
        Load.Counts counts = load.stop();
        String more = "";
        if (before != null) {
            loaders.add(loaders());
            more = before.more(Possessions.of(daemon.program().pid()));
        }
        return new Result(count, new Freezes(freezes), counts, loaders, more);
    }

    /** Class loaders of bundles that cannot be collected: of each bundle one, if all is well. */
    private long loaders() throws BenchException {
        Program p = stage.start("jcmd", List.of(Path.of(System.getProperty("java.home"), "bin", "jcmd").toString(),
                String.valueOf(daemon.program().pid()), "GC.class_histogram"));
        p.awaitEnd(LIMIT);
        stage.end(p);
        return p.lines().stream().filter(l -> l.contains(LOADER)).mapToLong(l -> Long.parseLong(l.strip().split("[ :]+")[1])).sum();
    }

    private long next(String which) throws BenchException {
        String jar = later().toString();
        return inPlace ? update(which, jar) : swap(which, jar);
    }

    private long update(String which, String jar) throws BenchException {
        long begin = System.nanoTime();
        daemon.execute("backend-update", Map.of("bundle", String.valueOf(serving), "path", jar));
        while (!isRunning()) {
            if (System.nanoTime() - begin > LIMIT.toNanos()) {
                throw new BenchException("the NIC does not run " + LIMIT.toSeconds() + " s after an update");
            }
            Daemon.pause(1);
        }
        long micros = (System.nanoTime() - begin) / 1_000;
        progress.accept(String.format(Locale.ROOT, "update %s: %.2f ms", which, micros / 1e3));
        return micros;
    }

    private boolean isRunning() throws BenchException {
        return "running".equals(((Map<?, ?>) ((List<?>) daemon.execute("query-nics", Map.of())).getFirst()).get("state"));
    }

    private long swap(String which, String jar) throws BenchException {
        if (idle == 0) {
            idle = Json.number((Map<?, ?>) daemon.execute("backend-install", Map.of("path", jar)), "id");
        } else {
            daemon.execute("backend-update", Map.of("bundle", String.valueOf(idle), "path", jar));
        }
        Map<?, ?> event = daemon.awaitEvent("BACKEND_SWAP", LIMIT);
        if (!"BACKEND_SWAPPED".equals(event.get("event"))) {
            throw new BenchException("a swap failed: " + Json.write(event));
        }
        long now = idle;
        idle = serving;
        serving = now;
        Map<?, ?> swapped = Json.member(event, "data");
        long micros = Json.number(swapped, "freeze-micros");
        progress.accept(String.format(Locale.ROOT, "swap %s: to %s, rings stood still for %.2f ms", which, swapped.get("to"),
                micros / 1e3));
        return micros;
    }
}
