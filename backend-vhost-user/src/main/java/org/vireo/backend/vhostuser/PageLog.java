// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import java.io.IOException;
import java.util.List;
import org.vireo.net.api.DirtyLog;
import org.vireo.net.api.GuestMemory;
import org.vireo.posix.linux.SharedMemory;
import org.vireo.vhostuser.LogBits;

/**
 * Marks pages in the log of a VMM that migrates its VM ({@link LogBits}), for a back-end that cannot do it any more. Any thread.
 */
final class PageLog {
    private static final long PAGE = 4096;

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
                LogBits.mark(mapped + log.offset() - from, log.bytes(), r.guest, r.bytes);
            }
        } catch (InternalError e) {
            throw new IOException(log.file() + " was made shorter while it was written", e);
        } finally {
            SharedMemory.unmap(mapped, length);
        }
    }
}
