// SPDX-License-Identifier: Apache-2.0
package org.vireo.control.qmp;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.SocketChannel;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Deque;
import java.util.concurrent.Executor;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.control.json.Json;

/**
 * A client's connection. The server's thread reads and writes, an executor does the commands one after another; the two meet in
 * bounded queues. A client that does not read its answers is read no further; one that does not even take its events is cut off.
 */
final class QmpConnection implements MessageFramer.Sink {
    /** Most bytes of a message. */
    static final int MAX_MESSAGE = 256 * 1024;
    /** So much waits to be done, or to be read by the client, before it is read no further. */
    static final int ENOUGH = 256 * 1024;
    /** So much waits to be read by the client before it is cut off. */
    static final int TOO_MUCH = 4 * 1024 * 1024;

    private static final Logger LOG = LoggerFactory.getLogger(QmpConnection.class);
    /** What a message costs beside its bytes. */
    private static final int OVERHEAD = 64;

    private final SocketChannel channel;
    private final SelectionKey key;
    private final QmpSession session;
    private final Executor executor;
    private final Runnable wakeUp;
    private final MessageFramer framer = new MessageFramer(MAX_MESSAGE);
    private long lastReadNanos;

    // guarded by this
    private final Deque<Object> requests = new ArrayDeque<>();
    private final Deque<ByteBuffer> output = new ArrayDeque<>();
    private long requestBytes;
    private long outputBytes;
    private boolean running;
    private boolean ended;
    private boolean closed;

    QmpConnection(SocketChannel channel, SelectionKey key, QmpSession session, Executor executor, Runnable wakeUp) {
        this.channel = channel;
        this.key = key;
        this.session = session;
        this.executor = executor;
        this.wakeUp = wakeUp;
    }

    QmpSession session() {
        return session;
    }

    /** Reads once. Server's thread. */
    void read(ByteBuffer buffer) {
        buffer.clear();
        lastReadNanos = System.nanoTime();
        int n;
        try {
            n = channel.read(buffer);
        } catch (IOException e) {
            LOG.debug("QMP client: {}", e.getMessage());
            close();
            return;
        }
        if (n < 0) {
            end();
            return;
        }
        framer.feed(buffer.flip(), this);
    }

    /** The client sends no more, but may still wait for answers. */
    private synchronized void end() {
        ended = true;
        if (!running && requests.isEmpty() && output.isEmpty()) {
            close();
        }
    }

    boolean interrupted() {
        return framer.interrupted();
    }

    /** Gives up a message that was interrupted so long ago. Server's thread. */
    void expire(long nanos) {
        if (framer.interrupted() && System.nanoTime() - lastReadNanos >= nanos) {
            framer.expire(this);
        }
    }

    @Override
    public void message(byte[] bytes, int length) {
        request(Arrays.copyOf(bytes, length), length);
    }

    @Override
    public void refused(String why) {
        request(why, 0);
    }

    private synchronized void request(Object request, int bytes) {
        if (closed) {
            return;
        }
        requests.add(request);
        requestBytes += bytes + OVERHEAD;
        if (!running) {
            running = true;
            executor.execute(this::work);
        }
    }

    /** Does what was asked, in order. A thread of the executor. */
    private void work() {
        while (true) {
            Object request;
            synchronized (this) {
                request = closed ? null : requests.poll();
                if (request == null) {
                    running = false;
                    break;
                }
                requestBytes -= OVERHEAD + (request instanceof byte[] b ? b.length : 0);
            }
            send(Json.line(request instanceof byte[] b ? session.answer(b) : QmpSession.refusal((String) request)));
        }
        wakeUp.run();
    }

    /** Queues a line. Any thread. */
    void send(byte[] line) {
        synchronized (this) {
            if (closed) {
                return;
            }
            output.add(ByteBuffer.wrap(line));
            outputBytes += line.length;
            if (outputBytes > TOO_MUCH) {
                LOG.warn("QMP client cut off: it does not read, {} bytes wait for it", outputBytes);
                close();
            }
        }
        wakeUp.run();
    }

    /** Writes what the client takes, and says what to wait for next. Server's thread. */
    void update() {
        synchronized (this) {
            if (closed) {
                return;
            }
            try {
                for (ByteBuffer b = output.peek(); b != null; b = output.peek()) {
                    outputBytes -= channel.write(b);
                    if (b.hasRemaining()) {
                        break;
                    }
                    output.remove();
                }
            } catch (IOException e) {
                LOG.debug("QMP client: {}", e.getMessage());
                close();
                return;
            }
            if (ended && output.isEmpty() && !running) {
                close();
                return;
            }
            boolean read = !ended && outputBytes < ENOUGH && requestBytes < ENOUGH;
            key.interestOps((read ? SelectionKey.OP_READ : 0) | (output.isEmpty() ? 0 : SelectionKey.OP_WRITE));
        }
    }

    synchronized boolean idle() {
        return closed || output.isEmpty() && !running;
    }

    synchronized boolean closed() {
        return closed;
    }

    synchronized void close() {
        closed = true;
        requests.clear();
        output.clear();
        try {
            channel.close();
        } catch (IOException e) {
            LOG.debug("closing a QMP client: {}", e.getMessage());
        }
    }
}
