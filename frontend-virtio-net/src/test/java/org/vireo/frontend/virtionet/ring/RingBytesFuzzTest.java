// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.ring;

import com.code_intelligence.jazzer.junit.FuzzTest;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Whatever lies in a ring, led by coverage; it begins with the corpus of {@link RingFuzzTest}, which has an input for each rule.
 * {@code mvn verify} tries the kept inputs; the profile fuzz makes new ones.
 */
class RingBytesFuzzTest {
    private static RingFuzz fuzz;

    @BeforeAll
    static void start() throws Exception {
        fuzz = new RingFuzz();
    }

    @AfterAll
    static void stop() {
        fuzz.close();
    }

    static List<byte[]> corpus() throws Exception {
        List<byte[]> all = new ArrayList<>();
        try (Stream<Path> files = RingFuzzTest.corpus()) {
            for (Path f : files.toList()) {
                all.add(Files.readAllBytes(f));
            }
        }
        return all;
    }

    @MethodSource("corpus")
    @FuzzTest(maxExecutions = 50_000)
    void whateverLiesInARing(byte[] input) {
        fuzz.run(input);
    }
}
