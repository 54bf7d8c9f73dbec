// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.vireo.net.api.NetdevException;

/** The thread that calls queues: never the one that calls everything else, as in the system. A call that does not come back fails. */
final class KitWorker {
    /** Far more than the 200 ms of the contract: a busy machine must not make a rule fail. */
    private static final long LIMIT_MILLIS = Math.max(5_000, TckSupport.limit().toMillis());

    private static ExecutorService thread = start();

    private KitWorker() {
    }

    /** There is one from now on: what counts threads does not see it come. */
    static void warm() throws NetdevException {
        call(() -> null);
    }

    private static ExecutorService start() {
        return Executors.newSingleThreadExecutor(r -> Thread.ofPlatform().daemon().name(Census.OWN + "worker").unstarted(r));
    }

    static <T> T call(Callable<T> what) throws NetdevException {
        try {
            return current().submit(what).get(LIMIT_MILLIS, TimeUnit.MILLISECONDS);
        } catch (TimeoutException e) {
            abandon();
            throw new AssertionError("a call of a FrameQueue did not return within " + LIMIT_MILLIS + " ms: a worker must never be blocked",
                    e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new AssertionError("interrupted while a FrameQueue was called", e);
        } catch (ExecutionException e) {
            switch (e.getCause()) {
                case NetdevException n -> throw n;
                case RuntimeException r -> throw r;
                case Error r -> throw r;
                default -> throw new AssertionError(e.getCause());
            }
        }
    }

    private static synchronized ExecutorService current() {
        return thread;
    }

    /** The thread is lost in the backend; the next call gets another one. */
    private static synchronized void abandon() {
        thread.shutdownNow();
        thread = start();
    }
}
