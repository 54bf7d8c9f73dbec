// SPDX-License-Identifier: Apache-2.0
package org.vireo.posix.internal;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.StructLayout;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.VarHandle;
import java.util.Arrays;

/**
 * Handles of C functions. All arguments are passed as 64 bit, which both x86-64 and AArch64 take for narrower ones too: so a few
 * shapes serve all functions, which keeps the start short.
 */
public final class Native {
    /** Memory that is never given back. */
    public static final Arena ARENA = Arena.global();
    /** All of the address space, for reading and writing at addresses. */
    public static final MemorySegment MEMORY = MemorySegment.NULL.reinterpret(Long.MAX_VALUE);

    private static final Linker LINKER = Linker.nativeLinker();
    private static final StructLayout STATE = Linker.Option.captureStateLayout();
    private static final VarHandle ERRNO = STATE.varHandle(MemoryLayout.PathElement.groupElement("errno"));
    private static final ThreadLocal<MemorySegment> STATES = ThreadLocal.withInitial(() -> Arena.ofAuto().allocate(STATE));

    private Native() {
    }

    /**
     * A function that returns an int.
     *
     * @param name its symbol
     * @param arguments how many
     * @param firstVariadic index of the first variadic argument, or -1
     * @return a handle (MemorySegment state, long...) int
     */
    public static MethodHandle intFunction(String name, int arguments, int firstVariadic) {
        return function(ValueLayout.JAVA_INT, name, arguments, firstVariadic);
    }

    /**
     * A function that returns a long.
     *
     * @param name its symbol
     * @param arguments how many
     * @return a handle (MemorySegment state, long...) long
     */
    public static MethodHandle longFunction(String name, int arguments) {
        return function(ValueLayout.JAVA_LONG, name, arguments, -1);
    }

    private static MethodHandle function(MemoryLayout result, String name, int arguments, int firstVariadic) {
        MemoryLayout[] longs = new MemoryLayout[arguments];
        Arrays.fill(longs, ValueLayout.JAVA_LONG);
        MemorySegment symbol = LINKER.defaultLookup().find(name)
                .orElseThrow(() -> new UnsatisfiedLinkError("the C library has no function " + name));
        FunctionDescriptor descriptor = FunctionDescriptor.of(result, longs);
        Linker.Option errno = Linker.Option.captureCallState("errno");
        try {
            return firstVariadic < 0 ? LINKER.downcallHandle(symbol, descriptor, errno)
                    : LINKER.downcallHandle(symbol, descriptor, errno, Linker.Option.firstVariadicArg(firstVariadic));
        } catch (IllegalCallerException e) {
            throw new IllegalStateException("native access is not enabled: start Java with --enable-native-access=ALL-UNNAMED", e);
        }
    }

    /**
     * This thread's place for errno.
     *
     * @return the segment to pass first
     */
    public static MemorySegment state() {
        return STATES.get();
    }

    /**
     * The errno that a call left.
     *
     * @param state what was passed to it
     * @return its number
     */
    public static int errno(MemorySegment state) {
        return (int) ERRNO.get(state, 0L);
    }

    /**
     * A failure that cannot happen: handles throw nothing.
     *
     * @param t what was thrown
     * @return never
     */
    public static AssertionError unexpected(Throwable t) {
        if (t instanceof Error e) {
            throw e;
        }
        if (t instanceof RuntimeException e) {
            throw e;
        }
        return new AssertionError(t);
    }
}
