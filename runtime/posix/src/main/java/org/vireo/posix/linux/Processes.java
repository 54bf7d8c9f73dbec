// SPDX-License-Identifier: Apache-2.0
package org.vireo.posix.linux;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.PosixException;
import org.vireo.posix.internal.Native;

/** Other processes: who they are, whether they are dead (pidfd_open(2)), signals. */
public final class Processes {
    /** SIGKILL. */
    public static final int KILL = 9;

    private static final MethodHandle PIDFD_OPEN = Native.intFunction("pidfd_open", 2, -1);
    private static final MethodHandle GETTID = Native.intFunction("gettid", 0, -1);
    private static final MethodHandle PIDFD_SIGNAL = Native.intFunction("pidfd_send_signal", 4, -1);

    private Processes() {
    }

    /**
     * Opens a process.
     *
     * @param fds makes the descriptor
     * @param pid its pid
     * @return a descriptor that is readable when the process is dead, its last thread gone
     * @throws IOException there is no such process
     */
    public static Fd open(Fds fds, long pid) throws IOException {
        MemorySegment s = Native.state();
        int n;
        try {
            n = (int) PIDFD_OPEN.invokeExact(s, pid, 0L);
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
        if (n < 0) {
            throw new PosixException("pidfd_open " + pid, Native.errno(s));
        }
        return fds.adopt(n, "process " + pid);
    }

    /**
     * Whether a process is dead.
     *
     * @param process of {@link #open}
     * @return whether
     */
    public static boolean isDead(Fd process) {
        return Poll.readable(0, process.number()) != 0;
    }

    /**
     * Sends a signal.
     *
     * @param process of {@link #open}
     * @param signal its number; 0 only checks whether it may be sent
     * @return 0 or the negative errno
     */
    public static int signal(Fd process, int signal) {
        MemorySegment s = Native.state();
        try {
            int n = (int) PIDFD_SIGNAL.invokeExact(s, (long) process.number(), (long) signal, 0L, 0L);
            return n >= 0 ? n : -Native.errno(s);
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /**
     * The pid of the process that a pidfd is for.
     *
     * @param process a pidfd, of {@link #open} or from another process
     * @return its pid in our namespace, or -1: dead, or in none that we see, or the descriptor is no pidfd
     */
    public static long pid(Fd process) {
        try {
            for (String line : Files.readAllLines(Path.of("/proc/self/fdinfo/" + process.number()))) {
                if (line.startsWith("Pid:")) {
                    return Long.parseLong(line.substring(4).strip());
                }
            }
        } catch (IOException e) {
            return -1;
        }
        return -1;
    }

    /**
     * The calling thread's id, as in /proc/self/task.
     *
     * @return gettid(2)
     */
    public static int threadId() {
        try {
            return (int) GETTID.invokeExact(Native.state());
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /**
     * When a process was started.
     *
     * @param pid its pid
     * @return field 22 of /proc/PID/stat, clock ticks since boot; -1 if there is no such process
     */
    public static long startTime(long pid) {
        try {
            String stat = Files.readString(Path.of("/proc/" + pid + "/stat"), StandardCharsets.ISO_8859_1);
            return Long.parseLong(stat.substring(stat.lastIndexOf(')') + 2).split(" ")[19]);
        } catch (IOException e) {
            return -1;
        }
    }

    /**
     * The running kernel's identity.
     *
     * @return first 64 bits of /proc/sys/kernel/random/boot_id
     * @throws IOException there is no /proc
     */
    public static long bootId() throws IOException {
        String id = Files.readString(Path.of("/proc/sys/kernel/random/boot_id")).strip().replace("-", "");
        return Long.parseUnsignedLong(id.substring(0, 16), 16);
    }
}
