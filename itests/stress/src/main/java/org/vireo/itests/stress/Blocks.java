// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.stress;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.concurrent.atomic.AtomicInteger;
import org.vireo.frontend.virtionet.block.NicBlockMemory;
import org.vireo.posix.Descriptors;

/**
 * NIC blocks, each mapped twice, as two processes have it. They are used in turn: jcstress makes a state for each try, and a mapping each
 * would be too slow. It has two strides of them at a time at most, see the options that the test gives it.
 */
final class Blocks {
    /** Strides are 64 x 1. */
    private static final int POOL = 256;
    private static final NicBlockMemory[] NEAR = new NicBlockMemory[POOL];
    private static final NicBlockMemory[] FAR = new NicBlockMemory[POOL];
    private static final AtomicInteger NEXT = new AtomicInteger();

    static {
        Descriptors fds = new Descriptors();
        try {
            for (int i = 0; i < POOL; i++) {
                NEAR[i] = NicBlockMemory.create(fds, "stress" + i);
                FAR[i] = NicBlockMemory.open(NEAR[i].file().duplicate());
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private Blocks() {
    }

    static int next() {
        return NEXT.getAndIncrement() & POOL - 1;
    }

    static NicBlockMemory near(int i) {
        return NEAR[i];
    }

    static NicBlockMemory far(int i) {
        return FAR[i];
    }
}
