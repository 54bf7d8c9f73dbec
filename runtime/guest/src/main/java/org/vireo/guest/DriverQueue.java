// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import java.io.DataInput;
import java.io.DataOutput;
import java.io.IOException;
import java.lang.invoke.VarHandle;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.linux.EventFd;
import org.vireo.posix.linux.Poll;
import org.vireo.vhostuser.VirtioNet;
import org.vireo.vhostuser.VringAddress;

/**
 * The driver's side of a virtqueue, split or packed: descriptors, notifications both ways, and checks of what the device returns. One
 * thread. Allocates nothing once made.
 *
 * <p>Buffers are <em>slots</em>, each one piece of guest memory, laid out over one or several descriptors as the {@link QueueLayout}
 * says.
 */
public abstract sealed class DriverQueue implements AutoCloseable permits TransmitQueue, ReceiveQueue {
    /** Its virtqueue index. */
    protected final int index;
    /** Bytes of virtio_net_hdr. */
    protected final int headerBytes;
    /** The ring's rules, of either layout. */
    final DriverRing ring;

    private final BufferSlots slots;
    private final Fd kick;
    private final Fd call;
    private final int kickNumber;
    private long kicks;

    /**
     * A queue in fresh memory: packed if RING_PACKED is acknowledged, else split.
     *
     * @param ram guest memory
     * @param fds makes the event descriptors
     * @param index of the virtqueue
     * @param features acknowledged
     * @param layout sizes
     * @throws IOException no descriptor left
     */
    protected DriverQueue(GuestRam ram, Fds fds, int index, long features, QueueLayout layout) throws IOException {
        this.index = index;
        headerBytes = VirtioNet.headerBytes(features);
        ring = DriverRing.of(ram, index, features, layout);
        slots = ring.slots;
        kick = EventFd.create(fds, "kick " + index);
        call = EventFd.create(fds, "call " + index);
        kickNumber = kick.number();
    }

    /** Its virtqueue index. */
    public final int index() {
        return index;
    }

    /** Entries of the ring. */
    public final int ringSize() {
        return ring.size();
    }

    /** Where the ring is, as SET_VRING_ADDR says it. */
    public final VringAddress addresses() {
        return ring.addresses();
    }

    /**
     * Where a device begins that knows nothing of the ring, as SET_VRING_BASE says it: the beginning of a new ring, and of one that was
     * left by a device without a word what that took and did not give back. A packed ring's base is two positions with their wrap
     * counters, that of available descriptors in the low half; the used one in the high half is ignored by some devices (DPDK's).
     */
    public final int base() {
        return ring.base();
    }

    /** Whether the ring is a packed one. */
    public final boolean packed() {
        return ring instanceof PackedDriverRing;
    }

    /** The split ring itself, for tests that write what no driver would; a packed queue has none. */
    public final SplitRing ring() {
        if (ring instanceof SplitDriverRing s) {
            return s.ring();
        }
        throw new IllegalStateException("ring " + index + " is packed");
    }

    /** The packed ring itself, for tests that write what no driver would; a split queue has none. */
    public final PackedRing packedRing() {
        if (ring instanceof PackedDriverRing p) {
            return p.ring();
        }
        throw new IllegalStateException("ring " + index + " is split");
    }

    /** Guest address of what the device writes of the ring besides packed descriptors: the used ring, or its event suppression. */
    public final long deviceArea() {
        return packed() ? packedRing().deviceEventGuest() : ring().usedGuest();
    }

    /** Bytes of {@link #deviceArea}. */
    public final long deviceAreaBytes() {
        return packed() ? PackedRing.EVENT_BYTES : SplitRing.usedBytes(ringSize());
    }

    /** The kick descriptor. It stays the queue's. */
    public final Fd kickFd() {
        return kick;
    }

    /** The call descriptor. It stays the queue's. */
    public final Fd callFd() {
        return call;
    }

    /** Capacity of a slot, header included. */
    public final int bufferBytes() {
        return slots.bufferBytes();
    }

    /** Bytes of virtio_net_hdr at the beginning of a slot. */
    public final int headerBytes() {
        return headerBytes;
    }

    /** Address of a slot's memory, header first. */
    public final long buffer(int slot) {
        return slots.buffer(slot);
    }

    /** Guest address of a slot's memory. */
    public final long bufferGuest(int slot) {
        return slots.bufferGuest(slot);
    }

    /** Descriptors that are not with the device. All of them, when the device has returned everything. */
    public final int freeDescriptors() {
        return ring.freeDescriptors();
    }

    /** How many slots there are. */
    public final int slots() {
        return slots.count();
    }

    /** How often the device was kicked. */
    public final long kicks() {
        return kicks;
    }

    /** The available index that the driver will write next; of a packed ring a position with the wrap counter in bit 15. */
    public final int availableNext() {
        return ring.availableNext();
    }

    /** The used index up to which the driver has looked; of a packed ring a position with the wrap counter in bit 15. */
    public final int usedSeen() {
        return ring.usedSeen();
    }

    /** A free slot, or -1. */
    protected final int takeSlot() {
        return slots.take();
    }

    /** Gives a slot back. */
    protected final void freeSlot(int slot) {
        slots.give(slot);
    }

    /** Slots that are free. */
    protected final int freeSlotCount() {
        return slots.freeCount();
    }

    /** Used entries that the driver has not looked at. */
    public final int pending() {
        return ring.pending();
    }

    /**
     * Shows the device what was added, and kicks it if it wants to be.
     *
     * @return whether it was kicked
     */
    public final boolean publish() {
        boolean wanted = ring.publish();
        if (wanted) {
            kick();
        }
        return wanted;
    }

    /** Kicks the device whether it wants it or not. */
    public final void kick() {
        EventFd.signal(kickNumber);
        kicks++;
    }

    /**
     * Asks for a call.
     *
     * @param entries after about so many more used entries: of a packed ring whose chains have several descriptors perhaps after fewer
     * @return true if they are there already, so that no call may come; one is there at least
     */
    public final boolean armCalls(int entries) {
        ring.wantCalls(entries);
        VarHandle.fullFence(); // our wish before what the device has used
        return ring.callMissed(entries);
    }

    /** Asks for no calls; some may still come. */
    public final void disarmCalls() {
        ring.wantNoCalls();
    }

    /**
     * Waits until a used entry is there, asleep on the call descriptor.
     *
     * @param deadlineNanos by {@link System#nanoTime()}
     * @return whether one is there
     */
    public final boolean awaitUsed(long deadlineNanos) {
        while (!ring.used(1)) {
            if (armCalls(1)) {
                break;
            }
            long left = deadlineNanos - System.nanoTime();
            if (left <= 0) {
                return false;
            }
            if (Poll.readable((int) Math.min(1 + left / 1_000_000, 1_000_000), call.number()) != 0) {
                EventFd.drain(call.number());
            }
        }
        return true;
    }

    /**
     * Writes down what the driver knows and what is not in the guest's memory. All that was added is published, and no frame is held.
     *
     * @param to where
     * @throws IOException it cannot be written
     */
    final void save(DataOutput to) throws IOException {
        ring.save(to);
    }

    /**
     * Goes on where a queue of the same size has saved, once the guest's memory is here.
     *
     * @param from what that wrote
     * @throws IOException it cannot be read, or is of other sizes
     */
    final void load(DataInput from) throws IOException {
        ring.load(from);
    }

    @Override
    public final void close() {
        kick.close();
        call.close();
    }
}
