// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api;

import org.osgi.annotation.versioning.ConsumerType;

/**
 * Optional ability of a {@link NetBackend}: a live port moves, with its descriptors, to another implementation or to
 * another process. Implemented by the same object and registered under both names.
 *
 * <p>Called on control threads only, never together with another call to the same backend.
 */
@ConsumerType
public interface BackendStateTransfer {
    /**
     * What this implementation writes and reads. Constant for the life of the object.
     *
     * @return type, versions, and whether the state is stable or live
     */
    StateFormat stateFormat();

    /**
     * Whether this very port can move. May query the device (an ioctl that reads), changes nothing.
     *
     * @param port an open port of this object
     * @throws StateTransferException it cannot, and why
     */
    void check(NetPort port) throws StateTransferException;

    /**
     * Takes a snapshot of a port, which lives on. Changes nothing; descriptors are duplicated, the duplicates belong to the
     * state. May be called while the port's queues are in use if the format is {@link StateFormat.Kind#STABLE}.
     *
     * @param port an open port of this object
     * @param version the version to write, one of {@link StateFormat#writes()}
     * @return the state; the caller closes it
     * @throws StateTransferException it cannot be saved; nothing is left behind
     */
    BackendState save(NetPort port, int version) throws StateTransferException;

    /**
     * Makes a port of a state, with the settings that were in force: queues may be called before {@link NetPort#apply} is, unless the
     * netdev's options have changed. The port is inert until the first of these calls: no read, no write and no
     * ioctl on the device, since another process may still be using it. What has to be known of the device comes with the
     * state and is not probed. Descriptors that the port keeps are duplicated: the caller closes the state.
     *
     * @param state the state, checked for nothing but its shape
     * @param context as in {@link NetBackend#open}
     * @return the port
     * @throws AlreadyOpenException "already initialised, cannot receive incoming descriptors"
     * @throws StateTransferException a section or field is missing or wrong; nothing is left behind
     */
    NetPort load(BackendState state, OpenContext context) throws StateTransferException, AlreadyOpenException;
}
