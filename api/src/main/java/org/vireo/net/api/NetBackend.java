// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api;

import org.osgi.annotation.versioning.ConsumerType;

/**
 * A configured network backend, as QEMU's {@code -netdev}: it has an id and a type, and can be opened.
 *
 * <p>Constructing and activating one opens nothing and changes nothing outside the process: {@link #open} opens it from
 * its configuration, {@link BackendStateTransfer#load} from live state. Neither has been called while a NIC waits for
 * incoming state. A configuration that cannot work must not make the activation fail, it is reported by
 * {@link #validate}: so that whoever asked for it gets the reason.
 *
 * <p>All methods are called on control threads, never two at a time for one object.
 */
@ConsumerType
public interface NetBackend {
    /** Service property (String): the netdev's id, unique in the process. */
    String NETDEV_ID = "netdev.id";

    /** Service property (String): the netdev's type, as in {@code tap}. */
    String NETDEV_TYPE = "netdev.type";

    /**
     * Service property (Integer): a configuration that is to take the place of another one of the same netdev has a higher number. Nothing
     * that a backend has to know; missing is 0.
     */
    String NETDEV_REVISION = "netdev.revision";

    /** Name space and attribute of the capability that a bundle with backends provides. */
    String CAPABILITY = "net.backend";

    /** Prefix of the pid of a type's factory configuration; the type follows, without its hyphens. */
    String PID_PREFIX = "netdev.";

    /**
     * Checks the configuration without touching the outside world: no system call on any device, no file opened.
     *
     * @throws NetdevException the first option that is unknown, malformed or not supported, with its value and what to use
     *     instead
     */
    void validate() throws NetdevException;

    /**
     * Opens the port from the configuration. May block until {@link OpenContext#deadlineNanos()}.
     *
     * @param context what the system lends to the port: descriptors, listener, deadline, the pairs that the NIC has
     * @return the open port; its pairs are all usable, the first one enabled
     * @throws AlreadyOpenException a port of this object is open
     * @throws PortUnavailableException what it would be connected to is not there yet: it is tried again about once a second
     * @throws NetdevException it cannot be opened; nothing is left behind
     */
    NetPort open(OpenContext context) throws NetdevException;
}
