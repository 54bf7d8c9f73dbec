// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api.nic;

/** Where a NIC is in its life. */
public enum NicState {
    /** It was configured to receive its state from another process: nothing is opened or bound. */
    AWAITING,
    /** Its netdev is not there yet, or its only backend has left. */
    NO_BACKEND,
    /** Waiting for a VMM. */
    LISTENING,
    /** A VMM is connected and negotiates; no ring runs. */
    CONNECTED,
    /** At least one ring runs. */
    RUNNING,
    /** Frozen for a handover or swap. */
    FROZEN,
    /** It runs, but this process prepares to take it and does not own it. */
    PREPARED,
    /** Broken, with a reason; does nothing until it is deleted or its VMM reconnects. */
    FAILED,
    /** Gone. */
    CLOSED
}
