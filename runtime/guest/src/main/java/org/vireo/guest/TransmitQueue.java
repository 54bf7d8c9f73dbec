// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import static org.vireo.guest.GuestRam.MEMORY;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.vireo.net.api.Fds;

/** The driver's side of a transmit queue (virtio 1.2, 5.1.6.2). One thread. */
public final class TransmitQueue extends DriverQueue {
    private long completed;

    /**
     * A queue in fresh memory.
     *
     * @param ram guest memory
     * @param fds makes the event descriptors
     * @param index of the virtqueue
     * @param features acknowledged
     * @param layout sizes
     * @throws IOException no descriptor left
     */
    public TransmitQueue(GuestRam ram, Fds fds, int index, long features, QueueLayout layout) throws IOException {
        super(ram, fds, index, features, layout);
        disarmCalls();
    }

    /**
     * Takes a free slot, reclaiming what the device has returned if need be.
     *
     * @return the slot, or -1 if all are with the device
     */
    public int claim() {
        if (freeSlotCount() == 0) {
            reclaim();
        }
        return takeSlot();
    }

    /** Gives a claimed slot back unsent. */
    public void abandon(int slot) {
        freeSlot(slot);
    }

    /**
     * Makes a claimed slot available; {@link #publish()} shows it to the device.
     *
     * @param slot claimed and filled, header first
     * @param bytes header and frame
     */
    public void submit(int slot, int bytes) {
        ring.add(slot, bytes, 0);
    }

    /**
     * Takes back what the device has returned.
     *
     * @return how many
     * @throws DeviceFaultException it returned a head that it was not given, or claims to have written bytes
     */
    public int reclaim() {
        int n = 0;
        while (ring.used(1)) {
            int slot = ring.take();
            int length = ring.takenLength();
            if (length != 0) {
                throw new DeviceFaultException(index, "a transmitted chain came back with length " + length + ", must be 0");
            }
            freeSlot(slot);
            n++;
        }
        completed += n;
        return n;
    }

    /** How many frames the device has returned. */
    public long completed() {
        return completed;
    }

    /** How many frames are with the device. */
    public int outstanding() {
        return slots() - freeSlotCount();
    }

    /**
     * Sends a frame with a header of zeros, waiting for a slot. For tests: it copies.
     *
     * @param frame the frame without header
     * @param deadlineNanos by {@link System#nanoTime()}
     * @return whether it was made available
     */
    public boolean send(byte[] frame, long deadlineNanos) {
        int slot = claim();
        while (slot < 0) {
            if (!awaitUsed(deadlineNanos)) {
                return false;
            }
            slot = claim();
        }
        MEMORY.asSlice(buffer(slot), headerBytes).fill((byte) 0);
        MemorySegment.copy(frame, 0, MEMORY, ValueLayout.JAVA_BYTE, buffer(slot) + headerBytes, frame.length);
        submit(slot, headerBytes + frame.length);
        publish();
        return true;
    }

    /**
     * Waits until the device has returned everything.
     *
     * @param deadlineNanos by {@link System#nanoTime()}
     * @return whether it has
     */
    public boolean awaitAll(long deadlineNanos) {
        reclaim();
        while (outstanding() > 0) {
            if (!awaitUsed(deadlineNanos)) {
                return false;
            }
            reclaim();
        }
        disarmCalls();
        return true;
    }
}
