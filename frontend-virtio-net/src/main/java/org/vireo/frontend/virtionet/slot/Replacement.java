// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.slot;

import org.vireo.net.api.NetPort.Disposal;

/**
 * A backend that is to take the place of the one that serves a netdev: chosen, then loaded beside it or opened afresh, then in its place on
 * trial, then confirmed, or taken back. {@link SlotSwap} changes it.
 */
public final class Replacement {
    final Candidate from;
    final Candidate to;
    /** What the new one has open, null before. */
    OpenedPort made;
    /** Whether the new one opens a port of its own, since it cannot load what the old one has open. */
    boolean afresh;
    /** What the old one has open, while the new one is on trial. */
    OpenedPort former;

    Replacement(Candidate from, Candidate to) {
        this.from = from;
        this.to = to;
    }

    /**
     * Whom it replaces.
     *
     * @return type, bundle and version
     */
    public String from() {
        return from.toString();
    }

    /**
     * Who replaces.
     *
     * @return type, bundle and version
     */
    public String to() {
        return to.toString();
    }

    /**
     * Whether the new one does not go on with what the old one has open, but opens a port of its own.
     *
     * @return whether
     */
    public boolean isAfresh() {
        return afresh;
    }

    /**
     * Whether it is more than another version of the same: other options, or another type, of which the first settings tell whether they
     * can be.
     *
     * @return whether
     */
    public boolean isChange() {
        return afresh || from.revision() != to.revision() || !from.type().equals(to.type()) || !from.options().equals(to.options());
    }

    /**
     * What becomes of the thing outside when one of the two is closed. Both of one type may be connected to the same, whatever their
     * options: duties of the end would cut off the other one.
     */
    Disposal disposal() {
        return afresh && !from.type().equals(to.type()) ? Disposal.RELEASE : Disposal.LEAVE;
    }

    /**
     * What the new one has open.
     *
     * @return the port, null before
     */
    public OpenedPort made() {
        return made;
    }
}
