// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.vireo.net.api.DirtyLog;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.linux.SharedMemory;

/** A log of written pages, as a VMM gives it: a bit for each page of 4 KiB. */
final class KitLog implements AutoCloseable {
    private static final int PAGE = 4096;
    private static final long BYTES = Math.max(PAGE, KitRam.END / PAGE / 8);

    private final Fd file;
    private final long address;

    KitLog(Fds fds) throws IOException {
        file = SharedMemory.create(fds, "vireo-tck-log", PAGE + BYTES, false);
        address = SharedMemory.map(file, PAGE, BYTES);
    }

    private record Lent(Fd file, long offset, long bytes, Fd event) implements DirtyLog { }

    DirtyLog lent(KitLoan loan) throws IOException {
        return new Lent(loan.of(file), PAGE, BYTES, null);
    }

    /** Whether a page is marked. */
    boolean isMarked(long guest) {
        byte b = SharedMemory.addressSpace().get(ValueLayout.JAVA_BYTE, address + guest / PAGE / 8);
        return (b & 1 << guest / PAGE % 8) != 0;
    }

    byte[] content() {
        byte[] all = new byte[(int) BYTES];
        MemorySegment.copy(SharedMemory.addressSpace(), ValueLayout.JAVA_BYTE, address, all, 0, all.length);
        return all;
    }

    void clear() {
        SharedMemory.addressSpace().asSlice(address, BYTES).fill((byte) 0);
    }

    @Override
    public void close() {
        SharedMemory.unmap(address, BYTES);
        file.close();
    }
}
