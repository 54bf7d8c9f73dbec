// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api.nic;

import java.util.List;
import java.util.Map;
import org.osgi.annotation.versioning.ProviderType;

/** Moves NICs between processes: a service of the handover. Any thread. */
@ProviderType
public interface Handovers {
    /**
     * Begins to move NICs to another process, in the background; one at a time in a process.
     *
     * @param uri {@code unix:PATH} of the target
     * @param nics their ids; empty for all
     * @throws NicException wrong address, unknown NIC, another handover under way
     */
    void start(String uri, List<String> nics) throws NicException;

    /** Cancels the handover under way: NICs that have not moved stay. Does nothing if there is none. */
    void cancel();

    /**
     * Listens for a source, and takes what it hands over. Stays until another address is given or the process ends.
     *
     * @param uri {@code unix:PATH}
     * @throws NicException the socket is taken, or the address is wrong
     */
    void listen(String uri) throws NicException;

    /**
     * Sets whether the backends' states travel. Default on.
     *
     * @param on whether
     */
    void backendTransfer(boolean on);

    /**
     * Whether the backends' states travel.
     *
     * @return whether
     */
    boolean backendTransfer();

    /**
     * The last handover, or the one under way, as query-migrate tells it.
     *
     * @return status ({@code none}, {@code setup}, {@code active}, {@code completed}, {@code failed}, {@code cancelled}),
     *     error-desc, and for each NIC what became of it, with the times of its phases; values are String, Long, Boolean, List, Map
     */
    Map<String, Object> status();
}
