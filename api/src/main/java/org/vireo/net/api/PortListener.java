// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api;

import org.osgi.annotation.versioning.ProviderType;

/** Takes a port's news. Any thread; calls only post and return at once. After the port's close they are ignored. */
@ProviderType
public interface PortListener {
    /**
     * The link's state changed.
     *
     * @param up whether it is up
     */
    void link(boolean up);

    /**
     * As {@link #link} with false, with the reason, which the NIC's status shows. Said again when the reason has changed.
     *
     * @param why in words for people: what is missing, and what is waited for or to be done
     */
    default void linkDown(String why) {
        link(false);
    }

    /**
     * What the port can do has changed, for those who negotiate from now on: what is in force stays possible.
     *
     * @param now with as many pairs as before
     */
    void profile(PortProfile now);

    /** The saved state of a stable format is no longer true. */
    void stateChanged();

    /**
     * The port is broken for good.
     *
     * @param why the reason
     */
    void failed(Exception why);
}
