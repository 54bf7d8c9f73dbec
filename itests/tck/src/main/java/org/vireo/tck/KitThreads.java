// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;

/** What the JVM counts for the calling thread. */
final class KitThreads {
    /** Kept: getting it allocates. */
    private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();

    private KitThreads() {
    }

    static long allocated() {
        return THREADS.getCurrentThreadAllocatedBytes();
    }
}
