// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.tap;

import org.vireo.net.api.DropReason;
import org.vireo.net.api.Fd;
import org.vireo.net.api.FrameBatch;
import org.vireo.net.api.FrameQueue;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.ReceiveWindow;
import org.vireo.posix.Errno;
import org.vireo.posix.Posix;

/** A queue of a TAP: one writev or readv a frame, straight from and into guest memory (tun_chr_write_iter, tun_chr_read_iter). */
final class TapQueue implements FrameQueue {
    /**
     * Most frames that may be lost in one receive: each takes a frame out of the kernel's queue, so more than that queue holds can only
     * come from a fault, and a worker must not turn for ever.
     */
    private static final int MOST_LOST = 4096;
    private static final int CLOSED = -1;

    private final Fd fd;
    private final String name;
    /** The descriptor's number, without a check at each frame. */
    private volatile int number;
    private volatile boolean enabled;
    private boolean touched;

    TapQueue(Fd fd, String name, boolean enabled) {
        this.fd = fd;
        this.name = name;
        this.number = fd.number();
        this.enabled = enabled;
    }

    @Override
    public Fd events() {
        return fd;
    }

    boolean isEnabled() {
        return enabled;
    }

    void enable(boolean on) {
        enabled = on;
    }

    /** Whether a worker has used it. */
    boolean isTouched() {
        return touched;
    }

    void close() {
        number = CLOSED;
        fd.close();
    }

    @Override
    public int transmit(FrameBatch batch) throws NetdevException {
        touched = true;
        int size = batch.size();
        if (!enabled) {
            // the kernel would take frames from a detached queue all the same
            for (int i = 0; i < size; i++) {
                batch.drop(i, DropReason.DISABLED);
            }
            return size;
        }
        int n = number;
        for (int i = 0; i < size; i++) {
            long r;
            do {
                r = Posix.writev(n, batch.iovecs(i), batch.iovecCount(i));
            } while (r == -Errno.EINTR);
            if (r >= 0) {
                batch.taken(i);
            } else if (r == -Errno.EAGAIN) {
                return i;
            } else {
                batch.drop(i, reason((int) -r, "send to"));
            }
        }
        return size;
    }

    @Override
    public int receive(ReceiveWindow window) throws NetdevException {
        touched = true;
        if (!enabled) {
            return 0;
        }
        int n = number;
        int delivered = 0;
        int lost = 0;
        int count = window.iovecCount();
        while (count > 0 && lost < MOST_LOST) {
            long r = Posix.readv(n, window.iovecs(), count);
            if (r > 0) {
                delivered++;
                if (!window.deliver((int) r)) {
                    return delivered;
                }
                count = window.iovecCount();
            } else if (r == -Errno.EAGAIN) {
                return delivered;
            } else if (r == 0) {
                throw new NetdevException(name + ": end of file: the descriptor is not a TAP's any more; give the NIC another netdev");
            } else if (r != -Errno.EINTR) {
                // the kernel has thrown the frame away
                window.lost(reason((int) -r, "read from"));
                lost++;
            }
        }
        return delivered;
    }

    private DropReason reason(int errno, String what) throws NetdevException {
        if (TapIoctl.gone(errno)) {
            throw new NetdevException(name + ": cannot " + what + " it: " + Errno.text(errno)
                    + ": the interface was deleted; make it again and reopen the netdev");
        }
        return switch (errno) {
            case Errno.EINVAL, Errno.EFAULT -> DropReason.INVALID;
            case Errno.EIO, Errno.ENETDOWN, Errno.EBUSY -> DropReason.LINK_DOWN;
            case Errno.ENOMEM, Errno.ENOBUFS -> DropReason.NO_MEMORY;
            case Errno.EMSGSIZE, Errno.E2BIG -> DropReason.TOO_LONG;
            default -> DropReason.OTHER;
        };
    }
}
