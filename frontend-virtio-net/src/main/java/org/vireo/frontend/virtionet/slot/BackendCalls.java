// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.slot;

import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Future;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.vireo.net.api.NetdevException;

/**
 * Calls the control side of one netdev's backend, one call at a time, with a deadline. A call that does not return leaves its thread
 * behind and makes this one refuse further calls: its netdev is lost, nobody else waits.
 */
final class BackendCalls {
    private final String netdev;
    private final ExecutorService executor;
    private volatile String stuck;

    BackendCalls(String netdev) {
        this.netdev = netdev;
        ThreadPoolExecutor e = new ThreadPoolExecutor(0, 1, 5, TimeUnit.SECONDS, new SynchronousQueue<>(), r -> {
            Thread t = new Thread(r, "vireo-netdev-" + netdev);
            t.setDaemon(true);
            return t;
        });
        e.setRejectedExecutionHandler((r, pool) -> {
            try {
                // one call at a time: the former one's thread is on its way back
                pool.getQueue().put(r);
            } catch (InterruptedException x) {
                Thread.currentThread().interrupt();
            }
        });
        executor = e;
    }

    /** A call without result. */
    @FunctionalInterface
    interface Action {
        void run() throws Exception;
    }

    <T> T call(String what, String bundle, long deadlineNanos, Callable<T> call) throws NetdevException {
        if (stuck != null) {
            throw new NetdevException("netdev " + netdev + ": " + stuck);
        }
        Future<T> f = executor.submit(call);
        try {
            return f.get(Math.max(1, deadlineNanos - System.nanoTime()), TimeUnit.NANOSECONDS);
        } catch (ExecutionException e) {
            Throwable t = e.getCause();
            if (t instanceof NetdevException n) {
                throw n;
            }
            throw new NetdevException("netdev " + netdev + ": " + what + " of " + bundle + " threw " + t, t);
        } catch (TimeoutException e) {
            stuck = what + " of " + bundle + " has not returned";
            throw new NetdevException("netdev " + netdev + ": " + what + " of " + bundle + " did not return in time", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new NetdevException("netdev " + netdev + ": " + what + " was interrupted", e);
        }
    }

    void run(String what, String bundle, long deadlineNanos, Action action) throws NetdevException {
        call(what, bundle, deadlineNanos, () -> {
            action.run();
            return null;
        });
    }

    void close() {
        executor.shutdown();
    }
}
