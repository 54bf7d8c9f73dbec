// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.tap;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Predicate;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.posix.Errno;
import org.vireo.posix.Posix;
import org.vireo.posix.PosixException;

/**
 * Watches the links of interfaces of this process's name space (rtnetlink(7)): one socket and one thread for all ports of the bundle,
 * from the first watch to the last. The thread sleeps in read(2) until the kernel has news; whoever begins a watch asks the kernel on
 * the same socket, so that the answer and the news come to the thread in the kernel's order. Any thread.
 *
 * <p>A message of the kernel (struct nlmsghdr, and struct ifinfomsg where it is about an interface):
 * <pre>
 *  0        4      6       8      12     16      17     18     20      24      28
 * +--------+------+-------+------+------+--------+------+------+-------+-------+----
 * | length | type | flags | seq  | port | family |      | type | index | flags | ...
 * +--------+------+-------+------+------+--------+------+------+-------+-------+----
 * </pre>
 * An error has the negative errno at 16 instead.
 */
final class LinkMonitor {
    private static final Logger LOG = LoggerFactory.getLogger(LinkMonitor.class);

    private static final int NETLINK_ROUTE = 0;
    private static final int RTMGRP_LINK = 1;
    private static final int SOCKADDR_NL_BYTES = 12;
    private static final int GROUPS = 8;

    private static final int NLMSG_ERROR = 2;
    private static final int RTM_NEWLINK = 16;
    private static final int RTM_DELLINK = 17;
    private static final int RTM_GETLINK = 18;
    private static final short NLM_F_REQUEST = 1;

    private static final int HEADER_BYTES = 16;
    private static final int INFO_BYTES = 16;
    private static final int TYPE = 4;
    private static final int FLAGS = 6;
    private static final int SEQ = 8;
    private static final int ERROR = 16;
    private static final int FAMILY = 16;
    private static final int INDEX = 20;
    private static final int LINK_FLAGS = 24;
    private static final int IFF_UP = 1;
    private static final int IFF_LOWER_UP = 0x10000;

    /** The kernel's own limit of what it puts into one datagram. */
    private static final int BUFFER_BYTES = 32 * 1024;
    /** No interface: an answer is all that a request for it is for. */
    private static final int NO_INDEX = 0;

    private static final Object LOCK = new Object();
    private static LinkMonitor current;

    private final int socket;
    private final List<Watch> watches = new ArrayList<>();
    private int requests;
    private boolean ending;

    /** Told by the monitor's thread; must not block. */
    interface Listener {
        /** The link is up, or not. Called for changes only. */
        void link(boolean up);

        /** There is no such interface here any more: it was deleted, or moved to another name space. The watch has ended. */
        void gone();
    }

    /**
     * Begins with the kernel's answer to its own request: what comes before that is older than what is known already. Ends with
     * {@link #close}; then its listener is told no more, but for a call that is under way.
     */
    static final class Watch {
        private final LinkMonitor monitor;
        private final int index;
        private final int request;
        private final Listener listener;
        private boolean begun;
        private boolean up;

        private Watch(LinkMonitor monitor, int index, boolean up, Listener listener) {
            this.monitor = monitor;
            this.index = index;
            request = ++monitor.requests;
            this.up = up;
            this.listener = listener;
        }

        void close() {
            synchronized (LOCK) {
                monitor.remove(this);
            }
        }
    }

    private LinkMonitor() throws PosixException {
        // not through a port's Fds: it outlives the port
        socket = Posix.check(Posix.socket(Posix.AF_NETLINK, Posix.SOCK_DGRAM, NETLINK_ROUTE), "socket for news of links");
        try (Arena a = Arena.ofConfined()) {
            MemorySegment address = a.allocate(SOCKADDR_NL_BYTES, 4);
            address.set(ValueLayout.JAVA_SHORT, 0, (short) Posix.AF_NETLINK);
            address.set(ValueLayout.JAVA_INT, GROUPS, RTMGRP_LINK);
            int result = Posix.bind(socket, address);
            if (result < 0) {
                Posix.close(socket);
                throw new PosixException("ask for news of links", -result);
            }
        }
    }

    /**
     * Begins a watch.
     *
     * @param index of an interface of this process's name space
     * @param up what is known of its link; another state is told, soon
     * @param listener takes the news
     * @throws PosixException there can be no watch
     */
    static Watch watch(int index, boolean up, Listener listener) throws PosixException {
        synchronized (LOCK) {
            if (current == null) {
                current = start();
            }
            Watch w = new Watch(current, index, up, listener);
            current.watches.add(w);
            try {
                Posix.check((int) current.ask(index, w.request), "ask for the link of interface " + index);
            } catch (PosixException e) {
                w.close();
                throw e;
            }
            return w;
        }
    }

