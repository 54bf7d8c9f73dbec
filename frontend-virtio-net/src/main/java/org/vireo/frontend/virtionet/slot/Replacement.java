// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.slot;

/**
 * A backend that is to take the place of the one that serves a netdev: chosen, then loaded beside it, then in its place on trial, then
 * confirmed, or taken back. {@link NetdevSlot} changes it.
 */
public final class Replacement {
    final Candidate from;
    final Candidate to;
    /** What the new one has loaded, null before. */
    OpenedPort made;
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
     * What the new one has loaded.
     *
     * @return the port, null before it was loaded
     */
    public OpenedPort made() {
        return made;
    }
}
