// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import java.io.IOException;

/** A back-end cannot be told this on the connection that there is, but on a new one. */
final class NewConnectionException extends IOException {
    private static final long serialVersionUID = 1L;

    NewConnectionException(String why) {
        super(why);
    }
}
