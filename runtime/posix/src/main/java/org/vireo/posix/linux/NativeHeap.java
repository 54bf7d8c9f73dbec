// SPDX-License-Identifier: Apache-2.0
package org.vireo.posix.linux;

import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import org.vireo.posix.internal.Native;

/** The C library's heap, which the JVM's compilers use (malloc_trim(3)). */
public final class NativeHeap {
    private NativeHeap() {
    }

    /** Gives memory back to the kernel that is free: after much was compiled, some 20 MB. Does nothing where the C library cannot. */
    public static void trim() {
        MethodHandle trim;
        try {
            trim = Native.intFunction("malloc_trim", 1, -1);
        } catch (UnsatisfiedLinkError e) {
            // not the GNU one
            return;
        }
        MemorySegment s = Native.state();
        try {
            int ignored = (int) trim.invokeExact(s, 0L);
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }
}
