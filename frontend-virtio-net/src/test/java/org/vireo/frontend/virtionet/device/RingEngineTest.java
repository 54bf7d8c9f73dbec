// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.device;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.vireo.frontend.virtionet.block.NicBlockMemory;
import org.vireo.frontend.virtionet.memory.DirtyLog;
import org.vireo.frontend.virtionet.ring.RingLog;
import org.vireo.frontend.virtionet.worker.Watchdog;
import org.vireo.frontend.virtionet.worker.Worker;
import org.vireo.net.api.Fd;
import org.vireo.net.api.FrameBatch;
import org.vireo.net.api.FrameQueue;
import org.vireo.net.api.ReceiveWindow;
import org.vireo.posix.Descriptors;
import org.vireo.posix.linux.EventFd;
import org.vireo.posix.linux.SharedMemory;

class RingEngineTest {
    private static final RingEngine.Listener NOBODY = new RingEngine.Listener() {
        @Override
        public void broken(int pair, Throwable why) {
            throw new AssertionError(why);
        }

        @Override
        public void threadReturned() {
            throw new AssertionError("no thread was given up");
        }
    };

    private final Descriptors fds = new Descriptors();
    private final Watchdog watchdog = new Watchdog();
    private Worker worker;
    private NicBlockMemory block;

    @BeforeEach
    void start() throws Exception {
        worker = new Worker("rings", fds, watchdog, Worker.Urgency.INHERITED);
        block = NicBlockMemory.create(fds, "rings");
    }

    @AfterEach
    void stop() {
        worker.close();
        watchdog.close();
        block.close();
    }

    private static RingLog log(Fd file) throws Exception {
        return RingLog.of(DirtyLog.map(4096, 0, file.duplicate(), false), true, false, 0, RingLog.NO_EVENT);
    }

    /** While a VMM replaces its log, one ring after the other is told: whichever is cut short, it is not the backend's fault. */
    @Test
    void eachLogThatARingUsesIsLookedAt() throws Exception {
        for (int cut = 0; cut < 2; cut++) {
            RingEngine e = new RingEngine("a", this, List.of(worker), block, NOBODY);
            try (Fd first = SharedMemory.create(fds, "log", 4096, false); Fd second = SharedMemory.create(fds, "log", 4096, false)) {
                RingLog[] logs = {log(first), log(second)};
                e.log(0, logs[0]);
                e.log(1, logs[1]);
                assertFalse(e.truncated());
                SharedMemory.resize(cut == 0 ? first : second, 0);
                assertTrue(e.truncated(), "log " + cut);
                assertTrue(e.isLogTruncated());
                e.log(cut, RingLog.NONE);
                assertFalse(e.truncated());
                logs[0].file().close();
                logs[1].file().close();
            }
        }
    }

    /** That a pair broke is told in the background: until it is heard something else may be started. */
    @Test
    void aPairThatBrokeIsNotUsedAgain() throws Exception {
        CountDownLatch told = new CountDownLatch(1);
        RingEngine e = new RingEngine("a", this, List.of(worker), block, new RingEngine.Listener() {
            @Override
            public void broken(int pair, Throwable why) {
                told.countDown();
            }

            @Override
            public void threadReturned() {
                throw new AssertionError("no thread was given up");
            }
        });
        Fd ready = EventFd.create(fds, "port");
        e.attach(0, new FrameQueue() {
            @Override
            public Fd events() {
                return ready;
            }

            @Override
            public int transmit(FrameBatch batch) {
                throw new InternalError("a fault of memory");
            }

            @Override
            public int receive(ReceiveWindow window) {
                return 0;
            }
        }, ready);
        Fd file = SharedMemory.create(fds, "log", 4096, false);
        RingLog cut = log(file);
        e.log(0, cut);
        SharedMemory.resize(file, 0);
        // nobody answers: the pair breaks
        FutureTask<EngineException> asked = new FutureTask<>(() -> assertThrows(EngineException.class, () -> e.inject(new byte[60])));
        Thread asks = Thread.ofVirtual().start(asked);
        assertTrue(told.await(30, TimeUnit.SECONDS));
        e.enable(0, true, true);
        e.replace(0);
        e.freeze(System.nanoTime() + TimeUnit.SECONDS.toNanos(30));
        // nothing polls it any more
        ready.close();
        asks.interrupt();
        asked.get(30, TimeUnit.SECONDS);
        cut.file().close();
        file.close();
    }
}
