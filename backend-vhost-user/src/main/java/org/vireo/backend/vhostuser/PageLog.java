// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.util.List;
import org.vireo.net.api.DirtyLog;
import org.vireo.net.api.GuestMemory;
import org.vireo.posix.linux.SharedMemory;

/**
 * Marks pages in the log of a VMM that migrates its VM (vhost-user, "Migration"), for a back-end that cannot do it any more. A bit
 * stands for 4 KiB of guest memory, from address 0 on; the VMM takes bits out at the same time. Any thread.
 */
final class PageLog {
    private static final long PAGE = 4096;
    private static final VarHandle WORD = ValueLayout.JAVA_LONG.varHandle();

    private PageLog() {
    }

    /** A piece of the guest's memory, or of what is logged as such. */
    record Range(long guest, long bytes) {
        static List<Range> of(GuestMemory memory) {
            return memory.regions().stream().map(r -> new Range(r.guestAddress(), r.bytes())).toList();
        }
    }

    /**
     * Marks what was written, perhaps. What lies beyond the log is left out.
     *
     * @param log the log
     * @param ranges guest addresses
     * @throws IOException it cannot be written
     */
    static void mark(DirtyLog log, List<Range> ranges) throws IOException {
        long from = log.offset() / PAGE * PAGE;
        long length = (log.offset() + log.bytes() - from + PAGE - 1) / PAGE * PAGE;
        long mapped = SharedMemory.map(log.file(), from, length);
        try {
            for (Range r : ranges) {
                mark(mapped + log.offset() - from, 8 * log.bytes(), r);
            }
        } catch (InternalError e) {
            throw new IOException(log.file() + " was made shorter while it was written", e);
        } finally {
            SharedMemory.unmap(mapped, length);
        }
    }

    private static void mark(long bits, long pages, Range r) {
        long page = r.guest / PAGE;
        long end = Math.min(pages, (r.guest + r.bytes - 1) / PAGE + 1);
        while (page < end) {
            // whole words: the mapping begins and ends with a page
            long at = bits + page / 8;
            int first = (int) (at % 8 * 8 + page % 8);
            int n = (int) Math.min(64 - first, end - page);
            long ignored = (long) WORD.getAndBitwiseOr(SharedMemory.addressSpace(), at & -8L, (n == 64 ? -1L : (1L << n) - 1) << first);
            page += n;
        }
    }
}
