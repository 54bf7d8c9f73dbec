// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import java.time.Duration;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.vireo.net.api.Fds;
import org.vireo.net.api.OpenContext;
import org.vireo.net.api.PortListener;
import org.vireo.net.api.PortProfile;

/** Lends a port what the system lends it, and remembers what the port tells. */
final class KitContext implements OpenContext, PortListener {
    private static final Duration LIMIT = Duration.ofSeconds(20);

    private final Fds fds = new KitFds();
    private final long deadline = System.nanoTime() + LIMIT.toNanos();
    private final int pairs;
    private final boolean rehearsal;
    private final List<Exception> failures = new CopyOnWriteArrayList<>();
    private final List<String> news = new CopyOnWriteArrayList<>();
    private volatile PortProfile told;
    private volatile boolean closed;

    KitContext(int pairs, boolean rehearsal) {
        this.pairs = pairs;
        this.rehearsal = rehearsal;
    }

    /** The port that was opened with it is being closed: what it says from now on is ignored. */
    void closed() {
        closed = true;
    }

    /** What the port has said, in order: "link up", "link down", "profile", "state". */
    List<String> news() {
        return news;
    }

    /** The profile that it told last, or null. */
    PortProfile told() {
        return told;
    }

    List<Exception> failures() {
        return failures;
    }

    @Override
    public Fds fds() {
        return fds;
    }

    @Override
    public PortListener listener() {
        return this;
    }

    @Override
    public long deadlineNanos() {
        return deadline;
    }

    @Override
    public boolean rehearsal() {
        return rehearsal;
    }

    @Override
    public int pairs() {
        return pairs;
    }

    @Override
    public void link(boolean up) {
        news.add(up ? "link up" : "link down");
    }

    @Override
    public void profile(PortProfile now) {
        told = now;
        news.add("profile");
    }

    @Override
    public void stateChanged() {
        news.add("state");
    }

    @Override
    public void failed(Exception why) {
        // news after the close are allowed, and ignored
        if (!closed) {
            failures.add(why == null ? new NullPointerException("PortListener.failed(null)") : why);
        }
    }
}
