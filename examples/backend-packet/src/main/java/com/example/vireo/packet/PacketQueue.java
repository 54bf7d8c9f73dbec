// SPDX-License-Identifier: Apache-2.0
package com.example.vireo.packet;

import org.vireo.net.api.DropReason;
import org.vireo.net.api.Fd;
import org.vireo.net.api.FrameBatch;
import org.vireo.net.api.FrameQueue;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.ReceiveWindow;
import org.vireo.posix.Errno;
import org.vireo.posix.Posix;

/**
 * A packet socket as a queue pair: one system call a frame, straight from and into guest memory but for the header. The kernel's header
 * has 10 bytes whatever the guest's has, and lies in memory of our own, so that the guest cannot change what we look at.
 */
final class PacketQueue implements FrameQueue {
    /** Each takes a frame out of the socket: more than it holds can only come from a fault, and a worker must not turn for ever. */
    private static final int MOST_LOST = 100_000;
    private static final int MSG_TRUNC = 0x20;
    private static final int CLOSED = -1;

    private final Fd fd;
    private final String name;
    private final Message message = new Message();
    /** For frames that have to be changed, or lie in too many pieces; made when the first of them comes. */
    private Scratch scratch;
    /** The descriptor's number, without a check at each frame. */
    private volatile int number;
    private volatile int headerLength;
    private volatile long offloads;
    private volatile boolean enabled;
    private volatile long unfit;
    private volatile long tagged;
    /** Whether the frame that was examined last is in the scratch memory. */
    private boolean changed;

    PacketQueue(Fd fd, String name) {
        this.fd = fd;
        this.name = name;
        number = fd.number();
    }

    void settings(int header, long guestOffloads, boolean on) {
        headerLength = header;
        offloads = guestOffloads;
        enabled = on;
    }

    /** Frames that the guest cannot take, since it has not acknowledged their offload. */
    long unfit() {
        return unfit;
    }

    /** Frames to the guest whose VLAN tag was put back. */
    long tagged() {
        return tagged;
    }

    void close() {
        number = CLOSED;
        fd.close();
    }

    @Override
    public Fd events() {
        return fd;
    }

    @Override
    public int transmit(FrameBatch batch) throws NetdevException {
        int size = batch.size();
        boolean on = enabled;
        int header = headerLength;
        for (int i = 0; i < size; i++) {
            long r = on ? send(batch, i, header) : 0;
            if (!on) {
                batch.drop(i, DropReason.DISABLED);
            } else if (r >= 0) {
                batch.taken(i);
            } else if (r == -Errno.EAGAIN) {
                return i;
            } else {
                batch.drop(i, reason((int) -r));
            }
        }
        return size;
    }

    private long send(FrameBatch batch, int frame, int header) {
        int bytes = batch.bytes(frame);
        if (bytes < header) {
            return -Errno.EINVAL;
        }
        batch.copyTo(frame, 0, message.header(), 0, Message.HEADER);
        int n = message.behindHeader(batch.iovecs(frame), batch.iovecCount(frame), header);
        if (n > Message.MOST_PIECES) {
            Scratch s = scratch();
            if (bytes - header > s.room()) {
                return -Errno.EMSGSIZE;
            }
            batch.copyTo(frame, header, s.memory(), 0, bytes - header);
            n = message.behindHeader(s.memory(), bytes - header);
        }
        long r;
        do {
            r = Posix.writev(number, message.pieces(), n);
        } while (r == -Errno.EINTR);
        return r;
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
            int pieces = message.behindHeader(window.iovecs(), count, headerLength);
            long r = Posix.recvmsg(number, message.toReceive(pieces), MSG_TRUNC);
            if (r == -Errno.EAGAIN) {
                return delivered;
            }
            DropReason wrong = r >= Message.HEADER ? examine(window, count, (int) r - Message.HEADER) : wrong((int) r);
            if (wrong != null) {
                window.lost(wrong);
            }
            if (wrong != null || r < 0) {
                lost++;
                continue;
            }
            delivered++;
            if (!(changed ? window.put(scratch.memory(), 0, scratch.bytes()) : window.deliver(headerLength + (int) r - Message.HEADER))) {
                return delivered;
            }
            count = window.iovecCount();
        }
        return delivered;
    }

    /** What keeps a frame from the guest, or null. Completes it, in the window or, if it has to be changed, in the scratch memory. */
    private DropReason examine(ReceiveWindow window, int count, int bytes) {
        changed = false;
        long allowed = offloads;
        if (message.isCut()) {
            return DropReason.TOO_LONG;
        }
        if (!message.fits(allowed)) {
            unfit++;
            return DropReason.TOO_LONG;
        }
        if (!message.needsChange(allowed) || headerLength + bytes > window.room()) {
            message.headerTo(window.iovecs(), headerLength, allowed);
            return null;
        }
        tagged += message.hasTag() ? 1 : 0;
        changed = scratch().take(message, window.iovecs(), count, headerLength, bytes, allowed);
        return changed ? null : DropReason.INVALID;
    }

    /** Why no frame came, though one was there; null if nothing was lost. */
    private DropReason wrong(int result) throws NetdevException {
        return switch (-result) {
            // told once: the interface was brought down, and frames may come when it is up again
            case Errno.EINTR, Errno.ENETDOWN -> null;
            // EINVAL is an offload that the header cannot say
            default -> result >= 0 ? DropReason.INVALID : reason(-result);
        };
    }

    private Scratch scratch() {
        if (scratch == null) {
            scratch = new Scratch();
        }
        return scratch;
    }

    private DropReason reason(int errno) throws NetdevException {
        return switch (errno) {
            case Errno.ENXIO, Errno.ENODEV, Errno.EBADF -> throw new NetdevException(name + ": " + Errno.text(errno)
                    + ": the interface was deleted; make it again and reopen the netdev");
            case Errno.EINVAL, Errno.EFAULT -> DropReason.INVALID;
            case Errno.ENETDOWN, Errno.EIO -> DropReason.LINK_DOWN;
            case Errno.ENOMEM, Errno.ENOBUFS -> DropReason.NO_MEMORY;
            case Errno.EMSGSIZE -> DropReason.TOO_LONG;
            default -> DropReason.OTHER;
        };
    }
}
