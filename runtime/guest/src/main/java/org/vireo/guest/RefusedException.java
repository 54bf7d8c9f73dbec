// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import java.io.IOException;

/** The device acknowledged a request with a failure. */
public final class RefusedException extends IOException {
    private static final long serialVersionUID = 1L;

    /**
     * A refusal.
     *
     * @param request its name
     * @param value the acknowledgement, not 0
     */
    public RefusedException(String request, long value) {
        super("the device refused " + request + " (acknowledgement " + value + ")");
    }
}
