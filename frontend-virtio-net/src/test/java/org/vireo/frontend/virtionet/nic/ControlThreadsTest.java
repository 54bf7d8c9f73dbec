// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.vireo.testsupport.Await;

/** A thread that waits is used; when all are busy, work waits. */
@Timeout(60)
class ControlThreadsTest {
    private static final int MOST = 64;

    private final ControlThreads threads = new ControlThreads();

    @AfterEach
    void end() {
        threads.shutdownNow();
    }

    @Test
    void aThreadThatWaitsIsUsed() throws Exception {
        int kept = threads.getPoolSize();
        for (int i = 0; i < 100; i++) {
            Await.until(Harness.LIMIT, "all to wait", () -> threads.getActiveCount() == 0);
            threads.submit(() -> { }).get(10, TimeUnit.SECONDS);
        }
        // one more if work came while a thread was on its way back
        assertTrue(threads.getLargestPoolSize() <= kept + 1, "made " + threads.getLargestPoolSize());
    }

    @Test
    void whenAllAreBusyWorkWaits() throws Exception {
        CountDownLatch go = new CountDownLatch(1);
        AtomicInteger ran = new AtomicInteger();
        List<Future<?>> all = new ArrayList<>();
        for (int i = 0; i < 3 * MOST; i++) {
            all.add(threads.submit(() -> {
                go.await();
                return ran.incrementAndGet();
            }));
        }
        assertEquals(MOST, threads.getPoolSize());
        assertEquals(0, ran.get());
        go.countDown();
        for (Future<?> f : all) {
            f.get(10, TimeUnit.SECONDS);
        }
        assertEquals(3 * MOST, ran.get());
    }

    @Test
    void whatComesAfterTheEndIsLeftOut() throws Exception {
        threads.shutdown();
        AtomicInteger ran = new AtomicInteger();
        threads.execute(ran::incrementAndGet);
        assertTrue(threads.awaitTermination(10, TimeUnit.SECONDS));
        assertEquals(0, ran.get());
    }
}
