// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.worker;

/** A call on a worker did not return in time. */
public final class StuckException extends Exception {
    private static final long serialVersionUID = 1L;

    private final boolean inside;

    /**
     * An exception.
     *
     * @param message what did not return
     * @param inside whether the thread is inside the very task that is told; else it is in another one of the same NIC
     */
    public StuckException(String message, boolean inside) {
        super(message);
        this.inside = inside;
    }

    /**
     * Whether the thread is inside the task that was told: {@link Task#returned} will be called for it once.
     *
     * @return whether
     */
    public boolean inside() {
        return inside;
    }
}
