// SPDX-License-Identifier: Apache-2.0
package org.vireo.testsupport.device;

import java.io.ByteArrayOutputStream;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import org.vireo.posix.linux.SharedMemory;

/** The device's side of a split virtqueue (virtio 1.2, 2.7). Addresses are looked up each time: memory may be replaced. */
final class DeviceRing {
    private static final MemorySegment MEMORY = SharedMemory.addressSpace();
    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT;
    private static final VarHandle ORDERED = SHORT.varHandle();
    private static final int DESCRIPTOR = 16;
    private static final int NEXT = 1;
    private static final int WRITE = 2;
    private static final int INDIRECT = 4;
    private static final int ENTRY = 8;
    private static final int INDEX = 2;
    private static final int FIRST = 4;

    private RingSetup setup;
    private final TestDevice device;
    private int available;
    private int used;
    private int told;

    DeviceRing(RingSetup setup, TestDevice device) {
        this.setup = setup;
        this.device = device;
        available = setup.available();
        used = setup.used();
        told = used;
    }

    RingSetup setup() {
        return setup;
    }

    void logged(long guest) {
        setup = setup.logged(guest);
    }

    int available() {
        return available;
    }

    int used() {
        return used;
    }

    private static int u16(long at) {
        return (short) ORDERED.getAcquire(MEMORY, at) & 0xffff;
    }

    private long driver(long offset) {
        return device.memory().user(setup.driver()) + offset;
    }

    private long device(long offset) {
        return device.memory().user(setup.device()) + offset;
    }

    /** Buffers that the driver has made available. */
    int pending() {
        return u16(driver(INDEX)) - available & 0xffff;
    }

    private int head() {
        return u16(driver(FIRST + 2L * (available & setup.size() - 1)));
    }

    /** Reads what lies in the next buffer; {@link #done} gives it back. */
    byte[] read() {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        walk((address, length, write) -> {
            if (!write) {
                byte[] piece = new byte[length];
                MemorySegment.copy(MEMORY, ValueLayout.JAVA_BYTE, device.memory().guest(address), piece, 0, length);
                all.writeBytes(piece);
            }
        });
        return all.toByteArray();
    }

    /** Writes into the next buffer, as far as there is room; {@link #done} gives it back. */
    void write(byte[] bytes) {
        int[] at = {0};
        walk((address, length, write) -> {
            int n = write ? Math.min(length, bytes.length - at[0]) : 0;
            MemorySegment.copy(bytes, at[0], MEMORY, ValueLayout.JAVA_BYTE, device.memory().guest(address), n);
            device.written(address, n);
            at[0] += n;
        });
    }

    /** Gives the next buffer back; the driver sees it after {@link #publish}. */
    void done(int length) {
        long entry = FIRST + (long) ENTRY * (used & setup.size() - 1);
        MEMORY.set(ValueLayout.JAVA_INT, device(entry), head());
        MEMORY.set(ValueLayout.JAVA_INT, device(entry) + Integer.BYTES, length);
        logged(entry, ENTRY);
        available = available + 1 & 0xffff;
        used = used + 1 & 0xffff;
    }

    private void logged(long offset, int length) {
        if (setup.log() != -1) {
            device.written(setup.log() + offset, length);
        }
    }

    /** Shows the driver what was given back: whether it wants to be called for that. */
    boolean publish() {
        int before = told;
        if (before == used) {
            return false;
        }
        told = used;
        ORDERED.setRelease(MEMORY, device(INDEX), (short) used);
        logged(INDEX, Short.BYTES);
        VarHandle.fullFence();
        if (device.hasEventIndex()) {
            int wish = u16(driver(FIRST + 2L * setup.size()));
            return (used - wish - 1 & 0xffff) < (used - before & 0xffff);
        }
        return (u16(driver(0)) & 1) == 0;
    }

    /** Asks for a kick with the next buffer; whether there is one already. */
    boolean arm() {
        if (device.hasEventIndex()) {
            long at = FIRST + (long) ENTRY * setup.size();
            ORDERED.setRelease(MEMORY, device(at), (short) available);
            logged(at, Short.BYTES);
        }
        VarHandle.fullFence();
        return pending() > 0;
    }

    private interface Piece {
        void of(long address, int length, boolean write);
    }

    private void walk(Piece what) {
        long table = device.memory().user(setup.descriptors());
        int i = head();
        if ((u16(table + (long) DESCRIPTOR * i + 12) & INDIRECT) != 0) {
            table = device.memory().guest(MEMORY.get(ValueLayout.JAVA_LONG, table + (long) DESCRIPTOR * i));
            i = 0;
        }
        for (int n = 0; n < setup.size(); n++) {
            long d = table + (long) DESCRIPTOR * i;
            int flags = u16(d + 12);
            what.of(MEMORY.get(ValueLayout.JAVA_LONG, d), MEMORY.get(ValueLayout.JAVA_INT, d + 8), (flags & WRITE) != 0);
            if ((flags & NEXT) == 0) {
                return;
            }
            i = u16(d + 14);
        }
    }
}
