// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.session;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.frontend.virtionet.block.NicBlockMemory;
import org.vireo.frontend.virtionet.block.NicBlockMemory.SessionPhase;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.linux.UnixSockets;
import org.vireo.vhostuser.BackendRequest;
import org.vireo.vhostuser.Look;
import org.vireo.vhostuser.MalformedMessageException;
import org.vireo.vhostuser.Message;
import org.vireo.vhostuser.MessageChannel;
import org.vireo.vhostuser.ProtocolFeatures;
import org.vireo.vhostuser.VringState;

/**
 * A connection to a VMM. Messages are peeked, handled, answered and then consumed, with the session word in the NIC block saying where
 * we are: so there is never half a message in this process, and a successor knows what to do.
 *
 * <p>Used by the NIC's actor only; {@link Owner#readable} comes from the poller's thread.
 */
public final class Session {
    private static final Logger LOG = LoggerFactory.getLogger(Session.class);
    private static final long REPLY_NANOS = TimeUnit.SECONDS.toNanos(5);
    private static final long PARTIAL_LIMIT = TimeUnit.SECONDS.toNanos(2);
    private static final long PARTIAL_RETRY_MILLIS = 20;
    private static final int MOST_AT_ONCE = 64;

    private final String nic;
    private final Fds fds;
    private final Fd socket;
    private final MessageChannel channel;
    private final RequestHandler handler;
    private final NicBlockMemory block;
    private final Owner owner;
    private final ScheduledExecutorService timer;
    private final long vmmPid;
    private MessageChannel backendChannel;
    private Fd backendSocket;
    private Poller.Watch watch;
    private long partialSince;

    /** The NIC of a session. */
    public interface Owner {
        /** The socket is readable or hung up; must only post. */
        void readable();

        /**
         * The state now.
         *
         * @return the state
         */
        DeviceState state();

        /**
         * Brings a state into effect. It is announced to successors first.
         *
         * @param next the state
         * @param backendSocket the front-end's channel for requests after it
         * @throws RefusedException it cannot take effect; the former one stays
         */
        void transition(DeviceState next, Fd backendSocket) throws RefusedException;

        /**
         * Does something when no worker uses what a refused state would have brought.
         *
         * @param what closes it
         */
        void whenQuiet(Runnable what);

        /**
         * Where a stopped ring goes on.
         *
         * @param ring its number
         * @return next available entry, of a packed ring with the wrap counter in bit 15
         */
        int base(int ring);

        /**
         * Announces an address to the network.
         *
         * @param mac six bytes
         * @return why that cannot be done just now; empty: it was sent
         */
        Optional<String> announce(byte[] mac);
    }

    /**
     * What lives as long as a NIC's sessions.
     *
     * @param nic the NIC's id
     * @param fds makes descriptors
     * @param handler handles requests
     * @param block the NIC block
     * @param owner the NIC
     * @param timer for messages that come in parts
     */
    public record Surroundings(String nic, Fds fds, RequestHandler handler, NicBlockMemory block, Owner owner,
            ScheduledExecutorService timer) { }

    /**
     * A session on a connected socket.
     *
     * @param with what it works with
     * @param socket the connection, owned by the session
     * @param backendSocket the front-end's channel for requests, or null
     * @param vmmPid the VMM's process, 0: not known
     */
    public Session(Surroundings with, Fd socket, Fd backendSocket, long vmmPid) {
        nic = with.nic;
        handler = with.handler;
        block = with.block;
        owner = with.owner;
        timer = with.timer;
        this.socket = socket;
        this.vmmPid = vmmPid;
        channel = MessageChannel.of(socket, with.fds, nic + " from its VMM");
        fds = with.fds;
        if (backendSocket != null) {
            useBackendSocket(backendSocket);
        }
    }

    private void useBackendSocket(Fd fd) {
        backendSocket = fd;
        backendChannel = MessageChannel.ofBackendRequests(fd, fds, nic + " requests to its VMM");
    }

    /**
     * The connection.
     *
     * @return owned by the session
     */
    public Fd socket() {
        return socket;
    }

    /**
     * The front-end's channel for requests.
     *
     * @return owned by the session, or null
     */
    public Fd backendSocket() {
        return backendSocket;
    }

    /**
     * The VMM's process.
     *
     * @return its pid, 0: not known
     */
    public long vmmPid() {
        return vmmPid;
    }

    /**
     * Begins to read.
     *
     * @param poller waits for messages
     * @throws IOException it cannot be polled
     */
    public void listen(Poller poller) throws IOException {
        watch = poller.watch(socket, owner::readable);
    }

    /** Stops reading: this process no longer polls the connection. */
    public void deafen() {
        if (watch != null) {
            watch.end();
            watch = null;
        }
    }

