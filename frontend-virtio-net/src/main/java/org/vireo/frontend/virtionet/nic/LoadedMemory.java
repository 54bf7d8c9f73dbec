// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import org.vireo.posix.linux.SharedMemory;

/**
 * Keeps the guests' memory that this process has in its page table small while a standby waits for its death: the kernel says that a
 * process is dead only after it has taken all of that out again, 26 ms for 512 MiB. Timer thread.
 */
final class LoadedMemory {
    private static final long MOST_BYTES = 32L << 20;
    private static final long LOOK_NANOS = 200_000_000L;

    private final Runnable unload;
    private static volatile long looked;
    private static volatile long loaded;

    /**
     * Memory of one NIC.
     *
     * @param unload takes it out of the page table
     */
    LoadedMemory(Runnable unload) {
        this.unload = unload;
    }

    /** Looks at the process's, at most some times a second however many NICs there are, and unloads the NIC's if that is much. */
    void look() {
        long now = System.nanoTime();
        if (looked == 0 || now - looked > LOOK_NANOS) {
            looked = now;
            loaded = SharedMemory.loaded();
        }
        if (loaded > MOST_BYTES) {
            unload.run();
        }
    }
}
