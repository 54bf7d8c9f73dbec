// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api;

import java.util.Optional;
import org.osgi.annotation.versioning.ConsumerType;

/**
 * A port that takes the guest's rings, so that no frame passes the frontend. Ring 2k receives, ring 2k+1 transmits. All methods
 * on control threads, one at a time, and with a deadline of two seconds: guests wait meanwhile.
 *
 * <p>A ring that is stopped is touched by nobody. What it is to do when it is started is told before: {@link #features},
 * {@link #memory} and {@link #log} as they change, then {@link #start}. A port whose other side has gone and may come back takes calls
 * all the same, says {@link PortListener#link} meanwhile, and starts the rings again by itself; it never starts one that was stopped.
 *
 * <p>Loaded of a state ({@link BackendStateTransfer#load}) a port is told all of it again. Its rings may run, since their former owner may
 * have died: {@link VringSpec#mayRun} says so.
 *
 * <p>Descriptors that are given are the caller's, and valid during the call: what a port keeps, it duplicates.
 */
@ConsumerType
public interface VringPort extends NetPort {
    /**
     * Tells the features that the driver acknowledged. No ring is started.
     *
     * @param acknowledged virtio feature bits, as far as they concern rings and frames, and MQ with more than one pair
     * @throws NetdevException some are not possible, with the list
     */
    void features(long acknowledged) throws NetdevException;

    /**
     * Replaces the guest's memory. Started rings go on.
     *
     * @param memory the regions; no region: the guest has gone
     * @throws NetdevException it cannot be taken over
     */
    void memory(GuestMemory memory) throws NetdevException;

    /**
     * Starts or ends logging of written pages. Started rings go on. A page is marked after it was written, by who writes it. If that is
     * lost with rings that run, the port marks all of the guest's memory, and what is logged of its rings, before it says so or starts
     * rings again.
     *
     * @param log the log; null: none
     * @throws NetdevException it cannot log
     */
    void log(DirtyLog log) throws NetdevException;

    /**
     * Starts a ring, enabled or disabled as it was told last, at first disabled. It is looked at at once, whether it is kicked or not, and
     * called once.
     *
     * @param ring its number
     * @param spec where it is and where it goes on
     * @throws NetdevException it cannot be started
     */
    void start(int ring, VringSpec spec) throws NetdevException;

    /**
     * Stops a ring; when it returns nothing touches it any more, also if it throws, but for what {@link #stillHeld} tells. Stopping one
     * that is not started changes nothing.
     *
     * @param ring its number
     * @return where it goes on; null: it is not known, and all that the used ring shows was done, no more
     * @throws NetdevException its position is not known, and it cannot go on
     */
    RingPosition stop(int ring) throws NetdevException;

    /**
     * Whether somebody who had rings may still touch them although they are stopped, since he does not answer: then no other port gets
     * them, and this one does not start them before he has let go.
     *
     * @return who, and what to do; empty, as by default: nobody
     */
    default Optional<String> stillHeld() {
        return Optional.empty();
    }

    /**
     * Enables or disables a ring, started or not.
     *
     * @param ring its number
     * @param on whether
     * @throws NetdevException it cannot
     */
    void enable(int ring, boolean on) throws NetdevException;

    /**
     * Replaces a started ring's call descriptor, and calls once.
     *
     * @param ring its number
     * @param call an eventfd, or null for none
     * @throws NetdevException it cannot
     */
    void call(int ring, Fd call) throws NetdevException;

    /**
     * Tells the network where the guest is now, as with a RARP frame.
     *
     * @param mac the guest's address, 6 bytes
     * @throws NetdevException it cannot
     */
    void announce(byte[] mac) throws NetdevException;
}
