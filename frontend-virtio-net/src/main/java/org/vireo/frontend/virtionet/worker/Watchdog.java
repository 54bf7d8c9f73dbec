// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.worker;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Finds workers that a backend's call does not give back. It looks every 50 ms while workers are busy, and sleeps without a timer while
 * they are not: an idle daemon uses no CPU.
 *
 * <p>A thread that only waits for a processor is not stuck: its run delay (/proc/self/task/TID/schedstat) is taken off. Nor is one
 * judged after the watchdog itself was late: the whole process may have been stopped.
 */
public final class Watchdog implements AutoCloseable {
    /** How long a task may hold its worker. */
    public static final long LIMIT_MILLIS = 200;

    private static final Logger LOG = LoggerFactory.getLogger(Watchdog.class);
    private static final long PERIOD = TimeUnit.MILLISECONDS.toNanos(50);
    private static final long LATE = 3 * PERIOD;
    /** Periods without work after which it goes to sleep. */
    private static final int IDLE_PERIODS = 4;

    private final List<Watched> workers = new CopyOnWriteArrayList<>();
    private final Thread thread;
    private volatile boolean sleeping;
    private volatile boolean closed;

    /** What was seen of a worker. */
    private static final class Watched {
        final Worker worker;
        long tick;
        Task task;
        int periods;
        long delayBefore;

        Watched(Worker worker) {
            this.worker = worker;
        }
    }

    /** Starts it. */
    public Watchdog() {
        thread = new Thread(this::loop, "vireo-watchdog");
        thread.setDaemon(true);
        thread.start();
    }

    void watch(Worker worker) {
        workers.add(new Watched(worker));
    }

    void forget(Worker worker) {
        workers.removeIf(w -> w.worker == worker);
    }

    /** A worker has something to do. Cheap unless the watchdog sleeps. */
    void awake() {
        if (sleeping) {
            sleeping = false;
            LockSupport.unpark(thread);
        }
    }

    private void loop() {
        int idle = 0;
        long last = System.nanoTime();
        while (!closed) {
            if (idle >= IDLE_PERIODS) {
                idle = 0;
                sleeping = true;
                if (workers.stream().anyMatch(w -> w.worker.current() != null || w.worker.tick() != w.tick)) {
                    sleeping = false;
                }
                while (sleeping && !closed) {
                    LockSupport.park(this);
                }
                last = System.nanoTime();
            }
            LockSupport.parkNanos(this, PERIOD);
            long now = System.nanoTime();
            boolean late = now - last > LATE;
            last = now;
            boolean busy = false;
            for (Watched w : workers) {
                busy |= look(w, late);
            }
            idle = busy ? 0 : idle + 1;
        }
    }

    private boolean look(Watched w, boolean late) {
        long tick = w.worker.tick();
        Task task = w.worker.current();
        boolean moved = tick != w.tick;
        if (moved || task == null || late || task != w.task) {
            w.tick = tick;
            w.task = task;
            w.periods = 0;
            return moved || task != null;
        }
        if (w.periods++ == 0) {
            w.delayBefore = runDelay(w.worker.threadId());
        }
        if (w.periods * PERIOD > TimeUnit.MILLISECONDS.toNanos(LIMIT_MILLIS)) {
            long starved = runDelay(w.worker.threadId()) - w.delayBefore;
            if (starved > PERIOD) {
                w.periods = 0;
                return true;
            }
            if (w.worker.tick() == tick && w.worker.current() == task) {
                LOG.error("{} is stuck in {}: it goes on with another thread", w.worker, task);
                w.worker.replaceThread(task, new StuckException("its backend did not return for " + LIMIT_MILLIS + " ms"));
                w.periods = 0;
            }
        }
        return true;
    }

    /** Nanoseconds that a thread waited for a processor. */
    private static long runDelay(int threadId) {
        try {
            String s = Files.readString(Path.of("/proc/self/task/" + threadId + "/schedstat"), StandardCharsets.US_ASCII);
            return Long.parseLong(s.split(" ")[1]);
        } catch (IOException | RuntimeException e) {
            LOG.debug("no schedstat of thread {}: {}", threadId, e.toString());
            return 0;
        }
    }

    @Override
    public void close() {
        closed = true;
        sleeping = false;
        LockSupport.unpark(thread);
    }
}
