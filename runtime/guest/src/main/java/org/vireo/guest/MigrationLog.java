// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.util.function.LongConsumer;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.linux.SharedMemory;
import org.vireo.vhostuser.MemoryRegionSpec;
import org.vireo.vhostuser.VirtioNet;
import org.vireo.vhostuser.VringAddress;

/**
 * The log of a VMM that migrates its VM: the device marks the pages that it has written (vhost-user, "Migration"). One thread, beside the
 * device.
 */
public final class MigrationLog implements AutoCloseable {
    /** What a bit stands for. */
    public static final int PAGE = 4096;

    private static final VarHandle LONG = ValueLayout.JAVA_LONG.varHandle();

    private final GuestNic guest;
    private final Fd file;
    private final long bytes;
    private final long mapped;

    /**
     * A log for all of a guest's memory.
     *
     * @param fds makes its descriptor
     * @param guest the guest
     * @throws IOException no memory or descriptor left
     */
    public MigrationLog(Fds fds, GuestNic guest) throws IOException {
        this.guest = guest;
        MemoryRegionSpec last = guest.ram().specs().getLast();
        bytes = ((last.guest() + last.size()) / PAGE / 8 & -8) + 8;
        file = SharedMemory.create(fds, "log", bytes, false);
        try {
            mapped = SharedMemory.map(file, 0, bytes);
        } catch (IOException e) {
            file.close();
            throw e;
        }
    }

    /**
     * The device begins to log, in the order of QEMU: the log, the features, the rings' addresses again; all while rings run.
     *
     * @throws IOException the device refused, or did not answer
     */
    public void begin() throws IOException {
        FrontEnd f = guest.frontEnd();
        f.logBase(bytes, 0, file);
        f.setFeatures(f.acknowledged() | VirtioNet.LOG_ALL);
        addresses(true);
    }

    /**
     * The device logs no more.
     *
     * @throws IOException the device refused, or did not answer
     */
    public void end() throws IOException {
        FrontEnd f = guest.frontEnd();
        f.setFeatures(f.acknowledged() & ~VirtioNet.LOG_ALL);
        addresses(false);
    }

    private void addresses(boolean logged) throws IOException {
        for (DriverQueue q : guest.queues()) {
            VringAddress a = q.addresses();
            guest.frontEnd().vringAddress(new VringAddress(a.index(), logged ? VringAddress.LOG : 0, a.descriptor(), a.used(),
                    a.available(), logged ? q.deviceArea() : 0));
        }
    }

    /**
     * Takes the bits out. Who copies a page afterwards has what was written before its bit was set; what is written later sets it again.
     *
     * @param page is given the guest address of each page, in order
     * @return how many there were
     */
    public int take(LongConsumer page) {
        int n = 0;
        for (long at = 0; at < bytes; at += 8) {
            if ((long) LONG.getOpaque(GuestRam.MEMORY, mapped + at) == 0) {
                continue;
            }
            long word = (long) LONG.getAndSet(GuestRam.MEMORY, mapped + at, 0L);
            for (; word != 0; word &= word - 1) {
                page.accept((8 * at + Long.numberOfTrailingZeros(word)) * PAGE);
                n++;
            }
        }
        return n;
    }

    @Override
    public void close() {
        SharedMemory.unmap(mapped, bytes);
        file.close();
    }
}
