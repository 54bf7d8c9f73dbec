// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.ring;

import org.vireo.frontend.virtionet.memory.DirtyLog;

/**
 * What of a ring's writes goes into the log of a VMM that migrates its VM.
 *
 * @param file the log; null: nothing is logged
 * @param buffers whether what is written into buffers is logged
 * @param usedAt guest address that writes to the device's area of the ring are logged under, which need not be where it lies; -1: they
 *        are not logged
 * @param event an eventfd that is signalled when something was logged, or {@link #NO_EVENT}
 */
public record RingLog(DirtyLog file, boolean buffers, long usedAt, int event) {
    /** Nobody waits for the log to be written to. */
    public static final int NO_EVENT = -1;
    /** Nothing is logged. */
    public static final RingLog NONE = new RingLog(null, false, -1, NO_EVENT);

    /**
     * What a VMM asked for.
     *
     * @param file its log, or null
     * @param buffers VHOST_F_LOG_ALL
     * @param used VHOST_VRING_F_LOG of the ring
     * @param usedAt the ring's log address
     * @param event its eventfd, or {@link #NO_EVENT}
     * @return what is logged
     */
    public static RingLog of(DirtyLog file, boolean buffers, boolean used, long usedAt, int event) {
        return file == null || !buffers && !used ? NONE : new RingLog(file, buffers, used ? usedAt : -1, event);
    }
}
