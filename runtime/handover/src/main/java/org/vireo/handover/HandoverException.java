// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

/** A handover, or one NIC's, cannot go on. The message is for an operator. */
final class HandoverException extends Exception {
    private static final long serialVersionUID = 1L;

    HandoverException(String message) {
        super(message);
    }

    HandoverException(String message, Throwable cause) {
        super(message, cause);
    }
}
