// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.linux.SharedMemory;
import org.vireo.vhostuser.MemoryRegionSpec;

/**
 * A guest's memory: one memory file a region, not sealed, so that a test may cut it short. Guest and user addresses are made up, and
 * neither equals an address in any process, so that a device that mixes them up fails. Memory is handed out and never taken back.
 */
public final class GuestRam implements AutoCloseable {
    /** Memory at absolute addresses. */
    public static final MemorySegment MEMORY = SharedMemory.addressSpace();

    private static final long FIRST_GUEST = 0x4000_0000L;
    private static final long USER_OFFSET = 0x5500_0000_0000L;
    private static final long GAP = 0x1000_0000L;
    private static final long PAGE = 4096;

    private final Fds fds;
    private final List<Region> regions = new ArrayList<>();
    private long nextGuest = FIRST_GUEST;
    private long granularity = 1;

    /** One region and where it is mapped here. */
    private static final class Region {
        final MemoryRegionSpec spec;
        final Fd file;
        final long mapped;
        long used;

        Region(MemoryRegionSpec spec, Fd file, long mapped) {
            this.spec = spec;
            this.file = file;
            this.mapped = mapped;
        }
    }

    /**
     * Makes memory.
     *
     * @param fds makes the descriptors
     * @param regionBytes size of each region; rounded up to pages
     * @throws IOException no memory or descriptor left
     */
    public GuestRam(Fds fds, long... regionBytes) throws IOException {
        this.fds = fds;
        try {
            for (long bytes : regionBytes) {
                add(bytes);
            }
        } catch (IOException e) {
            close();
            throw e;
        }
    }

    /**
     * Plugs one more region, behind the others.
     *
     * @param bytes its size
     * @return its index
     * @throws IOException no memory or descriptor left
     */
    public int add(long bytes) throws IOException {
        long size = bytes + PAGE - 1 & -PAGE;
        Fd file = SharedMemory.create(fds, "guest-ram-" + regions.size(), size, false);
        try {
            long mapped = SharedMemory.map(file, 0, size);
            regions.add(new Region(new MemoryRegionSpec(nextGuest, size, nextGuest + USER_OFFSET, 0), file, mapped));
        } catch (IOException e) {
            file.close();
            throw e;
        }
        nextGuest += size + GAP & -GAP;
        return regions.size() - 1;
    }

    /**
     * From now on each piece that is handed out has pages of its own, so that who writes one does not write a page of another one.
     *
     * @return this
     */
    public GuestRam apart() {
        granularity = PAGE;
        return this;
    }

    /** What the device is told of each region. */
    public List<MemoryRegionSpec> specs() {
        return regions.stream().map(r -> r.spec).toList();
    }

    /** The regions' files, in the same order. They stay the memory's. */
    public List<Fd> files() {
        return regions.stream().map(r -> r.file).toList();
    }

    /**
     * Hands out memory from the first region that has room.
     *
     * @param bytes how much
     * @param alignment a power of two, at most a page
     * @return its guest address
     */
    public long allocate(long bytes, long alignment) {
        for (int i = 0; i < regions.size(); i++) {
            Region r = regions.get(i);
            if (aligned(r, alignment) + bytes <= r.spec.size()) {
                return allocateIn(i, bytes, alignment);
            }
        }
        throw new IllegalStateException("guest memory is too small for " + bytes + " bytes more");
    }

    /**
     * Hands out memory from one region.
     *
     * @param region its index
     * @param bytes how much
     * @param alignment a power of two, at most a page
     * @return its guest address
     */
    public long allocateIn(int region, long bytes, long alignment) {
        Region r = regions.get(region);
        long at = aligned(r, alignment);
        if (at + bytes > r.spec.size()) {
            throw new IllegalStateException("region " + region + " is too small for " + bytes + " bytes more");
        }
        r.used = at + bytes;
        return r.spec.guest() + at;
    }

    private long aligned(Region r, long alignment) {
        long a = Math.max(alignment, granularity);
        return r.used + a - 1 & -a;
    }

    /** Where a guest address is mapped here. */
    public long address(long guest) {
        // once a frame: without an iterator, which only a good compiler does not allocate
        for (int i = 0; i < regions.size(); i++) {
            Region r = regions.get(i);
            long at = guest - r.spec.guest();
            if (at >= 0 && at < r.spec.size()) {
                return r.mapped + at;
            }
        }
        throw new IllegalArgumentException("guest address 0x" + Long.toHexString(guest) + " is in no region");
    }

    /** The user address that stands for a guest address in ring addresses. */
    public long user(long guest) {
        return guest + USER_OFFSET;
    }

    @Override
    public void close() {
        for (Region r : regions) {
            SharedMemory.unmap(r.mapped, r.spec.size());
            r.file.close();
        }
        regions.clear();
    }
}
