// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.slot;

import java.util.concurrent.ExecutorService;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.function.UnaryOperator;
import org.vireo.posix.linux.Threads;

/** The threads in which the control side of backends is called: as many as calls are in progress, however many netdevs there are. */
final class BackendThreads {
    private static final int KEEP_SECONDS = 5;

    private BackendThreads() {
    }

    /** Threads of ordinary priority, as the scripts have that a backend runs. */
    static ExecutorService ordinary() {
        return pool(r -> () -> {
            Threads.ordinary();
            r.run();
        });
    }

    /** Threads with the priority of who calls first. */
    static ExecutorService inheriting() {
        return pool(UnaryOperator.identity());
    }

    private static ExecutorService pool(UnaryOperator<Runnable> body) {
        // who still calls a backend after the end gets a thread of its own
        return new ThreadPoolExecutor(0, Integer.MAX_VALUE, KEEP_SECONDS, TimeUnit.SECONDS, new SynchronousQueue<>(),
                r -> thread(body.apply(r)), (r, pool) -> thread(body.apply(r)).start());
    }

    private static Thread thread(Runnable r) {
        return Thread.ofPlatform().daemon().name("vireo-backend").unstarted(r);
    }
}
