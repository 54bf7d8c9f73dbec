// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api.nic;

import org.osgi.annotation.versioning.ProviderType;

/** What the handover sees of a NIC block, the shared memory that lives as long as the NIC. Any thread. */
@ProviderType
public interface NicBlock {
    /**
     * The ownership word, read with acquire.
     *
     * @return see {@link Ownership}
     */
    long word();

    /**
     * Changes the ownership word; a full barrier.
     *
     * @param expected the value on which the checks were made
     * @param next the new value
     * @return whether it was changed
     */
    boolean compareAndSet(long expected, long next);

    /**
     * Number of the session's state in effect.
     *
     * @return see {@link NicImage#seq()}
     */
    long seq();

    /**
     * This process's slot of the holder table, claimed when the block was mapped.
     *
     * @return 0 to 254
     */
    int self();

    /**
     * Who a slot belongs to.
     *
     * @param slot its number
     * @return the process; pid 0 for a free slot
     */
    Holder holder(int slot);

    /**
     * Counts up while the owner's workers live.
     *
     * @return the heartbeat
     */
    long heartbeat();

    /**
     * Whether a worker was inside this NIC when the process died that owned it; of one that lives it says little.
     *
     * @return whether
     */
    boolean entered();

    /**
     * When a process died at this NIC, as far as its successor could tell that the NIC was the reason.
     *
     * @return as of {@link System#nanoTime()}, which is the same in all processes of a host; 0: none did
     */
    long death();

    /**
     * This process has succeeded one that died.
     *
     * @param death when it died at this NIC; 0 if the NIC was not the reason, or what {@link #death()} said before
     */
    void succeed(long death);

    /**
     * A process that may own the NIC.
     *
     * @param pid its pid, 0: none
     * @param startTime field 22 of /proc/PID/stat, in clock ticks since boot
     * @param bootId first 64 bits of /proc/sys/kernel/random/boot_id
     */
    record Holder(long pid, long startTime, long bootId) { }
}
