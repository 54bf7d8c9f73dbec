// SPDX-License-Identifier: Apache-2.0
package org.vireo.posix;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import org.vireo.posix.internal.Native;

/**
 * System calls. Those that return a number return the negative errno on failure, and allocate nothing; any thread.
 */
public final class Posix {
    /** open(2): read only. */
    public static final int O_RDONLY = 0;
    /** open(2): read and write. */
    public static final int O_RDWR = 2;
    /** open(2): no blocking. */
    public static final int O_NONBLOCK = 04000;
    /** open(2): close on exec. */
    public static final int O_CLOEXEC = 02000000;

    /** socket(2): within this machine (unix(7)). */
    public static final int AF_UNIX = 1;
    /** socket(2): Internet, version 4. */
    public static final int AF_INET = 2;
    /** socket(2): news of the kernel (netlink(7)). */
    public static final int AF_NETLINK = 16;
    /** socket(2): frames of an interface (packet(7)). */
    public static final int AF_PACKET = 17;
    /** socket(2): datagrams. */
    public static final int SOCK_DGRAM = 2;
    /** socket(2): with the headers of below. */
    public static final int SOCK_RAW = 3;
    /** socket(2): no blocking. */
    public static final int SOCK_NONBLOCK = 04000;
    /** socket(2): close on exec. */
    public static final int SOCK_CLOEXEC = 02000000;

    private static final int F_GETFD = 1;
    private static final int F_GETFL = 3;
    private static final int F_SETFL = 4;
    private static final int F_DUPFD_CLOEXEC = 1030;

    private Posix() {
    }

    /** Transfers; the data path. */
    private static final class Io {
        static final MethodHandle READV = Native.longFunction("readv", 3);
        static final MethodHandle WRITEV = Native.longFunction("writev", 3);
        static final MethodHandle READ = Native.longFunction("read", 3);
        static final MethodHandle WRITE = Native.longFunction("write", 3);
    }

    /** Descriptors. */
    private static final class Descriptors {
        static final MethodHandle OPEN = Native.intFunction("open", 3, 2);
        static final MethodHandle CLOSE = Native.intFunction("close", 1, -1);
        static final MethodHandle FCNTL = Native.intFunction("fcntl", 3, 2);
        static final MethodHandle IOCTL = Native.intFunction("ioctl", 3, 2);
        static final MethodHandle SOCKET = Native.intFunction("socket", 3, -1);
    }

    /** Addresses; loaded by those who bind only. */
    private static final class Addresses {
        static final MethodHandle BIND = Native.intFunction("bind", 3, -1);
    }

    /** The rest of sockets; loaded by those who use one of these. */
    private static final class Sockets {
        static final MethodHandle CONNECT = Native.intFunction("connect", 3, -1);
        static final MethodHandle RECVMSG = Native.longFunction("recvmsg", 3);
        static final MethodHandle GETSOCKOPT = Native.intFunction("getsockopt", 5, -1);
        static final MethodHandle SETSOCKOPT = Native.intFunction("setsockopt", 5, -1);
    }

