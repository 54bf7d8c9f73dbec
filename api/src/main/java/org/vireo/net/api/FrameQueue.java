// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api;

import org.osgi.annotation.versioning.ConsumerType;

/**
 * One queue pair of a {@link FramePort}. Called by one worker at a time: it must not block, must not allocate, and must not
 * keep an address beyond the call. An exception of any kind, {@link Error}s too, fails the NIC and no other.
 */
@ConsumerType
public interface FrameQueue {
    /**
     * The descriptor to poll. Readable ({@code EPOLLIN}) means that {@link #receive} would deliver a frame or report an error;
     * writable ({@code EPOLLOUT}) is asked only after a short {@link #transmit}. It may be polled edge-triggered, so
     * {@code receive} has to go on until it would block or the window is full. The same object for the life of the queue,
     * which owns it.
     *
     * @return the descriptor
     */
    Fd events();

    /**
     * Sends frames in order.
     *
     * <p>A frame that cannot be sent (refused by the device for what it contains, or while the link is down) is dropped with
     * {@link FrameBatch#drop} and counts as taken. Each frame is reported with {@link FrameBatch#taken} or dropped right after
     * it was given away: the system records it there, so that a successor of a killed process does not send it again.
     *
     * @param batch the frames, at least one
     * @return how many were taken, from the first on; fewer than {@link FrameBatch#size()} means that the device is full
     * @throws NetdevException the device is gone or broken for good; frames reported so far count as sent
     */
    int transmit(FrameBatch batch) throws NetdevException;

    /**
     * Reads frames straight into the window, one {@link ReceiveWindow#deliver} or {@link ReceiveWindow#put} each, until it would
     * block or the window says that it is full.
     *
     * @param window where to
     * @return how many frames were delivered
     * @throws NetdevException the device is gone or broken for good; frames delivered so far count
     */
    int receive(ReceiveWindow window) throws NetdevException;
}
