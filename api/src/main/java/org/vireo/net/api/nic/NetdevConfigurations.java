// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api.nic;

import java.util.Map;
import org.osgi.annotation.versioning.ProviderType;

/** Makes and removes the factory configurations of netdevs: a service of the control plane. Any thread. */
@ProviderType
public interface NetdevConfigurations {
    /**
     * Makes a netdev's configuration.
     *
     * @param type the netdev's type
     * @param id its id
     * @param options names and values
     * @throws NicException the id is taken or not a valid id, or no bundle provides the type
     */
    void create(String type, String id, Map<String, String> options) throws NicException;

    /**
     * A netdev is to be what it is in the process that a NIC comes from, where it was changed: its configuration here is replaced, unless
     * that has the same revision or a higher one.
     *
     * @param type the netdev's type there
     * @param id its id
     * @param revision of its configuration there
     * @param options names and values there
     * @throws NicException no bundle provides the type
     */
    void follow(String type, String id, int revision, Map<String, String> options) throws NicException;

    /**
     * Removes a netdev's configuration.
     *
     * @param id its id
     * @return whether there was one
     * @throws NicException it could not be removed
     */
    boolean delete(String id) throws NicException;
}
