// SPDX-License-Identifier: Apache-2.0
package org.vireo.posix.linux;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Locale;
import jnr.unixsocket.UnixServerSocketChannel;
import jnr.unixsocket.UnixSocketAddress;
import jnr.unixsocket.UnixSocketChannel;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.Errno;
import org.vireo.posix.Posix;
import org.vireo.posix.PosixException;
import org.vireo.posix.internal.Native;

/** UNIX stream sockets (unix(7)). jnr-unixsocket makes and connects them; then the number belongs to one {@link Fd}. */
public final class UnixSockets {
    private static final int SOL_SOCKET = 1;
    private static final int SO_PEERCRED = 17;
    private static final int SO_SNDBUF = 7;
    private static final int SO_RCVBUF = 8;
    private static final int SO_RCVBUFFORCE = 33;
    private static final int SO_PEEK_OFF = 42;
    private static final int SHUT_WR = 1;
    private static final int SHUT_RDWR = 2;
    private static final int CLOEXEC_NONBLOCK = 02000000 | 04000;
    private static final int CLOEXEC = 02000000;
    private static final int S_IFMT = 0170000;

    private static final MethodHandle ACCEPT = Native.intFunction("accept4", 4, -1);
    private static final MethodHandle SHUTDOWN = Native.intFunction("shutdown", 2, -1);
    private static final MethodHandle GETSOCKOPT = Native.intFunction("getsockopt", 5, -1);
    private static final MethodHandle SETSOCKOPT = Native.intFunction("setsockopt", 5, -1);
    private static final MethodHandle SOCKETPAIR = Native.intFunction("socketpair", 4, -1);
    private static final MethodHandle FCHMOD = Native.intFunction("fchmod", 2, -1);

    private UnixSockets() {
    }

    /**
     * Who is at the other end.
     *
     * @param pid its process when it connected or listened
     * @param uid its user
     * @param gid its group
     */
    public record Peer(int pid, int uid, int gid) { }

    /** Somebody listens there, and accepts none of those who wait already (EAGAIN of connect(2)). */
    public static final class QueueFullException extends IOException {
        private static final long serialVersionUID = 1L;

        private QueueFullException(Path path) {
            super("cannot connect to " + path + ": the listener's queue is full, it does not accept");
        }
    }

    /**
     * Binds and listens. A dead socket that lies at the path is replaced; anything else there is an error that names it.
     *
     * @param fds makes the descriptor
     * @param path where
     * @param mode permissions of the socket file, e.g. 0600
     * @param purpose what it is
     * @return the listening socket, which does not block
     * @throws IOException the path is taken, too long, or its folder cannot be written
     */
    public static Fd listen(Fds fds, Path path, int mode, String purpose) throws IOException {
        requireShort(path);
        clearStale(path);
        UnixServerSocketChannel channel = UnixServerSocketChannel.open();
        boolean taken = false;
        try {
            int number = channel.getFD();
            MemorySegment s = Native.state();
            try {
                // Before bind, so that the file never has more permissions than asked; the umask may take some away, hence again below.
                int ignored = (int) FCHMOD.invokeExact(s, (long) number, (long) (mode & 0777));
            } catch (Throwable t) {
                throw Native.unexpected(t);
            }
            try {
                channel.socket().bind(new UnixSocketAddress(path.toFile()), 128);
            } catch (IOException e) {
                throw new IOException("cannot listen on " + path + ": " + reason(path, e), e);
            }
            Files.setPosixFilePermissions(path, PosixFilePermissions.fromString(permissions(mode)));
            Posix.check(Posix.setNonBlocking(number), "O_NONBLOCK on " + purpose);
            Fd fd = take(number, fds, purpose);
            taken = true;
            return fd;
        } finally {
            if (!taken) {
                channel.close();
            }
        }
    }

    /**
     * Takes a channel's socket over. The channel must not be closed afterwards: it would shut the socket down for its duplicates
     * too. It has nothing else to give back.
     */
    private static Fd take(int number, Fds fds, String purpose) throws IOException {
        // A duplicate, because jnr makes sockets that an exec inherits.
        Fd fd = fds.adopt(Posix.check(Posix.duplicate(number), "duplicate " + purpose), purpose);
        Posix.close(number);
        return fd;
    }

    private static String reason(Path path, IOException e) {
        Path folder = path.toAbsolutePath().getParent();
        if (!Files.isDirectory(folder)) {
            return "there is no folder " + folder;
        }
        return Files.isWritable(folder) ? e.getMessage() : "no permission to write in " + folder;
    }

