// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.memory;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import org.vireo.net.api.Fd;

/**
 * A guest's memory: immutable, so that workers use one while control builds the next. Translation is by region; a buffer that
 * crosses from one region into the next is translated in pieces.
 */
public final class MemoryTable {
    /** No memory. */
    public static final MemoryTable EMPTY = new MemoryTable(List.of());
    /** Not in any region. */
    public static final long NONE = -1;

    private final List<MappedRegion> regions;
    private final long[] guest;
    private final long[] end;
    private final long[] delta;

    private MemoryTable(List<MappedRegion> regions) {
        List<MappedRegion> sorted = new ArrayList<>(regions);
        sorted.sort(Comparator.comparingLong(r -> r.spec().guest()));
        this.regions = List.copyOf(sorted);
        int n = sorted.size();
        guest = new long[n];
        end = new long[n];
        delta = new long[n];
        for (int i = 0; i < n; i++) {
            MappedRegion r = sorted.get(i);
            guest[i] = r.spec().guest();
            end[i] = guest[i] + r.spec().bytes();
            delta[i] = r.host() - guest[i];
        }
    }

    /**
     * A table of regions, which it takes over: each with one user, the table.
     *
     * @param regions the regions; released if this throws
     * @return the table
     * @throws InvalidMemoryException two overlap
     */
    public static MemoryTable of(List<MappedRegion> regions) throws InvalidMemoryException {
        for (int i = 0; i < regions.size(); i++) {
            for (int k = 0; k < i; k++) {
                if (regions.get(i).overlaps(regions.get(k))) {
                    String message = regions.get(i).spec() + ": overlaps " + regions.get(k).spec();
                    regions.forEach(MappedRegion::release);
                    throw new InvalidMemoryException(message);
                }
            }
        }
        return new MemoryTable(regions);
    }

    /**
     * This table and one more region.
     *
     * @param added the region, taken over; released if this throws
     * @return the new table; this one has still to be released
     * @throws InvalidMemoryException it overlaps another
     */
    public MemoryTable with(MappedRegion added) throws InvalidMemoryException {
        List<MappedRegion> all = new ArrayList<>();
        regions.forEach(r -> all.add(r.use()));
        all.add(added);
        return of(all);
    }

    /**
     * Whether it has a region already.
     *
     * @param spec what is said of it
     * @param file its file
     * @return whether there is one that is the same in all numbers, and of the same file
     */
    public boolean has(MappedRegion.Spec spec, Fd file) {
        return regions.stream().anyMatch(r -> r.is(spec, file));
    }

    /**
     * This table without a region.
     *
     * @param guestAddress the region's guest address
     * @param bytes its length
     * @param user its address in the VMM
     * @return the new table, this one has still to be released; or this one itself if there is no such region
     */
    public MemoryTable without(long guestAddress, long bytes, long user) {
        List<MappedRegion> rest = new ArrayList<>();
        for (MappedRegion r : regions) {
            MappedRegion.Spec s = r.spec();
            if (s.guest() != guestAddress || s.bytes() != bytes || s.user() != user) {
                rest.add(r);
            }
        }
        if (rest.size() == regions.size()) {
            return this;
        }
        rest.forEach(MappedRegion::use);
        return new MemoryTable(rest);
    }

    /**
     * The regions by guest address.
     *
     * @return an unmodifiable list
     */
    public List<MappedRegion> regions() {
        return regions;
    }

    /**
     * Finds a guest address.
     *
     * @param address guest physical address
     * @return index of its region, or {@link #NONE}
     */
    public int find(long address) {
        for (int i = 0; i < guest.length; i++) {
            if (address >= guest[i] && address < end[i]) {
                return i;
            }
        }
        return (int) NONE;
    }

    /**
     * Where an address of a region is mapped.
     *
     * @param region index
     * @param address a guest address in it
     * @return an address
     */
    public long host(int region, long address) {
        return address + delta[region];
    }

    /**
     * How much of a region is left from an address on.
     *
     * @param region index
     * @param address a guest address in it
     * @return bytes
     */
    public long left(int region, long address) {
        return end[region] - address;
    }

    /**
     * Translates a range that has to be contiguous.
     *
     * @param address guest physical address
     * @param bytes its length
     * @return where it is mapped, or {@link #NONE}
     */
    public long host(long address, long bytes) {
        for (int i = 0; i < guest.length; i++) {
            if (address >= guest[i] && address < end[i]) {
                return bytes <= end[i] - address ? address + delta[i] : NONE;
            }
        }
        return NONE;
    }

    /**
     * Translates a range that the VMM names by its own address: rings.
     *
     * @param user address in the VMM
     * @param bytes its length
     * @return where it is mapped, or {@link #NONE}
     */
    public long hostOfUser(long user, long bytes) {
        for (MappedRegion r : regions) {
            long at = user - r.spec().user();
            if (at >= 0 && at < r.spec().bytes() && bytes <= r.spec().bytes() - at) {
                return r.host() + at;
            }
        }
        return NONE;
    }

    /**
     * The other way round: which guest address is mapped somewhere. A buffer that was translated lies in one region.
     *
     * @param at an address in this process
     * @return the guest physical address, or {@link #NONE}
     */
    public long guestOfHost(long at) {
        for (int i = 0; i < guest.length; i++) {
            long address = at - delta[i];
            if (address >= guest[i] && address < end[i]) {
                return address;
            }
        }
        return NONE;
    }

    /**
     * Where guest memory ends.
     *
     * @return the first guest physical address behind all regions, 0 for none
     */
    public long guestEnd() {
        return end.length == 0 ? 0 : end[end.length - 1];
    }

    /**
     * The guest address of what the VMM names by its own address.
     *
     * @param user address in the VMM
     * @return guest physical address, or {@link #NONE}
     */
    public long guestOfUser(long user) {
        for (MappedRegion r : regions) {
            long at = user - r.spec().user();
            if (at >= 0 && at < r.spec().bytes()) {
                return r.spec().guest() + at;
            }
        }
        return NONE;
    }

    /**
     * Whether all files still reach over their regions.
     *
     * @return the first that does not, or null
     */
    public MappedRegion truncated() {
        return regions.stream().filter(r -> !r.intact()).findFirst().orElse(null);
    }

    /** Lets go of the regions: those without another table are unmapped. */
    public void release() {
        regions.forEach(MappedRegion::release);
    }

    /**
     * Replaces all of it by empty memory, so that a late access harms nobody.
     *
     * @throws IOException the kernel refused
     */
    public void revoke() throws IOException {
        for (MappedRegion r : regions) {
            r.revoke();
        }
    }

    /** Takes all regions out of this process's page table; they come back page by page when they are touched. */
    public void unload() {
        regions.forEach(MappedRegion::unload);
    }
}
