// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench;

import java.time.Duration;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** ping(8). */
final class Ping {
    private static final Pattern SUMMARY = Pattern.compile("([0-9]+) packets transmitted, ([0-9]+) received");
    private static final Duration LIMIT = Duration.ofSeconds(60);

    private Ping() {
    }

    /**
     * Pings.
     *
     * @param from namespace
     * @param address whom
     * @param count how often, 20 a second
     * @return how many answers came
     * @throws BenchException ping said something else
     */
    static int from(Namespace from, String address, int count) throws BenchException {
        Program p = from.start("ping", java.util.List.of("ping", "-n", "-c", String.valueOf(count), "-i", "0.05", "-W", "2", address));
        p.awaitEnd(LIMIT);
        for (String line : p.lines()) {
            Matcher m = SUMMARY.matcher(line);
            if (m.find() && Integer.parseInt(m.group(1)) == count) {
                return Integer.parseInt(m.group(2));
            }
        }
        throw new BenchException("ping: " + p.said());
    }
}