    private static void requireShort(Path path) throws IOException {
        if (path.toString().getBytes(StandardCharsets.UTF_8).length > 107) {
            throw new IOException("socket path " + path + " is longer than the 107 bytes that UNIX sockets allow");
        }
    }

    private static String permissions(int mode) {
        StringBuilder b = new StringBuilder();
        for (int bit = 8; bit >= 0; bit--) {
            b.append((mode >> bit & 1) == 0 ? '-' : "xwr".charAt(bit % 3));
        }
        return b.toString();
    }

    /** What lies at a path that is no socket; null: a socket. */
    private static String noSocket(Path path, LinkOption... links) throws IOException {
        return switch ((int) Files.getAttribute(path, "unix:mode", links) & S_IFMT) {
            case 0140000 -> null;
            case 0040000 -> "a folder";
            case 0120000 -> "a symbolic link";
            case 0100000 -> "a file";
            default -> "a device or a pipe";
        };
    }

    private static void clearStale(Path path) throws IOException {
        if (!Files.exists(path, LinkOption.NOFOLLOW_LINKS)) {
            return;
        }
        String what = noSocket(path, LinkOption.NOFOLLOW_LINKS);
        if (what != null) {
            throw new IOException("cannot listen on " + path + ": there is " + what + "; remove it or choose another path");
        }
        requireDead(path);
        Files.deleteIfExists(path);
    }

    private static void requireDead(Path path) throws IOException {
        try (UnixSocketChannel probe = UnixSocketChannel.open()) {
            // A listener whose queue is full makes a blocking connect wait for ever.
            probe.configureBlocking(false);
            probe.connect(new UnixSocketAddress(path.toFile()));
        } catch (IOException e) {
            if (e.getMessage() != null && e.getMessage().toLowerCase(Locale.ROOT).contains("refused")) {
                return;
            }
            throw new IOException("cannot listen on " + path + ": it cannot be told whether the socket there is in use (" + e.getMessage()
                    + ")", e);
        }
        throw new IOException("cannot listen on " + path + ": another process listens there; stop it or choose another path");
    }

    /**
     * Connects, without waiting.
     *
     * @param fds makes the descriptor
     * @param path where to
     * @param purpose what it is
     * @return the connected socket, blocking
     * @throws QueueFullException the listener's queue of connections is full
     * @throws IOException nobody listens there
     */
    public static Fd connect(Fds fds, Path path, String purpose) throws IOException {
        requireShort(path);
        try {
            return connected(fds, path, purpose);
        } catch (QueueFullException e) {
            throw e;
        } catch (IOException e) {
            throw new IOException("cannot connect to " + path + ": " + unconnected(path, e), e);
        }
    }

    /** Where no socket lies the kernel says the same (ECONNREFUSED) as where nobody listens on one. */
    private static String unconnected(Path path, IOException e) {
        try {
            String what = noSocket(path);
            return what == null ? e.getMessage() : "it is " + what + ", not a socket";
        } catch (IOException x) {
            // nothing is there, or it may not be looked at: the kernel's own words
            return e.getMessage();
        }
    }

    private static Fd connected(Fds fds, Path path, String purpose) throws IOException {
        UnixSocketChannel channel = UnixSocketChannel.open();
        boolean taken = false;
        try {
            channel.configureBlocking(false);
            if (!channel.connect(new UnixSocketAddress(path.toFile()))) {
                throw new QueueFullException(path);
            }
            channel.configureBlocking(true);
            Fd fd = take(channel.getFD(), fds, purpose);
            taken = true;
            return fd;
        } finally {
            if (!taken) {
                channel.close();
            }
        }
    }

