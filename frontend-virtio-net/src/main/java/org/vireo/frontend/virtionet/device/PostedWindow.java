// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.device;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Objects;
import org.vireo.frontend.virtionet.ring.MalformedRingException;
import org.vireo.frontend.virtionet.ring.MalformedRingException.Rule;
import org.vireo.frontend.virtionet.ring.Virtqueue;
import org.vireo.frontend.virtionet.worker.Task;
import org.vireo.net.api.DropReason;
import org.vireo.net.api.ReceiveWindow;
import org.vireo.posix.linux.SharedMemory;

/**
 * The buffers that a driver posted for frames, parsed once and kept between frames: look-ahead of a receive ring.
 *
 * <p>With mergeable buffers a frame may lie over several chains; the window holds enough of them for a largest frame. If the driver
 * posted fewer, frames are read into memory of the window's own and copied, and one that finds no room waits there: so none is cut
 * off, and none is lost to a small ring. Without mergeable buffers a frame is one chain.
 */
final class PostedWindow implements ReceiveWindow {
    /** Most chains and most iovecs that are kept parsed. */
    private static final int CAPACITY = 1024;
    private static final int OWN_BYTES = 65536 + 64;
    private static final MemorySegment MEMORY = SharedMemory.addressSpace();

    private final Task owner;
    private final Virtqueue ring;
    private final PairCounters counters;
    private final int headerLength;
    private final int skip;
    private final boolean mergeable;
    private final int largest;
    private final Arena arena = Arena.ofAuto();
    private final long iovecs = arena.allocate((CAPACITY + 1L) * Virtqueue.IOVEC, 16).address();
    private final int[] ids = new int[CAPACITY];
    private final int[] chainBytes = new int[CAPACITY];
    private final int[] chainIovecs = new int[CAPACITY];
    private int firstIovec;
    private int lastIovec;
    private int firstChain;
    private int lastChain;
    private final int[] chainDescriptors = new int[CAPACITY];
    private long posted;
    /** Descriptors of the ring's table that hold what is posted. */
    private int descriptors;
    /** No more chains can be parsed before some are given back. */
    private boolean exhausted;

    private long own;
    private boolean ownUsed;
    private int waiting;
    private boolean spilling;
    private long stripped;

    private int budget;
    private boolean open;
    private boolean stopped;
    private int delivered;
    private MalformedRingException broken;

    /**
     * A window.
     *
     * @param headerLength of the virtio-net header that the driver expects
     * @param skip bytes of it that the port does not bring
     * @param mergeable VIRTIO_NET_F_MRG_RXBUF
     * @param largest bytes of a largest frame, header included
     */
    PostedWindow(Task owner, Virtqueue ring, PairCounters counters, int headerLength, int skip, boolean mergeable, int largest) {
        this.owner = owner;
        this.ring = ring;
        this.counters = counters;
        this.headerLength = headerLength;
        this.skip = skip;
        this.mergeable = mergeable;
        this.largest = largest;
    }

    /** Forgets what was parsed. A frame that waits stays. */
    void rewind() {
        ring.rewind();
        firstIovec = 0;
        lastIovec = 0;
        firstChain = 0;
        lastChain = 0;
        posted = 0;
        descriptors = 0;
    }

    /** Parses until there is room for a largest frame, or nothing more is posted. */
    private void refill() throws MalformedRingException {
        int available = -1;
        exhausted = false;
        while (mergeable ? posted < largest : firstChain == lastChain) {
            if (lastIovec == CAPACITY || lastChain == CAPACITY) {
                if (firstChain == 0) {
                    exhausted = true;
                    return;
                }
                compact();
            }
            if (available <= 0) {
                available = ring.look();
                if (available == 0) {
                    exhausted = descriptors >= ring.size();
                    return;
                }
            }
            int n = ring.gather(iovecs + (long) lastIovec * Virtqueue.IOVEC, CAPACITY - lastIovec, 0);
            if (n < 0) {
                if (firstChain == 0) {
                    if (lastChain > 0) {
                        exhausted = true;
                        return;
                    }
                    throw new MalformedRingException(Rule.CHAIN_TOO_LONG, ring + ": chain at " + ring.chain() + " has more than " + CAPACITY
                            + " buffers");
                }
                compact();
                continue;
            }
            if (ring.chainBytes() < headerLength) {
                throw new MalformedRingException(Rule.NO_ROOM_FOR_HEADER, ring + ": chain at " + ring.chain() + " has " + ring.chainBytes()
                        + " bytes, less than the header's " + headerLength);
            }
            ids[lastChain] = ring.chain();
            chainBytes[lastChain] = ring.chainBytes();
            chainDescriptors[lastChain] = ring.chainDescriptors();
            descriptors += ring.chainDescriptors();
            chainIovecs[lastChain++] = n;
            lastIovec += n;
            posted += ring.chainBytes();
            available--;
        }
    }

