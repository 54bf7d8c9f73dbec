// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover.wire;

import java.io.IOException;

/** The other side broke the stream's rules, or the stream broke. The message says which rule and which value. */
public class WireException extends IOException {
    private static final long serialVersionUID = 1L;

    /**
     * An exception.
     *
     * @param message what was wrong, with which value
     */
    public WireException(String message) {
        super(message);
    }

    /**
     * An exception with its cause.
     *
     * @param message what was wrong, with which value
     * @param cause the cause
     */
    public WireException(String message, Throwable cause) {
        super(message, cause);
    }

    /** The stream ended where it may: between two records. */
    public static final class Ended extends WireException {
        private static final long serialVersionUID = 1L;

        /**
         * An exception.
         *
         * @param message how it ended
         */
        public Ended(String message) {
            super(message);
        }
    }
}
