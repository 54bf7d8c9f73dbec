// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

/** The device broke a rule of the ring. */
public final class DeviceFaultException extends IllegalStateException {
    private static final long serialVersionUID = 1L;

    /**
     * A fault.
     *
     * @param ring index of the virtqueue
     * @param what the rule, with the values
     */
    public DeviceFaultException(int ring, String what) {
        super("ring " + ring + ": " + what);
    }
}
