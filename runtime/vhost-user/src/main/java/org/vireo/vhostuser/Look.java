// SPDX-License-Identifier: Apache-2.0
package org.vireo.vhostuser;

/** What a look at the socket shows. */
public sealed interface Look {
    /** Nothing has arrived. */
    record Nothing() implements Look { }

    /**
     * Part of a message. It keeps the socket readable: poll edge-triggered, and set a deadline for the rest.
     *
     * @param bytes how many have arrived
     */
    record Partial(int bytes) implements Look { }

    /**
     * A whole message, still in the socket.
     *
     * @param message the message, which the caller closes
     */
    record Whole(Message message) implements Look { }

    /**
     * The peer is gone. What it had sent before is read first.
     *
     * @param reason for people
     */
    record End(String reason) implements Look { }
}
