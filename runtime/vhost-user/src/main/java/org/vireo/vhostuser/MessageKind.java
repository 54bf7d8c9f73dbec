// SPDX-License-Identifier: Apache-2.0
package org.vireo.vhostuser;

/** One kind of message: its id, what its payload looks like and how many descriptors come with it. */
public sealed interface MessageKind permits Request, BackendRequest {
    /** The id in the header. */
    int id();

    /** The specification's name, without its prefix. */
    String name();

    /** What the payload of the request looks like. */
    PayloadShape shape();

    /** What the payload of its own reply looks like; null if it has none but an acknowledgement. */
    PayloadShape replyShape();

    /** How many descriptors come with the request. */
    DescriptorRule descriptors();
}
