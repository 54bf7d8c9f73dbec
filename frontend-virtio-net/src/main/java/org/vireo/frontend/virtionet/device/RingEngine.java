// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.device;

import java.io.IOException;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.function.IntFunction;
import org.vireo.frontend.virtionet.block.NicBlockMemory;
import org.vireo.frontend.virtionet.memory.InflightRegion;
import org.vireo.frontend.virtionet.memory.MemoryTable;
import org.vireo.frontend.virtionet.ring.InflightSlot;
import org.vireo.frontend.virtionet.ring.RingLog;
import org.vireo.frontend.virtionet.ring.Virtqueue;
import org.vireo.frontend.virtionet.worker.Worker;
import org.vireo.net.api.Fd;
import org.vireo.net.api.FrameQueue;
import org.vireo.net.api.RingPosition;

/**
 * A NIC's queue pairs on their workers, as control sees them. One control thread at a time. It never touches a running ring: it posts
 * commands and waits, with a deadline.
 */
public final class RingEngine {
    private final QueuePairs pairs;
    private final WorkerCommands commands;
    private final RingMemory memory;

    /** Takes news from workers. Any thread; must only post. */
    public interface Listener {
        /**
         * A pair was taken out of its worker.
         *
         * @param pair its number
         * @param why the reason
         */
        void broken(int pair, Throwable why);

        /** A thread that was given up inside this NIC has come back. */
        void threadReturned();
    }

    /**
     * How a ring is started.
     *
     * @param size entries
     * @param packed VIRTIO_F_RING_PACKED
     * @param descriptors VMM address of the descriptors
     * @param available VMM address of the driver's area
     * @param used VMM address of the device's area
     * @param eventIndex VIRTIO_F_EVENT_IDX
     * @param indirect VIRTIO_F_INDIRECT_DESC
     * @param log what of its writes is logged
     * @param inflight its part of the VMM's in-flight memory, or null
     * @param kick its kicks
     * @param call its calls, or null
     */
    public record RingSpec(int size, boolean packed, long descriptors, long available, long used, boolean eventIndex, boolean indirect,
            RingLog log, InflightSlot inflight, Fd kick, Fd call) { }

    /**
     * Pairs without rings.
     *
     * @param nic the NIC's id
     * @param group identity of the NIC, for the watchdog
     * @param workers one for each pair
     * @param block for the journals
     * @param listener takes news
     */
    public RingEngine(String nic, Object group, List<Worker> workers, NicBlockMemory block, Listener listener) {
        commands = new WorkerCommands(nic, List.copyOf(workers));
        memory = new RingMemory(nic, block, 2 * workers.size());
        pairs = new QueuePairs(nic, group, List.copyOf(workers), block, listener, this::truncated);
    }

    boolean truncated() {
        return memory.isTruncated();
    }

    /**
     * Whether a log that a ring uses was truncated by its owner.
     *
     * @return whether; any thread
     */
    public boolean isLogTruncated() {
        return memory.isLogTruncated();
    }

    /**
     * Sets the frames' format. No ring runs.
     *
     * @param newFormat header and sizes
     */
    public void format(FrameFormat newFormat) {
        pairs.format(newFormat);
    }

    /**
     * Sets what the VMM shares before any ring runs.
     *
     * @param table the guest's memory
     * @param region the VMM's in-flight memory, or null
     */
    public void initialMemory(MemoryTable table, InflightRegion region) {
        memory.memory(table);
        memory.inflight(region);
    }

    /**
     * Sets the VMM's in-flight memory. No ring runs.
     *
     * @param region the memory, or null
     */
    public void inflight(InflightRegion region) {
        memory.inflight(region);
    }

    /**
     * Starts a ring: it is looked at at once, and called once.
     *
     * @param ring its number
     * @param spec where it is
     * @param at where it goes on; used entries that were written and not published are published
     * @throws EngineException it cannot be started: which rule is broken, or what the worker said
     */
    public void start(int ring, RingSpec spec, RingPosition at) throws EngineException {
        int i = ring / 2;
        Virtqueue q = memory.ring(ring, spec, at);
        commands.run(i, () -> {
            start(pairs.added(i), ring, q, spec.kick);
            return null;
        });
    }

    private static void start(FramePair p, int ring, Virtqueue q, Fd kick) throws IOException {
        if (ring % 2 == 1) {
            p.startTransmit(q, kick);
        } else {
            p.startReceive(q, kick);
        }
    }

    /**
     * A ring that goes on where its journal says.
     *
     * @param ring its number
     * @param spec where it is
     * @param enabled whether it is enabled
     */
    public record Resumption(int ring, RingSpec spec, boolean enabled) { }

