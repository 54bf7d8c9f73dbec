// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api;

import org.osgi.annotation.versioning.ConsumerType;

/**
 * A port that takes the guest's rings and gives them to somebody who keeps a state of its own for the device, which a VMM that migrates its
 * VM takes along (vhost-user, "Migrating back-end state"). What the state says only its owner knows. No ring is started when it is saved or
 * loaded; control threads, with a deadline of two seconds.
 */
@ConsumerType
public interface DeviceStatePort extends VringPort {
    /**
     * Whether there is such a state; it may change when the other side does.
     *
     * @return whether
     */
    boolean hasDeviceState();

    /**
     * Saves the state. The device can go on afterwards as if nothing had been saved.
     *
     * @param most bytes that are taken
     * @return the state, perhaps empty
     * @throws NetdevException it cannot be saved, or is larger
     */
    byte[] saveDeviceState(int most) throws NetdevException;

    /**
     * Loads a state that such a port has saved, here or on another host.
     *
     * @param state the state
     * @throws NetdevException it does not fit; the device is as it was
     */
    void loadDeviceState(byte[] state) throws NetdevException;
}
