// SPDX-License-Identifier: Apache-2.0
package org.vireo.posix.linux;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.Posix;
import org.vireo.posix.PosixException;
import org.vireo.posix.internal.Native;

/** Event counters of the kernel (eventfd(2)): kicks and calls. */
public final class EventFd {
    private static final int CLOEXEC_NONBLOCK = 02000000 | 04000;
    private static final MethodHandle CREATE = Native.intFunction("eventfd", 2, -1);
    private static final MemorySegment ONE = Native.ARENA.allocateFrom(ValueLayout.JAVA_LONG, 1L);

    private EventFd() {
    }

    /**
     * Makes one that does not block.
     *
     * @param fds makes the descriptor
     * @param purpose what it is
     * @return the descriptor
     * @throws IOException no descriptor left
     */
    public static Fd create(Fds fds, String purpose) throws IOException {
        MemorySegment s = Native.state();
        int n;
        try {
            n = (int) CREATE.invokeExact(s, 0L, (long) CLOEXEC_NONBLOCK);
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
        if (n < 0) {
            throw new PosixException("eventfd for " + purpose, Native.errno(s));
        }
        return fds.adopt(n, purpose);
    }

    /**
     * Adds one. Allocates nothing.
     *
     * @param number the descriptor
     * @return 8, or the negative errno; EAGAIN means that it is full, so signalled already
     */
    public static long signal(int number) {
        return Posix.write(number, ONE.address(), 8);
    }

    /**
     * Takes the count.
     *
     * @param number the descriptor, which does not block
     * @return the count, 0 if it was not signalled
     */
    public static long drain(int number) {
        try (Arena a = Arena.ofConfined()) {
            MemorySegment m = a.allocate(8, 8);
            return Posix.read(number, m.address(), 8) == 8 ? m.get(ValueLayout.JAVA_LONG, 0) : 0;
        }
    }

    /**
     * Whether a descriptor is an eventfd.
     *
     * @param number the descriptor
     * @return whether
     */
    public static boolean isEventFd(int number) {
        return describe(number).equals("anon_inode:[eventfd]");
    }

    /**
     * What a descriptor is, for messages.
     *
     * @param number the descriptor
     * @return the target of /proc/self/fd/N
     */
    public static String describe(int number) {
        try {
            return Files.readSymbolicLink(Path.of("/proc/self/fd/" + number)).toString();
        } catch (IOException e) {
            return "not an open descriptor";
        }
    }
}
