// SPDX-License-Identifier: Apache-2.0
package org.vireo.control.qmp;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.ClosedSelectorException;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.time.Clock;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.control.json.Json;

/**
 * QMP on a UNIX socket (QEMU, docs/interop/qmp-spec) for many clients at once. One thread does all reading and writing and never
 * blocks; a client's commands are done one after another on a thread of their own, so that neither a slow client nor a slow command
 * keeps the others. Without work it does not wake up.
 */
public final class QmpServer implements AutoCloseable {
    /** Most clients at a time. */
    public static final int MAX_CLIENTS = 32;

    private static final Logger LOG = LoggerFactory.getLogger(QmpServer.class);
    private static final long INTERRUPTED_MILLIS = 250;
    private static final long FLUSH_NANOS = 500_000_000;

    private final QmpSocket socket;
    private final Selector selector;
    private final Map<String, Command> commands;
    private final byte[] greeting;
    private final Clock clock;
    private final Set<QmpConnection> connections = ConcurrentHashMap.newKeySet();
    private final ThreadPoolExecutor executor;
    private final AtomicReference<Thread> thread = new AtomicReference<>();
    private volatile boolean stopping;

    private QmpServer(QmpSocket socket, Selector selector, Map<String, Command> commands, Map<String, ?> version, Clock clock) {
        this.socket = socket;
        this.selector = selector;
        this.commands = Map.copyOf(commands);
        this.greeting = Json.line(QmpSession.greeting(version));
        this.clock = clock;
        AtomicInteger number = new AtomicInteger();
        this.executor = new ThreadPoolExecutor(0, MAX_CLIENTS, 10, TimeUnit.SECONDS, new SynchronousQueue<>(),
                r -> daemon(r, "vireo-qmp-" + number.incrementAndGet()),
                // a thread that has just finished may not wait for work yet; never more of them than clients
                (r, e) -> daemon(r, "vireo-qmp-extra").start());
    }

    private static Thread daemon(Runnable r, String name) {
        Thread t = new Thread(r, name);
        t.setDaemon(true);
        return t;
    }

    /**
     * Claims the socket. Clients may connect, and are served from {@link #start} on.
     *
     * @param path where
     * @param commands what can be asked for, by name
     * @param version what the greeting tells
     * @param clock gives events their time
     * @return the server
     * @throws IOException the path is taken or cannot be used
     */
    public static QmpServer listen(Path path, Map<String, Command> commands, Map<String, ?> version, Clock clock) throws IOException {
        QmpSocket socket = QmpSocket.listen(path);
        try {
            Selector selector = Selector.open();
            socket.channel().register(selector, SelectionKey.OP_ACCEPT);
            return new QmpServer(socket, selector, commands, version, clock);
        } catch (IOException e) {
            socket.close();
            throw e;
        }
    }

    /** Begins to serve. Once. */
    public void start() {
        Thread t = daemon(this::run, "vireo-qmp");
        if (!thread.compareAndSet(null, t)) {
            throw new IllegalStateException("started twice");
        }
        t.start();
    }

    /**
     * Moves the socket to another path of the same file system, in place of another process's: clients find this server there from now
     * on, and the other's clients stay with the other. Any thread.
     *
     * @param to where
     * @throws IOException it cannot be moved there
     */
    public void move(Path to) throws IOException {
        socket.move(to);
    }

    /**
     * Tells all clients that are in command mode what happened. Any thread, does not block.
     *
     * @param name the event's name
     * @param data plain values
     */
    public void event(String name, Map<String, ?> data) {
        byte[] line = null;
        for (QmpConnection c : connections) {
            if (c.session().negotiated()) {
                line = line == null ? eventLine(name, data) : line;
                c.send(line);
            }
        }
    }

    private byte[] eventLine(String name, Map<String, ?> data) {
        Instant now = clock.instant();
        Map<String, Object> time = new LinkedHashMap<>();
        time.put("seconds", now.getEpochSecond());
        time.put("microseconds", now.getNano() / 1000L);
        Map<String, Object> event = new LinkedHashMap<>();
        event.put("timestamp", time);
        event.put("event", name);
        if (!data.isEmpty()) {
            event.put("data", data);
        }
        return Json.line(event);
    }

    private void run() {
        ByteBuffer buffer = ByteBuffer.allocate(16 * 1024);
        try {
            while (!stopping) {
                selector.select(connections.stream().anyMatch(QmpConnection::interrupted) ? INTERRUPTED_MILLIS : 0);
                Set<SelectionKey> ready = selector.selectedKeys();
                for (SelectionKey k : ready) {
                    serve(k, buffer);
                }
                ready.clear();
                for (QmpConnection c : connections) {
                    c.expire(TimeUnit.MILLISECONDS.toNanos(INTERRUPTED_MILLIS));
                    c.update();
                }
                connections.removeIf(QmpConnection::closed);
            }
        } catch (IOException | ClosedSelectorException e) {
            if (!stopping) {
                LOG.error("QMP server on {} ends", socket.path(), e);
            }
        }
    }

    private void serve(SelectionKey k, ByteBuffer buffer) {
        if (!k.isValid()) {
            return;
        }
        if (k.isAcceptable()) {
            accept();
        } else if (k.isReadable()) {
            ((QmpConnection) k.attachment()).read(buffer);
        }
    }

    private void accept() {
        SocketChannel channel = null;
        try {
            channel = socket.channel().accept();
            if (channel == null) {
                return;
            }
            if (connections.size() >= MAX_CLIENTS) {
                LOG.warn("QMP client refused: there are {} already", MAX_CLIENTS);
                channel.close();
                return;
            }
            channel.configureBlocking(false);
            SelectionKey key = channel.register(selector, SelectionKey.OP_READ);
            QmpConnection c = new QmpConnection(channel, key, new QmpSession(commands), executor, selector::wakeup);
            key.attach(c);
            connections.add(c);
            c.send(greeting);
        } catch (IOException e) {
            // no descriptor left: the next accept would fail at once again, and the listener would stay ready
            LOG.warn("QMP client not accepted: {}", e.getMessage());
            close(channel);
            LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(50));
        }
    }

    private static void close(SocketChannel channel) {
        if (channel != null) {
            try {
                channel.close();
            } catch (IOException e) {
                LOG.debug("closing a QMP client: {}", e.getMessage());
            }
        }
    }

    /** Stops serving; clients get what is queued for them if they take it at once. */
    @Override
    public void close() {
        long until = System.nanoTime() + FLUSH_NANOS;
        Thread t = thread.get();
        while (t != null && t.isAlive() && System.nanoTime() < until && !connections.stream().allMatch(QmpConnection::idle)) {
            LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(2));
        }
        stopping = true;
        selector.wakeup();
        try {
            if (t != null && t != Thread.currentThread()) {
                t.join(1000);
            }
            for (AutoCloseable c : List.<AutoCloseable>of(selector, socket)) {
                c.close();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (Exception e) {
            LOG.warn("closing the QMP socket {}: {}", socket.path(), e.getMessage());
        }
        connections.forEach(QmpConnection::close);
        executor.shutdownNow();
    }
}
