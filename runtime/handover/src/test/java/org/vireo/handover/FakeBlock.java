// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.net.api.nic.NicBlock;
import org.vireo.net.api.nic.Ownership;
import org.vireo.posix.linux.Processes;
import org.vireo.posix.linux.SharedMemory;

/** A NIC block in a memory file, mapped anew by each process that holds it; here also: how many read the NIC. */
final class FakeBlock implements NicBlock, AutoCloseable {
    private static final MemorySegment MEMORY = SharedMemory.addressSpace();
    private static final VarHandle LONGS = ValueLayout.JAVA_LONG.varHandle();
    private static final int BYTES = 4096;
    private static final int SEQ = 8;
    private static final int HEARTBEAT = 16;
    private static final int READERS = 24;
    private static final int SLOTS = 32;
    private static final int TWICE = 40;
    private static final int ENTERED = 48;
    private static final int DEATH = 56;
    private static final int STILL = 64;
    private static final int HOLDERS = 128;

    private final long address;
    private final int self;

    FakeBlock(Fd fd) throws IOException {
        address = SharedMemory.map(fd, 0, BYTES);
        self = (int) (long) LONGS.getAndAdd(MEMORY, address + SLOTS, 1L);
        setHolder(self, ProcessHandle.current().pid());
    }

    static Fd create(Fds fds, String id) throws IOException {
        return SharedMemory.create(fds, "block of " + id, BYTES, true);
    }

    /** The first process owns. */
    void initialise() {
        LONGS.setVolatile(MEMORY, address, new Ownership(1, Ownership.Phase.OWNED, self, Ownership.NONE).encode());
        LONGS.setVolatile(MEMORY, address + SEQ, 1L << 32);
    }

    void setHolder(int slot, long pid) {
        LONGS.setVolatile(MEMORY, address + HOLDERS + 16L * slot + 8, Processes.startTime(pid));
        LONGS.setVolatile(MEMORY, address + HOLDERS + 16L * slot, pid);
    }

    void seq(long seq) {
        LONGS.setVolatile(MEMORY, address + SEQ, seq);
    }

    /** Counts who reads; more than one at a time is what must never be. */
    void reads(boolean begin) {
        long before = (long) LONGS.getAndAdd(MEMORY, address + READERS, begin ? 1L : -1L);
        if (before != (begin ? 0 : 1)) {
            LONGS.setVolatile(MEMORY, address + TWICE, 1L);
        }
    }

    long readers() {
        return (long) LONGS.getVolatile(MEMORY, address + READERS);
    }

    boolean wasReadByTwo() {
        return (long) LONGS.getVolatile(MEMORY, address + TWICE) != 0;
    }

    @Override
    public long word() {
        return (long) LONGS.getVolatile(MEMORY, address);
    }

    @Override
    public boolean compareAndSet(long expected, long next) {
        return LONGS.compareAndSet(MEMORY, address, expected, next);
    }

    @Override
    public long seq() {
        return (long) LONGS.getVolatile(MEMORY, address + SEQ);
    }

    @Override
    public int self() {
        return self;
    }

    void entered(boolean inside) {
        LONGS.setVolatile(MEMORY, address + ENTERED, inside ? 1L : 0L);
    }

    @Override
    public boolean entered() {
        return (long) LONGS.getVolatile(MEMORY, address + ENTERED) != 0;
    }

    @Override
    public long death() {
        return (long) LONGS.getVolatile(MEMORY, address + DEATH);
    }

    @Override
    public void succeed(long death) {
        LONGS.setVolatile(MEMORY, address + DEATH, death);
        entered(false);
    }

    @Override
    public Holder holder(int slot) {
        long at = address + HOLDERS + 16L * slot;
        return new Holder((long) LONGS.getVolatile(MEMORY, at), (long) LONGS.getVolatile(MEMORY, at + 8), 0);
    }

    /** The heartbeat stands still from now on. */
    void still() {
        LONGS.setVolatile(MEMORY, address + STILL, 1L);
    }

    /** Unless it stands still it has always gone on. */
    @Override
    public long heartbeat() {
        boolean still = (long) LONGS.getVolatile(MEMORY, address + STILL) != 0;
        return (long) LONGS.getAndAdd(MEMORY, address + HEARTBEAT, still ? 0L : 1L);
    }

    @Override
    public void close() {
        SharedMemory.unmap(address, BYTES);
    }
}
