// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.device;

import java.lang.foreign.MemorySegment;
import java.util.Objects;
import org.vireo.frontend.virtionet.ring.MalformedRingException;
import org.vireo.frontend.virtionet.ring.Virtqueue;
import org.vireo.frontend.virtionet.worker.Scratch;
import org.vireo.frontend.virtionet.worker.Task;
import org.vireo.net.api.DropReason;
import org.vireo.net.api.FrameBatch;
import org.vireo.posix.linux.SharedMemory;

/** Frames of a transmit ring on their way to a port. One a worker thread, filled anew for each pass. */
final class TransmitBatch implements FrameBatch {
    static final int MAX_FRAMES = 64;
    /** Most iovecs that a system call takes (IOV_MAX). */
    static final int MAX_IOVECS = 1024;

    private static final MemorySegment MEMORY = SharedMemory.addressSpace();

    private final long memory;
    private final long[] iovecs = new long[MAX_FRAMES];
    private final int[] counts = new int[MAX_FRAMES];
    private final int[] bytes = new int[MAX_FRAMES];
    private final int[] chains = new int[MAX_FRAMES];
    private int size;
    private int taken;
    private Virtqueue ring;
    private PairCounters counters;
    private Task owner;

    TransmitBatch(Scratch scratch) {
        memory = scratch.iovecs();
    }

    /**
     * Parses what the driver made available.
     *
     * @return frames, 0 for none
     * @throws MalformedRingException the first chain breaks a rule; one after good ones is left for the next pass
     */
    int fill(Task task, Virtqueue from, PairCounters count, int headerLength, int skip) throws MalformedRingException {
        owner = task;
        ring = from;
        counters = count;
        size = 0;
        taken = 0;
        int available = 0;
        int used = 0;
        try {
            while (size < MAX_FRAMES) {
                if (available == 0) {
                    available = from.look();
                    if (available == 0) {
                        break;
                    }
                }
                int room = Math.min(MAX_IOVECS, Scratch.IOVEC_BYTES / Virtqueue.IOVEC - used);
                long at = memory + (long) used * Virtqueue.IOVEC;
                int n = from.gather(at, room, skip);
                if (n < 0) {
                    if (size > 0 || room < MAX_IOVECS) {
                        break;
                    }
                    throw new MalformedRingException(MalformedRingException.Rule.CHAIN_TOO_LONG,
                            from + ": chain at " + from.chain() + " has more than " + MAX_IOVECS + " buffers");
                }
                if (from.chainBytes() < headerLength) {
                    throw new MalformedRingException(MalformedRingException.Rule.NO_ROOM_FOR_HEADER,
                            from + ": chain at " + from.chain() + " has " + from.chainBytes() + " bytes, less than the header's "
                            + headerLength);
                }
                if (n == 0) {
                    // a header alone, for a port without headers: there is nothing to send
                    if (size > 0) {
                        break;
                    }
                    counters.transmitDropped(DropReason.INVALID);
                    from.put(from.chain(), 0);
                    from.record();
                    available--;
                    continue;
                }
                available--;
                iovecs[size] = at;
                counts[size] = n;
                bytes[size] = from.chainBytes() - skip;
                chains[size++] = from.chain();
                used += n;
            }
        } catch (MalformedRingException e) {
            if (size == 0) {
                throw e;
            }
        }
        return size;
    }

    /** After the port took some: the rest will be parsed again. */
    void finish(int count) {
        if (count < taken || count > size) {
            throw new IllegalStateException("transmit returned " + count + " of " + size + " frames, after " + taken + " were reported");
        }
        if (count > taken) {
            taken(count - 1);
        }
        ring.rewind();
    }

    @Override
    public int size() {
        return size;
    }

    @Override
    public int bytes(int frame) {
        return bytes[Objects.checkIndex(frame, size)];
    }

    @Override
    public long iovecs(int frame) {
        return iovecs[Objects.checkIndex(frame, size)];
    }

    @Override
    public int iovecCount(int frame) {
        return counts[Objects.checkIndex(frame, size)];
    }

    @Override
    public void taken(int frame) {
        Objects.checkIndex(frame, size);
        if (owner.isRevoked()) {
            return;
        }
        while (taken <= frame) {
            counters.transmitted(bytes[taken]);
            ring.put(chains[taken++], 0);
        }
        ring.record();
    }

    @Override
    public void drop(int frame, DropReason why) {
        if (frame > taken) {
            taken(frame - 1);
        }
        if (frame != taken || owner.isRevoked()) {
            return;
        }
        counters.transmitDropped(why);
        ring.put(chains[taken++], 0);
        ring.record();
    }

    @Override
    public void copyTo(int frame, long from, MemorySegment to, long at, int n) {
        Objects.checkFromIndexSize(from, n, bytes(frame));
        Objects.checkFromIndexSize(at, n, to.byteSize());
        long skip = from;
        long into = at;
        long left = n;
        long iovec = iovecs[frame];
        for (int i = 0; left > 0 && i < counts[frame]; i++, iovec += Virtqueue.IOVEC) {
            long length = Virtqueue.length(iovec);
            if (skip >= length) {
                skip -= length;
                continue;
            }
            long part = Math.min(left, length - skip);
            MemorySegment.copy(MEMORY, Virtqueue.base(iovec) + skip, to, into, part);
            into += part;
            left -= part;
            skip = 0;
        }
    }
}
