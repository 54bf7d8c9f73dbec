// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api;

/** A port of this netdev lives already: it can neither be opened nor loaded a second time. */
public final class AlreadyOpenException extends NetdevException {
    private static final long serialVersionUID = 1L;

    /**
     * An exception.
     *
     * @param message names the netdev
     */
    public AlreadyOpenException(String message) {
        super(message);
    }

    /**
     * The refusal of {@link NetBackend#open}.
     *
     * @param netdev the netdev's id
     * @return the exception
     */
    public static AlreadyOpenException opening(String netdev) {
        return new AlreadyOpenException("netdev " + netdev + ": already open");
    }

    /**
     * The refusal of {@link BackendStateTransfer#load}.
     *
     * @param netdev the netdev's id
     * @return the exception
     */
    public static AlreadyOpenException loading(String netdev) {
        return new AlreadyOpenException("netdev " + netdev + ": already initialised, cannot receive incoming descriptors");
    }
}
