// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import org.junit.jupiter.api.Test;
import org.vireo.guest.GuestNic;
import org.vireo.guest.TransmitQueue;
import org.vireo.posix.linux.Poll;
import org.vireo.testsupport.Await;

/** The data path allocates nothing. */
class AllocationTest {
    private static final int WARM = 100_000;
    private static final long WARM_NANOS = 60_000_000_000L;
    private static final int FRAMES = 1_000_000;

    @Test
    void nothingIsAllocatedOnTheWorker() throws Exception {
        try (Harness h = new Harness(1)) {
            FakeNetwork net = h.network(1);
            h.backend("neta", net);
            h.nic("a");
            GuestNic g = h.guest("a", GuestNic.options());
            Thread worker = Thread.getAllStackTraces().keySet().stream().filter(t -> t.getName().equals("vireo-worker-0")).findFirst()
                    .orElseThrow();
            ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
            byte[] frame = FakeBackend.frame(12, 60, 1);
            // the compiler may have to wait for a processor: the steady state has begun when a while allocates nothing to speak of
            long moved = 0;
            long allocated = Long.MAX_VALUE;
            for (long end = System.nanoTime() + WARM_NANOS; allocated > WARM / 10 && System.nanoTime() < end; moved += WARM) {
                long from = threads.getThreadAllocatedBytes(worker.threadId());
                move(g, net, frame, WARM);
                allocated = threads.getThreadAllocatedBytes(worker.threadId()) - from;
            }
            long warmed = moved;
            long before = threads.getThreadAllocatedBytes(worker.threadId());
            move(g, net, frame, FRAMES);
            long bytes = threads.getThreadAllocatedBytes(worker.threadId()) - before;
            // a thread that goes to sleep, or a port that is full, may cost an object in code that is too seldom run to be compiled well;
            // a single object a frame would be 16 bytes
            assertEquals(0, bytes / FRAMES, bytes + " bytes for " + FRAMES + " frames");
            // the last ones were given to the network, the device may not have received them yet
            Await.until(Harness.LIMIT, "all frames to be counted",
                    () -> h.counter("a", "transmit-frames") + h.counter("a", "receive-frames") >= warmed + FRAMES);
        }
    }

    /** Frames both ways, so many at a time that nobody waits for each. */
    private static void move(GuestNic g, FakeNetwork net, byte[] frame, int frames) {
        TransmitQueue tx = g.transmit(0);
        int moved = 0;
        long end = System.nanoTime() + 120_000_000_000L;
        while (moved < frames) {
            for (int i = 0; i < 32; i++) {
                int slot = tx.claim();
                if (slot < 0) {
                    break;
                }
                tx.submit(slot, 72);
            }
            tx.publish();
            for (int i = 0; i < 32 && net.send(0, frame); i++) {
                moved++;
            }
            int out = net.drain(0);
            while (g.receive(0).next()) {
                g.receive(0).recycle();
            }
            g.receive(0).publish();
            moved += out;
            if (out == 0) {
                Poll.readable(1, g.receive(0).callFd().number());
                if (System.nanoTime() > end) {
                    throw new AssertionError(moved + " of " + frames + " frames");
                }
            }
        }
    }
}
