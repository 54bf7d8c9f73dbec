// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import static org.vireo.guest.GuestRam.MEMORY;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.concurrent.locks.LockSupport;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.Errno;
import org.vireo.posix.Posix;
import org.vireo.posix.PosixException;
import org.vireo.posix.linux.Epoll;
import org.vireo.posix.linux.EventFd;

/**
 * One queue pair of a {@link SoftGuest}: reads frames from the TAP straight into transmit buffers and writes receive buffers straight
 * to it. Sleeps when there is nothing to do; at high rates it naps a little first, so that it is woken for many frames, not for each.
 */
final class SoftGuestPair implements AutoCloseable {
    private static final int BUDGET = 64;
    private static final int MAX_IOVECS = 256;
    private static final int TAP = 0;
    private static final int RECEIVE_CALL = 1;
    private static final int TRANSMIT_CALL = 2;
    private static final int STOP = 3;
    private static final int SOCKET = 4;
    private static final long RATE_WINDOW_NANOS = 2_000_000;
    private static final int BUSY_FRAMES_A_WINDOW = 40;
    private static final long NAP_NANOS = 60_000;

    private final ReceiveQueue receive;
    private final TransmitQueue transmit;
    private final Fd tap;
    private final int tapNumber;
    private final Fd socket;
    private final Fd stop;
    private final Epoll epoll;
    private final MemorySegment iovecs = Arena.ofAuto().allocate(16L * MAX_IOVECS, 8);
    private boolean tapWatched = true;
    private boolean blocked;
    private boolean stopped;
    private boolean peerGone;
    private boolean busy;
    private long windowBegan;
    private int windowFrames;
    private volatile long transmitted;
    private volatile long received;
    private volatile long refused;
    private volatile long full;
    private volatile long wakeups;

    SoftGuestPair(Fds fds, ReceiveQueue receive, TransmitQueue transmit, Fd tap, Fd socket) throws IOException {
        this.receive = receive;
        this.transmit = transmit;
        this.tap = tap;
        this.socket = socket;
        tapNumber = tap.number();
        stop = EventFd.create(fds, "guest stop");
        epoll = new Epoll(fds, 8);
        epoll.add(tap, Epoll.IN, TAP);
        // edges: calls are never read, so they cost no system call
        epoll.add(receive.callFd(), Epoll.IN | Epoll.EDGE, RECEIVE_CALL);
        epoll.add(transmit.callFd(), Epoll.IN | Epoll.EDGE, TRANSMIT_CALL);
        epoll.add(stop, Epoll.IN, STOP);
        epoll.add(socket, Epoll.RDHUP, SOCKET);
    }

    /** Moves frames until {@link #stop} or the device is gone; says why it ended. */
    String run() throws IOException {
        windowBegan = System.nanoTime();
        while (!stopped && !peerGone) {
            int moved = receive() + transmit();
            if (moved > 0) {
                account(moved);
            } else {
                sleep();
            }
        }
        return stopped ? "stopped" : "the device closed the connection";
    }

    private void account(int moved) {
        windowFrames += moved;
        long now = System.nanoTime();
        if (now - windowBegan > RATE_WINDOW_NANOS) {
            busy = windowFrames > BUSY_FRAMES_A_WINDOW && now - windowBegan < 2 * RATE_WINDOW_NANOS;
            windowFrames = 0;
            windowBegan = now;
        }
        if (busy && moved < BUDGET) {
            LockSupport.parkNanos(NAP_NANOS);
        }
    }

    private int receive() throws IOException {
        int n = 0;
        while (n < BUDGET && receive.next()) {
            int parts = receive.parts();
            long result = parts == 1 ? Posix.write(tapNumber, receive.part(0), receive.partBytes(0)) : writeParts(parts);
            receive.recycle();
            n++;
            if (result < 0) {
                refused++;
                requireUsable((int) -result);
            } else {
                received++;
            }
        }
        if (n > 0) {
            receive.publish();
        }
        return n;
    }

    private long writeParts(int parts) {
        if (parts > MAX_IOVECS) {
            return -Errno.EMSGSIZE;
        }
        for (int i = 0; i < parts; i++) {
            iovecs.set(ValueLayout.JAVA_LONG, 16L * i, receive.part(i));
            iovecs.set(ValueLayout.JAVA_LONG, 16L * i + 8, receive.partBytes(i));
        }
        return Posix.writev(tapNumber, iovecs.address(), parts);
    }

    /** EIO: the interface is down; EINVAL: a header that the kernel does not like. The frame is lost, the guest goes on. */
    private void requireUsable(int errno) throws IOException {
        if (errno == Errno.EBADFD || errno == Errno.EBADF || errno == Errno.EFAULT) {
            throw new PosixException("write to " + tap, errno);
        }
    }

    private int transmit() throws IOException {
        int n = 0;
        blocked = false;
        while (n < BUDGET) {
            int slot = transmit.claim();
            if (slot < 0) {
                full++;
                blocked = true;
                break;
            }
            long address = transmit.buffer(slot);
            long bytes = Posix.read(tapNumber, address, transmit.bufferBytes());
            if (bytes <= 0) {
                transmit.abandon(slot);
                if (bytes != -Errno.EAGAIN && bytes != -Errno.EINTR) {
                    requireUsable((int) -bytes);
                }
                break;
            }
            if (transmit.headerBytes() == 12) {
                MEMORY.set(ValueLayout.JAVA_SHORT, address + VirtioNetHeader.NUM_BUFFERS, (short) 0);
            }
            transmit.submit(slot, (int) bytes);
            n++;
        }
        if (n > 0) {
            transmit.publish();
            transmitted += n;
        }
        return n;
    }

    private void sleep() throws IOException {
        if (receive.armCalls(1)) {
            return;
        }
        // a full ring: the TAP keeps its frames until the device has returned half of them
        if (blocked && transmit.armCalls(Math.max(1, transmit.outstanding() / 2))) {
            return;
        }
        if (tapWatched == blocked) {
            tapWatched = !blocked;
            epoll.modify(tap, tapWatched ? Epoll.IN : 0, TAP);
        }
        int n = epoll.await(-1);
        wakeups++;
        receive.disarmCalls();
        transmit.disarmCalls();
        for (int i = 0; i < n; i++) {
            stopped |= epoll.data(i) == STOP;
            peerGone |= epoll.data(i) == SOCKET;
        }
    }

    SoftGuest.Counters counters() {
        return new SoftGuest.Counters(transmitted, received, refused, full, wakeups);
    }

    void stop() {
        EventFd.signal(stop.number());
    }

    /** After the thread has ended. */
    @Override
    public void close() {
        try {
            epoll.remove(tap);
            epoll.remove(receive.callFd());
            epoll.remove(transmit.callFd());
            epoll.remove(stop);
            epoll.remove(socket);
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
        stop.close();
        epoll.close();
    }
}
