// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.worker;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What a thread did until one moment (proc(5), /proc/PID/task/TID/stat and schedstat).
 *
 * @param runnable whether it runs or waits for a processor
 * @param cpuNanos time on processors
 * @param delayNanos time that it waited for one. The kernel adds a wait only when it is over
 */
record ThreadTimes(boolean runnable, long cpuNanos, long delayNanos) {
    private static final Logger LOG = LoggerFactory.getLogger(ThreadTimes.class);

    static ThreadTimes of(int threadId) {
        try {
            String task = "/proc/self/task/" + threadId;
            String stat = Files.readString(Path.of(task, "stat"), StandardCharsets.ISO_8859_1);
            String[] times = Files.readString(Path.of(task, "schedstat"), StandardCharsets.US_ASCII).strip().split(" ");
            return new ThreadTimes(stat.charAt(stat.lastIndexOf(')') + 2) == 'R', Long.parseLong(times[0]), Long.parseLong(times[1]));
        } catch (IOException | RuntimeException e) {
            // without these files all time counts
            LOG.debug("no times of thread {}: {}", threadId, e.toString());
            return new ThreadTimes(false, 0, 0);
        }
    }

    /**
     * How long the thread held its task in a period, at least: what it waited for a processor is taken off. While it is runnable the
     * wait under way is not known yet, so that only its time on processors counts.
     */
    long heldSince(ThreadTimes before, long elapsedNanos) {
        long cpu = cpuNanos - before.cpuNanos;
        return runnable ? Math.min(cpu, elapsedNanos) : Math.max(cpu, elapsedNanos - (delayNanos - before.delayNanos));
    }
}
