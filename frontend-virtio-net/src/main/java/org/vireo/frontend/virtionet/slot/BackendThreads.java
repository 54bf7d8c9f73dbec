// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.slot;

import java.util.concurrent.Executor;
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
    static Executor ordinary() {
        return pool(r -> () -> {
            Threads.ordinary();
            r.run();
        });
    }

    /** Threads with the priority of who calls first. */
    static Executor inheriting() {
        return pool(UnaryOperator.identity());
    }

    private static Executor pool(UnaryOperator<Runnable> body) {
        return new ThreadPoolExecutor(0, Integer.MAX_VALUE, KEEP_SECONDS, TimeUnit.SECONDS, new SynchronousQueue<>(),
                r -> Thread.ofPlatform().daemon().name("vireo-backend").unstarted(body.apply(r)));
    }
}
