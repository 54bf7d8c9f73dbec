// SPDX-License-Identifier: Apache-2.0
package org.vireo.posix.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import org.vireo.posix.internal.Native;

/**
 * The scheduling of threads (sched(7), setpriority(2), sched_setattr(2)). Each method sets that of one thread, the calling one where no
 * other is named, which Linux allows; threads that it starts inherit it.
 */
public final class Threads {
    private static final int NICEST = 19;
    private static final int PATIENT = 10;
    private static final int STEADY = -10;
    private static final int BRIEF = -20;
    private static final long SHORT_SLICE_NANOS = 100_000;
    private static final int PRIO_PROCESS = 0;
    private static final long SCHED_SETATTR = System.getProperty("os.arch").equals("amd64") ? 314 : 274;
    /** struct sched_attr in its first version: size, policy, flags, nice, priority, runtime, deadline, period. */
    private static final int ATTRIBUTES_BYTES = 48;
    private static final int NICE = 16;
    private static final int RUNTIME = 24;
    private static final MethodHandle SETPRIORITY = Native.intFunction("setpriority", 3, -1);
    private static final MethodHandle GETPRIORITY = Native.intFunction("getpriority", 2, -1);
    private static final MethodHandle SYSCALL = Native.intFunction("syscall", 4, 1);

    private Threads() {
    }

    private static int nice(int value) {
        return nice(0, value);
    }

    private static int nice(int thread, int value) {
        MemorySegment s = Native.state();
        try {
            int n = (int) SETPRIORITY.invokeExact(s, (long) PRIO_PROCESS, (long) thread, (long) value);
            return n >= 0 ? n : -Native.errno(s);
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /**
     * For a thread that works much and must not wait long: nice value -10, where the process may say so. No less: with all the processor
     * it would keep the compiler from making its own code fast.
     *
     * @return 0 or the negative errno
     */
    public static int steady() {
        return nice(STEADY);
    }

    /**
     * For a thread that works seldom, and that a frozen guest waits for: nice value -20, where the process may say so; and a time slice
     * of 0.1 ms, with which a thread that wakes up gets the processor at once instead of after the slice of who has it (Linux 6.12; of
     * no effect before).
     *
     * @return 0 or the negative errno of the nice value
     */
    public static int urgent() {
        int n = nice(BRIEF);
        slice(SHORT_SLICE_NANOS);
        return n;
    }

    /**
     * Runs when nobody else wants to: nice value 19. Only a privileged process can take that back: for a thread that ends afterwards.
     *
     * @return 0 or the negative errno
     */
    public static int nicest() {
        slice(0);
        return nice(NICEST);
    }

    /**
     * For work that must cost the busy little, and that somebody waits for: nice value 10, a tenth of what an ordinary thread gets. On a
     * busy machine the lowest priority gets next to nothing. Only a privileged process can take that back.
     *
     * @return 0 or the negative errno
     */
    public static int patient() {
        slice(0);
        return nice(PATIENT);
    }

    /**
     * Another thread, which is not wanted any more, runs when nobody else wants to: nice value 19.
     *
     * @param thread the kernel's number of it ({@link Processes#threadId})
     * @return 0 or the negative errno
     */
    public static int nicest(int thread) {
        return nice(thread, NICEST);
    }

    /** As everybody: nice value 0 where permitted, and the ordinary time slice. */
    public static void ordinary() {
        nice(0);
        slice(0);
    }

    /** A scheduler that does not know it keeps its own: nothing depends on it but time. */
    private static void slice(long nanos) {
        MemorySegment s = Native.state();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment a = arena.allocate(ATTRIBUTES_BYTES, 8);
            a.set(ValueLayout.JAVA_INT, 0, ATTRIBUTES_BYTES);
            a.set(ValueLayout.JAVA_INT, NICE, (int) GETPRIORITY.invokeExact(s, (long) PRIO_PROCESS, 0L));
            a.set(ValueLayout.JAVA_LONG, RUNTIME, nanos);
            int ignored = (int) SYSCALL.invokeExact(s, SCHED_SETATTR, 0L, a.address(), 0L);
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }
}
