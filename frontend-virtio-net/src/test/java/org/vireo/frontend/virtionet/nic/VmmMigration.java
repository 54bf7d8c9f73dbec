// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.util.ArrayList;
import java.util.List;
import org.vireo.guest.DriverQueue;
import org.vireo.guest.GuestNic;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.linux.SharedMemory;
import org.vireo.vhostuser.MemoryRegionSpec;
import org.vireo.vhostuser.VirtioNet;
import org.vireo.vhostuser.VringAddress;

/**
 * A VMM that migrates a VM, as far as a device sees it: it copies the guest's memory once, then again and again what the log says, and says
 * what differs at the end. What only the driver writes is not compared: a VMM knows that from elsewhere.
 */
final class VmmMigration implements AutoCloseable {
    private static final MemorySegment MEMORY = SharedMemory.addressSpace();
    private static final VarHandle LONG = ValueLayout.JAVA_LONG.varHandle();
    private static final int PAGE = 4096;

    private final GuestNic guest;
    private final Fd file;
    private final long offset;
    private final long bytes;
    private final long mapped;
    private final List<byte[]> copies = new ArrayList<>();
    /** Where writes to the used rings are logged, beyond where they lie. */
    private final long shift;

    /**
     * A log for all of a guest's memory.
     *
     * @param offset where it begins in its file, a multiple of 8
     * @param shift how far from where used rings lie the writes to them are logged
     */
    VmmMigration(Fds fds, GuestNic guest, long offset, long shift) throws IOException {
        this.guest = guest;
        this.offset = offset;
        this.shift = shift;
        MemoryRegionSpec last = guest.ram().specs().getLast();
        bytes = ((last.guest() + last.size() + 2 * PAGE + shift) / PAGE / 8 & -8) + 8;
        file = SharedMemory.create(fds, "dirty log", offset + bytes, false);
        mapped = SharedMemory.map(file, 0, offset + bytes);
    }

    /**
     * In the order of QEMU: the log, the features, the rings' addresses again; all while rings run. Then a question, as QEMU asks one where
     * REPLY_ACK is not acknowledged: its answer says that the device has done what was told before, so that the copies miss nothing.
     */
    void begin() throws IOException {
        guest.frontEnd().logBase(bytes, offset, file);
        guest.frontEnd().setFeatures(guest.features() | VirtioNet.LOG_ALL);
        logRings(true);
        guest.frontEnd().getFeatures();
        copies.clear();
        for (MemoryRegionSpec r : guest.ram().specs()) {
            copies.add(MEMORY.asSlice(guest.ram().address(r.guest()), r.size()).toArray(ValueLayout.JAVA_BYTE));
        }
    }

    /** The log's file ends before the log. */
    void cut() throws IOException {
        SharedMemory.resize(file, 0);
    }

    /** Ends it, or gives it up: the rings go on. */
    void end() throws IOException {
        guest.frontEnd().setFeatures(guest.features() & ~VirtioNet.LOG_ALL);
        logRings(false);
        guest.frontEnd().getFeatures();
    }

    private void logRings(boolean on) throws IOException {
        for (DriverQueue q : queues()) {
            VringAddress a = q.addresses();
            guest.frontEnd().vringAddress(new VringAddress(a.index(), on ? VringAddress.LOG : 0, a.descriptor(), a.used(), a.available(),
                    logAt(q)));
        }
    }

    List<DriverQueue> queues() {
        List<DriverQueue> all = new ArrayList<>();
        for (int i = 0; i < guest.pairs(); i++) {
            all.add(guest.receive(i));
            all.add(guest.transmit(i));
        }
        return all;
    }

    /** Takes the bits out and copies their pages; how many there were. */
    int round() {
        int pages = 0;
        for (long at = 0; at < bytes; at += 8) {
            long word = (long) LONG.getAndSet(MEMORY, mapped + offset + at, 0L);
            for (int bit = 0; bit < 64; bit++) {
                if ((word >>> bit & 1) != 0) {
                    page((8 * at + bit) * PAGE);
                    pages++;
                }
            }
        }
        return pages;
    }

    private void page(long address) {
        copy(address, address + PAGE);
        for (DriverQueue q : queues()) {
            long move = used(q) - logAt(q);
            long from = Math.max(address, logAt(q));
            long to = Math.min(address + PAGE, logAt(q) + usedBytes(q));
            if (move != 0 && from < to) {
                copy(from + move, to + move);
            }
        }
    }

    private void copy(long from, long to) {
        for (int i = 0; i < copies.size(); i++) {
            MemoryRegionSpec r = guest.ram().specs().get(i);
            if (from >= r.guest() && to <= r.guest() + r.size()) {
                MemorySegment.copy(MEMORY, guest.ram().address(from), MemorySegment.ofArray(copies.get(i)), from - r.guest(), to - from);
            }
        }
    }

    /** Where writes to a used ring are logged; if not where it lies, its index is at a page's end and its entries in the next. */
    private long logAt(DriverQueue q) {
        return shift == 0 ? used(q) : (used(q) + shift & -PAGE) + PAGE - 4;
    }

    /** Where the device's area lies: the used ring, or the device's event suppression. */
    private static long used(DriverQueue q) {
        return q.packed() ? q.packedRing().deviceEventGuest() : q.ring().usedGuest();
    }

    private static long usedBytes(DriverQueue q) {
        return q.packed() ? 4 : 6 + 8L * q.ringSize();
    }

    /** Whether the copy of what a device writes equals the original: null, or where it does not. */
    String difference() {
        for (DriverQueue q : queues()) {
            String d = difference("device area of ring " + q.index(), used(q), usedBytes(q));
            for (int slot = 0; d == null && q.index() % 2 == 0 && slot < q.slots(); slot++) {
                d = difference("buffer " + slot + " of ring " + q.index(), q.bufferGuest(slot), q.bufferBytes());
            }
            if (d != null) {
                return d;
            }
        }
        return null;
    }

    private String difference(String what, long address, long length) {
        for (int i = 0; i < copies.size(); i++) {
            MemoryRegionSpec r = guest.ram().specs().get(i);
            long at = address - r.guest();
            if (at >= 0 && at < r.size()) {
                long n = MEMORY.asSlice(guest.ram().address(address), length)
                        .mismatch(MemorySegment.ofArray(copies.get(i)).asSlice(at, length));
                return n < 0 ? null : what + " at byte " + n;
            }
        }
        throw new AssertionError(what + " is nowhere");
    }

    @Override
    public void close() {
        SharedMemory.unmap(mapped, offset + bytes);
        file.close();
    }
}
