// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.io.IOException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.vireo.frontend.virtionet.slot.Slots;
import org.vireo.frontend.virtionet.worker.Watchdog;
import org.vireo.frontend.virtionet.worker.Worker;

/** A worker and helpers for NICs of a rehearsal, with the priority of who makes them. */
final class RehearsalThreads implements AutoCloseable {
    private final Watchdog watchdog = new Watchdog();
    private final Worker worker;
    private final ExecutorService executor;
    private final Environment env;

    /**
     * Starts them.
     *
     * @param real what NICs live in that are no rehearsal
     * @param slots netdevs of the rehearsal
     * @throws IOException no descriptor left
     */
    RehearsalThreads(Environment real, Slots slots) throws IOException {
        try {
            worker = new Worker("vireo-rehearsal", real.fds(), watchdog, Worker.Urgency.INHERITED);
        } catch (IOException e) {
            watchdog.close();
            throw e;
        }
        executor = Executors.newCachedThreadPool(Thread.ofPlatform().daemon().name("vireo-rehearsal-", 0).factory());
        env = real.twin(slots, worker, executor);
    }

    /** What NICs of the rehearsal live in. */
    Environment environment() {
        return env;
    }

    @Override
    public void close() {
        executor.shutdown();
        worker.close();
        watchdog.close();
    }
}
