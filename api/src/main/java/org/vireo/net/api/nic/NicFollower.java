// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api.nic;

import org.osgi.annotation.versioning.ConsumerType;

/**
 * Follows a NIC of this process, so that another process has what is needed to go on with it. Called on the NIC's actor, one call at a
 * time; as long as a call takes, the NIC's VMM waits.
 */
@ConsumerType
@FunctionalInterface
public interface NicFollower {
    /**
     * Something is about to change. It takes effect when this returns, whatever becomes of it at the follower: so who takes over after
     * the death of this process knows each change that the VMM has seen.
     *
     * @param change the sections that change; closed by the callee
     */
    void change(NicImage change);

    /**
     * Something happened that no change can tell, a backend that left for instance: the picture and its changes are of no use any more, and
     * no more are told. A new picture may be taken. Who asks for the reason at its next step anyhow need not do anything.
     *
     * @param why the reason
     */
    default void lost(String why) {
        // asked for later
    }

    /**
     * Whether the death of this process has to be seen at once. The kernel unmaps memory before it tells a death; so for a follower that
     * hurries, and does not only wait for the end of a handover, guests' memory is taken out of the page table now and then.
     *
     * @return whether
     */
    default boolean hurries() {
        return true;
    }
}
