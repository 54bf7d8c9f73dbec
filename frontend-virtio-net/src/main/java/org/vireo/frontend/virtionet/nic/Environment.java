// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executor;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BiConsumer;
import org.vireo.frontend.virtionet.session.Poller;
import org.vireo.frontend.virtionet.slot.Slots;
import org.vireo.frontend.virtionet.worker.Worker;
import org.vireo.net.api.Fds;

/**
 * What all NICs of a process share.
 *
 * @param fds makes descriptors
 * @param slots the netdevs
 * @param poller waits for sockets
 * @param workers the data path's threads
 * @param executor runs the NICs' actors
 * @param timer for deadlines and retries
 * @param events takes events: name and data
 * @param next spreads NICs over the workers
 * @param loaded how much of the guests' memory is in the page table
 * @param rehearsed whether this process has rehearsed a handover
 * @param quiet whether its NICs are nobody's business: no log, no events
 */
record Environment(Fds fds, Slots slots, Poller poller, List<Worker> workers, Executor executor, ScheduledExecutorService timer,
        BiConsumer<String, Map<String, ?>> events, AtomicInteger next, LoadedMemory loaded, AtomicBoolean rehearsed, boolean quiet) {
    /** For NICs of a rehearsal. */
    Environment twin(Slots itsSlots, Worker worker, Executor itsExecutor) {
        return new Environment(fds, itsSlots, poller, List.of(worker), itsExecutor, timer, (name, data) -> { }, new AtomicInteger(),
                loaded, rehearsed, true);
    }

    /** A worker for each pair: pairs of one NIC on different workers, first pairs of different NICs too. */
    List<Worker> assign(int pairs) {
        int first = next.getAndIncrement();
        List<Worker> w = new ArrayList<>();
        for (int i = 0; i < pairs; i++) {
            w.add(workers.get(Math.floorMod(first + i, workers.size())));
        }
        return w;
    }
}
