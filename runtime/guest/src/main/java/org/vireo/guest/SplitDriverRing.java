// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import static org.vireo.guest.BufferSlots.NONE;

import java.io.DataInput;
import java.io.DataOutput;
import java.io.IOException;
import java.lang.invoke.VarHandle;
import org.vireo.vhostuser.VringAddress;

/** The driver's side of a split virtqueue (virtio 1.2, 2.7). Positions are free-running and 16 bits long. */
final class SplitDriverRing extends DriverRing {
    private final SplitRing ring;
    private final int[] freeDescriptors;
    private int freeDescriptorCount;
    private final int[] chainNext;
    private final int[] slotOfHead;
    private int availableNext;
    private int availablePublished;
    private int usedSeen;
    private int usedKnown;
    private int takenLength;

    SplitDriverRing(SplitRing ring, int index, long features, BufferSlots slots) {
        super(index, features, slots);
        this.ring = ring;
        int n = ring.size();
        freeDescriptors = new int[n];
        chainNext = new int[n];
        slotOfHead = new int[n];
        for (int i = n - 1; i >= 0; i--) {
            slotOfHead[i] = NONE;
            freeDescriptors[freeDescriptorCount++] = i;
        }
    }

    SplitRing ring() {
        return ring;
    }

    @Override
    int size() {
        return ring.size();
    }

    @Override
    VringAddress addresses() {
        return ring.addresses(index);
    }

    @Override
    int base() {
        return ring.usedIndex();
    }

    @Override
    void add(int slot, int bytes, int flags) {
        int head = freeDescriptors[--freeDescriptorCount];
        chainNext[head] = NONE;
        long guest = slots.bufferGuest(slot);
        boolean indirect = slots.indirect();
        int at = 0;
        int part = 0;
        int last = head;
        while (true) {
            int length = slots.pieceBytes(part, bytes - at);
            boolean more = at + length < bytes;
            int f = more ? flags | SplitRing.NEXT : flags;
            if (indirect) {
                SplitRing.writeDescriptor(slots.tableEntry(slot, part), guest + at, length, f, part + 1);
            } else {
                int next = NONE;
                if (more) {
                    next = freeDescriptors[--freeDescriptorCount];
                    chainNext[next] = NONE;
                    chainNext[last] = next;
                }
                ring.descriptor(last, guest + at, length, f, Math.max(next, 0));
                last = next;
            }
            part++;
            at += length;
            if (!more) {
                break;
            }
        }
        if (indirect) {
            ring.descriptor(head, slots.tableGuest(slot), SplitRing.DESCRIPTOR_BYTES * part, SplitRing.INDIRECT, 0);
        }
        slotOfHead[head] = slot;
        ring.available(availableNext, head);
        availableNext = availableNext + 1 & 0xffff;
    }

    @Override
    boolean publish() {
        int before = availablePublished;
        int now = availableNext;
        if (before == now) {
            return false;
        }
        ring.publishAvailable(now);
        availablePublished = now;
        VarHandle.fullFence(); // the index before the device's wish
        return eventIndex ? SplitRing.passed(ring.availEvent(), now, before) : (ring.usedFlags() & 1) == 0;
    }

    @Override
    int pending() {
        int n = ring.usedIndex() - usedSeen & 0xffff;
        if (n > ring.size()) {
            throw new DeviceFaultException(index, "used index went from " + usedSeen + " by " + n
                    + ", more than the ring's " + ring.size());
        }
        usedKnown = usedSeen + n & 0xffff;
        return n;
    }

    /** Reads the device's index only when it has to: it lies where the device writes. */
    @Override
    boolean used(int entries) {
        return (usedKnown - usedSeen & 0xffff) >= entries || pending() >= entries;
    }

    @Override
    int take() {
        takenLength = ring.usedLength(usedSeen);
        int head = ring.usedId(usedSeen);
        if (head < 0 || head >= ring.size() || slotOfHead[head] == NONE) {
            throw stranger("head", head, "used index " + usedSeen);
        }
        int slot = slotOfHead[head];
        slotOfHead[head] = NONE;
        for (int d = head; d != NONE; d = chainNext[d]) {
            freeDescriptors[freeDescriptorCount++] = d;
        }
        usedSeen = usedSeen + 1 & 0xffff;
        return slot;
    }

    @Override
    int takenLength() {
        return takenLength;
    }

    @Override
    void wantCalls(int entries) {
        if (eventIndex) {
            ring.usedEvent(usedSeen + entries - 1);
        } else {
            ring.availableFlags(0);
        }
    }

    @Override
    boolean callMissed(int entries) {
        return pending() >= entries;
    }

    @Override
    void wantNoCalls() {
        if (eventIndex) {
            ring.usedEvent(usedSeen + 0x8000); // as far away as an index can be
        } else {
            ring.availableFlags(1);
        }
    }

    @Override
    int freeDescriptors() {
        return freeDescriptorCount;
    }

    @Override
    int availableNext() {
        return availableNext;
    }

    @Override
    int usedSeen() {
        return usedSeen;
    }

    @Override
    void save(DataOutput to) throws IOException {
        if (availablePublished != availableNext) {
            throw new IllegalStateException("ring " + index + " has entries that are not published");
        }
        slots.save(to);
        DriverState.write(to, freeDescriptors);
        DriverState.write(to, chainNext);
        DriverState.write(to, slotOfHead);
        DriverState.write(to, freeDescriptorCount, availableNext, usedSeen);
    }

    @Override
    void load(DataInput from) throws IOException {
        slots.load(from);
        DriverState.read(from, freeDescriptors);
        DriverState.read(from, chainNext);
        DriverState.read(from, slotOfHead);
        int[] positions = new int[3];
        DriverState.read(from, positions);
        freeDescriptorCount = positions[0];
        availableNext = positions[1];
        availablePublished = availableNext;
        usedSeen = positions[2];
        usedKnown = usedSeen;
    }
}
