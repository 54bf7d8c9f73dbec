// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench;

import java.util.List;

/** Something does not work; the message is one line for a person. */
final class BenchException extends Exception {
    private static final long serialVersionUID = 1L;

    BenchException(String message) {
        super(message);
    }

    BenchException(String message, Throwable cause) {
        super(message, cause);
    }

    /** Nothing is to be done. */
    static BenchException noCase(String only, List<String> lines) {
        return new BenchException("--only " + only + ": no case has this in its line; they are " + String.join("; ", lines));
    }
}
