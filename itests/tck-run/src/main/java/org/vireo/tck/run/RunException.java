// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck.run;

/** The rules cannot be run; the message is for a person. */
final class RunException extends Exception {
    private static final long serialVersionUID = 1L;

    RunException(String message) {
        super(message);
    }

    RunException(String message, Throwable cause) {
        super(message, cause);
    }
}
