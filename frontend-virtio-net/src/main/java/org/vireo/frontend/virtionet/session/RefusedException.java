// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.session;

/** A request of the VMM that is well-formed and cannot be served: nothing changed. */
public final class RefusedException extends Exception {
    private static final long serialVersionUID = 1L;

    /**
     * An exception.
     *
     * @param message which request, which value, what was expected
     */
    public RefusedException(String message) {
        super(message);
    }

    /**
     * An exception with its cause.
     *
     * @param message which request, which value, what was expected
     * @param cause the cause
     */
    public RefusedException(String message, Throwable cause) {
        super(message, cause);
    }
}