    /**
     * Handles what came.
     *
     * @return null: go on; else why the session has ended
     */
    public String handle() {
        if (watch == null) {
            return null;
        }
        try {
            for (int handled = 0; handled < MOST_AT_ONCE; handled++) {
                switch (channel.peek()) {
                    case Look.Nothing n -> {
                        partialSince = 0;
                        watch.arm();
                        return null;
                    }
                    case Look.Partial p -> {
                        return partial(p.bytes());
                    }
                    case Look.End e -> {
                        return e.reason();
                    }
                    case Look.Whole w -> {
                        partialSince = 0;
                        try (Message m = w.message()) {
                            handle(m);
                        }
                    }
                }
            }
            // a VMM that never stops talking must not keep the NIC from everything else
            owner.readable();
            return null;
        } catch (MalformedMessageException | RefusedException | IOException e) {
            block.session(SessionPhase.IDLE, 0);
            return e.getMessage();
        }
    }

    private String partial(int bytes) {
        long now = System.nanoTime();
        if (partialSince == 0) {
            partialSince = now;
        }
        if (now - partialSince > PARTIAL_LIMIT) {
            return "only " + bytes + " bytes of a message came in " + TimeUnit.NANOSECONDS.toSeconds(PARTIAL_LIMIT) + " s";
        }
        timer.schedule(owner::readable, PARTIAL_RETRY_MILLIS, TimeUnit.MILLISECONDS);
        return null;
    }

    private void handle(Message m) throws MalformedMessageException, RefusedException, IOException {
        block.session(SessionPhase.HANDLING, m.id());
        DeviceState before = owner.state();
        boolean acknowledge = m.needsReply() && (before.protocolFeatures() & ProtocolFeatures.REPLY_ACK) != 0;
        MemorySegment reply = null;
        List<Fd> with = List.of();
        try {
            RequestHandler.Outcome o = handler.handle(before, m);
            if (o.next() != before || o.backendChannel() != null) {
                effect(before, o);
            }
            if (o.announce() != null) {
                announce(o.announce(), acknowledge);
            }
            // what the message itself negotiated counts for its own answer
            acknowledge = m.needsReply() && (owner.state().protocolFeatures() & ProtocolFeatures.REPLY_ACK) != 0;
            reply = o.reply().orElse(o.ring() >= 0 ? base(o.ring()) : null);
            with = o.attached() == null ? List.of() : List.of(o.attached());
        } catch (RefusedException e) {
            if (!acknowledge) {
                throw e;
            }
            LOG.warn("NIC {}: {}", nic, e.getMessage());
            reply = MessageChannel.u64(1);
        }
        if (reply == null && acknowledge) {
            reply = MessageChannel.u64(0);
        }
        if (reply != null) {
            block.session(SessionPhase.REPLYING, m.id());
            try {
                channel.reply(m, reply, with, System.nanoTime() + REPLY_NANOS);
            } finally {
                with.forEach(Fd::close);
            }
        }
        channel.consume(m);
        block.session(SessionPhase.IDLE, 0);
    }

    private void announce(byte[] mac, boolean acknowledge) throws RefusedException {
        Optional<String> failure = owner.announce(mac);
        if (failure.isPresent()) {
            String why = "SEND_RARP: " + failure.get();
            if (acknowledge) {
                throw new RefusedException(why);
            }
            // a guest whose driver does not run has no port, perhaps: no reason to lose its VMM
            LOG.warn("NIC {}: {}", nic, why);
        }
    }

    private void effect(DeviceState before, RequestHandler.Outcome o) throws RefusedException {
        Fd formerSocket = backendSocket;
        try {
            owner.transition(o.next(), o.backendChannel() != null ? o.backendChannel() : backendSocket);
        } catch (RefusedException e) {
            owner.whenQuiet(() -> before.closeReplaced(o.next()));
            if (o.backendChannel() != null) {
                o.backendChannel().close();
            }
            throw e;
        }
        if (o.backendChannel() != null) {
            if (formerSocket != null) {
                formerSocket.close();
            }
            useBackendSocket(o.backendChannel());
        }
    }

    private MemorySegment base(int ring) {
        int base = owner.base(ring);
        // of a packed ring what is available and what is used, which are the same: all that was taken was given back
        return new VringState(ring, owner.state().packed() ? base << 16 | base : base).payload();
    }

    /**
     * Tells the front-end that the configuration space changed, if it gave a channel for that.
     */
    public void configChanged() {
        if (backendChannel == null) {
            return;
        }
        try {
            backendChannel.send(BackendRequest.CONFIG_CHANGE_MSG, 0, MemorySegment.ofArray(new byte[0]), List.of(),
                    System.nanoTime() + REPLY_NANOS);
        } catch (IOException e) {
            LOG.warn("NIC {}: {}", nic, e.getMessage());
        }
    }

    /** Shuts the connection, for all processes that hold it: the VMM sees its end. */
    public void shutdown() {
        UnixSockets.shutdown(socket);
    }

    /** Closes this process's copies. */
    public void close() {
        deafen();
        socket.close();
        if (backendSocket != null) {
            backendSocket.close();
        }
    }
}
