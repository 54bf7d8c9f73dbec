## SPDX-License-Identifier: Apache-2.0
package ${package};

import java.lang.foreign.MemorySegment;
import org.vireo.net.api.DropReason;
import org.vireo.net.api.Fd;
import org.vireo.net.api.FrameBatch;
import org.vireo.net.api.FrameQueue;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.ReceiveWindow;
import org.vireo.posix.Errno;
import org.vireo.posix.Posix;

/**
 * The queue pair: a system call a frame, straight from and into the guest's memory. Called by one worker at a time, which serves other
 * guests too: it never blocks, and allocates nothing.
 */
final class DatagramQueue implements FrameQueue {
    private static final int ETHERNET_HEADER = 14;
    /** What is lost takes a datagram out of the socket: so many at once can only come from a fault, and a worker must not turn for ever. */
    private static final int MOST_LOST = 4096;

    private final Fd fd;
    /** The other one's address, or null: it is not connected again. */
    private final MemorySegment peer;
    /** The descriptor's number, without a check at each frame. */
    private volatile int number;
    private volatile boolean enabled = true;
    private volatile long reconnects;

    DatagramQueue(Fd fd, MemorySegment peer) {
        this.fd = fd;
        this.peer = peer;
        number = fd.number();
    }

    void enable(boolean on) {
        enabled = on;
    }

    long reconnects() {
        return reconnects;
    }

    void close() {
        number = -1;
        fd.close();
    }

    @Override
    public Fd events() {
        return fd;
    }

    @Override
    public int transmit(FrameBatch batch) throws NetdevException {
        int size = batch.size();
        boolean tried = peer == null;
        for (int i = 0; i < size; i++) {
            if (!enabled) {
                batch.drop(i, DropReason.DISABLED);
                continue;
            }
            if (batch.bytes(i) < ETHERNET_HEADER) {
                batch.drop(i, DropReason.INVALID);
                continue;
            }
            long r = Posix.writev(number, batch.iovecs(i), batch.iovecCount(i));
            if (isAway(r) && !tried) {
                // once a batch: looking for it costs more than a frame
                tried = true;
                if (Posix.connect(number, peer) == 0) {
                    reconnects++;
                    r = Posix.writev(number, batch.iovecs(i), batch.iovecCount(i));
                }
            }
            if (r >= 0) {
                batch.taken(i);
            } else if (r == -Errno.EAGAIN) {
                // the other one reads slowly: the rest stays in the guest's ring until the socket is writable
                return i;
            } else {
                batch.drop(i, reason((int) -r));
            }
        }
        return size;
    }

    @Override
    public int receive(ReceiveWindow window) throws NetdevException {
        if (!enabled) {
            return 0;
        }
        int delivered = 0;
        int lost = 0;
        int count = window.iovecCount();
        while (count > 0 && lost < MOST_LOST) {
            long r = Posix.readv(number, window.iovecs(), count);
            if (r >= ETHERNET_HEADER) {
                delivered++;
                if (!window.deliver((int) r)) {
                    return delivered;
                }
                count = window.iovecCount();
            } else if (r == -Errno.EAGAIN) {
                return delivered;
            } else if (r != -Errno.EINTR) {
                window.lost(r >= 0 ? DropReason.INVALID : reason((int) -r));
                lost++;
            }
        }
        return delivered;
    }

    private static boolean isAway(long result) {
        return result == -Errno.ECONNREFUSED || result == -Errno.ENOTCONN || result == -Errno.EDESTADDRREQ;
    }

    private static DropReason reason(int errno) throws NetdevException {
        return switch (errno) {
            case Errno.EBADF -> throw new NetdevException("the socket is not open any more: " + Errno.text(errno));
            case Errno.ECONNREFUSED, Errno.ENOTCONN, Errno.EDESTADDRREQ, Errno.ECONNRESET, Errno.EPERM -> DropReason.LINK_DOWN;
            case Errno.EMSGSIZE -> DropReason.TOO_LONG;
            case Errno.ENOBUFS, Errno.ENOMEM -> DropReason.NO_MEMORY;
            case Errno.EINVAL, Errno.EFAULT -> DropReason.INVALID;
            default -> DropReason.OTHER;
        };
    }
}
