// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.frontend.virtionet.session.Session;
import org.vireo.frontend.virtionet.slot.PortLink;
import org.vireo.vhostuser.ProtocolFeatures;

/**
 * A NIC's link as its guest sees it: what the port says of it, and whether the VMM was told. Of the NIC's actor, but for
 * {@link #isUp} and {@link #why}.
 */
final class NicLink {
    private static final Logger LOG = LoggerFactory.getLogger(NicLink.class);

    /** Two times down and up. */
    private static final int FIRST = 4;

    private final Nic nic;
    private final NicNews news;
    private volatile PortLink now = new PortLink(true, "");
    private boolean untold;

    NicLink(Nic nic) {
        this.nic = nic;
        news = new NicNews(nic.actor(), nic.environment().timer(), FIRST, System::nanoTime, LOG::info);
    }

    /** Any thread. */
    boolean isUp() {
        return now.up();
    }

    /**
     * That it is down, and why. Any thread.
     *
     * @param otherwise if it is not
     */
    String why(String otherwise) {
        PortLink l = now;
        return l.up() ? otherwise : l.why().isEmpty() ? "its link is down" : "its link is down: " + l.why();
    }

    /** Another port is the NIC's: so is its link. */
    void ofPort() {
        if (nic.binding() != null) {
            nic.binding().link().ifPresent(this::set);
        }
    }

    void set(PortLink latest) {
        boolean changed = latest.up() != now.up();
        now = latest;
        if (changed) {
            untold = true;
            if (!nic.environment().quiet()) {
                news.say("NIC " + nic.id() + ": link " + (latest.up() ? "up" : "down"));
            }
            tell();
        }
    }

    /** The NIC ends. */
    void end() {
        news.end();
    }

    /** What another process told the VMM last is not known here: it is told anew. */
    void toldElsewhere() {
        untold = true;
    }

    /** Tells the VMM to read the configuration space, if something changed and this process may use the connection now. */
    void tell() {
        Session s = nic.session();
        if (s == null) {
            // the next VMM reads it anyhow
            untold = false;
        } else if (untold && nic.custody().isServing()) {
            untold = false;
            if ((nic.state().protocolFeatures() & ProtocolFeatures.CONFIG) != 0) {
                s.configChanged();
            }
        }
    }
}
