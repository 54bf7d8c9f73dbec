// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import java.util.function.LongUnaryOperator;

/** The device's side of a virtqueue of either layout, for tests: trusts its driver. */
abstract class DeviceRing {
    /**
     * A device's side of a ring.
     *
     * @param packed its layout
     * @param size entries
     * @param addresses of what SET_VRING_ADDR calls descriptor, available and used, mapped here
     * @param guest maps guest addresses
     * @param eventIndex whether EVENT_IDX is acknowledged
     * @param base as SET_VRING_BASE has it
     */
    static DeviceRing of(boolean packed, int size, long[] addresses, LongUnaryOperator guest, boolean eventIndex, int base) {
        return packed ? new PackedDeviceRing(size, addresses, guest, eventIndex, base)
                : new SplitDeviceRing(size, addresses, guest, eventIndex, base);
    }

    /** At the beginning of a queue's ring. */
    static DeviceRing of(DriverQueue q, GuestRam ram, boolean eventIndex) {
        long[] a;
        if (q.packed()) {
            PackedRing r = q.packedRing();
            a = new long[] {r.descriptorsGuest(), r.driverEventGuest(), r.deviceEventGuest()};
        } else {
            SplitRing r = q.ring();
            a = new long[] {r.descriptorsGuest(), r.availableGuest(), r.usedGuest()};
        }
        for (int i = 0; i < a.length; i++) {
            a[i] = ram.address(a[i]);
        }
        return of(q.packed(), q.ringSize(), a, ram::address, eventIndex, q.base());
    }

    /** Chains that are available. */
    abstract int pending();

    /** Takes the next chain: its head in a split ring, its buffer id in a packed one; or -1. */
    abstract int pop();

    /** Copies out of a chain, or into it; returns how many bytes. */
    abstract int copy(int chain, byte[] bytes, int from, int count, boolean write);

    /** Where the first byte of a chain is. */
    abstract long addressOf(int chain);

    /** How many descriptors a chain has. */
    abstract int chain(int chain);

    /** Gives a chain back; the driver sees it after {@link #publish}. */
    abstract void push(int chain, int length);

    /** Shows the driver what was pushed; returns whether it wants a call. */
    abstract boolean publish();

    /** Asks for a kick at the next chain; returns whether there is one already. */
    abstract boolean armKicks();

    /** Asks for no kicks. */
    abstract void disarmKicks();

    /** Where it stands, as GET_VRING_BASE has it. */
    abstract int base();
}
