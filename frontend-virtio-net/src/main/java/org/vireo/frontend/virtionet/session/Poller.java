// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.session;

import java.io.IOException;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.linux.Epoll;
import org.vireo.posix.linux.EventFd;

/**
 * Waits for the sockets of all NICs on one thread: each watch fires once and is armed again by whoever handled it. Handlers must only
 * post.
 */
public final class Poller implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Poller.class);
    private static final int READABLE = Epoll.IN | Epoll.RDHUP | Epoll.ONESHOT;
    private static final int WRITABLE = Epoll.OUT | Epoll.ONESHOT;
    private static final long STOP = 0;

    private final Epoll epoll;
    private final Fd stop;
    private final Map<Long, Runnable> handlers = new ConcurrentHashMap<>();
    private final AtomicLong keys = new AtomicLong(1);
    private final Thread thread;
    private volatile boolean closed;

    /** A watched socket. */
    public final class Watch {
        private final Fd fd;
        private final int interest;
        private final long key = keys.getAndIncrement();
        private boolean active = true;

        private Watch(Fd fd, int interest) {
            this.fd = fd;
            this.interest = interest;
        }

        /** Waits for the next event. */
        public synchronized void arm() {
            if (active) {
                try {
                    epoll.modify(fd, interest, key);
                } catch (IOException e) {
                    LOG.warn("{}", e.getMessage());
                }
            }
        }

        /** Ends the watch: this process no longer polls the socket. */
        public synchronized void end() {
            if (active) {
                active = false;
                handlers.remove(key);
                try {
                    epoll.remove(fd);
                } catch (IOException e) {
                    LOG.warn("{}", e.getMessage());
                }
            }
        }
    }

    /**
     * Starts it.
     *
     * @param fds makes its descriptors
     * @throws IOException no descriptor left
     */
    public Poller(Fds fds) throws IOException {
        epoll = new Epoll(fds, 64);
        stop = EventFd.create(fds, "poller wake");
        epoll.add(stop, Epoll.IN, STOP);
        thread = new Thread(this::loop, "vireo-sessions");
        thread.setDaemon(true);
        thread.start();
    }

    /**
     * Watches a socket.
     *
     * @param fd the socket
     * @param handler called when it is readable or hung up
     * @return the watch, armed
     * @throws IOException it cannot be polled
     */
    public Watch watch(Fd fd, Runnable handler) throws IOException {
        return watch(fd, READABLE, handler);
    }

    /**
     * Watches what is written to.
     *
     * @param fd a pipe or a socket
     * @param handler called when it is writable or hung up
     * @return the watch, armed
     * @throws IOException it cannot be polled
     */
    public Watch watchOut(Fd fd, Runnable handler) throws IOException {
        return watch(fd, WRITABLE, handler);
    }

    private Watch watch(Fd fd, int interest, Runnable handler) throws IOException {
        Watch w = new Watch(fd, interest);
        handlers.put(w.key, handler);
        try {
            epoll.add(fd, interest, w.key);
        } catch (IOException e) {
            handlers.remove(w.key);
            throw e;
        }
        return w;
    }

    private void loop() {
        while (!closed) {
            int n = epoll.await(-1);
            for (int i = 0; i < n; i++) {
                Runnable h = handlers.get(epoll.data(i));
                if (h != null) {
                    h.run();
                }
            }
        }
    }

    @Override
    public void close() {
        closed = true;
        EventFd.signal(stop.number());
        try {
            thread.join();
            epoll.remove(stop);
        } catch (IOException e) {
            LOG.warn("{}", e.getMessage());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        stop.close();
        epoll.close();
    }
}
