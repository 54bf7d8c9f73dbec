// SPDX-License-Identifier: Apache-2.0
package org.vireo.testsupport.device;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.vireo.net.api.Fd;
import org.vireo.net.api.GuestMemory;
import org.vireo.posix.linux.SharedMemory;

/** A guest's memory, mapped. One thread at a time. */
public final class DeviceMemory implements AutoCloseable {
    private final List<Mapped> regions = new ArrayList<>();

    /** A region and where it is mapped. */
    private record Mapped(long guest, long user, long bytes, long address) { }

    /** No memory yet. */
    public DeviceMemory() {
        // regions are added
    }

    /**
     * Maps a guest's memory.
     *
     * @param memory its regions; their descriptors are used during the call only
     * @return the memory
     * @throws IOException a region cannot be mapped; nothing is left behind
     */
    public static DeviceMemory of(GuestMemory memory) throws IOException {
        DeviceMemory m = new DeviceMemory();
        boolean done = false;
        try {
            for (GuestMemory.Region r : memory.regions()) {
                m.add(r.file(), r.fileOffset(), r.bytes(), r.guestAddress(), r.userAddress());
            }
            done = true;
            return m;
        } finally {
            if (!done) {
                m.close();
            }
        }
    }

    /**
     * Maps one more region.
     *
     * @param file its memory, used during the call only
     * @param offset where it begins there, a multiple of the page size
     * @param bytes its length
     * @param guest where the guest sees it
     * @param user where the VMM sees it
     * @throws IOException it cannot be mapped
     */
    public void add(Fd file, long offset, long bytes, long guest, long user) throws IOException {
        regions.add(new Mapped(guest, user, bytes, SharedMemory.map(file, offset, bytes)));
    }

    /**
     * Where an address of the guest is mapped.
     *
     * @param address guest physical address
     * @return an address of this process
     * @throws IllegalStateException it is in no region
     */
    public long guest(long address) {
        for (Mapped m : regions) {
            if (address - m.guest >= 0 && address - m.guest < m.bytes) {
                return m.address + address - m.guest;
            }
        }
        throw new IllegalStateException("guest address 0x" + Long.toHexString(address) + " is in no region of its memory");
    }

    /**
     * Where an address of the VMM is mapped.
     *
     * @param address the VMM's address
     * @return an address of this process
     * @throws IllegalStateException it is in no region
     */
    public long user(long address) {
        for (Mapped m : regions) {
            if (address - m.user >= 0 && address - m.user < m.bytes) {
                return m.address + address - m.user;
            }
        }
        throw new IllegalStateException("the VMM's address 0x" + Long.toHexString(address) + " is in no region of the guest's memory");
    }

    /** Unmaps it. */
    @Override
    public void close() {
        regions.forEach(m -> SharedMemory.unmap(m.address, m.bytes));
        regions.clear();
    }
}