    /**
     * readv(2).
     *
     * @param fd descriptor
     * @param iovecs address of a struct iovec array
     * @param count its entries
     * @return bytes read, 0 at the end, or the negative errno
     */
    public static long readv(int fd, long iovecs, int count) {
        MemorySegment s = Native.state();
        try {
            long n = (long) Io.READV.invokeExact(s, (long) fd, iovecs, (long) count);
            return n >= 0 ? n : -Native.errno(s);
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /**
     * writev(2).
     *
     * @param fd descriptor
     * @param iovecs address of a struct iovec array
     * @param count its entries
     * @return bytes written, or the negative errno
     */
    public static long writev(int fd, long iovecs, int count) {
        MemorySegment s = Native.state();
        try {
            long n = (long) Io.WRITEV.invokeExact(s, (long) fd, iovecs, (long) count);
            return n >= 0 ? n : -Native.errno(s);
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /**
     * read(2).
     *
     * @param fd descriptor
     * @param address where to
     * @param bytes at most
     * @return bytes read, 0 at the end, or the negative errno
     */
    public static long read(int fd, long address, long bytes) {
        MemorySegment s = Native.state();
        try {
            long n = (long) Io.READ.invokeExact(s, (long) fd, address, bytes);
            return n >= 0 ? n : -Native.errno(s);
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /**
     * write(2).
     *
     * @param fd descriptor
     * @param address where from
     * @param bytes how many
     * @return bytes written, or the negative errno
     */
    public static long write(int fd, long address, long bytes) {
        MemorySegment s = Native.state();
        try {
            long n = (long) Io.WRITE.invokeExact(s, (long) fd, address, bytes);
            return n >= 0 ? n : -Native.errno(s);
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /**
     * open(2).
     *
     * @param path the file
     * @param flags O_...; O_CLOEXEC is added
     * @return a descriptor, to be adopted at once, or the negative errno
     */
    public static int open(String path, int flags) {
        try (Arena a = Arena.ofConfined()) {
            MemorySegment s = Native.state();
            int n = (int) Descriptors.OPEN.invokeExact(s, a.allocateFrom(path).address(), (long) (flags | O_CLOEXEC), 0L);
            return n >= 0 ? n : -Native.errno(s);
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /**
     * ioctl(2) with a number or an address.
     *
     * @param fd descriptor
     * @param request the request
     * @param argument its argument
     * @return the result, or the negative errno
     */
    public static int ioctl(int fd, long request, long argument) {
        MemorySegment s = Native.state();
        try {
            int n = (int) Descriptors.IOCTL.invokeExact(s, (long) fd, request, argument);
            return n >= 0 ? n : -Native.errno(s);
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /**
     * ioctl(2) with a structure.
     *
     * @param fd descriptor
     * @param request the request
     * @param argument native memory
     * @return the result, or the negative errno
     */
    public static int ioctl(int fd, long request, MemorySegment argument) {
        return ioctl(fd, request, argument.address());
    }

    /**
     * socket(2); for interface requests (netdevice(7)) above all.
     *
     * @param domain AF_...
     * @param type SOCK_...; SOCK_CLOEXEC is added
     * @param protocol 0, or the protocol
     * @return a descriptor, to be adopted at once, or the negative errno
     */
    public static int socket(int domain, int type, int protocol) {
        MemorySegment s = Native.state();
        try {
            int n = (int) Descriptors.SOCKET.invokeExact(s, (long) domain, (long) (type | SOCK_CLOEXEC), (long) protocol);
            return n >= 0 ? n : -Native.errno(s);
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /**
     * bind(2).
     *
     * @param fd a socket
     * @param address native memory that is exactly the address, a struct sockaddr_
     * @return 0 or the negative errno
     */
    public static int bind(int fd, MemorySegment address) {
        MemorySegment s = Native.state();
        try {
            int n = (int) Addresses.BIND.invokeExact(s, (long) fd, address.address(), address.byteSize());
            return n >= 0 ? n : -Native.errno(s);
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /**
     * connect(2).
     *
     * @param fd a socket
     * @param address native memory that is exactly the address, a struct sockaddr_
     * @return 0 or the negative errno
     */
    public static int connect(int fd, MemorySegment address) {
        MemorySegment s = Native.state();
        try {
            int n = (int) Sockets.CONNECT.invokeExact(s, (long) fd, address.address(), address.byteSize());
            return n >= 0 ? n : -Native.errno(s);
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /**
     * recvmsg(2).
     *
     * @param fd a socket
     * @param message address of a struct msghdr
     * @param flags MSG_...
     * @return bytes received, 0 at the end, or the negative errno
     */
    public static long recvmsg(int fd, long message, int flags) {
        MemorySegment s = Native.state();
        try {
            long n = (long) Sockets.RECVMSG.invokeExact(s, (long) fd, message, (long) flags);
            return n >= 0 ? n : -Native.errno(s);
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /**
     * setsockopt(2) with a structure.
     *
     * @param fd a socket
     * @param level SOL_...
     * @param option its number at that level
     * @param value native memory that is exactly the value
     * @return 0 or the negative errno
     */
    public static int setSocketOption(int fd, int level, int option, MemorySegment value) {
        MemorySegment s = Native.state();
        try {
            int n = (int) Sockets.SETSOCKOPT.invokeExact(s, (long) fd, (long) level, (long) option, value.address(), value.byteSize());
            return n >= 0 ? n : -Native.errno(s);
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /**
     * setsockopt(2) with a number.
     *
     * @param fd a socket
     * @param level SOL_...
     * @param option its number at that level
     * @param value an int
     * @return 0 or the negative errno
     */
    public static int setSocketOption(int fd, int level, int option, int value) {
        try (Arena a = Arena.ofConfined()) {
            return setSocketOption(fd, level, option, a.allocateFrom(ValueLayout.JAVA_INT, value));
        }
    }

    /**
     * getsockopt(2).
     *
     * @param fd a socket
     * @param level SOL_...
     * @param option its number at that level
     * @param value native memory for the value
     * @return bytes of the value, or the negative errno
     */
    public static int getSocketOption(int fd, int level, int option, MemorySegment value) {
        MemorySegment s = Native.state();
        try (Arena a = Arena.ofConfined()) {
            MemorySegment length = a.allocateFrom(ValueLayout.JAVA_INT, Math.toIntExact(value.byteSize()));
            int n = (int) Sockets.GETSOCKOPT.invokeExact(s, (long) fd, (long) level, (long) option, value.address(), length.address());
            return n >= 0 ? length.get(ValueLayout.JAVA_INT, 0) : -Native.errno(s);
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /**
     * Whether a number is an open descriptor.
     *
     * @param fd the number
     * @return whether
     */
    public static boolean isOpen(int fd) {
        return fcntl(fd, F_GETFD, 0) >= 0;
    }

    /**
     * Duplicates a descriptor, close-on-exec.
     *
     * @param fd descriptor
     * @return the new one, to be adopted at once, or the negative errno
     */
    public static int duplicate(int fd) {
        return fcntl(fd, F_DUPFD_CLOEXEC, 0);
    }

    /**
     * Sets O_NONBLOCK, which belongs to the open file description, so to all its duplicates.
     *
     * @param fd descriptor
     * @return 0 or the negative errno
     */
    public static int setNonBlocking(int fd) {
        int flags = fcntl(fd, F_GETFL, 0);
        return flags < 0 ? flags : (flags & O_NONBLOCK) != 0 ? 0 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    }

    /**
     * The status flags of fcntl(2), F_GETFL.
     *
     * @param fd descriptor
     * @return flags or the negative errno
     */
    public static int statusFlags(int fd) {
        return fcntl(fd, F_GETFL, 0);
    }

    private static int fcntl(int fd, int command, long argument) {
        MemorySegment s = Native.state();
        try {
            int n = (int) Descriptors.FCNTL.invokeExact(s, (long) fd, (long) command, argument);
            return n >= 0 ? n : -Native.errno(s);
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /**
     * close(2). For numbers that no {@link org.vireo.net.api.Fd} owns.
     *
     * @param fd descriptor
     * @return 0 or the negative errno
     */
    public static int close(int fd) {
        MemorySegment s = Native.state();
        try {
            int n = (int) Descriptors.CLOSE.invokeExact(s, (long) fd);
            return n >= 0 ? n : -Native.errno(s);
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /**
     * Throws if a result is a negative errno.
     *
     * @param result of a call
     * @param what the call and what it was about, for the message
     * @return the result
     * @throws PosixException it is negative
     */
    public static int check(int result, String what) throws PosixException {
        if (result < 0) {
            throw new PosixException(what, -result);
        }
        return result;
    }
}
