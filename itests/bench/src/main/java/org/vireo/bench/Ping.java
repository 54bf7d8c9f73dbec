// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench;

import java.time.Duration;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** ping(8). */
final class Ping {
    private static final Pattern SUMMARY = Pattern.compile("([0-9]+) packets transmitted, ([0-9]+) received");
    /** On a busy machine an emulated guest, and a process that gives way to others, may be that slow: late is not lost. */
    private static final String ANSWER_SECONDS = "10";
    private static final Duration LIMIT = Duration.ofSeconds(60);

    private Ping() {
    }

    /**
     * How it went.
     *
     * @param sent questions
     * @param answered answers
     */
    record Count(int sent, int answered) { }

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
        Program p = from.start("ping", List.of("ping", "-n", "-c", String.valueOf(count), "-i", "0.05", "-W", ANSWER_SECONDS, address));
        p.awaitEnd(LIMIT);
        Count c = count(p);
        if (c.sent != count) {
            throw new BenchException("ping: " + p.said());
        }
        return c.answered;
    }

    /** What a ping that has ended tells. */
    static Count count(Program ping) throws BenchException {
        for (String line : ping.lines()) {
            Matcher m = SUMMARY.matcher(line);
            if (m.find()) {
                return new Count(Integer.parseInt(m.group(1)), Integer.parseInt(m.group(2)));
            }
        }
        throw new BenchException("ping: " + ping.said());
    }
}
