// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.slot;

import java.lang.ref.WeakReference;
import java.util.ArrayList;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;

/**
 * What the system lends to one port, and what has to be back when the port is closed. Descriptors that are not are named, not closed: a
 * thread of the backend may go on using their numbers, and would hit what got them next. Any thread.
 */
final class Loan implements Fds {
    private static final Logger LOG = LoggerFactory.getLogger(Loan.class);
    private static final int MOST_NAMED = 8;

    private final String netdev;
    private final Candidate to;
    private final Fds fds;
    private final PortNews news;
    private final List<WeakReference<Fd>> lent = new ArrayList<>();
    private int looked = 64;

    Loan(String netdev, Candidate to, Fds fds, PortNews news) {
        this.netdev = netdev;
        this.to = to;
        this.fds = fds;
        this.news = news;
    }

    PortNews news() {
        return news;
    }

    @Override
    public Fd adopt(int number, String purpose) {
        Fd fd = fds.adopt(number, purpose + " of " + to);
        add(fd);
        return fd;
    }

    /** A descriptor that the port has from elsewhere. */
    synchronized void add(Fd fd) {
        if (lent.size() >= looked) {
            lent.removeIf(r -> !isOpen(r.get()));
            looked = 2 * lent.size() + 64;
        }
        lent.add(new WeakReference<>(fd));
    }

    private static boolean isOpen(Fd fd) {
        return fd != null && fd.isOpen();
    }

    /** Nothing is said any more. */
    void silence() {
        news.end();
    }

    /** The port has ended, or never was. */
    void end() {
        news.end();
        List<String> open;
        synchronized (this) {
            open = lent.stream().map(WeakReference::get).filter(Loan::isOpen).distinct().map(Fd::toString).toList();
            lent.clear();
        }
        if (!open.isEmpty()) {
            LOG.warn("netdev {}: backend {} has left {} descriptors open: {}{}", netdev, to, open.size(),
                    String.join(", ", open.subList(0, Math.min(open.size(), MOST_NAMED))), open.size() > MOST_NAMED ? ", ..." : "");
        }
    }
}
