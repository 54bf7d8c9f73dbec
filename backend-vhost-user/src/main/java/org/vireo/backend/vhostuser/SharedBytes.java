// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import org.vireo.net.api.Fd;
import org.vireo.net.api.GuestMemory;
import org.vireo.posix.linux.SharedMemory;

/** Reads a few bytes of memory that others have, without keeping a mapping. Any thread. */
final class SharedBytes {
    /** Offset of idx in struct virtq_used. */
    private static final long USED_INDEX = 2;
    /** A struct pvirtq_desc, and the offset of its flags. */
    private static final long DESCRIPTOR = 16;
    private static final long DESCRIPTOR_FLAGS = 14;
    private static final long PAGE = 4096;

    private SharedBytes() {
    }

    /**
     * The index of a split ring's used ring.
     *
     * @param memory the guest's
     * @param used the used ring's address in the VMM
     * @return 16 bits
     * @throws IOException it is in no region, or the region cannot be read
     */
    static int usedIndex(GuestMemory memory, long used) throws IOException {
        return u16(memory, used + USED_INDEX, "used ring");
    }

    /**
     * The flags of a packed ring's descriptor.
     *
     * @param memory the guest's
     * @param descriptors the ring's address in the VMM
     * @param index of the descriptor
     * @return 16 bits
     * @throws IOException it is in no region, or the region cannot be read
     */
    static int descriptorFlags(GuestMemory memory, long descriptors, int index) throws IOException {
        return u16(memory, descriptors + DESCRIPTOR * index + DESCRIPTOR_FLAGS, "packed ring");
    }

    private static int u16(GuestMemory memory, long user, String what) throws IOException {
        for (GuestMemory.Region r : memory.regions()) {
            long at = user - r.userAddress();
            if (at >= 0 && at <= r.bytes() - Short.BYTES) {
                return u16(read(r.file(), r.fileOffset() + at, Short.BYTES), 0);
            }
        }
        throw new IOException("the " + what + " at 0x" + Long.toHexString(user) + " is in no region of the guest's memory");
    }

    static int u16(byte[] bytes, int at) {
        return MemorySegment.ofArray(bytes).get(ValueLayout.JAVA_SHORT_UNALIGNED, at) & 0xffff;
    }

    /**
     * Reads a part of a file through a mapping, as the others see it.
     *
     * @param offset where; nothing is assumed of it
     */
    static byte[] read(Fd file, long offset, int bytes) throws IOException {
        long size = SharedMemory.size(file);
        if (offset < 0 || offset > size - bytes) {
            throw new IOException(bytes + " bytes at " + offset + " of " + file + " are not there: it has " + size);
        }
        long page = SharedMemory.fileSystem(file) == SharedMemory.HUGETLBFS ? SharedMemory.blockSize(file) : PAGE;
        long from = offset / page * page;
        long length = (offset + bytes - from + page - 1) / page * page;
        long mapped = SharedMemory.map(file, from, length);
        try {
            // whoever wrote it has said so before, in a message or by ending
            VarHandle.fullFence();
            byte[] b = new byte[bytes];
            MemorySegment.copy(SharedMemory.addressSpace(), ValueLayout.JAVA_BYTE, mapped + offset - from, b, 0, bytes);
            return b;
        } catch (InternalError e) {
            throw new IOException(file + " was made shorter while it was read", e);
        } finally {
            SharedMemory.unmap(mapped, length);
        }
    }
}
