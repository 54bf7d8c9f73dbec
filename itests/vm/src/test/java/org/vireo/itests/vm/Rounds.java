// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Locale;

/**
 * How often a test does what it does: a few times with every build, and with {@code -Dvireo.rounds=full} as often as it takes to believe it
 * (docs/counts.md); {@code -Dvireo.rounds=NUMBER} is for trying it out.
 */
final class Rounds {
    /** Tag of what is done only where {@code vireo.rounds} is set: with every build other tests do it once. */
    static final String COUNT = "count";

    private static final String GIVEN = System.getProperty("vireo.rounds", "few");

    private static final long MOST_NANOS = 1_000_000_000;

    private Rounds() { }

    /** Whether all that can be tried is to be tried, which takes minutes. */
    static boolean isFull() {
        return GIVEN.equals("full");
    }

    static int of(int few, int full) {
        return switch (GIVEN) {
            case "few" -> few;
            case "full" -> full;
            default -> Integer.parseInt(GIVEN);
        };
    }

    /** Tells what came of many rounds, where the build's output is. */
    static void tell(String what) {
        System.out.println(what);
    }

    /** How long something took each time, for people. */
    static String distribution(String what, long... nanos) {
        long[] sorted = nanos.clone();
        Arrays.sort(sorted);
        return String.format(Locale.ROOT, "%s, %d times: shortest %.1f, median %.1f, 90 %% %.1f, longest %.1f ms", what, sorted.length,
                sorted[0] / 1e6, median(nanos) / 1e6, sorted[(int) (0.9 * (sorted.length - 1))] / 1e6, sorted[sorted.length - 1] / 1e6);
    }

    /** Tells how long something took: as a rule less than a second. Where it was done a few times only, that is not asked for. */
    static void judge(String what, long... nanos) {
        String told = distribution(what, nanos);
        tell(told);
        assertTrue(!isFull() || median(nanos) < MOST_NANOS, told);
    }

    private static long median(long... nanos) {
        long[] sorted = nanos.clone();
        Arrays.sort(sorted);
        return sorted[(sorted.length - 1) / 2];
    }
}
