// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.mutants;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.locks.LockSupport;
import org.vireo.net.api.Fd;
import org.vireo.net.api.FramePort;
import org.vireo.net.api.FrameQueue;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.OpenContext;
import org.vireo.net.api.PortProfile;
import org.vireo.net.api.PortSettings;
import org.vireo.net.api.StatisticsSink;
import org.vireo.net.api.ThreadedPort;
import org.vireo.posix.Posix;

/** The open socket. */
final class MutantPort implements FramePort, ThreadedPort {
    static final Set<Integer> HEADERS = Set.of(0, 12);
    private static final int MTU = 1500;
    private static final int MOST = 2048;

    private final Fault fault;
    private final OpenContext context;
    private final Fd socket;
    private final MutantQueue queue;
    private final Thread restless;
    private volatile boolean quiet;
    private volatile boolean closed;
    private int header;
    private int applied;

    MutantPort(Fault fault, OpenContext context, Fd socket, int header) {
        this.fault = fault;
        this.context = context;
        this.socket = socket;
        this.header = header;
        queue = new MutantQueue(fault, socket, header);
        restless = fault == Fault.NEVER_QUIET ? Thread.ofPlatform().daemon().start(this::neverQuiet) : null;
    }

    private void neverQuiet() {
        while (!closed) {
            if (quiet) {
                empty();
            }
            LockSupport.parkNanos(1_000_000);
        }
    }

    /** Throws away what waits. */
    void empty() {
        try (Arena a = Arena.ofConfined()) {
            MemorySegment m = a.allocate(MOST);
            long n;
            do {
                n = Posix.read(socket.number(), m.address(), MOST);
            } while (n > 0);
        } catch (IllegalStateException e) {
            // closed meanwhile
            return;
        }
    }

    /** Sends a text, as if it were a frame. */
    void tell(String text) {
        tell(socket.number(), text);
    }

    static void tell(int fd, String text) {
        try (Arena a = Arena.ofConfined()) {
            Posix.write(fd, a.allocateFrom(text).address(), text.length());
        }
    }

    MutantQueue queue() {
        return queue;
    }

    Fd socket() {
        return socket;
    }

    int header() {
        return header;
    }

    boolean isClosed() {
        return closed;
    }

    @Override
    public PortProfile profile() {
        return PortProfile.builder().headerLengths(0, 12).mtu(fault == Fault.PROFILE_CHANGES ? MTU - applied : MTU).build();
    }

    @Override
    public void apply(PortSettings s) throws NetdevException {
        boolean known = HEADERS.contains(s.headerLength()) && !(fault == Fault.REFUSES_A_HEADER && s.headerLength() == 0);
        if (fault == Fault.APPLIES_HALF || known) {
            header = s.headerLength();
            queue.header(header);
        }
        if (!known) {
            throw new NetdevException(fault == Fault.NO_MESSAGE ? null : "header length " + s.headerLength() + ": use one of " + HEADERS);
        }
        applied++;
    }

    @Override
    public FrameQueue queue(int pair) {
        return fault == Fault.OTHER_DESCRIPTOR ? new OtherDescriptor(queue) : queue;
    }

    @Override
    public void quiesce() {
        quiet = true;
        queue.quiet(fault == Fault.STAYS_QUIET);
    }

    @Override
    public void resume() {
        quiet = false;
    }

    @Override
    public void statistics(StatisticsSink to) {
        to.counter("frames-sent", fault == Fault.COUNTS_DOWN ? Integer.MAX_VALUE - queue.sent() : queue.sent());
    }

    @Override
    public void close(Disposal how) {
        if (closed) {
            if (fault == Fault.CLOSES_TWICE) {
                Posix.close(queue.number());
            }
            return;
        }
        closed = true;
        if (fault == Fault.LEAVE_SENDS && how == Disposal.LEAVE) {
            tell("left");
        }
        if (fault == Fault.CLOSE_LEAKS_A_DESCRIPTOR) {
            Posix.duplicate(socket.number());
        }
        if (fault == Fault.CLOSE_LEAKS_A_THREAD) {
            CountDownLatch never = new CountDownLatch(1);
            Thread.ofPlatform().daemon().name("forgotten").start(() -> await(never));
        }
        socket.close();
        if (restless != null) {
            join(restless);
        }
        if (fault == Fault.LATE_NEWS) {
            context.listener().failed(new IOException("late"));
            context.listener().link(false);
        }
    }

    private static void await(CountDownLatch latch) {
        try {
            latch.await();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private static void join(Thread t) {
        try {
            t.join();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
