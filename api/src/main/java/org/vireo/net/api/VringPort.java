// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api;

import org.osgi.annotation.versioning.ConsumerType;

/**
 * A port that takes the guest's rings, so that no frame passes the frontend. Ring 2k receives, ring 2k+1 transmits. All methods
 * on control threads, each with the deadline of the {@link OpenContext}.
 */
@ConsumerType
public interface VringPort extends NetPort {
    /**
     * Tells the features that the driver acknowledged, before any ring is started.
     *
     * @param acknowledged virtio feature bits
     * @throws NetdevException some are not possible, with the list
     */
    void features(long acknowledged) throws NetdevException;

    /**
     * Replaces the guest's memory. Started rings go on.
     *
     * @param memory the regions; descriptors are the caller's
     * @throws NetdevException it cannot be taken over
     */
    void memory(GuestMemory memory) throws NetdevException;

    /**
     * Starts or ends logging of written pages.
     *
     * @param log the log, or null for none
     * @throws NetdevException it cannot log
     */
    void log(DirtyLog log) throws NetdevException;

    /**
     * Starts a ring.
     *
     * @param ring its number
     * @param spec where it is and where it goes on
     * @throws NetdevException it cannot be started
     */
    void start(int ring, VringSpec spec) throws NetdevException;

    /**
     * Stops a ring; when it returns nothing touches it any more.
     *
     * @param ring its number
     * @return where it goes on
     * @throws NetdevException its position is not known
     */
    RingPosition stop(int ring) throws NetdevException;

    /**
     * Enables or disables a ring.
     *
     * @param ring its number
     * @param on whether
     * @throws NetdevException it cannot
     */
    void enable(int ring, boolean on) throws NetdevException;

    /**
     * Replaces a ring's call descriptor.
     *
     * @param ring its number
     * @param call an eventfd of the caller, or null for none
     * @throws NetdevException it cannot
     */
    void call(int ring, Fd call) throws NetdevException;
}
