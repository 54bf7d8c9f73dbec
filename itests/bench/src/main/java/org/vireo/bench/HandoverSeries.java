// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Consumer;

/** One NIC that goes from process to process under a guest, each time to a fresh one. One thread. */
final class HandoverSeries {
    private static final Duration LIMIT = Duration.ofSeconds(60);
    private static final long SETTLE_MILLIS = 300;

    private final Stage stage;
    private final Guest guest;
    private final Consumer<String> progress;
    private Daemon owner;
    private Daemon next;
    private int started;

    /**
     * What came of it.
     *
     * @param count handovers
     * @param freezes of the NIC
     * @param counts of the numbered traffic meanwhile
     */
    record Result(int count, Freezes freezes, Load.Counts counts) {
    }

    /**
     * A series; nothing runs yet.
     *
     * @param stage what the daemons belong to
     * @param guest who is on the NIC
     * @param progress is told what happens, a line each
     */
    HandoverSeries(Stage stage, Guest guest, Consumer<String> progress) {
        this.stage = stage;
        this.guest = guest;
        this.progress = progress;
    }

    /** Starts the first daemon and attaches the guest. */
    void begin() throws BenchException {
        owner = daemon(false);
        progress.accept("daemon " + owner.program().pid() + " is ready after " + owner.startMillis() + " ms");
        guest.attach(socket());
        progress.accept("the guest is attached");
    }

    private Path socket() {
        return stage.folder().resolve("nic0.sock");
    }

    private String uri(int n) {
        return "unix:" + stage.folder().resolve("in" + n);
    }

    private Daemon daemon(boolean incoming) throws BenchException {
        int n = ++started;
        List<String> options = new ArrayList<>(List.of("--netdev", "tap,id=net0,ifname=" + guest.tap(),
                "--nic", "id=nic0,netdev=net0,mac=52:54:00:76:69:72,socket=" + socket().toString().replace(",", ",,")));
        if (incoming) {
            options.addAll(List.of("--incoming", uri(n)));
        }
        return new Daemon(stage, guest.host(), "daemon-" + n, options, incoming);
    }

    /**
     * Hands over again and again under numbered traffic.
     *
     * @param count how often
     * @param rate frames a second and direction
     * @return what came of it
     * @throws BenchException a NIC did not move
     */
    Result run(int count, int rate) throws BenchException {
        next = daemon(true);
        Load load = guest.load(rate);
        progress.accept("numbered frames flow both ways, " + rate + "/s each");
        List<Long> freezes = new ArrayList<>();
        for (int i = 1; i <= count; i++) {
            Daemon.pause(SETTLE_MILLIS);
            if (Boolean.getBoolean("vireo.bench.verbose")) {
                progress.accept("before: " + guest.drops());
            }
            Map<?, ?> nic = owner.migrate(uri(started), LIMIT);
            if (!"moved".equals(nic.get("result"))) {
                throw new BenchException("handover " + i + ": " + Json.write(nic));
            }
            load.requireAlive();
            guest.requireAlive();
            long micros = Json.number(nic, "freeze-micros");
            freezes.add(micros);
            if (Boolean.getBoolean("vireo.bench.verbose")) {
                progress.accept(Json.write(nic) + " " + guest.drops());
            }
            progress.accept(String.format(Locale.ROOT, "handover %d of %d: to process %d, frozen for %.2f ms, prepared in %d ms", i, count,
                    next.program().pid(), micros / 1e3, Json.number(nic, "prepare-micros") / 1_000));
            Daemon old = owner;
            owner = next;
            next = null;
            old.quit();
            if (i < count) {
                next = daemon(true);
            }
        }
        Daemon.pause(SETTLE_MILLIS);
        return new Result(count, new Freezes(freezes), load.stop());
    }

    /** Ends the daemon that has the NIC. */
    void end() throws BenchException {
        owner.quit();
    }
}