    private void compact() {
        int n = lastIovec - firstIovec;
        MemorySegment.copy(MEMORY, iovecs + (long) firstIovec * Virtqueue.IOVEC, MEMORY, iovecs, (long) n * Virtqueue.IOVEC);
        int chains = lastChain - firstChain;
        System.arraycopy(ids, firstChain, ids, 0, chains);
        System.arraycopy(chainBytes, firstChain, chainBytes, 0, chains);
        System.arraycopy(chainIovecs, firstChain, chainIovecs, 0, chains);
        System.arraycopy(chainDescriptors, firstChain, chainDescriptors, 0, chains);
        firstIovec = 0;
        lastIovec = n;
        firstChain = 0;
        lastChain = chains;
    }

    /**
     * Opens the window for a pass.
     *
     * @param frames at most
     * @return false: the driver posted too little
     */
    boolean begin(int frames) throws MalformedRingException {
        refill();
        budget = frames;
        stopped = false;
        delivered = 0;
        broken = null;
        if (waiting > 0) {
            int n = waiting;
            if (posted >= n + skip) {
                waiting = 0;
                copyIn(MEMORY, own, n);
                consume(n);
                refill();
            } else if (exhausted) {
                // the driver has nothing left to post: it would wait for ever
                waiting = 0;
                counters.receiveDropped(DropReason.TOO_LONG);
            } else {
                return false;
            }
        }
        open = true;
        select();
        return open;
    }

    /** Ends the pass. */
    int end() throws MalformedRingException {
        open = false;
        if (broken != null) {
            throw broken;
        }
        return delivered;
    }

    /** Whether the window said stop: so the port may have more. */
    boolean stopped() {
        return stopped;
    }

    /** Decides where the next frame goes. */
    private void select() {
        boolean direct = mergeable ? posted >= largest : firstChain < lastChain;
        ownUsed = !direct;
        if (direct) {
            if (skip > 0) {
                strip();
            }
            spill();
            return;
        }
        if (!mergeable || firstChain == lastChain) {
            stop();
            return;
        }
        MEMORY.set(JAVA_LONG, iovecs + (long) CAPACITY * Virtqueue.IOVEC, own());
        MEMORY.set(JAVA_LONG, iovecs + (long) CAPACITY * Virtqueue.IOVEC + 8, (long) OWN_BYTES);
    }

    private long own() {
        if (own == 0) {
            own = arena.allocate(OWN_BYTES, 16).address();
        }
        return own;
    }

    /**
     * Puts a buffer of our own behind the guest's: a read does not tell that it cut a frame off, only what is in there does.
     */
    private void spill() {
        int n = presented();
        spilling = n < CAPACITY;
        if (spilling) {
            long at = (skip > 0 ? stripped : iovecs + (long) firstIovec * Virtqueue.IOVEC) + (long) n * Virtqueue.IOVEC;
            MEMORY.set(JAVA_LONG, at, own());
            MEMORY.set(JAVA_LONG, at + 8, (long) OWN_BYTES);
        }
    }

    private void stop() {
        open = false;
        stopped = true;
    }

    /** For a port without header: iovecs without the bytes that it does not bring. */
    private void strip() {
        if (stripped == 0) {
            stripped = arena.allocate((CAPACITY + 1L) * Virtqueue.IOVEC, 16).address();
        }
        long left = skip;
        int n = 0;
        for (int i = firstIovec; i < firstIovec + presented(); i++) {
            long from = iovecs + (long) i * Virtqueue.IOVEC;
            long cut = Math.min(left, Virtqueue.length(from));
            left -= cut;
            MEMORY.set(JAVA_LONG, stripped + (long) n * Virtqueue.IOVEC, Virtqueue.base(from) + cut);
            MEMORY.set(JAVA_LONG, stripped + (long) n * Virtqueue.IOVEC + 8, Virtqueue.length(from) - cut);
            n++;
        }
    }

    private int presented() {
        return mergeable ? Math.min(lastIovec - firstIovec, CAPACITY) : chainIovecs[firstChain];
    }

    @Override
    public long iovecs() {
        if (ownUsed) {
            return iovecs + (long) CAPACITY * Virtqueue.IOVEC;
        }
        return skip > 0 ? stripped : iovecs + (long) firstIovec * Virtqueue.IOVEC;
    }

    @Override
    public int iovecCount() {
        return !open ? 0 : ownUsed ? 1 : spilling ? presented() + 1 : presented();
    }

    @Override
    public int room() {
        return !open ? 0 : ownUsed ? OWN_BYTES : (int) Math.min(Integer.MAX_VALUE, mergeable ? posted : chainBytes[firstChain]) - skip;
    }

