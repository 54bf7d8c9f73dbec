// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.io.IOException;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.linux.EventFd;

/** Ends something that waits in poll(2). Any thread. */
final class Cancel implements AutoCloseable {
    private final Fd event;
    private volatile String why;

    Cancel(Fds fds) throws IOException {
        event = EventFd.create(fds, "cancel of a handover");
    }

    /** Asks for the end; the first reason stays. */
    synchronized void now(String reason) {
        if (why == null && event.isOpen()) {
            why = reason;
            EventFd.signal(event.number());
        }
    }

    boolean asked() {
        return why != null;
    }

    /** The reason, or null. */
    String why() {
        return why;
    }

    /** Number for poll(2), -1 once asked for: then it would be readable for ever. */
    int number() {
        return why == null ? event.number() : -1;
    }

    @Override
    public synchronized void close() {
        event.close();
    }
}
