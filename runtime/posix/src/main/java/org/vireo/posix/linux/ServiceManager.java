// SPDX-License-Identifier: Apache-2.0
package org.vireo.posix.linux;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.Errno;
import org.vireo.posix.Posix;
import org.vireo.posix.PosixException;
import org.vireo.posix.internal.Native;

/** What a process tells the service manager that started it (sd_notify(3)), and what it got from it (sd_listen_fds(3)). */
public final class ServiceManager implements AutoCloseable {
    private static final int FIRST = 3;
    private static final int AF_UNIX = 1;
    private static final int STREAM = 1;
    private static final int MAX_PATH = 107;
    private static final int SEND_MILLIS = 1_000;
    private static final MethodHandle CONNECT = Native.intFunction("connect", 3, -1);

    private final Fd socket;
    private final MessageSocket sender;
    private boolean waitedInVain;

    /**
     * A descriptor that the service manager kept.
     *
     * @param name as it was stored
     * @param fd the descriptor
     */
    public record Kept(String name, Fd fd) { }

    private ServiceManager(Fd socket, Fds fds) {
        this.socket = socket;
        sender = new MessageSocket(socket, fds, "service manager");
    }

    /**
     * Whether this process has a service manager to talk to.
     *
     * @param environment of the process
     * @return whether NOTIFY_SOCKET is set
     */
    public static boolean isThere(Map<String, String> environment) {
        return !environment.getOrDefault("NOTIFY_SOCKET", "").isEmpty();
    }

    /**
     * Connects to its socket.
     *
     * @param fds makes the descriptor
     * @param environment of the process: NOTIFY_SOCKET is a path, or an abstract address that begins with {@code @}
     * @return the connection
     * @throws IOException it is not there, or its address is not one
     */
    public static ServiceManager connect(Fds fds, Map<String, String> environment) throws IOException {
        String address = environment.getOrDefault("NOTIFY_SOCKET", "");
        byte[] path = address.getBytes(StandardCharsets.UTF_8);
        if (path.length < 2 || path.length > MAX_PATH || path[0] != '/' && path[0] != '@') {
            throw new IOException("NOTIFY_SOCKET=" + address + ": is neither a path nor an abstract address of 2 to " + MAX_PATH
                    + " bytes");
        }
        int n = Posix.socket(AF_UNIX, Posix.SOCK_DGRAM, 0);
        if (n < 0) {
            throw new PosixException("socket for " + address, -n);
        }
        Fd fd = fds.adopt(n, "service manager");
        MemorySegment s = Native.state();
        try (Arena a = Arena.ofConfined()) {
            boolean named = path[0] == '/';
            MemorySegment to = a.allocate(2L + path.length + (named ? 1 : 0), 8);
            to.set(ValueLayout.JAVA_SHORT, 0, (short) AF_UNIX);
            MemorySegment.copy(path, 0, to, ValueLayout.JAVA_BYTE, 2, path.length);
            if (!named) {
                to.set(ValueLayout.JAVA_BYTE, 2, (byte) 0);
            }
            if ((int) CONNECT.invokeExact(s, (long) n, to.address(), to.byteSize()) < 0) {
                throw new PosixException("connect to NOTIFY_SOCKET=" + address, Native.errno(s));
            }
            return new ServiceManager(fd, fds);
        } catch (IOException e) {
            fd.close();
            throw e;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /**
     * Tells it something. When this returns it is in its queue, also if this process ends at once.
     *
     * @param state lines NAME=VALUE
     * @param descriptors go with it; they stay the caller's
     * @throws IOException it does not read for a second, or still does not after that, or has gone
     */
    public synchronized void tell(String state, Fd... descriptors) throws IOException {
        try (Arena a = Arena.ofConfined()) {
            MemorySegment text = a.allocateFrom(state);
            long end = System.nanoTime() + (waitedInVain ? 0 : SEND_MILLIS * 1_000_000L);
            while (true) {
                long n = sender.send(text, 0, text.byteSize() - 1, List.of(descriptors), MessageSocket.DONT_WAIT);
                if (n >= 0) {
                    waitedInVain = false;
                    return;
                }
                if (n != -Errno.EAGAIN && n != -Errno.EINTR || System.nanoTime() - end >= 0) {
                    waitedInVain = true;
                    throw new PosixException("tell the service manager " + state.replace('\n', ' '), (int) -n);
                }
                Poll.writable(SEND_MILLIS, socket.number());
            }
        }
    }

    /**
     * Waits until it has done what it was told before (sd_notify_barrier(3)).
     *
     * @param fds makes descriptors
     * @param millis at most
     * @return whether it has
     * @throws IOException no descriptor left, or it does not read
     */
    public boolean await(Fds fds, int millis) throws IOException {
        Fd[] ends = UnixSockets.pair(fds, STREAM, false, "barrier");
        try (Fd own = ends[0]) {
            try (Fd its = ends[1]) {
                tell("BARRIER=1", its);
            }
            return Poll.readable(millis, own.number()) != 0;
        }
    }

    /**
     * Takes the descriptors that it passed to this very process. To be called once, before anybody else uses their numbers.
     *
     * @param fds makes the descriptors
     * @param environment of the process: LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES
     * @param pid of this process
     * @return in the order of their numbers; none if they are for another process
     * @throws IOException what it says contradicts itself
     */
    public static List<Kept> take(Fds fds, Map<String, String> environment, long pid) throws IOException {
        String count = environment.get("LISTEN_FDS");
        if (count == null || !String.valueOf(pid).equals(environment.get("LISTEN_PID"))) {
            return List.of();
        }
        if (!count.matches("[0-9]{1,6}")) {
            throw new IOException("LISTEN_FDS=" + count + ": is not a number");
        }
        int n = Integer.parseInt(count);
        String[] names = environment.getOrDefault("LISTEN_FDNAMES", "").split(":", -1);
        List<Kept> kept = new ArrayList<>();
        for (int i = 0; i < n; i++) {
            int number = FIRST + i;
            // close-on-exec, which what is passed on is not
            int own = Posix.duplicate(number);
            if (own < 0) {
                kept.forEach(k -> k.fd.close());
                throw new PosixException("LISTEN_FDS=" + count + ": descriptor " + number, -own);
            }
            Posix.close(number);
            kept.add(new Kept(i < names.length ? names[i] : "", fds.adopt(own, "kept by the service manager")));
        }
        return kept;
    }

    @Override
    public void close() {
        socket.close();
    }
}
