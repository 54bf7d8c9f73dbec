// SPDX-License-Identifier: Apache-2.0
package org.vireo.posix;

import java.util.Map;

/** Error numbers of Linux (errno(3)); the same on x86-64 and AArch64. */
public final class Errno {
    /** Operation not permitted. */
    public static final int EPERM = 1;
    /** No such file or directory. */
    public static final int ENOENT = 2;
    /** No such process. */
    public static final int ESRCH = 3;
    /** Interrupted system call. */
    public static final int EINTR = 4;
    /** Input/output error. */
    public static final int EIO = 5;
    /** No such device or address. */
    public static final int ENXIO = 6;
    /** Argument list too long; of a TAP: too many queues. */
    public static final int E2BIG = 7;
    /** Bad file descriptor. */
    public static final int EBADF = 9;
    /** Resource temporarily unavailable. */
    public static final int EAGAIN = 11;
    /** Cannot allocate memory. */
    public static final int ENOMEM = 12;
    /** Permission denied. */
    public static final int EACCES = 13;
    /** Bad address. */
    public static final int EFAULT = 14;
    /** Device or resource busy. */
    public static final int EBUSY = 16;
    /** File exists. */
    public static final int EEXIST = 17;
    /** No such device. */
    public static final int ENODEV = 19;
    /** Invalid argument. */
    public static final int EINVAL = 22;
    /** Too many open files in system. */
    public static final int ENFILE = 23;
    /** Too many open files. */
    public static final int EMFILE = 24;
    /** Inappropriate ioctl for device. */
    public static final int ENOTTY = 25;
    /** No space left on device. */
    public static final int ENOSPC = 28;
    /** Broken pipe. */
    public static final int EPIPE = 32;
    /** File descriptor in bad state. */
    public static final int EBADFD = 77;
    /** Destination address required: a socket that is not connected. */
    public static final int EDESTADDRREQ = 89;
    /** Message too long. */
    public static final int EMSGSIZE = 90;
    /** Protocol option not available. */
    public static final int ENOPROTOOPT = 92;
    /** Operation not supported. */
    public static final int EOPNOTSUPP = 95;
    /** Address already in use. */
    public static final int EADDRINUSE = 98;
    /** Network is down. */
    public static final int ENETDOWN = 100;
    /** Connection reset by peer. */
    public static final int ECONNRESET = 104;
    /** No buffer space available. */
    public static final int ENOBUFS = 105;
    /** Transport endpoint is not connected. */
    public static final int ENOTCONN = 107;
    /** Connection refused. */
    public static final int ECONNREFUSED = 111;
    /** Too many references: descriptors in flight. */
    public static final int ETOOMANYREFS = 109;

    private static final Map<Integer, String> NAMES = Map.ofEntries(
            e(EPERM, "EPERM (not permitted)"), e(ENOENT, "ENOENT (no such file)"), e(ESRCH, "ESRCH (no such process)"),
            e(EINTR, "EINTR (interrupted)"), e(EIO, "EIO (input/output error)"), e(ENXIO, "ENXIO (no such device or address)"),
            e(E2BIG, "E2BIG (too many or too long)"),
            e(EBADF, "EBADF (bad descriptor)"), e(EAGAIN, "EAGAIN (try again)"), e(ENOMEM, "ENOMEM (out of memory)"),
            e(EACCES, "EACCES (permission denied)"), e(EFAULT, "EFAULT (bad address)"), e(EBUSY, "EBUSY (device busy)"),
            e(EEXIST, "EEXIST (exists)"), e(ENODEV, "ENODEV (no such device)"), e(EINVAL, "EINVAL (invalid argument)"),
            e(ENFILE, "ENFILE (too many open files in the system)"), e(EMFILE, "EMFILE (too many open files)"),
            e(ENOTTY, "ENOTTY (not for this device)"), e(ENOSPC, "ENOSPC (no space)"), e(EPIPE, "EPIPE (broken pipe)"),
            e(EBADFD, "EBADFD (descriptor in bad state)"), e(EMSGSIZE, "EMSGSIZE (message too long)"),
            e(EDESTADDRREQ, "EDESTADDRREQ (not connected)"), e(ENOPROTOOPT, "ENOPROTOOPT (no such socket option)"),
            e(ENOTCONN, "ENOTCONN (not connected)"),
            e(EOPNOTSUPP, "EOPNOTSUPP (not supported)"), e(EADDRINUSE, "EADDRINUSE (address in use)"),
            e(ENETDOWN, "ENETDOWN (network is down)"), e(ECONNRESET, "ECONNRESET (connection reset)"),
            e(ENOBUFS, "ENOBUFS (no buffer space)"), e(ECONNREFUSED, "ECONNREFUSED (connection refused)"),
            e(ETOOMANYREFS, "ETOOMANYREFS (too many descriptors in flight)"));

    private Errno() {
    }

    private static Map.Entry<Integer, String> e(int number, String text) {
        return Map.entry(number, text);
    }

    /**
     * An error number for people.
     *
     * @param errno the number, positive
     * @return name and meaning
     */
    public static String text(int errno) {
        return NAMES.getOrDefault(errno, "errno " + errno);
    }
}
