// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api;

import org.osgi.annotation.versioning.ProviderType;

/** What the system lends to a port. */
@ProviderType
public interface OpenContext {
    /**
     * Makes descriptors.
     *
     * @return valid for the life of the port
     */
    Fds fds();

    /**
     * Takes the port's news.
     *
     * @return valid for the life of the port
     */
    PortListener listener();

    /**
     * Until when the call may block.
     *
     * @return a {@link System#nanoTime()}
     */
    long deadlineNanos();

    /**
     * Whether the port is made only to warm the code: its descriptors are stand-ins and no duty outside must be run. Such a port
     * may be loaded while the real one lives; it does not count as the backend's open port.
     *
     * @return true in a rehearsal
     */
    boolean rehearsal();

    /**
     * The queue pairs that the NIC has. A port with fewer is refused.
     *
     * @return at least 1
     */
    int pairs();
}
