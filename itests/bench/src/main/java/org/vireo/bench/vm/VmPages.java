// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.vm;

import static org.vireo.guest.GuestRam.MEMORY;

import java.io.DataOutputStream;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.BitSet;
import java.util.zip.CRC32C;
import org.vireo.guest.DriverQueue;
import org.vireo.guest.GuestNic;
import org.vireo.guest.MigrationLog;
import org.vireo.vhostuser.MemoryRegionSpec;

/**
 * A guest's memory, of one region, as a VMM copies it: what the device has written the {@link MigrationLog} says, and of nothing else is
 * that believed; what the guest's processor has written is found by comparing with what was copied last, as no processor here keeps a log.
 * One thread.
 */
final class VmPages implements AutoCloseable {
    static final int PAGE = MigrationLog.PAGE;

    private final GuestNic nic;
    private final long guest;
    private final long address;
    private final int count;
    /** Pages that the device alone writes. */
    private final BitSet ofDevice = new BitSet();
    private final byte[] page = new byte[PAGE];
    private final Arena arena = Arena.ofConfined();
    private MemorySegment copied;
    private DataOutputStream to;
    private boolean dropOne;
    private String dropped;

    /** The memory of a guest. */
    VmPages(GuestNic nic) {
        this.nic = nic;
        MemoryRegionSpec r = nic.ram().specs().getFirst();
        if (nic.ram().specs().size() != 1) {
            throw new IllegalArgumentException("memory of " + nic.ram().specs().size() + " regions");
        }
        guest = r.guest();
        address = nic.ram().address(guest);
        count = (int) (r.size() / PAGE);
        for (DriverQueue q : nic.queues()) {
            device(q.deviceArea(), q.deviceAreaBytes());
            for (int slot = 0; q.index() % 2 == 0 && slot < q.slots(); slot++) {
                device(q.bufferGuest(slot), q.bufferBytes());
            }
        }
    }

    private void device(long at, long bytes) {
        ofDevice.set(index(at), index(at + bytes - 1) + 1);
    }

    private int index(long at) {
        return (int) ((at - guest) / PAGE);
    }

    int count() {
        return count;
    }

    /** Copies to a stream from now on. */
    void copyTo(DataOutputStream stream) {
        to = stream;
        copied = arena.allocate((long) count * PAGE);
    }

    /** Copies all. */
    void all() throws IOException {
        for (int i = 0; i < count; i++) {
            copy(i);
        }
    }

    /** Of the pages that the log says next, one that is not as it was copied last is left out, as if it had not been marked. */
    void dropOne() {
        dropOne = true;
    }

    /** What was left out, or null. */
    String dropped() {
        return dropped;
    }

    /**
     * Copies what the device has written.
     *
     * @return how many pages
     */
    int logged(MigrationLog log) throws IOException {
        IOException[] failed = {null};
        int n = log.take(at -> {
            try {
                logged(at);
            } catch (IOException e) {
                failed[0] = e;
            }
        });
        if (failed[0] != null) {
            throw failed[0];
        }
        return n;
    }

    private void logged(long at) throws IOException {
        int i = index(at);
        if (i < 0 || i >= count) {
            throw new IOException("the log says that page 0x" + Long.toHexString(at) + " was written, which is not the guest's");
        }
        if (dropOne && dropped == null && ofDevice.get(i) && differs(i)) {
            dropped = name(i);
            return;
        }
        copy(i);
    }

    /**
     * Copies what the processor has written.
     *
     * @return how many pages
     */
    int compared() throws IOException {
        int n = 0;
        for (int i = 0; i < count; i++) {
            if (!ofDevice.get(i) && differs(i)) {
                copy(i);
                n++;
            }
        }
        return n;
    }

    private boolean differs(int i) {
        long at = (long) i * PAGE;
        return MemorySegment.mismatch(MEMORY, address + at, address + at + PAGE, copied, at, at + PAGE) >= 0;
    }

    private void copy(int i) throws IOException {
        long at = (long) i * PAGE;
        MemorySegment.copy(MEMORY, ValueLayout.JAVA_BYTE, address + at, page, 0, PAGE);
        MemorySegment.copy(page, 0, copied, ValueLayout.JAVA_BYTE, at, PAGE);
        to.writeByte(VmMove.MEMORY_PAGE);
        to.writeInt(i);
        to.write(page);
    }

    /** A page comes. */
    void put(int i, byte[] content) throws IOException {
        if (i < 0 || i >= count) {
            throw new IOException("page " + i + " of " + count);
        }
        MemorySegment.copy(content, 0, MEMORY, ValueLayout.JAVA_BYTE, address + (long) i * PAGE, PAGE);
    }

    /** A checksum of a page as it is. */
    int sum(int i) {
        CRC32C c = new CRC32C();
        MemorySegment.copy(MEMORY, ValueLayout.JAVA_BYTE, address + (long) i * PAGE, page, 0, PAGE);
        c.update(page);
        return (int) c.getValue();
    }

    /** What a page is, for a message. */
    String name(int i) {
        String at = "page 0x" + Long.toHexString(guest + (long) i * PAGE);
        for (DriverQueue q : nic.queues()) {
            if (index(q.deviceArea()) <= i && i <= index(q.deviceArea() + q.deviceAreaBytes() - 1)) {
                return at + " (the device's area of ring " + q.index() + ")";
            }
            for (int slot = 0; slot < q.slots(); slot++) {
                if (index(q.bufferGuest(slot)) == i) {
                    return at + " (buffer " + slot + " of ring " + q.index() + ")";
                }
            }
        }
        return at;
    }

    @Override
    public void close() {
        arena.close();
    }
}
