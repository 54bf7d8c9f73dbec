// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.host;

import java.time.Duration;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** ping(8). */
public final class Ping {
    private static final Pattern SUMMARY = Pattern.compile("([0-9]+) packets transmitted, ([0-9]+) received");
    private static final Pattern ANSWER = Pattern.compile("bytes from .* icmp_seq=([0-9]+) ");
    private static final double INTERVAL_SECONDS = 0.05;
    /** On a busy machine an emulated guest, and a process that gives way to others, may be that slow: late is not lost. */
    private static final int LATE_SECONDS = 10;
    private static final Duration LIMIT = Duration.ofSeconds(60);

    private Ping() {
    }

    /**
     * How it went.
     *
     * @param sent questions
     * @param answered answers
     */
    public record Count(int sent, int answered) { }

    /**
     * Pings. With a limit (-w) ping waits for late answers, and goes on asking meanwhile; without one it waits for as long as two answers
     * took, or an interval.
     *
     * @param from namespace
     * @param address whom
     * @param count how often, 20 a second
     * @return how many of so many were answered
     * @throws BenchException it did not end
     */
    public static int from(Namespace from, String address, int count) throws BenchException {
        int seconds = (int) Math.ceil(count * INTERVAL_SECONDS) + LATE_SECONDS;
        Program p = from.start("ping", List.of("ping", "-n", "-c", String.valueOf(count), "-i", String.valueOf(INTERVAL_SECONDS), "-w",
                String.valueOf(seconds), address));
        p.awaitEnd(LIMIT.plusSeconds(seconds));
        count(p);
        return (int) p.out().stream().map(ANSWER::matcher).filter(Matcher::find).mapToInt(m -> Integer.parseInt(m.group(1))).distinct()
                .filter(n -> n <= count).count();
    }

    /** What a ping that has ended tells. */
    public static Count count(Program ping) throws BenchException {
        for (String line : ping.lines()) {
            Matcher m = SUMMARY.matcher(line);
            if (m.find()) {
                return new Count(Integer.parseInt(m.group(1)), Integer.parseInt(m.group(2)));
            }
        }
        throw new BenchException("ping: " + ping.said());
    }
}
