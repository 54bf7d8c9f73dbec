// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.device;

/** The data path could not do what control asked for. */
public final class EngineException extends Exception {
    private static final long serialVersionUID = 1L;

    /**
     * An exception.
     *
     * @param message which ring, which value
     * @param cause the cause
     */
    public EngineException(String message, Throwable cause) {
        super(message, cause);
    }
}
