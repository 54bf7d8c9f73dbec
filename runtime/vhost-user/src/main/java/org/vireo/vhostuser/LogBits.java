// SPDX-License-Identifier: Apache-2.0
package org.vireo.vhostuser;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import org.vireo.posix.linux.SharedMemory;

/**
 * The bits of a log of written pages ("Migration"): one for each page of guest memory, from address 0 on. The VMM takes bits out at the
 * same time.
 *
 * <pre>
 *  byte  page / 8        ...  bit  page % 8        page = guest address / 4096
 * </pre>
 */
public final class LogBits {
    /** Bytes of guest memory that a bit stands for (VHOST_LOG_PAGE). */
    public static final long PAGE = 4096;

    private static final MemorySegment MEMORY = SharedMemory.addressSpace();
    private static final VarHandle WORD = ValueLayout.JAVA_LONG.varHandle();

    private LogBits() {
    }

    /**
     * Marks the pages of a range that was written, after it was. Pages beyond the log are left out. Any thread.
     *
     * @param log address of the log in this process, in a mapping of whole pages
     * @param bytes the log's length
     * @param guest guest address of what was written
     * @param length how much; nothing is marked if it or the address is negative
     */
    public static void mark(long log, long bytes, long guest, long length) {
        if (guest < 0 || length <= 0) {
            return;
        }
        long page = guest / PAGE;
        long end = Math.min(8 * bytes, (guest + Math.min(length - 1, Long.MAX_VALUE - guest)) / PAGE + 1);
        while (page < end) {
            // aligned words: the mapping is of whole pages, so a word at the log's edge lies within it, and bits of others stay
            long at = log + page / 8;
            int first = (int) (at % 8 * 8 + page % 8);
            int n = (int) Math.min(64 - first, end - page);
            // no look before: it could be done before what was written is seen
            long ignored = (long) WORD.getAndBitwiseOr(MEMORY, at & -8L, (n == 64 ? -1L : (1L << n) - 1) << first);
            page += n;
        }
    }
}
