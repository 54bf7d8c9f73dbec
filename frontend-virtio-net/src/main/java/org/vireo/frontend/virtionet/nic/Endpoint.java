// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.io.IOException;
import java.nio.file.Files;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.frontend.virtionet.session.Poller;
import org.vireo.net.api.Fd;
import org.vireo.posix.linux.UnixSockets;

/**
 * Where a NIC's VMM comes from: a socket that listens, or connections that are tried again and again. Used by the NIC's actor.
 */
final class Endpoint {
    private static final Logger LOG = LoggerFactory.getLogger(Endpoint.class);
    private static final long QUIET_NANOS = TimeUnit.SECONDS.toNanos(10);
    private static final long REFUSED_MILLIS = 20;

    private final NicOptions options;
    private final Environment env;
    private final Runnable readable;
    private final Consumer<Fd> connected;
    private Fd listener;
    private Poller.Watch watch;
    private boolean owned;
    private volatile boolean connecting;
    private volatile boolean closed;
    private long lastComplaint;
    private volatile long lastConnection;

    /**
     * An endpoint that is not open.
     *
     * @param readable called when a VMM connects; must only post. The NIC then calls {@link #accept}
     * @param connected given a connection that this side made; must only post
     */
    Endpoint(NicOptions options, Environment env, Runnable readable, Consumer<Fd> connected) {
        this.options = options;
        this.env = env;
        this.readable = readable;
        this.connected = connected;
    }

    /** Binds the socket, so that a VMM can connect; it is not accepted before {@link #start}. */
    void bind() throws IOException {
        if (options.listen()) {
            listener = UnixSockets.listen(env.fds(), options.socket(), options.socketMode(), "NIC " + options.id() + " listener");
            owned = true;
        }
    }

    /** Takes over a predecessor's listener; the duty for its path comes with {@link #own}. */
    void adopt(Fd fd) {
        listener = fd;
    }

    void own() {
        owned = true;
    }

    Fd listener() {
        return listener;
    }

    /** Begins to accept, or to connect. */
    void start(boolean hasVmm) throws IOException {
        if (listener != null && watch == null) {
            watch = env.poller().watch(listener, readable);
        }
        if (!options.listen() && !hasVmm) {
            connect();
        }
    }

    /** Stops accepting: this process no longer polls the listener. */
    void deafen() {
        connecting = false;
        if (watch != null) {
            watch.end();
            watch = null;
        }
    }

    /** A connection, or null. The listener is armed again. */
    Fd accept() throws IOException {
        if (watch == null) {
            return null;
        }
        try {
            return UnixSockets.accept(listener, env.fds(), true, "NIC " + options.id() + " VMM connection");
        } catch (IOException e) {
            // out of descriptors, perhaps: the connection waits; try again a little later instead of spinning
            env.timer().schedule(readable, 100, TimeUnit.MILLISECONDS);
            throw e;
        }
    }

    /** Armed again a moment later: a VMM that tries again without pause, and is refused each time, costs little. */
    void rearmLater() {
        env.timer().schedule(readable, REFUSED_MILLIS, TimeUnit.MILLISECONDS);
    }

    void rearm() {
        if (watch != null) {
            watch.arm();
        }
    }

    private void connect() {
        if (!connecting && !closed) {
            connecting = true;
            long pause = TimeUnit.MILLISECONDS.toNanos(options.reconnectMillis());
            if (lastConnection != 0 && System.nanoTime() - lastConnection < pause) {
                // a VMM that hangs up at once is not called back at once
                env.timer().schedule(() -> env.executor().execute(this::tryConnect), options.reconnectMillis(), TimeUnit.MILLISECONDS);
            } else {
                env.executor().execute(this::tryConnect);
            }
        }
    }

    private void tryConnect() {
        if (closed || !connecting) {
            return;
        }
        try {
            Fd fd = UnixSockets.connect(env.fds(), options.socket(), "NIC " + options.id() + " VMM connection");
            lastConnection = System.nanoTime();
            connecting = false;
            connected.accept(fd);
        } catch (IOException e) {
            long now = System.nanoTime();
            if (lastComplaint == 0 || now - lastComplaint > QUIET_NANOS) {
                lastComplaint = now;
                LOG.info("NIC {}: {}; trying again every {} ms", options.id(), e.getMessage(), options.reconnectMillis());
            }
            env.timer().schedule(() -> env.executor().execute(this::tryConnect), options.reconnectMillis(), TimeUnit.MILLISECONDS);
        }
    }

    /** Closes this process's copy; removes the socket's path if that is this process's duty. */
    void close(boolean leave) {
        closed = true;
        deafen();
        if (listener != null) {
            if (owned && !leave) {
                try {
                    Files.deleteIfExists(options.socket());
                } catch (IOException e) {
                    LOG.warn("NIC {}: cannot remove {}: {}", options.id(), options.socket(), e.getMessage());
                }
            }
            listener.close();
            listener = null;
        }
    }
}
