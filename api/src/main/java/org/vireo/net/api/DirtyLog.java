// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api;

import org.osgi.annotation.versioning.ProviderType;

/** Where a VMM wants to be told which pages were written (vhost-user, SET_LOG_BASE): a bit for each 4 KiB page. */
@ProviderType
public interface DirtyLog {
    /**
     * The shared memory with the bits, owned by the system.
     *
     * @return the descriptor
     */
    Fd file();

    /**
     * Where the bits begin.
     *
     * @return offset in bytes
     */
    long offset();

    /**
     * How long they are.
     *
     * @return bytes
     */
    long bytes();

    /**
     * An eventfd to signal when bits were set, owned by the system (vhost-user, SET_LOG_FD).
     *
     * @return the descriptor, or null: nobody waits
     */
    Fd event();
}
