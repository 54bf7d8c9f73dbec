// SPDX-License-Identifier: Apache-2.0
package org.vireo.posix.linux;

import java.lang.invoke.MethodHandle;
import org.vireo.posix.internal.Native;

/** The scheduling of threads (setpriority(2)). */
public final class Threads {
    /** The nicest value: such a thread runs when nobody else wants to. */
    public static final int NICEST = 19;

    private static final int PRIO_PROCESS = 0;
    private static final MethodHandle SETPRIORITY = Native.intFunction("setpriority", 3, -1);

    private Threads() {
    }

    /**
     * Sets the nice value of the calling thread alone, which Linux allows. Threads that it starts inherit it, and only a privileged
     * process may lower it again: use it on a thread that ends afterwards.
     *
     * @param value -20 to 19
     * @return 0 or the negative errno
     */
    public static int nice(int value) {
        var s = Native.state();
        try {
            int n = (int) SETPRIORITY.invokeExact(s, (long) PRIO_PROCESS, 0L, (long) value);
            return n >= 0 ? n : -Native.errno(s);
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }
}
