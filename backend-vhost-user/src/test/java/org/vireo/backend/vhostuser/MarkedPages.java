// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import java.io.IOException;
import java.lang.foreign.ValueLayout;
import org.vireo.net.api.DirtyLog;
import org.vireo.net.api.Fd;
import org.vireo.posix.linux.EventFd;
import org.vireo.posix.linux.SharedMemory;

/** A log of written pages, as a VMM has it. */
final class MarkedPages implements AutoCloseable {
    private final Fd file;
    private final long offset;
    private final long bytes;
    private final long mapped;
    private final Fd event;

    /**
     * A log.
     *
     * @param offset where it begins in its file
     * @param guestEnd the end of the addresses that it is for
     */
    MarkedPages(long offset, long guestEnd) throws IOException {
        this.offset = offset;
        bytes = guestEnd / 4096 / 8;
        file = SharedMemory.create(ScriptedBackEnd.FDS, "log", offset + bytes, false);
        mapped = SharedMemory.map(file, 0, offset + bytes);
        event = EventFd.create(ScriptedBackEnd.FDS, "log event");
    }

    DirtyLog log() {
        return new DirtyLog() {
            @Override
            public Fd event() {
                return event;
            }

            @Override
            public Fd file() {
                return file;
            }

            @Override
            public long offset() {
                return offset;
            }

            @Override
            public long bytes() {
                return bytes;
            }
        };
    }

    /** How often it was said that bits were set, since the last time. */
    long told() {
        return EventFd.drain(event.number());
    }

    /** Takes the bits out: how many there were. */
    int take() {
        int n = 0;
        for (long at = 0; at < bytes; at += 8) {
            n += Long.bitCount((long) ValueLayout.JAVA_LONG.varHandle().getAndSet(SharedMemory.addressSpace(), mapped + offset + at, 0L));
        }
        return n;
    }

    @Override
    public void close() {
        SharedMemory.unmap(mapped, offset + bytes);
        file.close();
        event.close();
    }
}
