// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
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
    void isRefused(String line, String why) throws Exception {
        List<String> c = new ArrayList<>(List.of(Vireo.ROOT.resolve("vireo").toString(), "bench"));
        c.addAll(List.of(line.split(" ")));
        try (TestProcess p = TestProcess.start(c, Map.of("VIREO_DIST", Vireo.DIST.toString(), "JAVA_HOME", System.getProperty("java.home")),
                null)) {
            assertEquals(2, p.exitCode(LIMIT));
            String said = String.join("\n", p.lines());
            assertTrue(said.contains("vireo bench: " + why), said);
        }
    }
}
