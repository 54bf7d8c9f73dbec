// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api.nic;

import java.util.Map;
import org.osgi.annotation.versioning.ProviderType;

/** A netdev at one moment. */
@ProviderType
public interface NetdevStatus {
    /**
     * The netdev's id.
     *
     * @return the id
     */
    String id();

    /**
     * Its type.
     *
     * @return the type
     */
    String type();

    /**
     * The bundle that serves it.
     *
     * @return symbolic name and version, or an empty text
     */
    String bundle();

    /**
     * The id of that bundle.
     *
     * @return its number in the framework, -1: none serves it
     */
    long bundleId();

    /**
     * Whether its port is open: {@code closed}, {@code open}, {@code parked}, {@code failed: reason}.
     *
     * @return the state
     */
    String state();

    /**
     * The NIC that holds it.
     *
     * @return the NIC's id, or an empty text
     */
    String nic();

    /**
     * Its configuration.
     *
     * @return an unmodifiable map
     */
    Map<String, String> options();

    /**
     * The state format of the backend, if it can transfer.
     *
     * @return as text, or an empty text
     */
    String stateFormat();
}
