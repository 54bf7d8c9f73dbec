// SPDX-License-Identifier: Apache-2.0
package org.vireo.posix.linux;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.net.Inet4Address;
import java.net.InetSocketAddress;
import java.nio.ByteOrder;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.PosixException;
import org.vireo.posix.internal.Native;

/** UDP sockets over IPv4, for many small datagrams a call (udp(7), sendmmsg(2), recvmmsg(2)). */
public final class Udp {
    private static final int AF_INET = 2;
    private static final int DATAGRAM_CLOEXEC_NONBLOCK = 2 | 02000000 | 04000;
    private static final int SOL_SOCKET = 1;
    private static final int SO_SNDBUFFORCE = 32;
    private static final int SO_RCVBUFFORCE = 33;
    private static final int SO_SNDBUF = 7;
    private static final int SO_RCVBUF = 8;
    private static final int ADDRESS_BYTES = 16;
    private static final ValueLayout.OfShort NET_SHORT = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);

    private static final MethodHandle SOCKET = Native.intFunction("socket", 3, -1);
    private static final MethodHandle BIND = Native.intFunction("bind", 3, -1);
    private static final MethodHandle CONNECT = Native.intFunction("connect", 3, -1);
    private static final MethodHandle SETSOCKOPT = Native.intFunction("setsockopt", 5, -1);
    private static final MethodHandle SENDMMSG = Native.intFunction("sendmmsg", 4, -1);
    private static final MethodHandle RECVMMSG = Native.intFunction("recvmmsg", 5, -1);

    private Udp() {
    }

    /**
     * Makes a socket that does not block.
     *
     * @param fds makes the descriptor
     * @param local where to bind, or null for any
     * @param peer whom to connect to, or null
     * @param bufferBytes of the kernel's buffers; as much as is permitted
     * @return the socket
     * @throws IOException the address is taken, unreachable or not IPv4
     */
    public static Fd open(Fds fds, InetSocketAddress local, InetSocketAddress peer, int bufferBytes) throws IOException {
        String what = "UDP socket " + (local == null ? "" : local) + (peer == null ? "" : " to " + peer);
        MemorySegment s = Native.state();
        try (Arena a = Arena.ofConfined()) {
            int n = (int) SOCKET.invokeExact(s, (long) AF_INET, (long) DATAGRAM_CLOEXEC_NONBLOCK, 0L);
            if (n < 0) {
                throw new PosixException(what, Native.errno(s));
            }
            Fd fd = fds.adopt(n, what);
            try {
                buffer(n, SO_RCVBUFFORCE, SO_RCVBUF, bufferBytes, a);
                buffer(n, SO_SNDBUFFORCE, SO_SNDBUF, bufferBytes, a);
                if (local != null && (int) BIND.invokeExact(s, (long) n, address(local, a).address(), (long) ADDRESS_BYTES) < 0) {
                    throw new PosixException("bind " + what, Native.errno(s));
                }
                if (peer != null && (int) CONNECT.invokeExact(s, (long) n, address(peer, a).address(), (long) ADDRESS_BYTES) < 0) {
                    throw new PosixException("connect " + what, Native.errno(s));
                }
                return fd;
            } catch (Throwable t) {
                fd.close();
                throw t;
            }
        } catch (IOException e) {
            throw e;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    private static void buffer(int socket, int force, int option, int bytes, Arena a) throws Throwable {
        MemorySegment s = Native.state();
        long value = a.allocateFrom(ValueLayout.JAVA_INT, bytes).address();
        if ((int) SETSOCKOPT.invokeExact(s, (long) socket, (long) SOL_SOCKET, (long) force, value, 4L) < 0) {
            // without CAP_NET_ADMIN: as much as net.core.[rw]mem_max permits
            int ignored = (int) SETSOCKOPT.invokeExact(s, (long) socket, (long) SOL_SOCKET, (long) option, value, 4L);
        }
    }

    private static MemorySegment address(InetSocketAddress a, Arena arena) throws IOException {
        if (!(a.getAddress() instanceof Inet4Address four)) {
            throw new IOException(a + " is not an IPv4 address");
        }
        MemorySegment m = arena.allocate(ADDRESS_BYTES, 8);
        m.set(ValueLayout.JAVA_SHORT, 0, (short) AF_INET);
        m.set(NET_SHORT, 2, (short) a.getPort());
        MemorySegment.copy(MemorySegment.ofArray(four.getAddress()), 0, m, 4, 4);
        return m;
    }

    /** Many datagrams for one call. One thread; allocates nothing when used. */
    public static final class Batch {
        private static final int MESSAGE_BYTES = 64;
        private static final int LENGTH = 56;

        private final int capacity;
        private final int bytesEach;
        private final MemorySegment messages;
        private final MemorySegment iovecs;
        private final MemorySegment addresses;
        private final MemorySegment data;

        /**
         * A batch.
         *
         * @param capacity most datagrams a call
         * @param bytesEach largest datagram
         */
        public Batch(int capacity, int bytesEach) {
            this.capacity = capacity;
            this.bytesEach = bytesEach;
            Arena a = Arena.ofAuto();
            messages = a.allocate((long) MESSAGE_BYTES * capacity, 8);
            iovecs = a.allocate(16L * capacity, 8);
            addresses = a.allocate((long) ADDRESS_BYTES * capacity, 8);
            data = a.allocate((long) bytesEach * capacity, 64);
            for (int i = 0; i < capacity; i++) {
                iovecs.set(ValueLayout.JAVA_LONG, 16L * i, data.address() + (long) bytesEach * i);
                messages.set(ValueLayout.JAVA_LONG, (long) MESSAGE_BYTES * i + 16, iovecs.address() + 16L * i);
                messages.set(ValueLayout.JAVA_LONG, (long) MESSAGE_BYTES * i + 24, 1);
            }
        }

        /**
         * Most datagrams a call.
         *
         * @return as constructed
         */
        public int capacity() {
            return capacity;
        }

        /**
         * The bytes of all datagrams; datagram i begins at i times the largest size.
         *
         * @return native memory
         */
        public MemorySegment data() {
            return data;
        }

        /**
         * Length of a received datagram.
         *
         * @param i which
         * @return bytes, cut off at the largest size
         */
        public int length(int i) {
            return messages.get(ValueLayout.JAVA_INT, (long) MESSAGE_BYTES * i + LENGTH);
        }

        /**
         * Sends the first datagrams to the connected peer.
         *
         * @param socket number
         * @param count how many
         * @param bytes length of each
         * @return how many were sent, or the negative errno
         */
        public int send(int socket, int count, int bytes) {
            prepare(count, bytes, 0);
            return send(socket, count);
        }

        /**
         * Sends datagram 0 back to whom it came from.
         *
         * @param socket number
         * @param bytes its length
         * @return 1, or the negative errno
         */
        public int answer(int socket, int bytes) {
            prepare(1, bytes, addresses.address());
            return send(socket, 1);
        }

        private int send(int socket, int count) {
            MemorySegment s = Native.state();
            try {
                int n = (int) SENDMMSG.invokeExact(s, (long) socket, messages.address(), (long) count, 0L);
                return n >= 0 ? n : -Native.errno(s);
            } catch (Throwable t) {
                throw Native.unexpected(t);
            }
        }

        /**
         * Receives what is there.
         *
         * @param socket number
         * @return how many datagrams, or the negative errno
         */
        public int receive(int socket) {
            prepare(capacity, bytesEach, addresses.address());
            MemorySegment s = Native.state();
            try {
                int n = (int) RECVMMSG.invokeExact(s, (long) socket, messages.address(), (long) capacity, 0L, 0L);
                return n >= 0 ? n : -Native.errno(s);
            } catch (Throwable t) {
                throw Native.unexpected(t);
            }
        }

        private void prepare(int count, int bytes, long names) {
            for (int i = 0; i < count; i++) {
                long m = (long) MESSAGE_BYTES * i;
                iovecs.set(ValueLayout.JAVA_LONG, 16L * i + 8, bytes);
                messages.set(ValueLayout.JAVA_LONG, m, names == 0 ? 0 : names + (long) ADDRESS_BYTES * i);
                messages.set(ValueLayout.JAVA_INT, m + 8, names == 0 ? 0 : ADDRESS_BYTES);
            }
        }
    }
}
