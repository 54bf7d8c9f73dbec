// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.worker;

/** A call on a worker did not return in time. */
public final class StuckException extends Exception {
    private static final long serialVersionUID = 1L;

    /**
     * An exception.
     *
     * @param message what did not return
     */
    public StuckException(String message) {
        super(message);
    }
}
