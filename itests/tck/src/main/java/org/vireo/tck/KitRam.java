// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.net.api.GuestMemory;
import org.vireo.posix.linux.SharedMemory;

/**
 * The guest's memory: one region for rings and one for buffers, of one file, and perhaps another one for buffers. Guest addresses, the
 * VMM's addresses, offsets in the file and where it is mapped here have nothing to do with each other: whoever takes one for another is
 * noticed.
 */
final class KitRam implements AutoCloseable {
    /** How /proc calls the files. */
    static final String FILE = "vireo-tck-guest";
    static final long RINGS = 0x10_0000;
    static final long BUFFERS = 0x100_0000;
    /** Where a further region begins. */
    static final long MORE = 0x180_0000;
    /** Behind all of them. */
    static final long END = 0x200_0000;
    static final int RING_BYTES = 4096;
    static final int BUFFER_BYTES = 64 * 1024;

    private static final long USER = 0x6000_0000_0000L;
    private static final long USER_STEP = 0x1_0000_0000L;

    private final Fds fds;
    private final List<Region> regions = new ArrayList<>();
    private final List<Region> former = new ArrayList<>();

    /** A region, and where it is mapped. */
    record Region(long guestAddress, long bytes, long userAddress, long fileOffset, Fd file, long address) implements GuestMemory.Region {
        boolean holds(long guest) {
            return guest >= guestAddress && guest < guestAddress + bytes;
        }

        byte[] content() {
            byte[] all = new byte[(int) bytes];
            MemorySegment.copy(SharedMemory.addressSpace(), ValueLayout.JAVA_BYTE, address, all, 0, all.length);
            return all;
        }

        private Region lent(Fd as) {
            return new Region(guestAddress, bytes, userAddress, fileOffset, as, address);
        }

        private void close() {
            SharedMemory.unmap(address, bytes);
            file.close();
        }
    }

    KitRam(Fds fds, int rings) throws IOException {
        this.fds = fds;
        long ringBytes = (long) rings * RING_BYTES;
        long bufferBytes = (long) rings * BUFFER_BYTES;
        // a page in front, so that no offset is 0
        try (Fd file = SharedMemory.create(fds, FILE, RING_BYTES + ringBytes + bufferBytes, false)) {
            regions.add(map(file.duplicate(), RINGS, ringBytes, USER, RING_BYTES));
            regions.add(map(file.duplicate(), BUFFERS, bufferBytes, USER + USER_STEP, RING_BYTES + ringBytes));
        }
    }

    private static Region map(Fd file, long guest, long bytes, long user, long offset) throws IOException {
        return new Region(guest, bytes, user, offset, file, SharedMemory.map(file, offset, bytes));
    }

    /** Adds the further region, of a file of its own. */
    void addMore(int bytes) throws IOException {
        regions.add(map(SharedMemory.create(fds, FILE, RING_BYTES + bytes, false), MORE, bytes, USER + 2 * USER_STEP, RING_BYTES));
    }

    void removeMore() {
        former.add(regions.removeLast());
    }

    /** All of it lies in other files from now on, with the same content at the same addresses. */
    void move() throws IOException {
        for (Region r : List.copyOf(regions)) {
            Region now = map(SharedMemory.create(fds, FILE, 2 * RING_BYTES + r.bytes, false), r.guestAddress, r.bytes, r.userAddress,
                    2 * RING_BYTES);
            MemorySegment.copy(SharedMemory.addressSpace(), r.address, SharedMemory.addressSpace(), now.address, r.bytes);
            regions.set(regions.indexOf(r), now);
            former.add(r);
        }
    }

    /** What is not the guest's memory any more, since it was last asked. */
    List<byte[]> formerContent() {
        return former.stream().map(Region::content).toList();
    }

    GuestMemory memory() {
        List<GuestMemory.Region> now = List.copyOf(regions);
        return () -> now;
    }

    /** As it is lent for one call: with descriptors that end with it. */
    GuestMemory memory(KitLoan loan) throws IOException {
        List<GuestMemory.Region> now = new ArrayList<>();
        for (Region r : regions) {
            now.add(r.lent(loan.of(r.file)));
        }
        return () -> List.copyOf(now);
    }

    static GuestMemory none() {
        return List::of;
    }

    long user(long guest) {
        Region r = region(guest);
        return r.userAddress + guest - r.guestAddress;
    }

    /** Where a guest address is mapped in this process. */
    long at(long guest) {
        Region r = region(guest);
        return r.address + guest - r.guestAddress;
    }

    private Region region(long guest) {
        return regions.stream().filter(r -> r.holds(guest)).findFirst().orElseThrow();
    }

    /** All that is in it now. */
    List<byte[]> content() {
        return regions.stream().map(Region::content).toList();
    }

    /** What differs from a former content: the first byte's guest address, or null for nothing. */
    String difference(List<byte[]> before) {
        for (int i = 0; i < before.size(); i++) {
            int at = Arrays.mismatch(before.get(i), regions.get(i).content());
            if (at >= 0) {
                return "guest address 0x" + Long.toHexString(regions.get(i).guestAddress + at);
            }
        }
        return null;
    }

    @Override
    public void close() {
        regions.forEach(Region::close);
        former.forEach(Region::close);
    }
}
