// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api.nic;

import org.osgi.annotation.versioning.ProviderType;

/** A NIC that this process prepares to take from another. One thread at a time. */
@ProviderType
public interface IncomingNic extends AutoCloseable {
    /**
     * The NIC's id.
     *
     * @return the id
     */
    String id();

    /**
     * The NIC's block, with a slot for this process.
     *
     * @return the block
     */
    NicBlock block();

    /**
     * Runs the code of a handover and of the data path, with the real backend over stand-ins, until it is fast; when called again, a
     * few times only: processors forget what they do not use.
     *
     * @param deadlineNanos until when
     * @return a short report: handovers, frames and time
     */
    String rehearse(long deadlineNanos);

    /**
     * Applies a change.
     *
     * @param change the sections that changed; closed by the callee
     * @throws NicException it cannot; the NIC can no longer be taken
     */
    void change(NicImage change) throws NicException;

    /**
     * Number of the session's state that this process holds.
     *
     * @return see {@link NicImage#seq()}
     */
    long seq();

    /**
     * Starts rings and port; opens the port before, if the source has closed its own for that. The word says TAKEN by this process.
     *
     * @throws NicException it cannot; {@link #giveBack()} lets go of what was started
     */
    void take() throws NicException;

    /**
     * Lets go of rings and port again, without side effects, after {@link #take()} or a failure of it. The word may name another process
     * only when this has returned.
     *
     * @throws NicException something here, which is named, still uses them; may be tried again
     */
    void giveBack() throws NicException;

    /**
     * The word says OWNED by this process: takes VMM connection and listener and does what may block. When this returns all is in use.
     *
     * @throws IllegalStateException the NIC is this process's, but not all of it could be put to use
     */
    void own();

    /** Ends a preparation that was not taken, without side effects. */
    @Override
    void close();
}
