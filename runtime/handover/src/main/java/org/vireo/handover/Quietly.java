// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.util.concurrent.Callable;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.function.IntSupplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.posix.Errno;
import org.vireo.posix.linux.Threads;

/** Work that must not cost a busy process a frame: on a thread of low priority, which ends with it. */
final class Quietly {
    private static final Logger LOG = LoggerFactory.getLogger(Quietly.class);

    private Quietly() {
    }

    /**
     * Begins something that somebody waits for.
     *
     * @param name of the thread
     * @param work what to do
     * @return its result
     */
    static <T> FutureTask<T> start(String name, Callable<T> work) {
        FutureTask<T> task = new FutureTask<>(work);
        thread(name, Threads::patient, task);
        return task;
    }

    /**
     * Begins something that nobody waits for, at the lowest priority.
     *
     * @param name of the thread
     * @param work what to do
     * @return the thread
     */
    static Thread thread(String name, Runnable work) {
        return thread(name, Threads::nicest, work);
    }

    private static Thread thread(String name, IntSupplier priority, Runnable work) {
        return Thread.ofPlatform().daemon().name(name).start(() -> {
            int n = priority.getAsInt();
            if (n < 0) {
                LOG.warn("{} runs at ordinary priority: {}", name, Errno.text(-n));
            }
            work.run();
        });
    }

    /**
     * Waits for the end.
     *
     * @param task of {@link #start}
     * @param deadlineNanos until when
     * @return its result
     * @throws Exception what it threw, or that it did not end in time
     */
    static <T> T await(FutureTask<T> task, long deadlineNanos) throws Exception {
        try {
            return task.get(Math.max(0, deadlineNanos - System.nanoTime()), TimeUnit.NANOSECONDS);
        } catch (java.util.concurrent.ExecutionException e) {
            if (e.getCause() instanceof Exception x) {
                throw x;
            }
            throw e;
        }
    }
}
