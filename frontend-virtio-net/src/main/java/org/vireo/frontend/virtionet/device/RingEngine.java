// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.device;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.IntFunction;
import org.vireo.frontend.virtionet.block.NicBlockMemory;
import org.vireo.frontend.virtionet.memory.DirtyLog;
import org.vireo.frontend.virtionet.memory.InflightRegion;
import org.vireo.frontend.virtionet.memory.MemoryTable;
import org.vireo.frontend.virtionet.ring.InflightSlot;
import org.vireo.frontend.virtionet.ring.MalformedRingException;
import org.vireo.frontend.virtionet.ring.MalformedRingException.Rule;
import org.vireo.frontend.virtionet.ring.PackedVirtqueue;
import org.vireo.frontend.virtionet.ring.RingAreas;
import org.vireo.frontend.virtionet.ring.RingJournal;
import org.vireo.frontend.virtionet.ring.RingLog;
import org.vireo.frontend.virtionet.ring.SplitVirtqueue;
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
    private static final long DEADLINE_MILLIS = 1000;

    private final String nic;
    private final Object group;
    private final List<Worker> workers;
    private final NicBlockMemory block;
    private final Listener listener;
    private final FramePair[] pairs;
    private final FrameQueue[] queues;
    private final Fd[] events;
    private CompletableFuture<Void> quiet = CompletableFuture.completedFuture(null);
    private volatile MemoryTable memory = MemoryTable.EMPTY;
    /** Those that rings use: while a VMM replaces its log some have the new one already. */
    private volatile List<DirtyLog> logsInUse = List.of();
    private final DirtyLog[] logs;
    private volatile InflightRegion inflight;
    private FrameFormat format = FrameFormat.NONE;
    private boolean discard;

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
        this.nic = nic;
        this.group = group;
        this.workers = List.copyOf(workers);
        this.block = block;
        this.listener = listener;
        pairs = new FramePair[workers.size()];
        queues = new FrameQueue[workers.size()];
        events = new Fd[workers.size()];
        logs = new DirtyLog[2 * workers.size()];
        for (int i = 0; i < pairs.length; i++) {
            pairs[i] = pair(i, new PairCounters());
        }
    }

    private FramePair pair(int i, PairCounters counters) {
        FramePair p = new FramePair(nic + " pair " + i, group, block.mark(i), counters, (pair, why) -> listener.broken(i, why),
                listener::threadReturned, this::truncated);
        p.format(format);
        return p;
    }

    boolean truncated() {
        InflightRegion i = inflight;
        return memory.truncated() != null || isLogTruncated() || i != null && !i.intact();
    }

    /**
     * Whether a log that a ring uses was truncated by its owner.
     *
     * @return whether; any thread
     */
    public boolean isLogTruncated() {
        return logsInUse.stream().anyMatch(l -> !l.intact());
    }

    private void uses(int ring, DirtyLog file) {
        logs[ring] = file;
        logsInUse = Arrays.stream(logs).filter(Objects::nonNull).distinct().toList();
    }

    private <T> Worker.Command<T> post(int pair, Callable<T> command) {
        return workers.get(pair).execute(command);
    }

    private <T> T await(CompletableFuture<T> result, int pair) throws EngineException {
        try {
            try {
                return result.get(DEADLINE_MILLIS, TimeUnit.MILLISECONDS);
            } catch (TimeoutException e) {
                // nobody waits for it any more: it must not run later
                if (result instanceof Worker.Command<?> c && !c.withdraw()) {
                    return result.get(DEADLINE_MILLIS, TimeUnit.MILLISECONDS);
                }
                throw e;
            }
        } catch (ExecutionException e) {
            throw new EngineException(nic + " pair " + pair + ": " + e.getCause().getMessage(), e.getCause());
        } catch (TimeoutException e) {
            throw new EngineException(nic + " pair " + pair + ": its worker did not answer for " + DEADLINE_MILLIS + " ms", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new EngineException(nic + " pair " + pair + ": interrupted", e);
        }
    }

    private <T> T run(int pair, Callable<T> command) throws EngineException {
        return await(post(pair, command), pair);
    }

    private FramePair added(int i) throws IOException {
        // one that broke, of which the listener has not heard yet, is not used again
        renew(i);
        FramePair p = pairs[i];
        if (!p.isAdded()) {
            workers.get(i).add(p);
            if (queues[i] != null) {
                p.attach(queues[i], events[i]);
            }
            p.discard(discard);
        }
        return p;
    }

    /**
     * Sets the frames' format. No ring runs.
     *
     * @param newFormat header and sizes
     */
    public void format(FrameFormat newFormat) {
        format = newFormat;
        for (FramePair p : pairs) {
            p.format(newFormat);
        }
    }

    /**
     * Sets what the VMM shares before any ring runs.
     *
     * @param table the guest's memory
     * @param region the VMM's in-flight memory, or null
     */
    public void initialMemory(MemoryTable table, InflightRegion region) {
        memory = table;
        inflight(region);
    }

    /**
     * Sets the VMM's in-flight memory. No ring runs.
     *
     * @param region the memory, or null
     */
    public void inflight(InflightRegion region) {
        inflight = region;
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
        Virtqueue q = queue(ring, spec, at);
        run(i, () -> {
            start(added(i), ring, q, spec.kick);
            return null;
        });
    }

    private Virtqueue queue(int ring, RingSpec spec, RingPosition at) throws EngineException {
        String name = nic + " ring " + ring;
        return shared(name, () -> {
            Virtqueue.Kind kind = new Virtqueue.Kind(name, spec.size, spec.packed, spec.eventIndex, spec.indirect, ring % 2 == 0);
            uses(ring, spec.log.file());
            return Virtqueue.of(kind, area(name, spec, memory), memory, block.journal(ring), at.available(), at.used(),
                    spec.call == null ? -1 : spec.call.number(), spec.inflight, spec.log);
        });
    }

    private interface Access<T> {
        T run() throws MalformedRingException;
    }

    /** Control itself reads and writes what the VMM shares: where that was cut off it costs this NIC, not the thread. */
    private static <T> T shared(String name, Access<T> access) throws EngineException {
        try {
            return access.run();
        } catch (MalformedRingException e) {
            throw new EngineException(e.getMessage(), e);
        } catch (InternalError e) {
            MalformedRingException gone = new MalformedRingException(Rule.MEMORY_GONE, name + ": memory that the VMM shares cannot be"
                    + " accessed; its file was truncated, or its huge pages are used up");
            gone.initCause(e);
            throw new EngineException(gone.getMessage(), gone);
        }
    }

    private static Virtqueue.RingArea area(String name, RingSpec s, MemoryTable in) throws MalformedRingException {
        return RingAreas.find(name, s.size, s.packed, s.descriptors, s.available, s.used, in);
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
        Virtqueue[] built = new Virtqueue[2 * pairs.length];
        Resumption[] by = new Resumption[built.length];
        for (Resumption r : rings) {
            built[r.ring] = queue(r.ring, r.spec, position(r.ring));
            by[r.ring] = r;
        }
        List<CompletableFuture<Object>> all = new ArrayList<>();
        for (int i = 0; i < pairs.length; i++) {
            int n = i;
            FrameQueue q = attach.get(i) ? portQueues.get(i) : null;
            boolean starts = by[2 * i] != null || by[2 * i + 1] != null;
            all.add(!starts && q == null ? CompletableFuture.completedFuture(null) : post(i, () -> {
                FramePair p = added(n);
                if (q != null && queues[n] == null) {
                    p.attach(q, ready.get(n));
                    events[n] = ready.get(n);
                    queues[n] = q;
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
        for (int i = 0; i < pairs.length; i++) {
            await(all.get(i), i);
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
        return shared(nic, () -> SplitVirtqueue.usedIndex(area(nic, spec, memory).used()));
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
        return shared(nic, () -> PackedVirtqueue.usedPosition(area(nic, spec, memory).descriptors(), spec.size, available));
    }

    /**
     * Forgets what the VMM's in-flight memory says of a ring: it begins where the VMM says.
     *
     * @param spec the ring; with in-flight memory
     * @throws EngineException the memory is gone
     */
    public void forget(RingSpec spec) throws EngineException {
        shared(nic, () -> {
            spec.inflight.forget();
            return null;
        });
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
        shared(nic, () -> {
            if (log.buffers()) {
                log.file().markAll(in);
            }
            if (log.usedAt() >= 0) {
                log.file().mark(log.usedAt(), usedBytes);
            }
            return null;
        });
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
        run(i, () -> {
            Virtqueue q = ring % 2 == 1 ? pairs[i].stopTransmit() : pairs[i].stopReceive();
            if (q != null && drain) {
                q.drain();
            }
            return null;
        });
        uses(ring, null);
        return position(ring);
    }

    /**
     * Where a ring is, from its journal.
     *
     * @param ring its number
     * @return its position; 0 if it never ran
     */
    public RingPosition position(int ring) {
        long word = block.journalWord(ring);
        return RingPosition.of(RingJournal.available(word), RingJournal.used(word));
    }

    /**
     * Stops all rings and detaches the port, all workers at the same time: nothing of this process reads or is polled any more.
     *
     * @param deadlineNanos until when
     * @throws EngineException a worker did not answer in time
     */
    public void freeze(long deadlineNanos) throws EngineException {
        List<CompletableFuture<Object>> all = new ArrayList<>();
        for (int i = 0; i < pairs.length; i++) {
            int n = i;
            Worker w = workers.get(i);
            all.add(w.execute(() -> {
                FramePair p = pairs[n];
                if (p.isAdded()) {
                    takeOut(p, w);
                }
                return null;
            }));
        }
        quiet = CompletableFuture.allOf(all.toArray(CompletableFuture[]::new)).exceptionally(e -> null);
        EngineException failed = null;
        for (CompletableFuture<Object> f : all) {
            try {
                f.get(Math.max(0, deadlineNanos - System.nanoTime()), TimeUnit.NANOSECONDS);
            } catch (ExecutionException e) {
                failed = new EngineException(nic + ": " + e.getCause().getMessage(), e.getCause());
            } catch (TimeoutException e) {
                failed = new EngineException(nic + ": a worker did not stop in time", e);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new EngineException(nic + ": interrupted", e);
            }
        }
        if (failed != null) {
            throw failed;
        }
    }

    /** Whatever happens, the pair is out of its worker at the end: its memory may be gone, so that stopping a ring faults. */
    private static void takeOut(FramePair p, Worker w) {
        try {
            p.stopTransmit();
        } finally {
            try {
                p.stopReceive();
            } finally {
                try {
                    p.detach();
                } finally {
                    w.remove(p);
                }
            }
        }
    }

    /**
     * Completed when the workers have done what the last {@link #freeze} asked them for, also one that gave up waiting: then no worker
     * uses rings, memory and port any more.
     *
     * @return it never fails
     */
    public CompletableFuture<Void> quiet() {
        return quiet;
    }

    /**
     * Waits until {@link #quiet}: before that a ring's position may still change, since a worker that is late goes on with it.
     *
     * @throws EngineException a worker did not answer
     */
    public void awaitQuiet() throws EngineException {
        try {
            quiet.get(DEADLINE_MILLIS, TimeUnit.MILLISECONDS);
        } catch (TimeoutException e) {
            throw new EngineException(nic + ": a worker has not let go of its rings for " + DEADLINE_MILLIS + " ms", e);
        } catch (ExecutionException e) {
            throw new IllegalStateException(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new EngineException(nic + ": interrupted", e);
        }
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
        run(i, () -> {
            added(i).enable(receive, transmit);
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
        run(ring / 2, () -> {
            pairs[ring / 2].call(ring % 2 == 1, call == null ? -1 : call.number());
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
        uses(ring, to.file());
        run(ring / 2, () -> {
            pairs[ring / 2].log(ring % 2 == 1, to);
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
        run(i, () -> {
            FramePair p = added(i);
            if (queues[i] == null) {
                p.attach(queue, ready);
                events[i] = ready;
                queues[i] = queue;
            }
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
        run(i, () -> {
            queues[i] = null;
            if (pairs[i].isAdded()) {
                pairs[i].detach();
            }
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
        return queues[i] != null;
    }

    /** Forgets the port after {@link #freeze}: another one will be attached. */
    public void forgetPort() {
        Arrays.fill(queues, null);
    }

    /**
     * Discards what is transmitted while there is no port, or waits.
     *
     * @param on whether
     * @throws EngineException a worker did not answer
     */
    public void discard(boolean on) throws EngineException {
        discard = on;
        for (int i = 0; i < pairs.length; i++) {
            int n = i;
            run(n, () -> {
                if (pairs[n].isAdded()) {
                    pairs[n].discard(on);
                }
                return null;
            });
        }
    }

    /** There never will be a port: what is transmitted is discarded. Before any ring runs. */
    public void discardAlways() {
        discard = true;
    }

    /**
     * Moves all running rings to other memory. When this returns the former one is no longer used.
     *
     * @param table the new memory
     * @param spec where a ring lies
     * @throws EngineException a ring does not lie in the new memory: it is broken then
     */
    public void memory(MemoryTable table, IntFunction<RingSpec> spec) throws EngineException {
        for (int i = 0; i < pairs.length; i++) {
            int n = i;
            run(n, () -> {
                pairs[n].memory((ring, transmit) -> {
                    RingSpec s = spec.apply(2 * n + (transmit ? 1 : 0));
                    ring.memory(area(ring.toString(), s, table), table);
                });
                return null;
            });
        }
        memory = table;
    }

    /**
     * Sends a frame of our own on the first pair.
     *
     * @param frame without virtio-net header
     * @throws EngineException no port is attached, or it did not take the frame
     */
    public void inject(byte[] frame) throws EngineException {
        CompletableFuture<Void> done = new CompletableFuture<>();
        run(0, () -> {
            if (queues[0] == null) {
                throw new IOException("no port is attached");
            }
            added(0).inject(frame, done);
            return null;
        });
        await(done, 0);
    }

    /**
     * After {@link Listener#broken}: a fresh pair takes the place of the broken one, unless it has already.
     *
     * @param i the pair
     */
    public void replace(int i) {
        if (renew(i)) {
            uses(2 * i, null);
            uses(2 * i + 1, null);
        }
    }

    private boolean renew(int i) {
        boolean broken = pairs[i].isBroken();
        if (broken) {
            pairs[i] = pair(i, pairs[i].counters());
        }
        return broken;
    }

    /**
     * All counters, summed over the pairs.
     *
     * @return names and values in order
     */
    public Map<String, Long> counters() {
        Map<String, Long> sums = new LinkedHashMap<>();
        for (FramePair p : pairs) {
            p.counters().addTo(sums);
        }
        return sums;
    }

    /**
     * Goes on from a predecessor's counters.
     *
     * @param before values by name
     */
    public void startCountersFrom(Map<String, Long> before) {
        pairs[0].counters().startFrom(before);
    }
}
