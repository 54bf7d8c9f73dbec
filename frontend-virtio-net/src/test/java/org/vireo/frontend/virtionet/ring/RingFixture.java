// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.ring;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.vireo.frontend.virtionet.memory.InvalidMemoryException;
import org.vireo.frontend.virtionet.memory.MappedRegion;
import org.vireo.frontend.virtionet.memory.MemoryTable;
import org.vireo.frontend.virtionet.ring.Virtqueue.RingArea;
import org.vireo.guest.GuestRam;
import org.vireo.guest.SplitRing;
import org.vireo.posix.Descriptors;
import org.vireo.vhostuser.MemoryRegionSpec;
import org.vireo.vhostuser.VringAddress;

/** A ring in memory with both its sides, and no thread. */
public final class RingFixture implements AutoCloseable {
    /** Guest memory; its first region holds the ring. */
    public final GuestRam ram;
    /** The driver's side. */
    public final SplitRing driver;
    /** The device's view of the memory. */
    public final MemoryTable table;
    private final Arena arena = Arena.ofShared();
    /** Room for iovecs, and the journal. */
    private final MemorySegment own = arena.allocate(16L * 70_000 + 64, 64);

    /**
     * A fixture.
     *
     * @param size of the ring
     * @param regions bytes of each region; adjacent in guest addresses if they are multiples of 256 MiB only
     * @throws IOException no memory
     * @throws InvalidMemoryException no memory
     */
    public RingFixture(int size, long... regions) throws IOException, InvalidMemoryException {
        ram = new GuestRam(new Descriptors(), regions);
        driver = new SplitRing(ram, size);
        List<MappedRegion> mapped = new ArrayList<>();
        for (int i = 0; i < regions.length; i++) {
            MemoryRegionSpec s = ram.specs().get(i);
            mapped.add(MappedRegion.map(new MappedRegion.Spec(s.guest(), s.size(), s.user(), s.offset()), ram.files().get(i).duplicate(),
                    false));
        }
        table = MemoryTable.of(mapped);
    }

    /**
     * The device's side.
     *
     * @param eventIndex negotiated
     * @param deviceWrites a receive ring
     * @param at position of both indices
     * @return a running ring
     * @throws MalformedRingException the driver's index is too far
     */
    public SplitVirtqueue device(boolean eventIndex, boolean deviceWrites, int at) throws MalformedRingException {
        return device(eventIndex, deviceWrites, at, null);
    }

    SplitVirtqueue device(boolean eventIndex, boolean deviceWrites, int at, InflightSlot slot) throws MalformedRingException {
        VringAddress a = driver.addresses(0);
        RingArea area = RingAreas.find("test", driver.size(), false, a.descriptor(), a.available(), a.used(), table);
        return new SplitVirtqueue(new Virtqueue.Kind("test", driver.size(), false, eventIndex, true, deviceWrites), area, table,
                own.address() + 16L * 70_000, at, at, -1, slot, RingLog.NONE);
    }

    /**
     * The device's side of a packed ring in the same places.
     *
     * @param eventIndex negotiated
     * @param deviceWrites a receive ring
     * @param at position with its wrap counter
     * @return a running ring
     * @throws MalformedRingException the position is beyond the ring
     */
    public Virtqueue packedDevice(boolean eventIndex, boolean deviceWrites, int at) throws MalformedRingException {
        return packedDevice(eventIndex, deviceWrites, at, RingLog.NONE);
    }

    /** As above, logged from the beginning; the journal is what {@link #journal} says. */
    Virtqueue packedDevice(boolean eventIndex, boolean deviceWrites, int at, RingLog log) throws MalformedRingException {
        VringAddress a = driver.addresses(0);
        RingArea area = RingAreas.find("test", driver.size(), true, a.descriptor(), a.available(), a.used(), table);
        return Virtqueue.of(new Virtqueue.Kind("test", driver.size(), true, eventIndex, true, deviceWrites), area, table,
                own.address() + 16L * 70_000, at, at, -1, null, log);
    }

    /** Room for iovecs. */
    public long iovecs() {
        return own.address();
    }

    /** The journal's word. */
    public long journal() {
        return own.get(java.lang.foreign.ValueLayout.JAVA_LONG, 16L * 70_000);
    }

    void journal(long word) {
        own.set(java.lang.foreign.ValueLayout.JAVA_LONG, 16L * 70_000, word);
    }

    /** A place in the first region, cleared. */
    public long buffer(int bytes) {
        return ram.allocate(bytes, 16);
    }

    @Override
    public void close() {
        table.release();
        ram.close();
        arena.close();
    }
}
