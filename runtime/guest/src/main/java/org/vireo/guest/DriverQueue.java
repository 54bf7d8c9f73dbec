// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import java.io.IOException;
import java.lang.invoke.VarHandle;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.linux.EventFd;
import org.vireo.posix.linux.Poll;
import org.vireo.vhostuser.VirtioNet;

/**
 * The driver's side of a split virtqueue: descriptors, notifications both ways, and checks of what the device returns. One thread.
 * Allocates nothing once made.
 *
 * <p>Buffers are <em>slots</em>, each one piece of guest memory, laid out over one or several descriptors as the {@link QueueLayout}
 * says.
 */
public abstract sealed class DriverQueue implements AutoCloseable permits TransmitQueue, ReceiveQueue {
    private static final int NONE = -1;

    /** Its virtqueue index. */
    protected final int index;
    /** The ring itself. */
    protected final SplitRing ring;
    /** Bytes of virtio_net_hdr. */
    protected final int headerBytes;
    /** The used index up to which the driver has looked. */
    protected int usedSeen;

    private final boolean eventIndex;
    private final boolean indirect;
    private final int[] pieces;
    private final int bufferBytes;
    private final long[] buffers;
    private final long[] bufferGuests;
    private final long[] tables;
    private final long[] tableGuests;
    private final int[] freeSlots;
    private int freeSlotCount;
    private final int[] freeDescriptors;
    private int freeDescriptorCount;
    private final int[] chainNext;
    private final int[] slotOfHead;
    private final Fd kick;
    private final Fd call;
    private final int kickNumber;
    private int availableNext;
    private int availablePublished;
    private long kicks;

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
    protected DriverQueue(GuestRam ram, Fds fds, int index, long features, QueueLayout layout) throws IOException {
        this.index = index;
        ring = new SplitRing(ram, layout.ringSize());
        headerBytes = VirtioNet.headerBytes(features);
        eventIndex = (features & VirtioNet.EVENT_IDX) != 0;
        pieces = layout.pieces();
        indirect = layout.indirect() && (features & VirtioNet.INDIRECT_DESC) != 0;
        bufferBytes = layout.bufferBytes();
        int chain = pieces.length + 1;
        int n = ring.size();
        int slots = indirect ? n : n / chain;
        if (slots == 0) {
            throw new IllegalArgumentException("a ring of " + n + " has no room for chains of " + chain);
        }
        buffers = new long[slots];
        bufferGuests = new long[slots];
        tables = new long[slots];
        tableGuests = new long[slots];
        freeSlots = new int[slots];
        freeDescriptors = new int[n];
        chainNext = new int[n];
        slotOfHead = new int[n];
        for (int i = slots - 1; i >= 0; i--) {
            bufferGuests[i] = ram.allocate(bufferBytes, 64);
            buffers[i] = ram.address(bufferGuests[i]);
            if (indirect) {
                tableGuests[i] = ram.allocate((long) SplitRing.DESCRIPTOR_BYTES * chain, 16);
                tables[i] = ram.address(tableGuests[i]);
            }
            freeSlots[freeSlotCount++] = i;
        }
        for (int i = n - 1; i >= 0; i--) {
            slotOfHead[i] = NONE;
            freeDescriptors[freeDescriptorCount++] = i;
        }
        kick = EventFd.create(fds, "kick " + index);
        call = EventFd.create(fds, "call " + index);
        kickNumber = kick.number();
    }

    /** Its virtqueue index. */
    public final int index() {
        return index;
    }

    /** The ring itself, for tests that write what no driver would. */
    public final SplitRing ring() {
        return ring;
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
        return bufferBytes;
    }

    /** Bytes of virtio_net_hdr at the beginning of a slot. */
    public final int headerBytes() {
        return headerBytes;
    }

    /** Address of a slot's memory, header first. */
    public final long buffer(int slot) {
        return buffers[slot];
    }

    /** Guest address of a slot's memory. */
    public final long bufferGuest(int slot) {
        return bufferGuests[slot];
    }

    /** Descriptors that are not with the device. All of them, when the device has returned everything. */
    public final int freeDescriptors() {
        return freeDescriptorCount;
    }

    /** How many slots there are. */
    public final int slots() {
        return freeSlots.length;
    }

    /** How often the device was kicked. */
    public final long kicks() {
        return kicks;
    }

    /** The available index that the driver will write next. */
    public final int availableNext() {
        return availableNext;
    }

