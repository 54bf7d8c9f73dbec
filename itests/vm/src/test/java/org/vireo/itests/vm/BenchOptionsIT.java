// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.vireo.testsupport.TestProcess;

/** A command line of {@code vireo bench} that asks for what is not there measures nothing. */
final class BenchOptionsIT {
    private static final Duration LIMIT = Duration.ofMinutes(1);

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "nosuch              | unknown argument nosuch",
        "swap handover       | swap and handover are two measurements: give one",
        "external --only tx  | --only means nothing to external; it is for faults, peers, vm-phases",
        "--count 3           | --count means nothing to vireo bench without a word; it is for handover, idle-nics, many",
        "alloc --packed on   | --packed on: alloc has a guest with split rings",
        "many --count        | --count needs a value",
    })
    void isRefused(String line, String why) {
        String said = said(2, line);
        assertTrue(said.contains("vireo bench: " + why), said);
    }

    private static String said(int code, String line) {
        List<String> c = new ArrayList<>(List.of(Vireo.ROOT.resolve("vireo").toString(), "bench"));
        c.addAll(List.of(line.split(" ")));
        try (TestProcess p = TestProcess.start(c, Vireo.environment(), null)) {
            assertEquals(code, p.exitCode(LIMIT));
            return String.join("\n", p.lines());
        }
    }

    /** With the options that it takes, and no others. */
    @Test
    void oneMeasurementHasAPageOfItsOwn() {
        String swap = said(0, "swap --help");
        for (String has : List.of("vireo bench swap [OPTIONS]", "\n  swap   ", "(--in-place: ", "\n  --count N", "\n  --packed on",
                "\n  --quick", "A quiet machine")) {
            assertTrue(swap.contains(has), has + " in\n" + swap);
        }
        for (String lacks : List.of("handover   ", "neighbours", "\n  --pairs", "\n  --only", "\n  --warm")) {
            assertFalse(swap.contains(lacks), lacks + " in\n" + swap);
        }
        assertTrue(said(0, "--help").contains("\n  neighbours"));
    }
}
