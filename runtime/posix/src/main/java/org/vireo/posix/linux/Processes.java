// SPDX-License-Identifier: Apache-2.0
package org.vireo.posix.linux;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.Posix;
import org.vireo.posix.PosixException;
import org.vireo.posix.internal.Native;

/** Other processes: who they are, whether they are dead (pidfd_open(2)), signals. */
public final class Processes {
    /** SIGKILL. */
    public static final int KILL = 9;

    private static final MethodHandle PIDFD_OPEN = Native.intFunction("pidfd_open", 2, -1);
    private static final MethodHandle GETTID = Native.intFunction("gettid", 0, -1);
    private static final MethodHandle PIDFD_SIGNAL = Native.intFunction("pidfd_send_signal", 4, -1);

    private static final long PIDFD_GET_INFO = 0xc040ff0bL;
    private static final int INFO_BYTES = 64;
    private static final int INFO_STATUS = 60;
    private static final long INFO_EXIT = 8;
    private static final int STAT_START = 19;
    private static final int STAT_STATUS = 49;
    private static final int SIGNAL_MASK = 0x7f;

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
     * How a dead process ended, see waitpid(2), one whose parent has not asked yet (/proc/PID/stat) or has (PIDFD_GET_INFO, Linux 6.15).
     *
     * @param process of {@link #open}, dead
     * @param pid its pid
     * @return the number of the signal that ended it, 0 for one that exited; -1: it cannot be told
     */
    public static int endedBy(Fd process, long pid) {
        try (Arena a = Arena.ofConfined()) {
            MemorySegment info = a.allocate(INFO_BYTES, 8);
            info.set(ValueLayout.JAVA_LONG, 0, INFO_EXIT);
            int n = Posix.ioctl(process.number(), PIDFD_GET_INFO, info);
            if (n >= 0 && (info.get(ValueLayout.JAVA_LONG, 0) & INFO_EXIT) != 0) {
                return info.get(ValueLayout.JAVA_INT, INFO_STATUS) & SIGNAL_MASK;
            }
        }
        String[] stat = stat(pid);
        boolean zombie = stat.length > STAT_STATUS && stat[0].equals("Z");
        return zombie ? Integer.parseInt(stat[STAT_STATUS]) & SIGNAL_MASK : -1;
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
     * @throws IOException it cannot be told, for want of a free descriptor for instance
     */
    public static long pid(Fd process) throws IOException {
        for (String line : Files.readAllLines(Path.of("/proc/self/fdinfo/" + process.number()))) {
            if (line.startsWith("Pid:")) {
                return Long.parseLong(line.substring(4).strip());
            }
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
        String[] stat = stat(pid);
        return stat.length > STAT_START ? Long.parseLong(stat[STAT_START]) : -1;
    }

    /**
     * Whether a process stands still by a signal (SIGSTOP, proc(5)).
     *
     * @param pid its pid
     * @return whether; false too if there is no such process
     */
    public static boolean isStopped(long pid) {
        String[] stat = stat(pid);
        return stat.length > 0 && stat[0].equals("T");
    }

    /** The fields of /proc/PID/stat from the third one, the state, on; none if there is no such process. */
    private static String[] stat(long pid) {
        try {
            String stat = Files.readString(Path.of("/proc/" + pid + "/stat"), StandardCharsets.ISO_8859_1).strip();
            return stat.substring(stat.lastIndexOf(')') + 2).split(" ");
        } catch (IOException e) {
            return new String[0];
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
