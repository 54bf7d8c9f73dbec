// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.io.IOException;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.linux.EventFd;

/** Wakes a thread that waits in poll(2), again and again. Any thread calls; the one that waits clears. */
final class Wake implements AutoCloseable {
    private final Fd event;

    Wake(Fds fds) throws IOException {
        event = EventFd.create(fds, "wake");
    }

    synchronized void now() {
        if (event.isOpen()) {
            EventFd.signal(event.number());
        }
    }

    /** Number for poll(2). */
    int number() {
        return event.number();
    }

    /** Before what it woke for is looked at. */
    void clear() {
        EventFd.drain(event.number());
    }

    @Override
    public synchronized void close() {
        event.close();
    }
}
