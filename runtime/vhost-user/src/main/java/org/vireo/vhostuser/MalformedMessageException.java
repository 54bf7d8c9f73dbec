// SPDX-License-Identifier: Apache-2.0
package org.vireo.vhostuser;

/**
 * A message breaks a rule of the protocol. From {@link MessageChannel} it means that the stream cannot be followed any more; from
 * {@link Message} that this one message is wrong, and the next one may be right.
 */
public final class MalformedMessageException extends Exception {
    private static final long serialVersionUID = 1L;

    private final String field;

    /**
     * An exception.
     *
     * @param request name of the request
     * @param field what is wrong in it
     * @param value what stands there
     * @param expected what should stand there
     */
    public MalformedMessageException(String request, String field, Object value, Object expected) {
        super(request + ": " + field + " is " + value + ", expected " + expected);
        this.field = field;
    }

    /** What is wrong: {@code "payload size"}, {@code "descriptors"}, {@code "version"}, ... */
    public String field() {
        return field;
    }
}
