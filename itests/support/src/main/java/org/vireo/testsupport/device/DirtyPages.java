// SPDX-License-Identifier: Apache-2.0
package org.vireo.testsupport.device;

import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import org.vireo.net.api.Fd;
import org.vireo.posix.linux.SharedMemory;

/** The log of written pages, mapped: a bit for each 4 KiB page, the lowest bit of a byte first. */
public class DirtyPages implements AutoCloseable {
    private static final int PAGE_SHIFT = 12;
    private static final VarHandle LONG = ValueLayout.JAVA_LONG.varHandle();
    private static final int WORD_SHIFT = 6;

    private final long address;
    private final long bytes;

    /**
     * Maps a log.
     *
     * @param file its memory, used during the call only
     * @param offset where the bits begin, a multiple of the page size
     * @param bytes their length
     * @throws IOException it cannot be mapped
     */
    public DirtyPages(Fd file, long offset, long bytes) throws IOException {
        this.bytes = bytes;
        address = SharedMemory.map(file, offset, bytes);
    }

    /**
     * Marks what was written.
     *
     * @param guest guest physical address
     * @param length bytes
     * @throws IllegalStateException the log is too short for that
     */
    public void written(long guest, long length) {
        for (long page = guest >>> PAGE_SHIFT; length > 0 && page <= guest + length - 1 >>> PAGE_SHIFT; page++) {
            long at = (page >>> WORD_SHIFT) * Long.BYTES;
            if (at + Long.BYTES > bytes) {
                throw new IllegalStateException("page " + page + " is beyond a log of " + bytes + " bytes");
            }
            long ignored = (long) LONG.getAndBitwiseOr(SharedMemory.addressSpace(), address + at, 1L << page);
        }
    }

    /** Unmaps it. */
    @Override
    public final void close() {
        SharedMemory.unmap(address, bytes);
    }
}
