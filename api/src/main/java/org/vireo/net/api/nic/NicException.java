// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api.nic;

/** A NIC, or an operation on NICs, cannot do what was asked. The message is for an operator. */
public final class NicException extends Exception {
    private static final long serialVersionUID = 1L;

    /**
     * An exception.
     *
     * @param message what was wrong, with which value, and what to do
     */
    public NicException(String message) {
        super(message);
    }

    /**
     * An exception with its cause.
     *
     * @param message what was wrong, with which value, and what to do
     * @param cause the cause
     */
    public NicException(String message, Throwable cause) {
        super(message, cause);
    }
}
