// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api;

/** A port cannot be moved, or a state cannot be read. */
public final class StateTransferException extends NetdevException {
    private static final long serialVersionUID = 1L;

    /**
     * An exception.
     *
     * @param message what was wrong, with which value, and what to do
     */
    public StateTransferException(String message) {
        super(message);
    }

    /**
     * An exception with its cause.
     *
     * @param message what was wrong, with which value, and what to do
     * @param cause the cause
     */
    public StateTransferException(String message, Throwable cause) {
        super(message, cause);
    }

    /**
     * A field that is missing or wrong.
     *
     * @param section the section: {@code port} or {@code queue 3}
     * @param field the field's name
     * @param expected what was expected
     * @param value what was there
     */
    public StateTransferException(String section, String field, String expected, String value) {
        super("state section " + section + ", field " + field + ": expected " + expected + ", got " + value);
    }
}
