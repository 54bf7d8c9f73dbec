// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import java.io.DataInput;
import java.io.DataOutput;
import java.io.IOException;
import org.vireo.vhostuser.VirtioNet;
import org.vireo.vhostuser.VringAddress;

/**
 * The driver's side of a ring, of either layout: makes slots available, takes back what the device returns, and says when either side is
 * to be notified. Knows no descriptors of events. One thread; allocates nothing once made.
 */
abstract sealed class DriverRing permits SplitDriverRing, PackedDriverRing {
    /** Its virtqueue index. */
    final int index;
    /** The buffers that it makes available. */
    final BufferSlots slots;
    /** Whether EVENT_IDX is acknowledged. */
    final boolean eventIndex;

    DriverRing(int index, long features, BufferSlots slots) {
        this.index = index;
        this.slots = slots;
        eventIndex = (features & VirtioNet.EVENT_IDX) != 0;
    }

    /** A ring in fresh memory, of the layout that was acknowledged. */
    static DriverRing of(GuestRam ram, int index, long features, QueueLayout layout) {
        boolean indirect = layout.indirect() && (features & VirtioNet.INDIRECT_DESC) != 0;
        if ((features & VirtioNet.RING_PACKED) != 0) {
            PackedRing ring = new PackedRing(ram, layout.ringSize());
            return new PackedDriverRing(ring, index, features, new BufferSlots(ram, layout, indirect));
        }
        SplitRing ring = new SplitRing(ram, layout.ringSize());
        return new SplitDriverRing(ring, index, features, new BufferSlots(ram, layout, indirect));
    }

    /** Entries. */
    abstract int size();

    /** Where it is, as SET_VRING_ADDR says it. */
    abstract VringAddress addresses();

    /** Where a device begins that knows nothing of the ring, as SET_VRING_BASE says it: at what was not given back. */
    abstract int base();

    /** Lays a slot out and makes it available; {@link #publish} shows it to the device. */
    abstract void add(int slot, int bytes, int flags);

    /** Shows the device what was added; whether there was something and the device wants a kick for it. */
    abstract boolean publish();

    /** Used entries that the driver has not taken. */
    abstract int pending();

    /** Whether at least so many entries are used and not taken. */
    abstract boolean used(int entries);

    /** Takes the next used entry, of which {@link #used} has said that it is there: its slot, which is still taken. */
    abstract int take();

    /** How many bytes the device says it wrote into what was taken last. */
    abstract int takenLength();

    /** Stores the wish for a call after so many more used entries, or earlier, but after one at least. */
    abstract void wantCalls(int entries);

    /** Whether what {@link #wantCalls} waits for has come already, so that no call may come. */
    abstract boolean callMissed(int entries);

    /** Stores the wish for no calls; some may still come. */
    abstract void wantNoCalls();

    /** Descriptors that are not with the device. */
    abstract int freeDescriptors();

    /** Where the driver writes next. */
    abstract int availableNext();

    /** Up to where the driver has taken used entries. */
    abstract int usedSeen();

    /** What the driver knows of the ring and its memory does not say; all that was added is published. */
    abstract void save(DataOutput to) throws IOException;

    /** Goes on where another one has saved. */
    abstract void load(DataInput from) throws IOException;

    /** The fault of an entry that the device does not have. */
    final DeviceFaultException stranger(String what, int id, String where) {
        return new DeviceFaultException(index, "returned " + what + " " + Integer.toUnsignedString(id)
                + ", which it was not given (" + where + ")");
    }
}
