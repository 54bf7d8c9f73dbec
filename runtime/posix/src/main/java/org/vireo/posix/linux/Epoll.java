// SPDX-License-Identifier: Apache-2.0
package org.vireo.posix.linux;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.Posix;
import org.vireo.posix.PosixException;
import org.vireo.posix.internal.Native;
import org.vireo.posix.internal.OwnedFd;

/**
 * An epoll instance (epoll(7)). {@link #await} and the results belong to one thread; the registrations may be changed by any.
 *
 * <p>A descriptor has to be removed before it is closed: epoll goes on firing for a closed number while another process holds the
 * same open file. {@link Fd#close()} refuses to close a registered one.
 */
public final class Epoll implements AutoCloseable {
    /** Readable. */
    public static final int IN = 1;
    /** Writable. */
    public static final int OUT = 4;
    /** Error; always reported. */
    public static final int ERR = 8;
    /** Hung up; always reported. */
    public static final int HUP = 0x10;
    /** The peer shut its writing half. */
    public static final int RDHUP = 0x2000;
    /** Report changes, not states. */
    public static final int EDGE = 1 << 31;
    /** Report once, then wait to be modified. */
    public static final int ONESHOT = 1 << 30;

    private static final int ADD = 1;
    private static final int DELETE = 2;
    private static final int MODIFY = 3;
    private static final boolean PACKED = System.getProperty("os.arch").equals("amd64");
    private static final int SIZE = PACKED ? 12 : 16;
    private static final int DATA = PACKED ? 4 : 8;
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED;

    private static final MethodHandle CREATE = Native.intFunction("epoll_create1", 1, -1);
    private static final MethodHandle CONTROL = Native.intFunction("epoll_ctl", 4, -1);
    private static final MethodHandle WAIT = Native.intFunction("epoll_wait", 4, -1);
    private static final ThreadLocal<MemorySegment> EVENT = ThreadLocal.withInitial(() -> java.lang.foreign.Arena.ofAuto().allocate(16, 8));

    private final Fd fd;
    private final int number;
    private final MemorySegment events;
    private final int capacity;

    /**
     * Makes an instance.
     *
     * @param fds makes its descriptor
     * @param capacity most events a wait
     * @throws IOException no descriptor left
     */
    public Epoll(Fds fds, int capacity) throws IOException {
        MemorySegment s = Native.state();
        int n;
        try {
            n = (int) CREATE.invokeExact(s, (long) Posix.O_CLOEXEC);
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
        if (n < 0) {
            throw new PosixException("epoll_create1", Native.errno(s));
        }
        fd = fds.adopt(n, "epoll");
        number = n;
        this.capacity = capacity;
        events = java.lang.foreign.Arena.ofAuto().allocate((long) SIZE * capacity, 8);
    }

    /**
     * Registers a descriptor.
     *
     * @param what the descriptor, not registered here yet
     * @param interest IN, OUT, EDGE, ...
     * @param data comes back with its events
     * @throws IOException it cannot be polled ({@code EPERM}), or the kernel's limit is reached
     */
    public void add(Fd what, int interest, long data) throws IOException {
        Posix.check(control(ADD, what.number(), interest, data), "epoll add " + what);
        if (what instanceof OwnedFd o) {
            o.registered(1);
        }
    }

    /**
     * Changes what a registered descriptor is polled for.
     *
     * @param what the descriptor
     * @param interest IN, OUT, EDGE, ...
     * @param data comes back with its events
     * @throws IOException it is not registered
     */
    public void modify(Fd what, int interest, long data) throws IOException {
        Posix.check(control(MODIFY, what.number(), interest, data), "epoll modify " + what);
    }

    /**
     * Takes a descriptor out.
     *
     * @param what a registered descriptor
     * @throws IOException it was not registered
     */
    public void remove(Fd what) throws IOException {
        Posix.check(control(DELETE, what.number(), 0, 0), "epoll remove " + what);
        if (what instanceof OwnedFd o) {
            o.registered(-1);
        }
    }

    private int control(int operation, int target, int interest, long data) {
        MemorySegment e = EVENT.get();
        e.set(ValueLayout.JAVA_INT, 0, interest);
        e.set(LONG, DATA, data);
        MemorySegment s = Native.state();
        try {
            int n = (int) CONTROL.invokeExact(s, (long) number, (long) operation, (long) target, e.address());
            return n >= 0 ? n : -Native.errno(s);
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /**
     * Waits for events. Allocates nothing.
     *
     * @param timeoutMillis at most; 0: look only; -1: without end
     * @return how many events there are; 0 also if interrupted by a signal
     */
    public int await(int timeoutMillis) {
        MemorySegment s = Native.state();
        try {
            int n = (int) WAIT.invokeExact(s, (long) number, events.address(), (long) capacity, (long) timeoutMillis);
            return Math.max(n, 0);
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /**
     * What an event is.
     *
     * @param i 0 to the number that {@link #await} returned
     * @return IN, OUT, ERR, HUP, ...
     */
    public int events(int i) {
        return events.get(ValueLayout.JAVA_INT_UNALIGNED, (long) i * SIZE);
    }

    /**
     * What was registered with an event's descriptor.
     *
     * @param i 0 to the number that {@link #await} returned
     * @return the data
     */
    public long data(int i) {
        return events.get(LONG, (long) i * SIZE + DATA);
    }

    @Override
    public void close() {
        fd.close();
    }
}