    @Override
    public boolean deliver(int bytes) {
        if (owner.isRevoked()) {
            return false;
        }
        if (!open) {
            throw new IllegalStateException("the window is full");
        }
        // a port without headers brings a byte at least
        if (bytes < Math.max(1, headerLength - skip)) {
            throw new IllegalArgumentException("a frame of " + bytes + " bytes, less than its header's " + (headerLength - skip));
        }
        delivered++;
        if (bytes > room()) {
            if (!ownUsed && ring.logsBuffers()) {
                // the port has filled them before it knew
                log(iovecs + (long) firstIovec * Virtqueue.IOVEC, room() + skip);
            }
            counters.receiveDropped(DropReason.TOO_LONG);
            return next();
        }
        if (ownUsed) {
            if (bytes + skip > posted) {
                waiting = bytes;
                stop();
                return false;
            }
            copyIn(MEMORY, own, bytes);
            counters.copied();
        }
        consume(bytes);
        return next();
    }

    private boolean next() {
        if (--budget <= 0) {
            stop();
            return false;
        }
        try {
            refill();
        } catch (MalformedRingException e) {
            broken = e;
            stop();
            return false;
        }
        select();
        return open;
    }

    /** Gives the chains back that hold a frame. */
    private void consume(int bytes) {
        int left = bytes + skip;
        if (skip > 0) {
            zeroHeader();
        }
        long header = iovecs + (long) firstIovec * Virtqueue.IOVEC;
        int chain = firstChain;
        do {
            left -= chainBytes[chain++];
        } while (left > 0);
        // all of the frame is there before the driver, or a successor, may take it for one
        if (headerLength == 12) {
            numBuffers(header, chain - firstChain);
        }
        if (ring.logsBuffers()) {
            log(header, bytes + skip);
        }
        for (left = bytes + skip; firstChain < chain; firstChain++) {
            int part = Math.min(left, chainBytes[firstChain]);
            ring.put(ids[firstChain], part);
            left -= part;
            posted -= chainBytes[firstChain];
            descriptors -= chainDescriptors[firstChain];
            firstIovec += chainIovecs[firstChain];
        }
        ring.record();
        counters.received(bytes);
        if (firstChain == lastChain) {
            firstChain = 0;
            lastChain = 0;
            firstIovec = 0;
            lastIovec = 0;
        }
    }

    /** All of it is written: a VMM that migrates its VM has to know which pages, before the driver or a successor takes it for done. */
    private void log(long from, long bytes) {
        long left = bytes;
        for (long iovec = from; left > 0; iovec += Virtqueue.IOVEC) {
            long part = Math.min(left, Virtqueue.length(iovec));
            ring.written(Virtqueue.base(iovec), part);
            left -= part;
        }
    }

    private static void numBuffers(long header, int chains) {
        if (Virtqueue.length(header) >= 12) {
            Virtqueue.putShort(Virtqueue.base(header) + 10, chains);
            return;
        }
        long iovec = header;
        long at = 10;
        for (int i = 0; i < 2; i++, at++) {
            while (at >= Virtqueue.length(iovec)) {
                at -= Virtqueue.length(iovec);
                iovec += Virtqueue.IOVEC;
            }
            MEMORY.set(java.lang.foreign.ValueLayout.JAVA_BYTE, Virtqueue.base(iovec) + at, (byte) (chains >> 8 * i));
        }
    }

    private void zeroHeader() {
        long left = skip;
        for (long iovec = iovecs + (long) firstIovec * Virtqueue.IOVEC; left > 0; iovec += Virtqueue.IOVEC) {
            long part = Math.min(left, Virtqueue.length(iovec));
            MEMORY.asSlice(Virtqueue.base(iovec), part).fill((byte) 0);
            left -= part;
        }
    }

    /** Copies a frame into the first chains, behind what the port does not bring. */
    private void copyIn(MemorySegment from, long at, int bytes) {
        long ahead = skip;
        long left = bytes;
        long source = at;
        for (long iovec = iovecs + (long) firstIovec * Virtqueue.IOVEC; left > 0; iovec += Virtqueue.IOVEC) {
            long cut = Math.min(ahead, Virtqueue.length(iovec));
            ahead -= cut;
            long part = Math.min(left, Virtqueue.length(iovec) - cut);
            MemorySegment.copy(from, source, MEMORY, Virtqueue.base(iovec) + cut, part);
            source += part;
            left -= part;
        }
    }

    @Override
    public boolean put(MemorySegment from, long at, int bytes) {
        Objects.checkFromIndexSize(at, bytes, from.byteSize());
        if (owner.isRevoked()) {
            return false;
        }
        if (!open) {
            throw new IllegalStateException("the window is full");
        }
        if (bytes <= room()) {
            if (ownUsed) {
                MemorySegment.copy(from, at, MEMORY, own, bytes);
            } else {
                copyIn(from, at, bytes);
            }
        }
        return deliver(bytes);
    }

    @Override
    public void lost(DropReason why) {
        counters.receiveDropped(why);
    }

    /** Counts a frame that waits as lost: the ring ends. */
    void abandon() {
        if (waiting > 0) {
            waiting = 0;
            counters.receiveDropped(DropReason.NO_MEMORY);
        }
    }
}