    /**
     * Accepts a connection (accept4(2)).
     *
     * @param listener a listening socket
     * @param fds makes the descriptor
     * @param blocking whether the connection blocks
     * @param purpose what it is
     * @return the connection, or null if there is none
     * @throws IOException no descriptor left
     */
    public static Fd accept(Fd listener, Fds fds, boolean blocking, String purpose) throws IOException {
        MemorySegment s = Native.state();
        int n;
        try {
            n = (int) ACCEPT.invokeExact(s, (long) listener.number(), 0L, 0L, (long) (blocking ? CLOEXEC : CLOEXEC_NONBLOCK));
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
        if (n >= 0) {
            return fds.adopt(n, purpose);
        }
        int e = Native.errno(s);
        if (e == Errno.EAGAIN || e == Errno.EINTR || e == 103) {
            return null;
        }
        throw new PosixException("accept on " + listener, e);
    }

    /**
     * Makes a pair of connected sockets.
     *
     * @param fds makes the descriptors
     * @param type 1 stream, 2 datagram, 5 packets in sequence
     * @param nonBlocking whether they do not block
     * @param purpose what they are
     * @return two sockets
     * @throws IOException no descriptor left
     */
    public static Fd[] pair(Fds fds, int type, boolean nonBlocking, String purpose) throws IOException {
        MemorySegment s = Native.state();
        try (Arena a = Arena.ofConfined()) {
            MemorySegment two = a.allocate(8, 8);
            int flags = type | (nonBlocking ? CLOEXEC_NONBLOCK : CLOEXEC);
            if ((int) SOCKETPAIR.invokeExact(s, 1L, (long) flags, 0L, two.address()) < 0) {
                throw new PosixException("socketpair for " + purpose, Native.errno(s));
            }
            return new Fd[] {fds.adopt(two.get(ValueLayout.JAVA_INT, 0), purpose), fds.adopt(two.get(ValueLayout.JAVA_INT, 4), purpose)};
        } catch (IOException e) {
            throw e;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /**
     * Shuts both halves, for all processes that hold the socket (shutdown(2)).
     *
     * @param socket a connected socket
     */
    public static void shutdown(Fd socket) {
        shutdown(socket, SHUT_RDWR);
    }

    /**
     * Shuts the half that sends, for all processes that hold the socket (shutdown(2)): the peer reads an end, and when it closes its side,
     * also by ending, an end is read here.
     *
     * @param socket a connected socket
     */
    public static void endOutput(Fd socket) {
        shutdown(socket, SHUT_WR);
    }

    private static void shutdown(Fd socket, int half) {
        MemorySegment s = Native.state();
        try {
            int ignored = (int) SHUTDOWN.invokeExact(s, (long) socket.number(), (long) half);
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /**
     * Who is at the other end (SO_PEERCRED): who called connect or listen.
     *
     * @param socket a connected socket
     * @return the peer
     * @throws IOException it is not a UNIX socket
     */
    public static Peer peer(Fd socket) throws IOException {
        MemorySegment s = Native.state();
        try (Arena a = Arena.ofConfined()) {
            MemorySegment value = a.allocate(12, 8);
            MemorySegment length = a.allocateFrom(ValueLayout.JAVA_INT, 12);
            long fd = socket.number();
            if ((int) GETSOCKOPT.invokeExact(s, fd, (long) SOL_SOCKET, (long) SO_PEERCRED, value.address(), length.address()) < 0) {
                throw new PosixException("SO_PEERCRED of " + socket, Native.errno(s));
            }
            return new Peer(value.get(ValueLayout.JAVA_INT, 0), value.get(ValueLayout.JAVA_INT, 4), value.get(ValueLayout.JAVA_INT, 8));
        } catch (IOException e) {
            throw e;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /**
     * Where the next MSG_PEEK looks (SO_PEEK_OFF, socket(7)). It belongs to the socket, so to all processes that hold it.
     *
     * @param socket a socket
     * @param bytes how far behind the first unread byte; -1: at the first, which is how a socket begins
     * @throws IOException the socket does not know the option
     */
    public static void peekOffset(Fd socket, int bytes) throws IOException {
        MemorySegment s = Native.state();
        try (Arena a = Arena.ofConfined()) {
            long value = a.allocateFrom(ValueLayout.JAVA_INT, bytes).address();
            if ((int) SETSOCKOPT.invokeExact(s, (long) socket.number(), (long) SOL_SOCKET, (long) SO_PEEK_OFF, value, 4L) < 0) {
                throw new PosixException("SO_PEEK_OFF of " + socket, Native.errno(s));
            }
        } catch (IOException e) {
            throw e;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /**
     * Sets the size of the sending buffer.
     *
     * @param socket a socket
     * @param bytes the size
     */
    public static void sendBuffer(Fd socket, int bytes) {
        setOption(socket, SO_SNDBUF, bytes);
    }

    /**
     * Sets the size of the receiving buffer: with CAP_NET_ADMIN whatever it is, otherwise as far as the system allows.
     *
     * @param socket a socket of any family
     * @param bytes the size
     */
    public static void receiveBuffer(Fd socket, int bytes) {
        setOption(socket, SO_RCVBUF, bytes);
        setOption(socket, SO_RCVBUFFORCE, bytes);
    }

    private static void setOption(Fd socket, int option, int given) {
        MemorySegment s = Native.state();
        try (Arena a = Arena.ofConfined()) {
            long value = a.allocateFrom(ValueLayout.JAVA_INT, given).address();
            int ignored = (int) SETSOCKOPT.invokeExact(s, (long) socket.number(), (long) SOL_SOCKET, (long) option, value, 4L);
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }
}
