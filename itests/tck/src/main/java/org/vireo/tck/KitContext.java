// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import java.time.Duration;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.vireo.net.api.Fds;
import org.vireo.net.api.FramePort;
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
    private volatile FramePort port;

    KitContext(int pairs, boolean rehearsal) {
        this.pairs = pairs;
        this.rehearsal = rehearsal;
    }

    /** The port that was opened with it. */
    void opened(FramePort p) {
        port = p;
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
        // the kit's networks stay up; a port may say so
    }

    @Override
    public void profile(PortProfile now) {
        // nobody negotiates anew
    }

    @Override
    public void stateChanged() {
        // the kit saves when it needs a state
    }

    @Override
    public void failed(Exception why) {
        FramePort p = port;
        // news after the close are allowed, and ignored
        if (p == null || p.queue(0).events().isOpen()) {
            failures.add(why == null ? new NullPointerException("PortListener.failed(null)") : why);
        }
    }
}
