// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.TestNamespace;
import org.vireo.testsupport.TestProcess;

/** ping(8) while something happens. Ends with {@link #close()}. */
final class Pings implements AutoCloseable {
    private static final Duration LIMIT = Duration.ofSeconds(30);
    private static final Duration ALL_LIMIT = Duration.ofSeconds(90);
    private static final Pattern ANSWER = Pattern.compile("bytes from .* icmp_seq=([0-9]+) ");

    private final TestProcess process;

    private Pings(TestProcess process) {
        this.process = process;
    }

    /** Whether one is answered, within five seconds. */
    static boolean isAnswered(TestNamespace from, String address) {
        try (TestProcess p = TestProcess.start(from.command(List.of("ping", "-n", "-c", "1", "-W", "5", address)), Map.of(), null)) {
            return p.exitCode(LIMIT) == 0;
        }
    }

    /**
     * Begins to ask so often; {@link #assertAllAnswered} tells whether all were. A ping that is asked for a number of answers, with a limit
     * (-w), waits for late ones; without one it does so for as long as two answers took, which an emulated guest is late now and then.
     *
     * @param count how often
     * @param interval seconds between two
     */
    static Pings start(TestNamespace from, String address, int count, String interval) {
        return new Pings(TestProcess.start(from.command(List.of("ping", "-n", "-i", interval, "-c", String.valueOf(count), "-w",
                String.valueOf(ALL_LIMIT.toSeconds()), address)), Map.of(), null));
    }

    /** Begins, every 5 ms, and waits for the first answer. */
    static Pings start(TestNamespace from, String address) {
        Pings p = new Pings(TestProcess.start(from.command(List.of("ping", "-n", "-i", "0.005", address)), Map.of(), null));
        try {
            p.awaitMore();
            return p;
        } catch (AssertionError e) {
            p.close();
            throw e;
        }
    }

    private long answers() {
        return process.stdout().stream().filter(l -> ANSWER.matcher(l).find()).count();
    }

    /** Waits until answers come that have not come yet: so many that some of them were asked for after now. */
    void awaitMore() {
        long before = answers();
        Await.until(LIMIT, "answers to ping: " + process.lines().stream().skip(Math.max(0, process.lines().size() - 3)).toList(),
                () -> answers() >= before + 20);
    }

    /** Waits for the answer to one of them. */
    void await(int number) {
        process.awaitLine("icmp_seq=" + number + " ", LIMIT);
    }

    /** Waits for the end: the first so many were answered. */
    void assertAllAnswered(int count) {
        process.exitCode(ALL_LIMIT.plus(LIMIT));
        Set<Integer> missing = IntStream.rangeClosed(1, count).boxed().collect(Collectors.toCollection(TreeSet::new));
        missing.removeAll(answered());
        assertEquals(Set.of(), missing, () -> "not answered, of\n" + String.join("\n", process.lines()));
    }

    private Set<Integer> answered() {
        return process.stdout().stream().map(ANSWER::matcher).filter(Matcher::find).map(m -> Integer.valueOf(m.group(1)))
                .collect(Collectors.toSet());
    }

    /**
     * Ends it.
     *
     * @return how many were not answered, up to the last one that was
     */
    int lost() {
        process.signal("INT");
        process.exitCode(LIMIT);
        Set<Integer> answered = answered();
        return answered.stream().max(Integer::compare).orElseThrow() - answered.size();
    }

    @Override
    public void close() {
        process.close();
    }
}
