// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api;

/**
 * A port cannot be opened now since what it would be connected to is not there yet: nothing is wrong with its configuration, and it is
 * tried again.
 */
public class PortUnavailableException extends NetdevException {
    private static final long serialVersionUID = 1L;

    /**
     * A refusal.
     *
     * @param message what is missing, and what to do
     * @param cause why that is known, or null
     */
    public PortUnavailableException(String message, Throwable cause) {
        super(message, cause);
    }
}
