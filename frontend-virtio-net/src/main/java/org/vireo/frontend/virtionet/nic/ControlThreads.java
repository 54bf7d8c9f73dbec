// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.util.concurrent.LinkedTransferQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import org.vireo.posix.linux.Threads;

/**
 * The threads that actors run on. A thread that waits gets the work at once; a new one is started only if none waits, since that takes
 * milliseconds on a busy machine, which a frozen guest would wait for. When all are busy, work waits: whoever posts it (a worker, the
 * poller, the timer) never does it itself.
 */
final class ControlThreads extends ThreadPoolExecutor {
    private static final int KEPT = 2;
    private static final int MOST = 64;
    private static final int KEEP_SECONDS = 10;

    /** Takes work only if a thread waits for it. */
    private static final class Handover extends LinkedTransferQueue<Runnable> {
        private static final long serialVersionUID = 1;

        @Override
        public boolean offer(Runnable r) {
            return tryTransfer(r);
        }
    }

    ControlThreads() {
        super(KEPT, MOST, KEEP_SECONDS, TimeUnit.SECONDS, new Handover(),
                r -> Thread.ofPlatform().daemon().name("vireo-control").unstarted(() -> {
                    Threads.urgent();
                    r.run();
                }), (r, pool) -> {
                    if (!pool.isShutdown()) {
                        ((Handover) pool.getQueue()).put(r);
                    }
                });
        prestartAllCoreThreads();
    }
}