    /** The used index up to which the driver has looked. */
    public final int usedSeen() {
        return usedSeen;
    }

    /** A free slot, or -1. */
    protected final int takeSlot() {
        return freeSlotCount == 0 ? NONE : freeSlots[--freeSlotCount];
    }

    /** Gives a slot back. */
    protected final void freeSlot(int slot) {
        freeSlots[freeSlotCount++] = slot;
    }

    /** Slots that are free. */
    protected final int freeSlotCount() {
        return freeSlotCount;
    }

    /** Lays a slot out and makes it available; {@link #publish} shows it to the device. */
    protected final void add(int slot, int bytes, int flags) {
        int head = freeDescriptors[--freeDescriptorCount];
        chainNext[head] = NONE;
        int at = 0;
        int part = 0;
        int last = head;
        while (true) {
            int left = bytes - at;
            int length = part < pieces.length ? Math.min(pieces[part], left) : left;
            boolean more = at + length < bytes;
            if (indirect) {
                long entry = tables[slot] + (long) SplitRing.DESCRIPTOR_BYTES * part;
                SplitRing.writeDescriptor(entry, bufferGuests[slot] + at, length, more ? flags | SplitRing.NEXT : flags, part + 1);
            } else {
                int next = NONE;
                if (more) {
                    next = freeDescriptors[--freeDescriptorCount];
                    chainNext[next] = NONE;
                    chainNext[last] = next;
                }
                ring.descriptor(last, bufferGuests[slot] + at, length, more ? flags | SplitRing.NEXT : flags, Math.max(next, 0));
                last = next;
            }
            part++;
            at += length;
            if (!more) {
                break;
            }
        }
        if (indirect) {
            ring.descriptor(head, tableGuests[slot], SplitRing.DESCRIPTOR_BYTES * part, SplitRing.INDIRECT, 0);
        }
        slotOfHead[head] = slot;
        ring.available(availableNext, head);
        availableNext = availableNext + 1 & 0xffff;
    }

    /**
     * Takes a used head's descriptors back.
     *
     * @param head as the device returned it
     * @return its slot, which is still taken
     */
    protected final int release(int head) {
        if (head < 0 || head >= ring.size() || slotOfHead[head] == NONE) {
            throw new DeviceFaultException(index, "returned head " + Integer.toUnsignedString(head)
                    + ", which it was not given (used index " + usedSeen + ")");
        }
        int slot = slotOfHead[head];
        slotOfHead[head] = NONE;
        for (int d = head; d != NONE; d = chainNext[d]) {
            freeDescriptors[freeDescriptorCount++] = d;
        }
        return slot;
    }

    /** Used entries that the driver has not looked at. */
    public final int pending() {
        int n = ring.usedIndex() - usedSeen & 0xffff;
        if (n > ring.size()) {
            throw new DeviceFaultException(index, "used index went from " + usedSeen + " by " + n
                    + ", more than the ring's " + ring.size());
        }
        return n;
    }

    /**
     * Shows the device what was added, and kicks it if it wants to be.
     *
     * @return whether it was kicked
     */
    public final boolean publish() {
        int before = availablePublished;
        int now = availableNext;
        if (before == now) {
            return false;
        }
        ring.publishAvailable(now);
        availablePublished = now;
        VarHandle.fullFence(); // the index before the device's wish
        boolean wanted = eventIndex ? SplitRing.passed(ring.availEvent(), now, before) : (ring.usedFlags() & 1) == 0;
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
     * @param entries after how many more used entries
     * @return true if so many are there already, so that no call may come
     */
    public final boolean armCalls(int entries) {
        if (eventIndex) {
            ring.usedEvent(usedSeen + entries - 1);
        } else {
            ring.availableFlags(0);
        }
        VarHandle.fullFence(); // our wish before the device's index
        return pending() >= entries;
    }

    /** Asks for no calls; some may still come. */
    public final void disarmCalls() {
        if (eventIndex) {
            ring.usedEvent(usedSeen + 0x8000); // as far away as an index can be
        } else {
            ring.availableFlags(1);
        }
    }

    /**
     * Waits until a used entry is there, asleep on the call descriptor.
     *
     * @param deadlineNanos by {@link System#nanoTime()}
     * @return whether one is there
     */
    public final boolean awaitUsed(long deadlineNanos) {
        while (pending() == 0) {
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

    @Override
    public final void close() {
        kick.close();
        call.close();
    }
}
