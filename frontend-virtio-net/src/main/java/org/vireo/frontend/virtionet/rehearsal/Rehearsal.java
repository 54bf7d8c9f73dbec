// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.rehearsal;

import java.io.IOException;
import java.util.BitSet;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.vireo.frontend.virtionet.block.NicBlockMemory;
import org.vireo.frontend.virtionet.device.EngineException;
import org.vireo.frontend.virtionet.device.FrameFormat;
import org.vireo.frontend.virtionet.device.RingEngine;
import org.vireo.frontend.virtionet.memory.InvalidMemoryException;
import org.vireo.frontend.virtionet.worker.Watchdog;
import org.vireo.frontend.virtionet.worker.Worker;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.net.api.FramePort;
import org.vireo.net.api.FrameQueue;

/**
 * Runs the data path before it counts: interpreted code is 20 to 50 times slower than compiled code. The same classes, the real backend
 * and exactly the acknowledged features, over a driver in memory of its own and stand-ins for the backend's descriptors, until rounds no
 * longer become faster. Starting and stopping is rehearsed too.
 */
public final class Rehearsal {
    private static final BitSet FIRST_PAIR = BitSet.valueOf(new long[] {1});
    private static final int BURST = 64;
    private static final int LEAST_FRAMES = 40_000;
    private static final int ROUNDS_A_CYCLE = 40;
    /** A cycle that is less than a tenth faster than the best one so far counts as no faster. */
    private static final double FASTER = 0.9;
    private static final int CYCLES_WITHOUT_GAIN = 5;

    private final Fds fds;
    private final long features;

    /**
     * A rehearsal.
     *
     * @param fds makes descriptors
     * @param features acknowledged virtio features
     */
    public Rehearsal(Fds fds, long features) {
        this.fds = fds;
        this.features = features;
    }

    private final class Listener implements RingEngine.Listener {
        volatile Throwable broken;

        @Override
        public void broken(int pair, Throwable why) {
            broken = why;
        }

        @Override
        public void threadReturned() {
            broken = new IllegalStateException("a thread was given up");
        }
    }

    /**
     * Rehearses.
     *
     * @param port loaded from stand-ins
     * @param farEnds the stand-ins' other ends
     * @param format as it will be
     * @param deadlineNanos until when
     * @return what was done, for the log
     * @throws IOException no descriptor left
     * @throws InvalidMemoryException no memory left
     * @throws EngineException the data path refused
     */
    public String run(FramePort port, List<Fd> farEnds, FrameFormat format, long deadlineNanos)
            throws IOException, InvalidMemoryException, EngineException {
        long begin = System.nanoTime();
        Listener listener = new Listener();
        try (Watchdog watchdog = new Watchdog();
                Worker worker = new Worker("vireo-rehearsal", fds, watchdog, Worker.Urgency.INHERITED);
                RehearsalDriver driver = new RehearsalDriver(fds, features);
                NicBlockMemory block = NicBlockMemory.create(fds, "rehearsal")) {
            RingEngine engine = new RingEngine("rehearsal", this, List.of(worker), block, listener);
            engine.format(format);
            engine.initialMemory(driver.memory());
            FrameQueue queue = port.queue(0);
            Fd events = queue.events();
            driver.post(0, RehearsalDriver.SIZE);
            long best = Long.MAX_VALUE;
            long frames = 0;
            int cycles = 0;
            int withoutGain = 0;
            while (System.nanoTime() < deadlineNanos && listener.broken == null
                    && (frames < LEAST_FRAMES || withoutGain < CYCLES_WITHOUT_GAIN)) {
                engine.resume(List.of(new RingEngine.Resumption(0, driver.spec(0), true),
                        new RingEngine.Resumption(1, driver.spec(1), true)), FIRST_PAIR, List.of(queue), List.of(events));
                long t = System.nanoTime();
                long moved = rounds(driver, farEnds.getFirst().number(), deadlineNanos, listener);
                long each = (System.nanoTime() - t) / Math.max(1, moved);
                engine.freeze(System.nanoTime() + TimeUnit.SECONDS.toNanos(1));
                withoutGain = each < best * FASTER ? 0 : withoutGain + 1;
                best = Math.min(best, each);
                frames += moved;
                cycles++;
            }
            engine.forgetPort();
            if (listener.broken != null) {
                throw new EngineException("rehearsal: " + listener.broken.getMessage(), listener.broken);
            }
            return frames + " frames in " + cycles + " starts, " + TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - begin)
                    + " ms, best " + best + " ns a frame";
        }
    }

    private static long rounds(RehearsalDriver driver, int farEnd, long deadlineNanos, Listener listener) {
        long moved = 0;
        for (int round = 0; round < ROUNDS_A_CYCLE && System.nanoTime() < deadlineNanos && listener.broken == null; round++) {
            driver.post(1, Math.min(BURST, driver.free(1)));
            int fed = driver.feed(farEnd, BURST);
            int back = 0;
            long patience = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(20);
            while (back < fed && System.nanoTime() < patience) {
                driver.drain(farEnd);
                moved += driver.reclaim(1);
                int n = driver.reclaim(0);
                if (n == 0) {
                    LockSupport.parkNanos(1000);
                } else {
                    back += n;
                    driver.post(0, n);
                }
            }
            moved += back;
        }
        return moved;
    }
}
