// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api.nic;

import org.osgi.annotation.versioning.ProviderType;

/**
 * A NIC that this process owns, as the handover sees it. One handover at a time. Calls are ordered by the NIC's actor and may
 * block until it has done them.
 */
@ProviderType
public interface TransferableNic {
    /**
     * The NIC's id.
     *
     * @return the id
     */
    String id();

    /**
     * The NIC's block.
     *
     * @return valid until {@link #letGo()}
     */
    NicBlock block();

    /**
     * Begins a handover: takes a picture of the whole NIC and tells later changes to a follower. One at a time.
     *
     * @param version the image's version
     * @param backendTransfer whether the backend's state travels, if the NIC's option allows it
     * @param breakBeforeMake whether {@link #freeze} closes a backend whose state does not travel, and the target opens its own only when
     *     it takes; {@link #resume} opens it again
     * @param follower is told of changes
     * @return the picture; the caller closes it
     * @throws NicException it cannot be handed over, and why; it runs on untouched
     */
    NicImage begin(int version, boolean backendTransfer, boolean breakBeforeMake, NicFollower follower) throws NicException;

    /**
     * Takes a picture of the whole NIC and tells later changes to a follower, for a standby: any number at once, and beside a handover.
     * The end of the VMM's connection, and the next one, are changes too.
     *
     * @param version the image's version
     * @param follower is told of changes, until {@link #end()}
     * @return the picture; the caller closes it
     * @throws NicException it cannot be followed now, and why; it runs on untouched
     */
    NicImage follow(int version, NicFollower follower) throws NicException;

    /**
     * Runs the code of a handover, with the real backend over stand-ins, until it is fast; if this process did so before, a few times
     * only: processors forget what they do not use. After {@link #begin}; the NIC runs on meanwhile. Not on its actor.
     *
     * @param deadlineNanos until when
     * @return a short report: handovers and time
     */
    String rehearse(long deadlineNanos);

    /**
     * Stops the rings at a frame boundary, undoes look-ahead, takes port, rings and connection from epoll and writes the journal.
     * The session is at a message boundary.
     *
     * @param deadlineNanos until when
     * @throws NicException it could not in time, or a change came in between; it runs on
     */
    void freeze(long deadlineNanos) throws NicException;

    /**
     * A descriptor that becomes readable when the VMM sends or hangs up, for polling while frozen.
     *
     * @return its number, or -1 without a VMM
     */
    int connection();

    /**
     * Goes on after {@link #freeze}: rings that are marked started are started. The word says that this process owns, or that it took
     * what was given back to it.
     */
    void resume();

    /** Ends what {@link #begin} or {@link #follow} began and did not move the NIC: the follower is told no more. */
    void end();

    /**
     * The word says that another process owns: closes this process's copies, without any duty or side effect. The object is dead.
     */
    void letGo();
}