    /**
     * Starts rings together, and attaches a port's queues before: one command for each pair, all at the same time.
     *
     * @param rings the rings, in order
     * @param attach pairs whose queues are attached
     * @param portQueues the port's queues, as far as some are attached
     * @param ready the queues' descriptors
     * @throws EngineException one could not be started; others may run
     */
    public void resume(List<Resumption> rings, BitSet attach, List<FrameQueue> portQueues, List<Fd> ready) throws EngineException {
        Virtqueue[] built = new Virtqueue[2 * pairs.count()];
        Resumption[] by = new Resumption[built.length];
        for (Resumption r : rings) {
            built[r.ring] = memory.ring(r.ring, r.spec, position(r.ring));
            by[r.ring] = r;
        }
        List<CompletableFuture<Object>> all = new ArrayList<>();
        for (int i = 0; i < pairs.count(); i++) {
            int n = i;
            FrameQueue q = attach.get(i) ? portQueues.get(i) : null;
            boolean starts = by[2 * i] != null || by[2 * i + 1] != null;
            all.add(!starts && q == null ? CompletableFuture.completedFuture(null) : commands.post(i, () -> {
                FramePair p = pairs.added(n);
                if (q != null) {
                    pairs.attach(n, q, ready.get(n));
                }
                for (int ring = 2 * n; ring < 2 * n + 2; ring++) {
                    if (by[ring] != null) {
                        start(p, ring, built[ring], by[ring].spec.kick);
                    }
                }
                if (starts) {
                    p.enable(by[2 * n] == null ? p.receives() : by[2 * n].enabled,
                            by[2 * n + 1] == null ? p.transmits() : by[2 * n + 1].enabled);
                }
                return null;
            }));
        }
        for (int i = 0; i < pairs.count(); i++) {
            commands.await(all.get(i), i);
        }
    }

    /**
     * The used index in a split ring's own memory: where a ring goes on that was never run by us.
     *
     * @param spec where it is
     * @return 16 bits
     * @throws EngineException it is nowhere
     */
    public int usedIndex(RingSpec spec) throws EngineException {
        return memory.usedIndex(spec);
    }

    /**
     * Where a packed ring goes on of whose positions the first alone was told, perhaps.
     *
     * @param spec where it is
     * @param available next available entry, with the wrap counter in bit 15
     * @return next used entry, likewise
     * @throws EngineException it is nowhere
     */
    public int usedPosition(RingSpec spec, int available) throws EngineException {
        return memory.usedPosition(spec, available);
    }

    /**
     * Forgets what the VMM's in-flight memory says of a ring: it begins where the VMM says.
     *
     * @param spec the ring; with in-flight memory
     * @throws EngineException the memory is gone
     */
    public void forget(RingSpec spec) throws EngineException {
        memory.forget(spec);
    }

    /**
     * Marks in the VMM's log all that a ring, or one before it, can have written.
     *
     * @param log what of its writes is logged
     * @param in the guest's memory
     * @param usedBytes of the device's area
     * @throws EngineException the log is gone
     */
    public void logAll(RingLog log, MemoryTable in, long usedBytes) throws EngineException {
        memory.logAll(log, in, usedBytes);
    }

    /**
     * Stops a ring.
     *
     * @param ring its number
     * @param drain whether the VMM is told where: what only in-flight memory knows is given back
     * @return where it stopped, from the journal
     * @throws EngineException the worker did not answer
     */
    public RingPosition stop(int ring, boolean drain) throws EngineException {
        int i = ring / 2;
        commands.run(i, () -> {
            Virtqueue q = ring % 2 == 1 ? pairs.get(i).stopTransmit() : pairs.get(i).stopReceive();
            if (q != null && drain) {
                q.drain();
            }
            return null;
        });
        memory.log(ring, null);
        return position(ring);
    }

    /**
     * Where a ring is, from its journal.
     *
     * @param ring its number
     * @return its position; 0 if it never ran
     */
    public RingPosition position(int ring) {
        return memory.position(ring);
    }

    /**
     * Stops all rings and detaches the port, all workers at the same time: nothing of this process reads or is polled any more.
     *
     * @param deadlineNanos until when
     * @throws EngineException a worker did not answer in time
     */
    public void freeze(long deadlineNanos) throws EngineException {
        commands.stop(i -> () -> {
            pairs.takeOut(i);
            return null;
        }, deadlineNanos);
    }

    /**
     * Completed when the workers have done what the last {@link #freeze} asked them for, also one that gave up waiting: then no worker
     * uses rings, memory and port any more.
     *
     * @return it never fails
     */
    public CompletableFuture<Void> quiet() {
        return commands.quiet();
    }

    /**
     * Waits until {@link #quiet}: before that a ring's position may still change, since a worker that is late goes on with it.
     *
     * @throws EngineException a worker did not answer
     */
    public void awaitQuiet() throws EngineException {
        commands.awaitQuiet();
    }

