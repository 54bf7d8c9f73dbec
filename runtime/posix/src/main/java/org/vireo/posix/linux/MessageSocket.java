// SPDX-License-Identifier: Apache-2.0
package org.vireo.posix.linux;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.util.ArrayList;
import java.util.List;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.PosixException;
import org.vireo.posix.internal.Native;

/**
 * Sends and receives bytes with descriptors on a UNIX stream socket (sendmsg(2), recvmsg(2), SCM_RIGHTS). One thread at a time.
 * It does not own the socket.
 */
public final class MessageSocket {
    /** Most descriptors in one message (the kernel's SCM_MAX_FD). */
    public static final int MAX_DESCRIPTORS = 253;
    /** recvmsg(2): look only; each look returns the descriptors anew. */
    public static final int PEEK = 2;
    /** Does not block. */
    public static final int DONT_WAIT = 0x40;
    /** Waits until all bytes are there. */
    public static final int WAIT_ALL = 0x100;

    private static final int NO_SIGNAL = 0x4000;
    private static final int CMSG_CLOEXEC = 0x40000000;
    private static final int CONTROL_TRUNCATED = 8;
    private static final int CONTROL_BYTES = 16 + 4 * 256;
    private static final MethodHandle RECVMSG = Native.longFunction("recvmsg", 3);
    private static final MethodHandle SENDMSG = Native.longFunction("sendmsg", 3);

    private final Fd socket;
    private final Fds fds;
    private final String purpose;
    private final MemorySegment header;
    private final MemorySegment iovec;
    private final MemorySegment control;
    private final List<Fd> received = new ArrayList<>();
    private boolean truncated;

    /**
     * For a socket.
     *
     * @param socket a UNIX stream socket
     * @param fds makes the descriptors that arrive
     * @param purpose what they are, for messages
     */
    public MessageSocket(Fd socket, Fds fds, String purpose) {
        this.socket = socket;
        this.fds = fds;
        this.purpose = purpose;
        Arena a = Arena.ofAuto();
        header = a.allocate(56, 8);
        iovec = a.allocate(16, 8);
        control = a.allocate(CONTROL_BYTES, 8);
        header.set(ValueLayout.JAVA_LONG, 16, iovec.address());
        header.set(ValueLayout.JAVA_LONG, 24, 1L);
    }

    /**
     * Receives. Descriptors that come with the bytes are in {@link #descriptors()} until the next call; whoever wants one takes it out.
     *
     * @param to native memory
     * @param at offset
     * @param bytes at most
     * @param flags PEEK, DONT_WAIT, WAIT_ALL
     * @return bytes, 0 at the end of the stream, or the negative errno
     */
    public long receive(MemorySegment to, long at, long bytes, int flags) {
        return receive(to, at, bytes, flags, CONTROL_BYTES);
    }

    /**
     * Looks at bytes and leaves their descriptors alone. A look that ends where a message ends would otherwise bring the descriptors
     * of the next one: the kernel goes on to it before it finds that no room is left.
     *
     * @param to native memory
     * @param at offset
     * @param bytes at most
     * @param flags DONT_WAIT, WAIT_ALL
     * @return bytes, 0 at the end of the stream, or the negative errno
     */
    public long look(MemorySegment to, long at, long bytes, int flags) {
        return receive(to, at, bytes, flags | PEEK, 0);
    }

    private long receive(MemorySegment to, long at, long bytes, int flags, long controlBytes) {
        closeDescriptors();
        prepare(to.asSlice(at, bytes), controlBytes);
        MemorySegment s = Native.state();
        long n;
        try {
            n = (long) RECVMSG.invokeExact(s, (long) socket.number(), header.address(), (long) (flags | CMSG_CLOEXEC));
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
        if (n < 0) {
            truncated = false;
            return -Native.errno(s);
        }
        collect();
        truncated = (header.get(ValueLayout.JAVA_INT, 48) & CONTROL_TRUNCATED) != 0;
        return n;
    }

    private void collect() {
        long end = header.get(ValueLayout.JAVA_LONG, 40);
        for (long at = 0; at + 16 <= end;) {
            long length = control.get(ValueLayout.JAVA_LONG, at);
            if (length < 16 || at + length > end) {
                return;
            }
            boolean rights = control.get(ValueLayout.JAVA_INT, at + 8) == 1 && control.get(ValueLayout.JAVA_INT, at + 12) == 1;
            for (long f = at + 16; rights && f + 4 <= at + length; f += 4) {
                received.add(fds.adopt(control.get(ValueLayout.JAVA_INT, f), purpose));
            }
            at += length + 7 & ~7L;
        }
    }

    /**
     * The descriptors that came with the last {@link #receive}.
     *
     * @return the list itself: a caller removes what it keeps, the rest is closed at the next call
     */
    public List<Fd> descriptors() {
        return received;
    }

    /**
     * Whether descriptors of the last message were lost, for want of room or of free numbers.
     *
     * @return whether
     */
    public boolean truncated() {
        return truncated;
    }

    /** Closes the descriptors that nobody took. */
    public void closeDescriptors() {
        received.forEach(Fd::close);
        received.clear();
    }

    /**
     * Sends bytes, with descriptors on the first of them. A descriptor is sent whole or not at all.
     *
     * @param from native memory
     * @param at offset
     * @param bytes how many, at least 1
     * @param descriptors at most {@link #MAX_DESCRIPTORS}
     * @param flags DONT_WAIT
     * @return bytes sent, or the negative errno
     */
    public long send(MemorySegment from, long at, long bytes, List<Fd> descriptors, int flags) {
        int n = descriptors.size();
        if (n > MAX_DESCRIPTORS) {
            throw new IllegalArgumentException(n + " descriptors in one message, more than " + MAX_DESCRIPTORS);
        }
        prepare(from.asSlice(at, bytes), n == 0 ? 0 : 16 + 4L * n + 7 & ~7L);
        if (n > 0) {
            control.set(ValueLayout.JAVA_LONG, 0, 16 + 4L * n);
            control.set(ValueLayout.JAVA_INT, 8, 1);
            control.set(ValueLayout.JAVA_INT, 12, 1);
            for (int i = 0; i < n; i++) {
                control.set(ValueLayout.JAVA_INT, 16 + 4L * i, descriptors.get(i).number());
            }
        }
        MemorySegment s = Native.state();
        try {
            long sent = (long) SENDMSG.invokeExact(s, (long) socket.number(), header.address(), (long) (flags | NO_SIGNAL));
            return sent >= 0 ? sent : -Native.errno(s);
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /**
     * Sends all bytes, waiting if need be.
     *
     * @param from native memory
     * @param bytes how many, at least 1
     * @param descriptors go with the first byte
     * @throws IOException the peer is gone
     */
    public void sendAll(MemorySegment from, long bytes, List<Fd> descriptors) throws IOException {
        long at = 0;
        while (at < bytes) {
            long n = send(from, at, bytes - at, at == 0 ? descriptors : List.of(), 0);
            if (n < 0 && n != -org.vireo.posix.Errno.EINTR) {
                throw new PosixException("send to " + socket, (int) -n);
            }
            at += Math.max(n, 0);
        }
    }

    private void prepare(MemorySegment bytes, long controlBytes) {
        iovec.set(ValueLayout.JAVA_LONG, 0, bytes.address());
        iovec.set(ValueLayout.JAVA_LONG, 8, bytes.byteSize());
        header.set(ValueLayout.JAVA_LONG, 32, controlBytes == 0 ? 0 : control.address());
        header.set(ValueLayout.JAVA_LONG, 40, controlBytes);
        header.set(ValueLayout.JAVA_INT, 48, 0);
    }
}
