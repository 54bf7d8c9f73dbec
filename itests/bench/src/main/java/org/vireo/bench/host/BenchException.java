// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.host;

import java.util.List;

/** Something does not work; the message is one line for a person. */
public final class BenchException extends Exception {
    private static final long serialVersionUID = 1L;

    /** With what does not work, and why. */
    public BenchException(String message) {
        super(message);
    }

    /** As above, with what it was noticed by. */
    public BenchException(String message, Throwable cause) {
        super(message, cause);
    }

    /** Nothing is to be done. */
    public static BenchException noCase(String only, List<String> lines) {
        return new BenchException("--only " + only + ": no case has this in its line; they are " + String.join("; ", lines));
    }
}
