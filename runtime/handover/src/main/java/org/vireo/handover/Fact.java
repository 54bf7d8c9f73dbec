// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

/** What a process knows about a NIC when it looks at the ownership word, apart from the word. */
enum Fact {
    /** It offered the NIC and has its copies still. */
    SOURCE,
    /** It took, and may read port and rings. */
    READING,
    /** It took, and has made its first pass. */
    PASSED,
    /** It took, found that it cannot go on, and has let go of port and rings. */
    UNABLE,
    /** Its set is whole and not behind the block, its channel read empty. */
    CURRENT,
    /** The process that the word names as holder is dead. */
    HOLDER_DEAD,
    /** The process that the word names as peer is dead. */
    PEER_DEAD,
    /** The channel to who feeds it, or for a source to its target, is open. */
    FED,
    /** That channel is at its end, and the NIC's heartbeat has gone on since, or would have gone on if anybody lived. */
    OWNER_LIVES_ON,
    /** The NIC's heartbeat has stood still for longer than this process lets it. */
    STILL,
    /** The target that owns has said that everything is in use, or has had its time for that. */
    SETTLED,
    /** There is a reason to withdraw the offer: FAILED, end of the channel, dead target, the VMM's message or end, a cancel. */
    WITHDRAW
}
