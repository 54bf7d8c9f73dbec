// SPDX-License-Identifier: Apache-2.0
package com.example.vireo.tapmeter;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.vireo.net.api.DropReason;
import org.vireo.net.api.Fd;
import org.vireo.net.api.FrameBatch;
import org.vireo.net.api.FrameQueue;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.ReceiveWindow;
import org.vireo.posix.Errno;
import org.vireo.posix.Posix;

/** A queue of a TAP: one writev or readv a frame, straight from and into guest memory, and a look at its Ethernet header. */
final class MeterQueue implements FrameQueue {
    /** All of the address space, to read guest memory at its addresses. */
    private static final MemorySegment MEMORY = MemorySegment.NULL.reinterpret(Long.MAX_VALUE);
    private static final int IOVEC = 16;
    /** Each takes a frame out of the kernel's queue: more than that holds can only come from a fault. */
    private static final int MOST_LOST = 4096;

    private final Fd fd;
    private final String name;
    private final MemorySegment ethernet = Arena.ofAuto().allocate(Meter.HEADER_ROOM, 8);
    private final Meter transmitted = new Meter();
    private final Meter received = new Meter();
    /** The descriptor's number, without a check at each frame. */
    private volatile int number;
    private volatile int headerLength;
    private volatile boolean enabled;

    MeterQueue(Fd fd, String name) {
        this.fd = fd;
        this.name = name;
        number = fd.number();
    }

    void settings(int header, boolean on) {
        headerLength = header;
        enabled = on;
    }

    boolean isEnabled() {
        return enabled;
    }

    Meter transmitted() {
        return transmitted;
    }

    Meter received() {
        return received;
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
        boolean on = enabled;
        int header = headerLength;
        for (int i = 0; i < size; i++) {
            if (!on) {
                batch.drop(i, DropReason.DISABLED);
                continue;
            }
            // read before it goes: afterwards it is the guest's again
            int bytes = batch.bytes(i);
            int seen = Math.clamp(bytes - header, 0, Meter.HEADER_BYTES);
            batch.copyTo(i, Math.min(header, bytes), ethernet, 0, seen);
            long r;
            do {
                r = Posix.writev(number, batch.iovecs(i), batch.iovecCount(i));
            } while (r == -Errno.EINTR);
            if (r >= 0) {
                batch.taken(i);
                transmitted.count(ethernet, seen, bytes - header);
            } else if (r == -Errno.EAGAIN) {
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
        int header = headerLength;
        int delivered = 0;
        int lost = 0;
        int count = window.iovecCount();
        while (count > 0 && lost < MOST_LOST) {
            long r = Posix.readv(number, window.iovecs(), count);
            if (r > 0) {
                int seen = look(window.iovecs(), count, header, Math.clamp(r - header, 0, Meter.HEADER_BYTES));
                received.count(ethernet, seen, (int) r - header);
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
                window.lost(reason((int) -r));
                lost++;
            }
        }
        return delivered;
    }

    /** Copies a frame's first bytes, which may lie in several pieces, before the guest gets it. */
    private int look(long iovecs, int count, int skip, int bytes) {
        int behind = skip;
        int done = 0;
        for (int i = 0; i < count && done < bytes; i++) {
            long base = MEMORY.get(ValueLayout.JAVA_LONG, iovecs + (long) i * IOVEC);
            long length = MEMORY.get(ValueLayout.JAVA_LONG, iovecs + (long) i * IOVEC + 8);
            int cut = (int) Math.min(behind, length);
            behind -= cut;
            int n = (int) Math.min(bytes - done, length - cut);
            MemorySegment.copy(MEMORY, base + cut, ethernet, done, n);
            done += n;
        }
        return done;
    }

    private DropReason reason(int errno) throws NetdevException {
        return switch (errno) {
            case Errno.EBADFD, Errno.EBADF, Errno.ENODEV, Errno.ENXIO -> throw new NetdevException(name + ": " + Errno.text(errno)
                    + ": the interface was deleted; make it again and reopen the netdev");
            case Errno.EINVAL, Errno.EFAULT -> DropReason.INVALID;
            case Errno.EIO, Errno.ENETDOWN, Errno.EBUSY -> DropReason.LINK_DOWN;
            case Errno.ENOMEM, Errno.ENOBUFS -> DropReason.NO_MEMORY;
            case Errno.EMSGSIZE, Errno.E2BIG -> DropReason.TOO_LONG;
            default -> DropReason.OTHER;
        };
    }
}
