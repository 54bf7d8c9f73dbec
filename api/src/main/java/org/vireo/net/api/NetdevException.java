// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api;

/** A netdev cannot do what was asked. The message is for an operator: what, which value, what to do. */
public class NetdevException extends Exception {
    private static final long serialVersionUID = 1L;

    /**
     * An exception.
     *
     * @param message what was wrong, with which value, and what to do
     */
    public NetdevException(String message) {
        super(message);
    }

    /**
     * An exception with its cause.
     *
     * @param message what was wrong, with which value, and what to do
     * @param cause the cause
     */
    public NetdevException(String message, Throwable cause) {
        super(message, cause);
    }
}
