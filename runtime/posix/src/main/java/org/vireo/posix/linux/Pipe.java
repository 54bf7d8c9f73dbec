// SPDX-License-Identifier: Apache-2.0
package org.vireo.posix.linux;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.PosixException;
import org.vireo.posix.internal.Native;

/**
 * Both ends of a pipe (pipe(2)), which block; whether an end blocks is its own.
 *
 * @param read what was written comes from there
 * @param write what goes in
 */
public record Pipe(Fd read, Fd write) implements AutoCloseable {
    private static final int CLOEXEC = 02000000;
    private static final MethodHandle PIPE2 = Native.intFunction("pipe2", 2, -1);

    /**
     * Makes one.
     *
     * @param fds makes the descriptors
     * @param purpose what it is
     * @return both ends
     * @throws IOException no descriptor left
     */
    public static Pipe create(Fds fds, String purpose) throws IOException {
        MemorySegment s = Native.state();
        try (Arena a = Arena.ofConfined()) {
            MemorySegment two = a.allocate(8, 8);
            if ((int) PIPE2.invokeExact(s, two.address(), (long) CLOEXEC) < 0) {
                throw new PosixException("pipe for " + purpose, Native.errno(s));
            }
            return new Pipe(fds.adopt(two.get(ValueLayout.JAVA_INT, 0), purpose), fds.adopt(two.get(ValueLayout.JAVA_INT, 4), purpose));
        } catch (IOException e) {
            throw e;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** Closes both ends. */
    @Override
    public void close() {
        read.close();
        write.close();
    }
}
