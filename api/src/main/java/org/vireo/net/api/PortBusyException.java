// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api;

/**
 * A port cannot be opened since what it would be connected to is in use: it might be had once that is closed. Whoever replaces one port
 * by another one may try again then.
 */
public class PortBusyException extends NetdevException {
    private static final long serialVersionUID = 1L;

    /**
     * A refusal.
     *
     * @param message what is in use, and what to do
     * @param cause why that is known, or null
     */
    public PortBusyException(String message, Throwable cause) {
        super(message, cause);
    }
}