    /**
     * Enables or disables a pair's rings.
     *
     * @param i the pair
     * @param receive whether frames are received
     * @param transmit whether frames are sent
     * @throws EngineException the worker did not answer
     */
    public void enable(int i, boolean receive, boolean transmit) throws EngineException {
        commands.run(i, () -> {
            pairs.added(i).enable(receive, transmit);
            return null;
        });
    }

    /**
     * Replaces a ring's call descriptor.
     *
     * @param ring its number
     * @param call an eventfd, or null
     * @throws EngineException the worker did not answer
     */
    public void call(int ring, Fd call) throws EngineException {
        commands.run(ring / 2, () -> {
            pairs.get(ring / 2).call(ring % 2 == 1, call == null ? -1 : call.number());
            return null;
        });
    }

    /**
     * Begins or ends to log what a running ring's device writes. When this returns the former log is no longer used by it.
     *
     * @param ring its number
     * @param to what is logged from now on
     * @throws EngineException the worker did not answer
     */
    public void log(int ring, RingLog to) throws EngineException {
        memory.log(ring, to.file());
        commands.run(ring / 2, () -> {
            pairs.get(ring / 2).log(ring % 2 == 1, to);
            return null;
        });
    }

    /**
     * Attaches a port's queue to a pair.
     *
     * @param i the pair
     * @param queue the port's queue
     * @param ready the queue's descriptor
     * @throws EngineException its descriptor cannot be polled, or the worker did not answer
     */
    public void attach(int i, FrameQueue queue, Fd ready) throws EngineException {
        commands.run(i, () -> {
            pairs.added(i);
            pairs.attach(i, queue, ready);
            return null;
        });
    }

    /**
     * Detaches the port's queue from a pair: when this returns nothing reads it any more.
     *
     * @param i the pair
     * @throws EngineException the worker did not answer
     */
    public void detach(int i) throws EngineException {
        commands.run(i, () -> {
            pairs.detach(i);
            return null;
        });
    }

    /**
     * Whether a port's queue is attached to a pair.
     *
     * @param i the pair
     * @return whether
     */
    public boolean attached(int i) {
        return pairs.isAttached(i);
    }

    /** Forgets the port after {@link #freeze}: another one will be attached. */
    public void forgetPort() {
        pairs.forgetPort();
    }

    /**
     * Discards what is transmitted while there is no port, or waits.
     *
     * @param on whether
     * @throws EngineException a worker did not answer
     */
    public void discard(boolean on) throws EngineException {
        pairs.discard(on);
        for (int i = 0; i < pairs.count(); i++) {
            int n = i;
            commands.run(n, () -> {
                if (pairs.get(n).isAdded()) {
                    pairs.get(n).discard(on);
                }
                return null;
            });
        }
    }

    /** There never will be a port: what is transmitted is discarded. Before any ring runs. */
    public void discardAlways() {
        pairs.discard(true);
    }

    /**
     * Moves all running rings to other memory. When this returns the former one is no longer used.
     *
     * @param table the new memory
     * @param spec where a ring lies
     * @throws EngineException a ring does not lie in the new memory: it is broken then
     */
    public void memory(MemoryTable table, IntFunction<RingSpec> spec) throws EngineException {
        for (int i = 0; i < pairs.count(); i++) {
            int n = i;
            commands.run(n, () -> {
                pairs.get(n).memory((ring, transmit) -> {
                    RingSpec s = spec.apply(2 * n + (transmit ? 1 : 0));
                    ring.memory(RingMemory.area(ring.toString(), s, table), table);
                });
                return null;
            });
        }
        memory.memory(table);
    }

    /**
     * Sends a frame of our own on the first pair.
     *
     * @param frame without virtio-net header
     * @throws EngineException no port is attached, or it did not take the frame
     */
    public void inject(byte[] frame) throws EngineException {
        CompletableFuture<Void> done = new CompletableFuture<>();
        commands.run(0, () -> {
            if (!pairs.isAttached(0)) {
                throw new IOException("no port is attached");
            }
            pairs.added(0).inject(frame, done);
            return null;
        });
        commands.await(done, 0);
    }

    /**
     * After {@link Listener#broken}: a fresh pair takes the place of the broken one, unless it has already.
     *
     * @param i the pair
     */
    public void replace(int i) {
        if (pairs.renew(i)) {
            memory.log(2 * i, null);
            memory.log(2 * i + 1, null);
        }
    }

    /**
     * All counters, summed over the pairs.
     *
     * @return names and values in order
     */
    public Map<String, Long> counters() {
        return pairs.counters();
    }

    /**
     * Goes on from a predecessor's counters.
     *
     * @param before values by name
     */
    public void startCountersFrom(Map<String, Long> before) {
        pairs.get(0).counters().startFrom(before);
    }
}
