// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import java.io.DataInput;
import java.io.DataOutput;
import java.io.IOException;
import java.lang.invoke.VarHandle;
import org.vireo.vhostuser.VringAddress;

/**
 * The driver's side of a packed virtqueue (virtio 1.2, 2.8). The device may give chains back in any order: one descriptor, at the next
 * used position, stands for a whole chain, whose other descriptors are skipped. Positions have the wrap counter in bit 15.
 */
final class PackedDriverRing extends DriverRing {
    /** Only the last descriptor of a chain names the buffer. */
    private static final int NO_ID = 0xffff;

    private final PackedRing ring;
    private final int size;
    /** By buffer id, which is the slot: how many descriptors are with the device; 0: none. */
    private final int[] descriptorsOf;
    private int free;
    private int next;
    private boolean wrap = true;
    private int used;
    private boolean usedWrap = true;
    private int unpublished;
    private int unpublishedHead;
    private int unpublishedFlags;
    private int takenLength;
    private int walked;

    PackedDriverRing(PackedRing ring, int index, long features, BufferSlots slots) {
        super(index, features, slots);
        this.ring = ring;
        size = ring.size();
        free = size;
        descriptorsOf = new int[slots.count()];
    }

    PackedRing ring() {
        return ring;
    }

    @Override
    int size() {
        return size;
    }

    @Override
    VringAddress addresses() {
        return ring.addresses(index);
    }

    /**
     * The same position for what is available and for what is used, each with its wrap counter. That finds all that the last device took
     * and did not give back if it gives back in order: one that does not has overwritten descriptors of what it still had.
     */
    @Override
    int base() {
        int at = used + walk(size, size);
        int position = at < size ? PackedRing.position(at, usedWrap) : PackedRing.position(at - size, !usedWrap);
        return position << 16 | position;
    }

    @Override
    void add(int slot, int bytes, int flags) {
        int head = next;
        int headFlags;
        int count;
        if (slots.indirect()) {
            int entries = table(slot, bytes, flags);
            ring.descriptor(head, slots.tableGuest(slot), PackedRing.DESCRIPTOR_BYTES * entries, slot);
            headFlags = PackedRing.INDIRECT | PackedRing.available(wrap);
            count = 1;
            advance();
        } else {
            headFlags = flags | PackedRing.available(wrap);
            count = chain(slot, bytes, flags);
            if (count > 1) {
                headFlags |= PackedRing.NEXT;
            }
        }
        // the device looks at descriptors in order, so the first of what was added hides the others until it is published
        if (unpublished == 0) {
            unpublishedHead = head;
            unpublishedFlags = headFlags;
        } else {
            ring.flags(head, headFlags);
        }
        unpublished += count;
        free -= count;
        descriptorsOf[slot] = count;
    }

    private int table(int slot, int bytes, int flags) {
        int part = 0;
        for (int at = 0; part == 0 || at < bytes; part++) {
            int length = slots.pieceBytes(part, bytes - at);
            PackedRing.writeIndirect(slots.tableEntry(slot, part), slots.bufferGuest(slot) + at, length, flags);
            at += length;
        }
        return part;
    }

    /** All of a chain but the flags of its head. */
    private int chain(int slot, int bytes, int flags) {
        int part = 0;
        for (int at = 0; part == 0 || at < bytes; part++) {
            int length = slots.pieceBytes(part, bytes - at);
            boolean more = at + length < bytes;
            ring.descriptor(next, slots.bufferGuest(slot) + at, length, more ? NO_ID : slot);
            if (part > 0) {
                ring.flags(next, flags | PackedRing.available(wrap) | (more ? PackedRing.NEXT : 0));
            }
            at += length;
            advance();
        }
        return part;
    }

    private void advance() {
        if (++next == size) {
            next = 0;
            wrap = !wrap;
        }
    }

