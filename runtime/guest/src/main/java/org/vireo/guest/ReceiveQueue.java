// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import static org.vireo.guest.GuestRam.MEMORY;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.vireo.net.api.Fds;
import org.vireo.vhostuser.VirtioNet;

/**
 * The driver's side of a receive queue (virtio 1.2, 5.1.6.3). {@link #next()} finds a frame, which lies in {@link #parts()} slots
 * until {@link #recycle()}. One thread.
 */
public final class ReceiveQueue extends DriverQueue {
    private final boolean mergeable;
    private final boolean numbered;
    private final int[] slots;
    private final int[] lengths;
    private int parts;
    private int total;
    private long frames;
    private long empties;

    /**
     * A queue in fresh memory. Nothing is posted yet.
     *
     * @param ram guest memory
     * @param fds makes the event descriptors
     * @param index of the virtqueue
     * @param features acknowledged
     * @param layout sizes
     * @throws IOException no descriptor left
     */
    public ReceiveQueue(GuestRam ram, Fds fds, int index, long features, QueueLayout layout) throws IOException {
        super(ram, fds, index, features, layout);
        mergeable = (features & VirtioNet.MRG_RXBUF) != 0;
        numbered = headerBytes == 12;
        slots = new int[ringSize()];
        lengths = new int[ringSize()];
    }

    /**
     * Posts all free slots. {@link #publish()} shows them to the device.
     *
     * @return how many
     */
    public int fill() {
        int n = 0;
        for (int slot = takeSlot(); slot >= 0; slot = takeSlot()) {
            ring.add(slot, bufferBytes(), SplitRing.WRITE);
            n++;
        }
        return n;
    }

    /**
     * Finds the next frame. Buffers that the device returned with length 0 are counted and skipped.
     *
     * @return whether there is one
     * @throws DeviceFaultException the device broke a rule
     */
    public boolean next() {
        if (parts > 0) {
            throw new IllegalStateException("the last frame was not recycled");
        }
        while (ring.used(1)) {
            take();
            if (lengths[0] > 0) {
                takeMerged();
                frames++;
                return true;
            }
            empties++;
            recycle();
        }
        return false;
    }

    /** Takes one used entry as the frame's next part. */
    private void take() {
        int slot = ring.take();
        int length = ring.takenLength();
        if (length < 0 || length > bufferBytes()) {
            throw new DeviceFaultException(index, "says it wrote " + Integer.toUnsignedString(length) + " bytes into a buffer of "
                    + bufferBytes());
        }
        slots[parts] = slot;
        lengths[parts] = length;
        parts++;
        total += length;
    }

    private void takeMerged() {
        if (lengths[0] < headerBytes) {
            throw new DeviceFaultException(index, "used length " + lengths[0] + " is shorter than the header of " + headerBytes);
        }
        if (!numbered) {
            return;
        }
        int merged = MEMORY.get(ValueLayout.JAVA_SHORT, buffer(slots[0]) + VirtioNetHeader.NUM_BUFFERS) & 0xffff;
        if (merged == 0 || merged > 1 && !mergeable) {
            throw new DeviceFaultException(index, "num_buffers is " + merged + (mergeable ? ", must be at least 1" : ", must be 1"));
        }
        if (merged > 1 && !ring.used(merged - 1)) {
            throw new DeviceFaultException(index, "num_buffers is " + merged + " but only " + (1 + pending()) + " were returned");
        }
        for (int i = 1; i < merged; i++) {
            take();
            if (lengths[i] == 0) {
                throw new DeviceFaultException(index, "buffer " + (i + 1) + " of " + merged + " of one frame is empty");
            }
        }
    }

    /** How many slots the frame is in. */
    public int parts() {
        return parts;
    }

    /** Address of a part; the first begins with the header. */
    public long part(int i) {
        return buffer(slots[i]);
    }

    /** Bytes of a part. */
    public int partBytes(int i) {
        return lengths[i];
    }

    /** Bytes of the frame, with its header. */
    public int total() {
        return total;
    }

    /** Posts the frame's slots again. {@link #publish()} shows them to the device. */
    public void recycle() {
        for (int i = 0; i < parts; i++) {
            ring.add(slots[i], bufferBytes(), SplitRing.WRITE);
        }
        parts = 0;
        total = 0;
    }

    /** How many frames have come. */
    public long frames() {
        return frames;
    }

    /** How many buffers the device returned with length 0. */
    public long empties() {
        return empties;
    }

    /**
     * Waits for a frame and copies it out, its header first. For tests.
     *
     * @param deadlineNanos by {@link System#nanoTime()}
     * @return header and frame, or null at the deadline
     */
    public byte[] take(long deadlineNanos) {
        while (!next()) {
            publish();
            if (!awaitUsed(deadlineNanos)) {
                return null;
            }
        }
        byte[] b = new byte[total];
        int at = 0;
        for (int i = 0; i < parts; i++) {
            MemorySegment.copy(MEMORY, ValueLayout.JAVA_BYTE, part(i), b, at, lengths[i]);
            at += lengths[i];
        }
        recycle();
        publish();
        return b;
    }
}
