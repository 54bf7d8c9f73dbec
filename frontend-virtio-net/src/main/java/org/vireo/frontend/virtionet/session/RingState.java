// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.session;

import org.vireo.net.api.Fd;

/**
 * What a VMM told of a ring. Immutable; a started ring's position is in its journal, a stopped one's is {@code base}.
 *
 * @param size entries, 0: not told
 * @param descriptors VMM address of the descriptors
 * @param available VMM address of the driver's area
 * @param used VMM address of the device's area
 * @param flags of SET_VRING_ADDR
 * @param log guest address for logging
 * @param base next available entry, of a packed ring with the wrap counter in bit 15, and with {@link #UNSURE} perhaps; or
 *        {@link #JOURNAL}
 * @param started whether it runs
 * @param enabled whether it is enabled
 * @param kick eventfd, or null
 * @param call eventfd, or null
 * @param error eventfd, or null
 */
public record RingState(int size, long descriptors, long available, long used, int flags, long log, int base, boolean started,
        boolean enabled, Fd kick, Fd call, Fd error) {
    /** As a base: where the ring's journal says. */
    public static final int JOURNAL = -1;
    /** With a packed ring's base: its used position was not told, or is 0. */
    public static final int UNSURE = 1 << 16;
    /** Nothing was told. */
    public static final RingState NEW = new RingState(0, 0, 0, 0, 0, 0, 0, false, false, null, null, null);

    RingState withSize(int n) {
        return new RingState(n, descriptors, available, used, flags, log, base, started, enabled, kick, call, error);
    }

    RingState withAddress(long newDescriptors, long newAvailable, long newUsed, int newFlags, long newLog) {
        return new RingState(size, newDescriptors, newAvailable, newUsed, newFlags, newLog, base, started, enabled, kick, call, error);
    }

    /**
     * With another position.
     *
     * @param n next available entry
     * @return the state
     */
    public RingState withBase(int n) {
        return new RingState(size, descriptors, available, used, flags, log, n, started, enabled, kick, call, error);
    }

    /**
     * Started or stopped.
     *
     * @param on which
     * @return the state
     */
    public RingState withStarted(boolean on) {
        return new RingState(size, descriptors, available, used, flags, log, base, on, enabled, kick, call, error);
    }

    RingState withEnabled(boolean on) {
        return new RingState(size, descriptors, available, used, flags, log, base, started, on, kick, call, error);
    }

    RingState withKick(Fd fd) {
        return new RingState(size, descriptors, available, used, flags, log, base, started, enabled, fd, call, error);
    }

    RingState withCall(Fd fd) {
        return new RingState(size, descriptors, available, used, flags, log, base, started, enabled, kick, fd, error);
    }

    RingState withError(Fd fd) {
        return new RingState(size, descriptors, available, used, flags, log, base, started, enabled, kick, call, fd);
    }
}
