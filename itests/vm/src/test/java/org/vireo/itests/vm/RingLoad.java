// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.vireo.guest.GuestNic;
import org.vireo.guest.ReceiveQueue;
import org.vireo.guest.TransmitQueue;
import org.vireo.posix.linux.SharedMemory;

/**
 * Frames between two guests, as many as go both ways, and whether each entry of the first one's rings comes back afterwards. The driver
 * notices a head that comes back twice, and a wrong length. One thread.
 */
final class RingLoad implements AutoCloseable {
    /** In three buffers of {@link #RECEIVE_BYTES}. */
    private static final int FRAME = 700;
    static final int RECEIVE_BYTES = 300;
    private static final Duration LIMIT = Duration.ofSeconds(30);
    private static final long QUIET_NANOS = TimeUnit.MILLISECONDS.toNanos(5);

    private final GuestNic guest;
    private final GuestNic other;
    private final int size;

    RingLoad(GuestNic guest, GuestNic other) {
        this.guest = guest;
        this.other = other;
        size = guest.transmit(0).ringSize();
        write(guest.transmit(0), 1);
        write(other.transmit(0), 2);
    }

    /** Each slot has a frame to everybody, once and for all. */
    private static void write(TransmitQueue q, int from) {
        byte[] frame = new byte[q.headerBytes() + FRAME];
        Arrays.fill(frame, q.headerBytes(), q.headerBytes() + 6, (byte) 0xff);
        frame[q.headerBytes() + 6] = 2;
        frame[q.headerBytes() + 11] = (byte) from;
        frame[q.headerBytes() + 12] = (byte) 0x88;
        frame[q.headerBytes() + 13] = (byte) 0xb5;
        for (int slot = 0; slot < q.slots(); slot++) {
            MemorySegment.copy(frame, 0, SharedMemory.addressSpace(), ValueLayout.JAVA_BYTE, q.buffer(slot), frame.length);
        }
    }

    private static void offer(TransmitQueue q, int most) {
        int slot;
        for (int n = 0; n < most && (slot = q.claim()) >= 0; n++) {
            q.submit(slot, q.headerBytes() + FRAME);
        }
        q.publish();
    }

    /** Takes what has come; returns how many frames. Where they lay is added. */
    private static int take(ReceiveQueue q, Set<Long> slots) {
        int n = 0;
        while (q.next()) {
            for (int i = 0; i < q.parts(); i++) {
                slots.add(q.part(i));
            }
            q.recycle();
            n++;
        }
        q.publish();
        return n;
    }

    GuestNic guest() {
        return guest;
    }

    /** As much as goes, for a while; at its end the rings are as full as they can be. */
    void run(long nanos) {
        long end = System.nanoTime() + nanos;
        do {
            offer(guest.transmit(0), size);
            offer(other.transmit(0), size);
            take(guest.receive(0), new HashSet<>());
            take(other.receive(0), new HashSet<>());
        } while (System.nanoTime() < end);
        offer(guest.transmit(0), size);
    }

    /** Takes what is on its way to the other guest, when nobody serves the first one. */
    void drain() {
        for (long last = System.nanoTime(); System.nanoTime() - last < QUIET_NANOS;) {
            if (take(other.receive(0), new HashSet<>()) > 0) {
                last = System.nanoTime();
            }
            Thread.onSpinWait();
        }
    }

    /** Waits for a frame of the first guest, which it sends again and again where its ring has room. */
    void awaitFrame(String what) {
        long deadline = System.nanoTime() + LIMIT.toNanos();
        while (take(other.receive(0), new HashSet<>()) == 0) {
            assertTrue(System.nanoTime() < deadline, () -> what + ": no frame of the guest comes; " + guest.transmit(0).outstanding()
                    + " are with the device");
            offer(guest.transmit(0), 1);
            LockSupport.parkNanos(100_000);
        }
    }

    /** Each entry comes back: of the transmit ring as it is, of the receive ring with frames of the other guest. */
    void assertWhole(String when) {
        long deadline = System.nanoTime() + LIMIT.toNanos();
        TransmitQueue tx = guest.transmit(0);
        assertTrue(tx.awaitAll(deadline), () -> when + ": " + tx.outstanding() + " frames do not come back");
        assertEquals(size, tx.freeDescriptors(), when);
        ReceiveQueue rx = guest.receive(0);
        Set<Long> slots = new HashSet<>();
        while (slots.size() < size) {
            assertTrue(System.nanoTime() < deadline, () -> when + ": only " + slots.size() + " of " + size + " buffers come back");
            offer(other.transmit(0), 8);
            rx.awaitUsed(Math.min(deadline, System.nanoTime() + 20_000_000));
            take(rx, slots);
            take(other.receive(0), new HashSet<>());
        }
        assertEquals(0, rx.freeDescriptors(), when + ": buffers with the device");
        assertTrue(other.transmit(0).awaitAll(deadline), when);
    }

    @Override
    public void close() {
        guest.close();
        other.close();
    }
}
