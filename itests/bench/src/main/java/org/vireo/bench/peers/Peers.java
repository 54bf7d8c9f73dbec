// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.peers;

import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.vireo.bench.guest.GuestImage;
import org.vireo.bench.guest.Vm;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Json;
import org.vireo.bench.host.Progress;
import org.vireo.bench.host.Stage;

/** {@code vireo bench peers}: each case of the matrix of peers on a stage of its own, and a table of what was seen. */
public final class Peers {
    private Peers() {
    }

    /**
     * What became of one case.
     *
     * @param what the case
     * @param result ok, failed, or not run
     * @param seen what was seen, or why not
     * @param seconds how long it took
     */
    private record Row(PeerCase what, String result, String seen, double seconds) {
        Map<String, Object> toMap() {
            Map<String, Object> m = new LinkedHashMap<>();
            m.put("peer", what.peer());
            m.put("case", what.what());
            m.put("result", result);
            m.put("seen", seen);
            m.put("seconds", Math.round(seconds));
            return m;
        }

        String line() {
            return String.format(Locale.ROOT, "| %s | %s | %s | %s | %.0f |", what.peer(), what.what(), result, seen, seconds);
        }
    }

    /**
     * Runs cases and prints the table.
     *
     * @param stage for what all of them need
     * @param quick only the short run
     * @param only part of the line that names a case
     * @param json one JSON object instead of a table
     * @return whether all was as it must be; a case for which something is not installed is not run, and does not count
     */
    public static boolean run(Stage stage, boolean quick, String only, boolean json) throws BenchException {
        List<PeerCase> cases = PeerCase.all().stream().filter(c -> !quick || c.quick()).filter(c -> c.line().contains(only)).toList();
        if (cases.isEmpty()) {
            throw BenchException.noCase(only, PeerCase.all().stream().map(PeerCase::line).toList());
        }
        GuestImage image = Vm.image(stage);
        List<Row> rows = new ArrayList<>();
        for (PeerCase c : cases) {
            Row r = run(c, image);
            rows.add(r);
            Progress.say(rows.size() + " of " + cases.size() + " " + r.line());
        }
        if (json) {
            System.out.println(Json.write(Map.of("rows", rows.stream().map(Row::toMap).toList())));
        } else {
            System.out.println("| peer | case | result | seen | s |\n|---|---|---|---|---|");
            rows.forEach(r -> System.out.println(r.line()));
        }
        return rows.stream().noneMatch(r -> r.result.equals("failed"));
    }

    private static Row run(PeerCase c, GuestImage image) throws BenchException {
        List<String> missing = c.missing();
        if (!missing.isEmpty()) {
            return new Row(c, "not run", "missing: " + String.join(", ", missing), 0);
        }
        long begin = System.nanoTime();
        String result = "ok";
        String seen;
        try (Stage stage = new Stage("vireo-peer")) {
            seen = c.body().run(stage, image);
        } catch (BenchException | Json.JsonException e) {
            result = "failed";
            seen = e.getMessage();
        } catch (IOException e) {
            throw new BenchException("no place for a stage: " + e.getMessage(), e);
        }
        return new Row(c, result, seen.replace('|', '/'), (System.nanoTime() - begin) / 1e9);
    }
}
