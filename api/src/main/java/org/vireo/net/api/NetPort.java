// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api;

import org.osgi.annotation.versioning.ConsumerType;

/**
 * An opened netdev: the live thing with descriptors. It is a {@link FramePort}, whose frames pass through the frontend, or a
 * {@link VringPort}, which is given the guest's rings.
 *
 * <p>All methods of this interface are called on control threads, one at a time; those of the queues meanwhile on workers,
 * unless a method says that they are quiet.
 */
@ConsumerType
public interface NetPort {
    /** What becomes of the thing outside when a port ends. */
    enum Disposal {
        /** This process ends it: runs the duties of the end (down script, delete the interface). */
        RELEASE,
        /** Somebody else goes on with it: closes the descriptors and touches nothing else. */
        LEAVE
    }

    /**
     * What the port can do, asked for once; what changes later is told with {@link PortListener#profile}.
     *
     * @return the profile
     */
    PortProfile profile();

    /**
     * Brings the device to what the guest negotiated. Queues whose pair changes are quiet meanwhile, and all of them if header
     * length or offloads change; the others go on. May block; must leave the former settings in force if it throws.
     *
     * @param settings within what {@link #profile()} allows
     * @throws NetdevException the device refuses, with the value
     */
    void apply(PortSettings settings) throws NetdevException;

    /**
     * Tells the counters that only the backend has.
     *
     * @param to takes them
     */
    void statistics(StatisticsSink to);

    /**
     * Ends the port. When it returns nothing of this port holds a descriptor any more. Idempotent: further calls do nothing.
     *
     * @param how what becomes of the thing outside
     */
    void close(Disposal how);
}