    private static LinkMonitor start() throws PosixException {
        LinkMonitor m = new LinkMonitor();
        boolean runs = false;
        try {
            Thread.ofPlatform().daemon().name("vireo-tap-links").start(m::run);
            runs = true;
        } finally {
            if (!runs) {
                Posix.close(m.socket);
            }
        }
        return m;
    }

    /** With the lock. The last one ends the thread. */
    private void remove(Watch w) {
        if (watches.remove(w) && watches.isEmpty() && !ending) {
            ending = true;
            if (current == this) {
                current = null;
            }
            // whatever the kernel answers wakes the thread; if its answer finds no room, there is something to read already
            ask(NO_INDEX, 0);
        }
    }

    /** With the lock. RTM_GETLINK; the answer comes to the thread. */
    private long ask(int index, int request) {
        try (Arena a = Arena.ofConfined()) {
            MemorySegment m = a.allocate(HEADER_BYTES + INFO_BYTES, 8);
            m.set(ValueLayout.JAVA_INT, 0, HEADER_BYTES + INFO_BYTES);
            m.set(ValueLayout.JAVA_SHORT, TYPE, (short) RTM_GETLINK);
            m.set(ValueLayout.JAVA_SHORT, FLAGS, NLM_F_REQUEST);
            m.set(ValueLayout.JAVA_INT, SEQ, request);
            m.set(ValueLayout.JAVA_INT, INDEX, index);
            return Posix.write(socket, m.address(), m.byteSize());
        }
    }

    private void run() {
        try (Arena a = Arena.ofConfined()) {
            MemorySegment m = a.allocate(BUFFER_BYTES, 8);
            while (true) {
                long n = Posix.read(socket, m.address(), BUFFER_BYTES);
                synchronized (LOCK) {
                    if (ending) {
                        return;
                    }
                    if (n == -Errno.ENOBUFS) {
                        // news were lost
                        askAgain();
                        continue;
                    }
                }
                if (n >= 0) {
                    handle(m.asSlice(0, n));
                } else if (n != -Errno.EINTR) {
                    LOG.error("links are not watched any more: {}", Errno.text((int) -n));
                    return;
                }
            }
        } finally {
            end();
        }
    }

    private void end() {
        synchronized (LOCK) {
            ending = true;
            watches.clear();
            if (current == this) {
                current = null;
            }
            Posix.close(socket);
        }
    }

    private void askAgain() {
        watches.forEach(w -> ask(w.index, w.request));
    }

    private void handle(MemorySegment datagram) {
        for (long at = 0; at + HEADER_BYTES <= datagram.byteSize();) {
            long length = Integer.toUnsignedLong(datagram.get(ValueLayout.JAVA_INT, at));
            if (length < HEADER_BYTES) {
                return;
            }
            // what does not fit into the buffer is cut off behind the part that counts
            message(datagram.asSlice(at, Math.min(length, datagram.byteSize() - at)));
            at += length + 3 & ~3L;
        }
    }

    private void message(MemorySegment m) {
        int type = Short.toUnsignedInt(m.get(ValueLayout.JAVA_SHORT, TYPE));
        int request = m.get(ValueLayout.JAVA_INT, SEQ);
        if (type == NLMSG_ERROR && m.byteSize() >= ERROR + Integer.BYTES) {
            if (m.get(ValueLayout.JAVA_INT, ERROR) == -Errno.ENODEV) {
                gone(w -> w.request == request);
            }
            return;
        }
        if (m.byteSize() < HEADER_BYTES + INFO_BYTES || m.get(ValueLayout.JAVA_BYTE, FAMILY) != 0) {
            // of another family: a bridge, for instance, says so that the interface has left it
            return;
        }
        int index = m.get(ValueLayout.JAVA_INT, INDEX);
        if (type == RTM_NEWLINK) {
            int flags = m.get(ValueLayout.JAVA_INT, LINK_FLAGS);
            link(index, request, (flags & (IFF_UP | IFF_LOWER_UP)) == (IFF_UP | IFF_LOWER_UP));
        } else if (type == RTM_DELLINK) {
            gone(w -> w.index == index);
        }
    }

    private void link(int index, int request, boolean up) {
        List<Watch> changed = new ArrayList<>();
        synchronized (LOCK) {
            for (Watch w : watches) {
                w.begun |= w.request == request;
                if (w.begun && w.index == index && w.up != up) {
                    w.up = up;
                    changed.add(w);
                }
            }
        }
        changed.forEach(w -> tell(() -> w.listener.link(up)));
    }

    private void gone(Predicate<Watch> whose) {
        List<Watch> ended;
        synchronized (LOCK) {
            ended = watches.stream().filter(whose).toList();
        }
        for (Watch w : ended) {
            tell(w.listener::gone);
            w.close();
        }
    }

    /** One port's trouble is not the others'. */
    private static void tell(Runnable news) {
        try {
            news.run();
        } catch (RuntimeException e) {
            LOG.error("news of a link were not taken", e);
        }
    }
}
