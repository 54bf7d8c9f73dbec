// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.util.ArrayDeque;
import java.util.EnumMap;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Orders what happens to one NIC: one thing at a time, the most urgent first. It has no thread of its own; a thousand NICs share a few.
 */
final class Actor {
    /** From the most urgent on. */
    enum Urgency {
        DISCONNECT,
        VMM_MESSAGE,
        UNBIND,
        HANDOVER,
        SWAP,
        QUERY
    }

    private static final Logger LOG = LoggerFactory.getLogger(Actor.class);

    private final String name;
    private final Executor executor;
    private final Map<Urgency, Queue<Runnable>> mail = new EnumMap<>(Urgency.class);
    private boolean scheduled;
    private volatile Thread thread;

    Actor(String name, Executor executor) {
        this.name = name;
        this.executor = executor;
        for (Urgency u : Urgency.values()) {
            mail.put(u, new ArrayDeque<>());
        }
    }

    void post(Urgency urgency, Runnable what) {
        synchronized (this) {
            mail.get(urgency).add(what);
            if (scheduled) {
                return;
            }
            scheduled = true;
        }
        executor.execute(this::run);
    }

    /** Does something in its turn and waits for it; at once when called by the actor itself. */
    <T> T call(Urgency urgency, long timeoutMillis, Callable<T> what) throws Exception {
        if (Thread.currentThread() == thread) {
            return what.call();
        }
        CompletableFuture<T> result = new CompletableFuture<>();
        post(urgency, () -> {
            if (result.isCancelled()) {
                return;
            }
            try {
                result.complete(what.call());
            } catch (Throwable t) {
                result.completeExceptionally(t);
            }
        });
        try {
            return result.get(timeoutMillis, TimeUnit.MILLISECONDS);
        } catch (ExecutionException e) {
            if (e.getCause() instanceof Exception x) {
                throw x;
            }
            throw new IllegalStateException(e.getCause());
        } catch (TimeoutException e) {
            result.cancel(false);
            throw new TimeoutException("NIC " + name + " is busy: no answer for " + timeoutMillis + " ms");
        }
    }

    /**
     * As {@link #call}, but on the calling thread if nothing else is being done: a frozen guest waits for it, and does not wait for two
     * changes of threads. Only for what cannot hang.
     */
    <T> T callHere(Urgency urgency, long timeoutMillis, Callable<T> what) throws Exception {
        if (!begin()) {
            return call(urgency, timeoutMillis, what);
        }
        try {
            return what.call();
        } finally {
            end();
        }
    }

    private synchronized boolean begin() {
        if (scheduled) {
            return false;
        }
        scheduled = true;
        thread = Thread.currentThread();
        return true;
    }

    private synchronized void end() {
        thread = null;
        if (mail.values().stream().allMatch(Queue::isEmpty)) {
            scheduled = false;
        } else {
            executor.execute(this::run);
        }
    }

    /** Does something in its turn, and waits for it: if in vain, it is still done. */
    void finish(Urgency urgency, long timeoutMillis, Runnable what) throws TimeoutException, InterruptedException {
        if (Thread.currentThread() == thread) {
            what.run();
            return;
        }
        CountDownLatch done = new CountDownLatch(1);
        post(urgency, () -> {
            try {
                what.run();
            } finally {
                done.countDown();
            }
        });
        if (!done.await(timeoutMillis, TimeUnit.MILLISECONDS)) {
            throw new TimeoutException("NIC " + name + " is busy: it will be done later than in " + timeoutMillis + " ms");
        }
    }

    private void run() {
        thread = Thread.currentThread();
        try {
            for (Runnable r = next(); r != null; r = next()) {
                try {
                    r.run();
                } catch (RuntimeException | Error e) {
                    LOG.error("NIC {}: internal error", name, e);
                }
            }
        } finally {
            // next() has let another thread in already
            if (thread == Thread.currentThread()) {
                thread = null;
            }
        }
    }

    private synchronized Runnable next() {
        for (Queue<Runnable> q : mail.values()) {
            Runnable r = q.poll();
            if (r != null) {
                return r;
            }
        }
        scheduled = false;
        thread = null;
        return null;
    }
}
