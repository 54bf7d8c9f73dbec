// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.memory;

import org.vireo.net.api.Fd;
import org.vireo.vhostuser.LogBits;

/**
 * The log of a VMM that migrates its VM: a bit for each page of guest memory, from address 0 on, that a device sets when it has written
 * there ({@link LogBits}). The VMM, and every worker of this NIC, change it at the same time.
 *
 * <p>A page is marked <em>after</em> it was written: the VMM clears a bit before it copies the page. What lies beyond the log is left out:
 * nothing is ever written outside.
 */
public final class DirtyLog {
    /** Bytes of guest memory that a bit stands for (VHOST_LOG_PAGE). */
    public static final long PAGE = LogBits.PAGE;

    /** A log for all of a 62 bit address space. */
    private static final long MOST_BYTES = (1L << 62) / PAGE / 8;

    private final MappedFile mapped;
    private final long pages;
    private boolean ended;

    private DirtyLog(MappedFile mapped) {
        this.mapped = mapped;
        pages = 8 * mapped.bytes();
    }

    /**
     * Maps a log.
     *
     * @param bytes its length
     * @param offset where it begins in its file
     * @param file its file, owned by the log from then on; closed if this throws
     * @param anyFileSystem whether it may lie on a file system other than tmpfs and hugetlbfs
     * @return the log
     * @throws InvalidMemoryException it cannot be used
     */
    public static DirtyLog map(long bytes, long offset, Fd file, boolean anyFileSystem) throws InvalidMemoryException {
        String what = "log of 0x" + Long.toHexString(bytes) + " bytes at file offset 0x" + Long.toHexString(offset);
        if (bytes <= 0 || bytes > MOST_BYTES || offset < 0 || offset > Long.MAX_VALUE / 2) {
            file.close();
            throw new InvalidMemoryException(what + ": out of range");
        }
        return new DirtyLog(MappedFile.map(what, file, offset, bytes, anyFileSystem));
    }

    /**
     * Bytes of the log.
     *
     * @return its length
     */
    public long bytes() {
        return mapped.bytes();
    }

    /**
     * Where the log begins.
     *
     * @return offset in its file
     */
    public long offset() {
        return mapped.offset();
    }

    /**
     * The file.
     *
     * @return owned by the log
     */
    public Fd file() {
        return mapped.file();
    }

    /**
     * Whether the log has bits for all of a range.
     *
     * @param guest guest address
     * @param bytes length, at least 1
     * @return whether
     */
    public boolean covers(long guest, long bytes) {
        return guest >= 0 && bytes > 0 && guest <= Long.MAX_VALUE - bytes && (guest + bytes - 1) / PAGE < pages;
    }

    /**
     * Marks the pages of a range that was written. Any thread.
     *
     * @param guest guest address
     * @param bytes length
     */
    public void mark(long guest, long bytes) {
        LogBits.mark(mapped.host(), mapped.bytes(), guest, bytes);
    }

    /**
     * Marks all of a guest's memory.
     *
     * @param memory the memory
     */
    public void markAll(MemoryTable memory) {
        for (MappedRegion r : memory.regions()) {
            mark(r.spec().guest(), r.spec().bytes());
        }
    }

    /** The VMM stopped logging. Used by the NIC's actor. */
    public void end() {
        ended = true;
    }

    /**
     * Whether logging was stopped since the VMM gave this log: the next one begins anew.
     *
     * @return whether
     */
    public boolean isEnded() {
        return ended;
    }

    /**
     * Whether the file still reaches over the whole log.
     *
     * @return false if it was truncated: accesses fault
     */
    public boolean intact() {
        return mapped.intact();
    }

    /** Unmaps it and closes its file. No worker uses it. */
    public void close() {
        mapped.close();
    }

    @Override
    public String toString() {
        return "log of 0x" + Long.toHexString(bytes()) + " bytes at file offset 0x" + Long.toHexString(offset())
                + ", for guest addresses below 0x" + Long.toHexString(pages * PAGE) + ",";
    }
}
