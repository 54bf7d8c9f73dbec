// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import java.io.IOException;

/** The back-end acknowledged a request with a failure. Unlike after other exceptions, the connection is as good as before. */
final class RefusedException extends IOException {
    private static final long serialVersionUID = 1L;

    RefusedException(String request, long value) {
        super("the back-end refused " + request + " (acknowledgement " + value + ")");
    }
}
