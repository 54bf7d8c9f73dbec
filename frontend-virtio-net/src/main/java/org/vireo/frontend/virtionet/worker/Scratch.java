// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.worker;

import java.lang.foreign.Arena;

/** A worker thread's own memory, for what does not outlive one {@link Task#run}. */
public final class Scratch {
    /** Room for iovecs, in bytes. */
    public static final int IOVEC_BYTES = 16 * 4096;

    private final Arena arena = Arena.ofAuto();
    private final long iovecs = arena.allocate(IOVEC_BYTES, 16).address();
    private Object batch;

    /** Memory for a thread. */
    public Scratch() {
        // all is set up with the fields
    }

    /**
     * Memory for iovecs.
     *
     * @return its address
     */
    public long iovecs() {
        return iovecs;
    }

    /**
     * An object that the thread's tasks share.
     *
     * @param <T> its class
     * @param type its class
     * @param make makes the first one
     * @return the thread's object
     */
    public <T> T shared(Class<T> type, java.util.function.Function<Scratch, T> make) {
        if (batch == null) {
            batch = make.apply(this);
        }
        return type.cast(batch);
    }
}
