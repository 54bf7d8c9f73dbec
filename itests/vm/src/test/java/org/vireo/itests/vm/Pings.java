// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.TestNamespace;
import org.vireo.testsupport.TestProcess;

/** ping(8), every 5 ms, while something happens. Ends with {@link #close()}. */
final class Pings implements AutoCloseable {
    private static final Duration LIMIT = Duration.ofSeconds(30);
    private static final Pattern ANSWER = Pattern.compile("bytes from .* icmp_seq=([0-9]+) ");

    private final TestProcess process;

    private Pings(TestProcess process) {
        this.process = process;
    }

    /** Begins, and waits for the first answer. */
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

    /**
     * Ends it.
     *
     * @return how many were not answered, up to the last one that was
     */
    int lost() {
        process.signal("INT");
        process.exitCode(LIMIT);
        Set<Integer> answered = process.stdout().stream().map(ANSWER::matcher).filter(Matcher::find)
                .map(m -> Integer.valueOf(m.group(1))).collect(Collectors.toSet());
        return answered.stream().max(Integer::compare).orElseThrow() - answered.size();
    }

    @Override
    public void close() {
        process.close();
    }
}
