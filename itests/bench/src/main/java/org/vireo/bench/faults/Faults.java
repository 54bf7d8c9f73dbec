// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.faults;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Json;
import org.vireo.bench.host.Progress;
import org.vireo.bench.host.Stage;

/** {@code vireo bench faults}: all cases of the failure matrix, and a table of what became of them. */
public final class Faults {
    private static final int TRIES = 3;

    private Faults() {
    }

    /**
     * Runs cases and prints the table.
     *
     * @param stage what they belong to
     * @param quick only the short run
     * @param only part of the line that names a case
     * @param json one JSON object instead of a table
     * @param packed whether the guests have packed rings
     * @return whether all was as it must be
     */
    public static boolean run(Stage stage, boolean quick, String only, boolean json, boolean packed) throws BenchException {
        List<FaultCase> cases = FaultCase.all().stream().filter(c -> !quick || c.stable()).filter(c -> c.line().contains(only)).toList();
        List<FaultTrio.Case> trios = FaultTrio.all().stream().filter(c -> !quick && c.what().line().contains(only)).toList();
        int count = cases.size() + trios.size();
        if (count == 0) {
            throw BenchException.noCase(only, Stream.concat(FaultCase.all().stream().map(FaultCase::line),
                    FaultTrio.all().stream().map(c -> c.what().line())).toList());
        }
        List<FaultMatrix.Row> rows = new ArrayList<>();
        try (FaultMatrix m = new FaultMatrix(stage, packed)) {
            if (Boolean.getBoolean("vireo.bench.verbose")) {
                Progress.say("system calls of the source\n" + m.events(true));
                Progress.say("system calls of the target\n" + m.events(false));
            }
            for (FaultCase c : cases) {
                note(rows, count, best(() -> m.run(c)));
            }
            FaultTrio trio = m.trio();
            for (FaultTrio.Case c : trios) {
                note(rows, count, best(() -> trio.run(c)));
            }
        }
        if (json) {
            System.out.println(Json.write(Map.of("rows", rows.stream().map(FaultMatrix.Row::toMap).toList())));
        } else {
            System.out.println(FaultMatrix.Row.HEAD);
            rows.forEach(r -> System.out.println(r.line()));
        }
        return rows.stream().allMatch(r -> r.problems().isEmpty());
    }

    /** One case, once. */
    private interface Attempt {
        FaultMatrix.Row run() throws BenchException;
    }

    /** A gap that is too long may be the machine's doing: then the best of a few counts. */
    private static FaultMatrix.Row best(Attempt attempt) throws BenchException {
        FaultMatrix.Row r = attempt.run();
        for (int i = 1; i < TRIES && r.isOnlyTooDark(); i++) {
            Progress.say("once more: " + r.line());
            r = attempt.run();
        }
        return r;
    }

    private static void note(List<FaultMatrix.Row> rows, int count, FaultMatrix.Row r) {
        rows.add(r);
        Progress.say(rows.size() + " of " + count + " " + r.line() + " " + r.outcome());
    }
}