    @Override
    boolean publish() {
        int moved = unpublished;
        if (moved == 0) {
            return false;
        }
        ring.publishFlags(unpublishedHead, unpublishedFlags);
        unpublished = 0;
        VarHandle.fullFence(); // the descriptors before the device's wish
        int event = ring.deviceEvent();
        return switch (event >>> 16 & 3) {
            case PackedRing.DISABLE -> false;
            case PackedRing.AT_POSITION -> !eventIndex || PackedRing.passed(event & 0xffff, availableNext(), moved, size);
            default -> true;
        };
    }

    @Override
    int pending() {
        walk(size, size);
        return walked;
    }

    @Override
    boolean used(int entries) {
        if (entries == 1) {
            return PackedRing.isUsed(ring.flags(used), usedWrap);
        }
        walk(entries, size);
        return walked >= entries;
    }

    /** Goes over used entries, as far as their chains are known, and until it has seen so many, or so many descriptors: these. */
    private int walk(int entries, int descriptors) {
        int at = used;
        boolean lap = usedWrap;
        int moved = 0;
        walked = 0;
        while (walked < entries && moved < descriptors && PackedRing.isUsed(ring.flags(at), lap)) {
            walked++;
            int skip = descriptorsAt(at);
            if (skip == 0) {
                break; // whoever takes it will say what is wrong with it
            }
            moved += skip;
            at += skip;
            if (at >= size) {
                at -= size;
                lap = !lap;
            }
        }
        return moved;
    }

    private int descriptorsAt(int position) {
        int id = ring.id(position);
        return id < descriptorsOf.length ? descriptorsOf[id] : 0;
    }

    @Override
    int take() {
        int flags = ring.flags(used);
        int id = ring.id(used);
        int count = descriptorsAt(used);
        if (count == 0) {
            throw stranger("buffer", id, "used position " + used + ", wrap counter " + (usedWrap ? 1 : 0));
        }
        // 2.8.5: without WRITE there is no length
        takenLength = (flags & PackedRing.WRITE) != 0 ? ring.length(used) : 0;
        descriptorsOf[id] = 0;
        free += count;
        used += count;
        if (used >= size) {
            used -= size;
            usedWrap = !usedWrap;
        }
        return id;
    }

    @Override
    int takenLength() {
        return takenLength;
    }

    /** Counts an entry as one descriptor, the least that it can be, so that the call is never late. */
    @Override
    void wantCalls(int entries) {
        if (!eventIndex) {
            ring.driverEvent(0, PackedRing.ENABLE);
            return;
        }
        int at = used + entries - 1;
        ring.driverEvent(at < size ? PackedRing.position(at, usedWrap) : PackedRing.position(at - size, !usedWrap), PackedRing.AT_POSITION);
    }

    /** Counts as {@link #wantCalls} does: a chain of several descriptors may have passed the position while there are fewer entries. */
    @Override
    boolean callMissed(int entries) {
        return walk(size, entries) >= entries;
    }

    @Override
    void wantNoCalls() {
        ring.driverEvent(0, PackedRing.DISABLE);
    }

    @Override
    int freeDescriptors() {
        return free;
    }

    @Override
    int availableNext() {
        return PackedRing.position(next, wrap);
    }

    @Override
    int usedSeen() {
        return PackedRing.position(used, usedWrap);
    }

    @Override
    void save(DataOutput to) throws IOException {
        if (unpublished > 0) {
            throw new IllegalStateException("ring " + index + " has entries that are not published");
        }
        slots.save(to);
        DriverState.write(to, descriptorsOf);
        DriverState.write(to, free, availableNext(), usedSeen());
    }

    @Override
    void load(DataInput from) throws IOException {
        slots.load(from);
        DriverState.read(from, descriptorsOf);
        int[] positions = new int[3];
        DriverState.read(from, positions);
        free = positions[0];
        next = positions[1] & ~PackedRing.WRAP;
        wrap = (positions[1] & PackedRing.WRAP) != 0;
        used = positions[2] & ~PackedRing.WRAP;
        usedWrap = (positions[2] & PackedRing.WRAP) != 0;
    }
}
