// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.series;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.Consumer;
import org.vireo.bench.figures.Freezes;
import org.vireo.bench.guest.Guest;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Daemon;
import org.vireo.bench.host.Json;
import org.vireo.bench.host.Stage;
import org.vireo.bench.traffic.Load;

/** One NIC that goes from process to process under a guest: each time to a fresh one, or to and fro between two. One thread. */
public final class HandoverSeries {
    private static final Duration LIMIT = Duration.ofSeconds(60);
    private static final long SETTLE_MILLIS = 300;
    /** Most daemons that wait for their turn: so many starts are not beside the traffic. */
    private static final int MOST_WAITING = 12;
    /** How many start at the same time. */
    private static final int STARTING = 2;

    private final Stage stage;
    private final Guest guest;
    private final Consumer<String> progress;
    private Daemon owner;
    private String ownUri;
    private final Deque<Waiting> waiting = new ArrayDeque<>();
    private int started;

    /**
     * What came of it.
     *
     * @param count handovers
     * @param freezes of the NIC
     * @param counts of the numbered traffic meanwhile
     */
    public record Result(int count, Freezes freezes, Load.Counts counts) {
    }

    /**
     * A series; nothing runs yet.
     *
     * @param stage what the daemons belong to
     * @param guest who is on the NIC
     * @param progress is told what happens, a line each
     */
    public HandoverSeries(Stage stage, Guest guest, Consumer<String> progress) {
        this.stage = stage;
        this.guest = guest;
        this.progress = progress;
    }

    /** Starts the first daemon and attaches the guest. */
    public void begin() throws BenchException {
        owner = daemon(++started, false, false);
        ownUri = uri(started);
        progress.accept("daemon " + owner.program().pid() + " is ready after " + owner.startMillis() + " ms");
        guest.attach(socket());
        progress.accept("the guest is attached");
    }

    private Path socket() {
        return stage.folder().resolve("nic0.sock");
    }

    /** A daemon that waits to be handed the NIC. */
    private record Waiting(Daemon daemon, String uri) { }

    private String uri(int n) {
        return "unix:" + stage.folder().resolve("in" + n);
    }

    private Daemon daemon(int n, boolean incoming, boolean quietly) throws BenchException {
        List<String> options = new ArrayList<>(List.of("--netdev", "tap,id=net0,ifname=" + guest.tap(),
                "--nic", "id=nic0,netdev=net0,mac=52:54:00:76:69:72,socket=" + socket().toString().replace(",", ",,")));
        if (incoming) {
            options.addAll(List.of("--incoming", uri(n)));
        }
        return new Daemon(stage, guest.host(), "daemon-" + n, options, quietly);
    }

    /** Starts daemons that wait for the NIC, and waits until they have rehearsed. */
    private void provide(int count, boolean quietly) throws BenchException {
        int last = started + count;
        try (ExecutorService starts = Executors.newFixedThreadPool(STARTING)) {
            List<Future<Daemon>> all = new ArrayList<>();
            for (int i = started + 1; i <= last; i++) {
                int n = i;
                all.add(starts.submit(() -> daemon(n, true, quietly)));
            }
            for (Future<Daemon> f : all) {
                waiting.add(new Waiting(f.get(), uri(++started)));
            }
            for (Waiting w : waiting) {
                w.daemon.awaitIdle();
            }
        } catch (ExecutionException e) {
            throw e.getCause() instanceof BenchException b ? b : new BenchException("a daemon does not start: " + e.getCause(), e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new BenchException("interrupted", e);
        }
    }

    /**
     * Hands over again and again under numbered traffic.
     *
     * @param count how often
     * @param rate frames a second and direction
     * @param fresh each time to a daemon that has just been started; else to the one that it comes from
     * @return what came of it
     * @throws BenchException a NIC did not move
     */
    public Result run(int count, int rate, boolean fresh) throws BenchException {
        provide(fresh ? Math.min(count, MOST_WAITING) : 1, false);
        progress.accept(waiting.size() + " more daemon" + (waiting.size() == 1 ? " waits" : "s wait") + " for the NIC");
        if (!fresh) {
            owner.execute("migrate-incoming", Map.of("uri", ownUri));
        }
        Load load = guest.load(rate);
        progress.accept("numbered frames flow both ways, " + rate + "/s each");
        List<Long> freezes = new ArrayList<>();
        for (int i = 1; i <= count; i++) {
            if (waiting.isEmpty()) {
                provide(1, true);
            }
            Waiting next = waiting.remove();
            Daemon.pause(SETTLE_MILLIS);
            Map<?, ?> nic = owner.migrate(next.uri, LIMIT);
            if (!"moved".equals(nic.get("result"))) {
                throw new BenchException("handover " + i + ": " + Json.write(nic));
            }
            load.requireAlive();
            guest.requireAlive();
            long micros = Json.number(nic, "freeze-micros");
            freezes.add(micros);
            progress.accept(String.format(Locale.ROOT, "handover %d of %d: to process %d, frozen for %.2f ms, prepared in %d ms", i, count,
                    next.daemon.program().pid(), micros / 1e3, Json.number(nic, "prepare-micros") / 1_000));
            if (Boolean.getBoolean("vireo.bench.verbose")) {
                progress.accept(Json.write(nic) + " " + guest.drops());
            }
            Daemon old = owner;
            String oldUri = ownUri;
            owner = next.daemon;
            ownUri = next.uri;
            if (fresh) {
                old.quit();
            } else {
                waiting.add(new Waiting(old, oldUri));
            }
        }
        Daemon.pause(SETTLE_MILLIS);
        return new Result(count, new Freezes(freezes), load.stop());
    }

    /** Who has the NIC now. */
    public Daemon owner() {
        return owner;
    }

    /** Ends all daemons. */
    public void end() throws BenchException {
        owner.quit();
        for (Waiting w : waiting) {
            w.daemon.quit();
        }
    }
}
