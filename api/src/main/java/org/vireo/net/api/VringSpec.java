// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api;

import org.osgi.annotation.versioning.ProviderType;

/** All that is needed to start a ring (virtio 1.2, section 2.7). Descriptors are the caller's. */
@ProviderType
public interface VringSpec {
    /**
     * Entries.
     *
     * @return a power of two for split rings
     */
    int size();

    /**
     * Descriptor table.
     *
     * @return the VMM's address
     */
    long descriptors();

    /**
     * Driver area (available ring).
     *
     * @return the VMM's address
     */
    long driver();

    /**
     * Device area (used ring).
     *
     * @return the VMM's address
     */
    long device();

    /**
     * Where the device area is logged.
     *
     * @return guest physical address, or -1 for not at all
     */
    long log();

    /**
     * Where to go on.
     *
     * @return the position
     */
    RingPosition position();

    /**
     * Whether the ring may run already, since a former owner of the port may have died: it goes on where it is, and
     * {@link #position()} is where it once began.
     *
     * @return whether
     */
    boolean mayRun();

    /**
     * The driver's kicks.
     *
     * @return an eventfd, or null: poll
     */
    Fd kick();

    /**
     * The driver's interrupts.
     *
     * @return an eventfd, or null: it polls
     */
    Fd call();
}
