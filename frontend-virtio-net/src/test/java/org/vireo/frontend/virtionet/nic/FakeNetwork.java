// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import org.vireo.guest.GuestNic;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.Errno;
import org.vireo.posix.Posix;
import org.vireo.posix.linux.Poll;
import org.vireo.posix.linux.UnixSockets;

/** What is behind a {@link FakeBackend}: for each queue a pair of sockets that keep frames apart, as a TAP does. */
final class FakeNetwork implements AutoCloseable {
    private static final int SEQPACKET = 5;
    private static final int LARGEST = 70_000;

    private final List<Fd> nearEnds = new ArrayList<>();
    private final List<Fd> farEnds = new ArrayList<>();
    private volatile boolean exclusive;
    private int opened;
    private final Arena arena = Arena.ofShared();
    private final MemorySegment out = arena.allocate(LARGEST, 8);
    private final MemorySegment in = arena.allocate(LARGEST, 8);

    FakeNetwork(Fds fds, int queues) throws IOException {
        for (int i = 0; i < queues; i++) {
            Fd[] pair = UnixSockets.pair(fds, SEQPACKET, true, "fake network queue " + i);
            nearEnds.add(pair[0]);
            farEnds.add(pair[1]);
        }
    }

    /** From now on one port at a time may be opened, as of a TAP with a single queue. */
    void exclusive() {
        exclusive = true;
    }

    /** Opens: false if it is open already and only one may be. */
    synchronized boolean claim() {
        if (exclusive && opened > 0) {
            return false;
        }
        opened++;
        return true;
    }

    synchronized void release() {
        opened--;
    }

    int queues() {
        return nearEnds.size();
    }

    /** The end that a port holds a duplicate of. */
    Fd nearEnd(int queue) {
        return nearEnds.get(queue);
    }

    /** Sends a frame to the NIC: its virtio-net header first. False: the queue is full. */
    boolean send(int queue, byte[] frame) {
        synchronized (out) {
            MemorySegment.copy(frame, 0, out, ValueLayout.JAVA_BYTE, 0, frame.length);
            long n = Posix.write(farEnds.get(queue).number(), out.address(), frame.length);
            if (n == frame.length) {
                return true;
            }
            if (n == -Errno.EAGAIN) {
                return false;
            }
            throw new IllegalStateException("sent " + n);
        }
    }

    /** Sends, waiting for room. */
    void sendSurely(int queue, byte[] frame) {
        long end = System.nanoTime() + 15_000_000_000L;
        while (!send(queue, frame)) {
            if (System.nanoTime() > end) {
                throw new AssertionError("the NIC does not read queue " + queue);
            }
            Poll.writable(10, farEnds.get(queue).number());
        }
    }

    /** The next frame that the NIC sent, header first, or null. */
    byte[] poll(int queue) {
        synchronized (in) {
            long n = Posix.read(farEnds.get(queue).number(), in.address(), LARGEST);
            if (n == -Errno.EAGAIN) {
                return null;
            }
            if (n < 0) {
                throw new IllegalStateException("received " + n);
            }
            return in.asSlice(0, n).toArray(ValueLayout.JAVA_BYTE);
        }
    }

    /** Waits until the NIC has sent something, at most a second. */
    void awaitFrame(int queue) {
        Poll.readable(1_000, farEnds.get(queue).number());
    }

    /** Throws away what the NIC sent; how many frames. */
    int drain(int queue) {
        int n = 0;
        while (Posix.read(farEnds.get(queue).number(), in.address(), LARGEST) > 0) {
            n++;
        }
        return n;
    }

    /** The next frame, waiting for it at most 15 s. */
    byte[] take(int queue) {
        long end = System.nanoTime() + 15_000_000_000L;
        while (System.nanoTime() < end) {
            byte[] b = poll(queue);
            if (b != null) {
                return b;
            }
            Poll.readable(10, farEnds.get(queue).number());
        }
        throw new AssertionError("no frame on queue " + queue + " for 15 s");
    }

    /** One numbered frame out of the guest and one into it, on the first pair: each arrives. */
    void passBothWays(GuestNic g, int number) {
        assertTrue(g.transmit(0).send(FakeBackend.frame(0, 60, number), Harness.soon()));
        assertEquals(number, FakeBackend.number(take(0), 12));
        sendSurely(0, FakeBackend.frame(12, 60, number));
        byte[] b = g.receive(0).take(Harness.soon());
        assertNotNull(b);
        assertEquals(number, FakeBackend.number(b, 12));
    }

    @Override
    public void close() {
        nearEnds.forEach(Fd::close);
        farEnds.forEach(Fd::close);
        arena.close();
    }
}
