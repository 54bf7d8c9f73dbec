// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import org.vireo.posix.linux.SharedMemory;

/**
 * Keeps the guests' memory that this process has in its page table small while standbys wait for its death: the kernel says that a
 * process is dead only after it has taken all of that out again, 26 ms for 512 MiB. One for all NICs; any thread.
 */
final class LoadedMemory {
    private static final long MOST_BYTES = 32L << 20;
    private static final long LOOK_NANOS = 200_000_000L;

    private long looked = System.nanoTime() - LOOK_NANOS;
    private boolean much;

    /**
     * Looks at the process's, at most some times a second however many NICs there are.
     *
     * @param unload takes a NIC's out of the page table; called if there is much
     */
    void look(Runnable unload) {
        boolean now;
        synchronized (this) {
            long time = System.nanoTime();
            if (time - looked >= LOOK_NANOS) {
                looked = time;
                much = SharedMemory.loaded() > MOST_BYTES;
            }
            now = much;
        }
        if (now) {
            unload.run();
        }
    }
}
