// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck.run;

/** The command line is wrong; the message says where. */
final class UsageException extends Exception {
    private static final long serialVersionUID = 1L;

    UsageException(String message) {
        super(message);
    }
}
