// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api;

import org.osgi.annotation.versioning.ConsumerType;

/**
 * Optional ability of a {@link NetPort}: it has threads of its own that touch its descriptors. They stand still while the port's queues are
 * called no more and its state moves. A port without this interface touches its descriptors only when it is called.
 *
 * <p>Called on control threads, as the port's other methods. What the threads tell {@link PortListener} meanwhile is passed on.
 */
@ConsumerType
public interface ThreadedPort extends NetPort {
    /**
     * Stops the threads, so that nothing touches the descriptors any more until {@link #resume()}. The port's queues are quiet. Guests
     * wait meanwhile: return as soon as the threads stand still; what takes 200 ms is taken as a refusal. If the state is no more what was
     * saved, {@link PortListener#stateChanged()} is said before this returns.
     *
     * @throws NetdevException it cannot; everything goes on as before
     */
    void quiesce() throws NetdevException;

    /** Undoes {@link #quiesce()}: the port goes on living, its state did not move. Must not fail. */
    void resume();
}
