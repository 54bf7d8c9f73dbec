// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.memory;

import java.io.IOException;
import org.vireo.net.api.Fd;
import org.vireo.posix.linux.SharedMemory;

/**
 * A part of a file that a VMM shares, mapped in whole pages.
 *
 * @param file the file, owned by the mapping
 * @param offset where the part begins in it
 * @param bytes its length
 * @param host where its first byte is mapped
 * @param mapping where the first page is mapped
 * @param mappedBytes length of all pages
 */
record MappedFile(Fd file, long offset, long bytes, long host, long mapping, long mappedBytes) {
    private static final long PAGE = 4096;

    /**
     * Maps it.
     *
     * @param what for messages
     * @param file its file, owned by the mapping from then on; closed if this throws
     * @param offset where it begins, not negative
     * @param bytes its length; with the offset it does not overflow
     * @param anyFileSystem whether it may lie on a file system other than tmpfs and hugetlbfs, where an access can block
     */
    static MappedFile map(Object what, Fd file, long offset, long bytes, boolean anyFileSystem) throws InvalidMemoryException {
        try {
            long fileSystem = SharedMemory.fileSystem(file);
            if (!anyFileSystem && fileSystem != SharedMemory.TMPFS && fileSystem != SharedMemory.HUGETLBFS) {
                throw new InvalidMemoryException(what + ": its file is on a file system of type 0x" + Long.toHexString(fileSystem)
                        + "; guest memory has to be on tmpfs, memfd or hugetlbfs (or set guest-memory=any, at the price of stalls)");
            }
            long size = SharedMemory.size(file);
            if (size < offset + bytes) {
                throw new InvalidMemoryException(what + ": its file has only 0x" + Long.toHexString(size) + " bytes");
            }
            long unit = Math.max(PAGE, fileSystem == SharedMemory.HUGETLBFS ? SharedMemory.blockSize(file) : PAGE);
            long start = offset & -unit;
            long length = offset + bytes - start + unit - 1 & -unit;
            long at = SharedMemory.map(file, start, length);
            return new MappedFile(file, offset, bytes, at + offset - start, at, length);
        } catch (IOException e) {
            file.close();
            throw new InvalidMemoryException(what + ": cannot be mapped: " + e.getMessage()
                    + "; the VMM has to share guest memory for reading and writing (QEMU: share=on, Cloud Hypervisor: shared=on)", e);
        } catch (InvalidMemoryException e) {
            file.close();
            throw e;
        }
    }

    /** Whether the file still reaches over the whole part. */
    boolean intact() {
        try {
            return SharedMemory.size(file) >= offset + bytes;
        } catch (IOException e) {
            return false;
        }
    }

    void close() {
        SharedMemory.unmap(mapping, mappedBytes);
        file.close();
    }
}
