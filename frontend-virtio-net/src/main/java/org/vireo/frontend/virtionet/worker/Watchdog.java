// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.worker;

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
 * <p>A thread that only waits for a processor is not stuck ({@link ThreadTimes}). Nor is one judged after the watchdog itself was late:
 * the whole process may have been stopped.
 */
public final class Watchdog implements AutoCloseable {
    /** How long a task may hold its worker. */
    public static final long LIMIT_MILLIS = 200;

    private static final Logger LOG = LoggerFactory.getLogger(Watchdog.class);
    private static final long PERIOD = TimeUnit.MILLISECONDS.toNanos(50);
    private static final long LATE = 3 * PERIOD;
    /** Of the limit, what is measured: a period has passed when a task is seen inside for the second time. */
    private static final long MEASURED = TimeUnit.MILLISECONDS.toNanos(LIMIT_MILLIS) - PERIOD;
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
        ThreadTimes times;
        long held;

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
                if (workers.stream().anyMatch(w -> w.worker.isAwake())) {
                    sleeping = false;
                }
                while (sleeping && !closed) {
                    LockSupport.park(this);
                }
                last = System.nanoTime();
            }
            LockSupport.parkNanos(this, PERIOD);
            long now = System.nanoTime();
            long elapsed = now - last;
            last = now;
            boolean busy = false;
            for (Watched w : workers) {
                busy |= look(w, elapsed);
            }
            idle = busy ? 0 : idle + 1;
        }
    }

    private boolean look(Watched w, long elapsed) {
        long tick = w.worker.tick();
        boolean inside = (tick & 1) != 0;
        if (tick != w.tick || !inside || elapsed > LATE) {
            boolean moved = tick != w.tick;
            w.tick = tick;
            w.times = null;
            w.held = 0;
            return moved || inside;
        }
        ThreadTimes now = ThreadTimes.of(w.worker.threadId());
        if (w.times != null) {
            w.held += now.heldSince(w.times, elapsed);
        }
        w.times = now;
        if (w.held > MEASURED) {
            Task task = w.worker.current();
            if (w.worker.replaceThread(tick, "its backend did not return for " + LIMIT_MILLIS + " ms")) {
                LOG.error("{} was stuck in {}: it goes on with another thread", w.worker, task);
            }
            w.times = null;
            w.held = 0;
        }
        return true;
    }

    @Override
    public void close() {
        closed = true;
        sleeping = false;
        LockSupport.unpark(thread);
    }
}
