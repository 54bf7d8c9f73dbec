// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.memory;

/** The VMM shares memory that cannot be used. */
public final class InvalidMemoryException extends Exception {
    private static final long serialVersionUID = 1L;

    /**
     * An exception.
     *
     * @param message which region, which value, what to do
     */
    public InvalidMemoryException(String message) {
        super(message);
    }

    /**
     * An exception with its cause.
     *
     * @param message which region, which value, what to do
     * @param cause the cause
     */
    public InvalidMemoryException(String message, Throwable cause) {
        super(message, cause);
    }
}
