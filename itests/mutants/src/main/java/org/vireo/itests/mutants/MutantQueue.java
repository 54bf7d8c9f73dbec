// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.mutants;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.concurrent.locks.LockSupport;
import org.vireo.net.api.DropReason;
import org.vireo.net.api.Fd;
import org.vireo.net.api.FrameBatch;
import org.vireo.net.api.FrameQueue;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.ReceiveWindow;
import org.vireo.posix.Errno;
import org.vireo.posix.Posix;

/** Copies frames to and from a buffer of its own, without their headers. */
final class MutantQueue implements FrameQueue {
    private static final int ETHERNET = 14;
    private static final int MOST = 64 * 1024;
    private static final int LONG = 1400;
    private static final int MANY = 40;
    private static final long A_WHILE = 250_000_000;

    private final Fault fault;
    private final Fd socket;
    private final int number;
    private final MemorySegment buffer = Arena.ofAuto().allocate(MOST, 64);
    private volatile int header;
    private volatile boolean quiet;
    private volatile long sent;
    private long transmitAddress;
    private long receiveAddress;
    private byte[] garbage;
    private long behind;

    MutantQueue(Fault fault, Fd socket, int header) {
        this.fault = fault;
        this.socket = socket;
        this.number = socket.number();
        this.header = header;
    }

    void header(int bytes) {
        header = bytes;
    }

    /** That many frames are not sent. */
    void behind(long frames) {
        behind = frames;
    }

    void quiet(boolean on) {
        quiet = on;
    }

    long sent() {
        return sent;
    }

    int number() {
        return number;
    }

    @Override
    public Fd events() {
        return socket;
    }

    @Override
    public int transmit(FrameBatch b) throws NetdevException {
        if (fault == Fault.KEEPS_TRANSMIT_ADDRESS && transmitAddress != 0) {
            Posix.write(number, transmitAddress, 60);
        }
        for (int i = 0; i < b.size(); i++) {
            // of a long batch two frames change places, one comes twice, or none
            boolean place = b.size() > MANY && (i == MANY || i == MANY - 1);
            int which = fault == Fault.REORDERS && place ? 2 * MANY - 1 - i : i;
            if (!send(b, i, which, fault == Fault.LOSES && place)) {
                return i;
            }
            if (fault == Fault.DOUBLES && place) {
                write(b, which);
            }
        }
        if (fault == Fault.KEEPS_TRANSMIT_ADDRESS) {
            MemorySegment iovecs = MemorySegment.ofAddress(b.iovecs(0)).reinterpret(48);
            transmitAddress = iovecs.get(ValueLayout.JAVA_LONG, 16);
        }
        return b.size();
    }

    /** False: full. */
    private boolean send(FrameBatch b, int at, int which, boolean lose) throws NetdevException {
        int bytes = b.bytes(which) - header;
        if (bytes < ETHERNET && fault == Fault.STOPS_AT_UNSENDABLE) {
            return false;
        }
        if (bytes < ETHERNET) {
            b.drop(at, DropReason.INVALID);
            return true;
        }
        if (bytes > LONG && fault == Fault.DROPS_LONG) {
            b.drop(at, DropReason.TOO_LONG);
            return true;
        }
        if (fault == Fault.ALLOCATES_TRANSMIT) {
            garbage = new byte[16];
        }
        long n = quiet || lose || behind > 0 ? 0 : write(b, which);
        behind = Math.max(0, behind - 1);
        if (n == -Errno.EAGAIN && fault == Fault.DROPS_WHEN_FULL) {
            b.drop(at, DropReason.OTHER);
            return true;
        }
        if (n == -Errno.EAGAIN) {
            return false;
        }
        if (n < 0) {
            throw new NetdevException("the socket is broken: " + Errno.text((int) -n));
        }
        sent++;
        MutantState.SENT.incrementAndGet();
        b.taken(at);
        return true;
    }

    private long write(FrameBatch b, int which) {
        int bytes = b.bytes(which) - header;
        b.copyTo(which, header, buffer, 0, bytes);
        return Posix.write(number, buffer.address(), bytes);
    }

    @Override
    public int receive(ReceiveWindow w) throws NetdevException {
        if (fault == Fault.KEEPS_RECEIVE_ADDRESS && receiveAddress != 0) {
            MemorySegment.ofAddress(receiveAddress).reinterpret(1).set(ValueLayout.JAVA_BYTE, 0, (byte) 1);
        }
        int frames = 0;
        boolean room = w.iovecCount() > 0;
        while (room || fault == Fault.OVERRUNS_THE_WINDOW || fault == Fault.READS_BEFORE_IT_LOOKS) {
            long n = quiet ? -Errno.EAGAIN : Posix.read(number, buffer.address() + header, MOST - header);
            if (n == -Errno.EAGAIN) {
                if (frames == 0 && fault == Fault.WAITS_FOR_FRAMES) {
                    LockSupport.parkNanos(A_WHILE);
                }
                break;
            }
            if (n <= 0) {
                throw new NetdevException("the socket is broken: " + (n == 0 ? "the other end was closed" : Errno.text((int) -n)));
            }
            if (!room && fault == Fault.READS_BEFORE_IT_LOOKS) {
                break;
            }
            if (fault == Fault.KEEPS_RECEIVE_ADDRESS && room) {
                receiveAddress = MemorySegment.ofAddress(w.iovecs()).reinterpret(16).get(ValueLayout.JAVA_LONG, 0);
            }
            if (fault == Fault.ALLOCATES_RECEIVE) {
                garbage = new byte[16];
            }
            for (int i = 0; i < header; i++) {
                buffer.set(ValueLayout.JAVA_BYTE, i, (byte) 0);
            }
            room = w.put(buffer, 0, (int) (fault == Fault.CUTS_LONG ? Math.min(n, LONG) : n) + header);
            frames++;
            if (fault == Fault.RECEIVES_ONE) {
                break;
            }
        }
        return frames;
    }

    @Override
    public String toString() {
        return "queue of socket " + number + (garbage == null ? "" : ", with garbage");
    }
}
