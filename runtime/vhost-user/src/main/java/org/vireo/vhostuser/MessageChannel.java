// SPDX-License-Identifier: Apache-2.0
package org.vireo.vhostuser;

import java.io.EOFException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.IntFunction;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.Errno;
import org.vireo.posix.PosixException;
import org.vireo.posix.linux.MessageSocket;
import org.vireo.posix.linux.Poll;
import org.vireo.posix.linux.UnixSockets;

/**
 * Messages on a UNIX socket, for both roles. It does not own the socket, and works whether the socket blocks or not. One thread.
 *
 * <p>A device looks ({@link #peek}), handles, answers, then {@link #consume}s, so that a message is in the socket until it has been
 * answered and there is never half of one in user space. A front-end simply {@link #receive}s. Do not mix the two on one channel.
 */
public final class MessageChannel {
    private static final List<Fd> NO_DESCRIPTORS = List.of();
    private static final int FIRST = -1;

    private final Fd socket;
    private final MessageSocket messages;
    private final IntFunction<Optional<? extends MessageKind>> kinds;
    private final MemorySegment incoming;
    private final MemorySegment outgoing;
    private final List<Fd> descriptors = new ArrayList<>();
    private int received;
    /** The socket's peek offset. Unknown at first: a process that died in a look may have left one behind. */
    private int lookingAt = Integer.MIN_VALUE;

    private MessageChannel(Fd socket, Fds fds, IntFunction<Optional<? extends MessageKind>> kinds, String purpose) {
        this.socket = socket;
        this.kinds = kinds;
        messages = new MessageSocket(socket, fds, purpose);
        Arena a = Arena.ofAuto();
        incoming = a.allocate(MessageHeader.BYTES + MessageHeader.MAX_PAYLOAD, 8);
        outgoing = a.allocate(MessageHeader.BYTES + MessageHeader.MAX_PAYLOAD, 8);
    }

    /**
     * The channel on which the front-end asks and the back-end answers, for either end.
     *
     * @param socket a connected UNIX stream socket
     * @param fds makes the descriptors that arrive
     * @param purpose what they are, for messages: {@code "nic0"}
     * @return the channel
     */
    public static MessageChannel of(Fd socket, Fds fds, String purpose) {
        return new MessageChannel(socket, fds, Request::of, purpose);
    }

    /**
     * The channel on which the back-end asks (SET_BACKEND_REQ_FD), for either end.
     *
     * @param socket a connected UNIX stream socket
     * @param fds makes the descriptors that arrive
     * @param purpose what they are, for messages
     * @return the channel
     */
    public static MessageChannel ofBackendRequests(Fd socket, Fds fds, String purpose) {
        return new MessageChannel(socket, fds, BackendRequest::of, purpose);
    }

    /** The socket. */
    public Fd socket() {
        return socket;
    }

    /**
     * Looks at the next message and leaves it in the socket. Its descriptors are new ones at each look.
     *
     * @return what is there
     * @throws MalformedMessageException the header is wrong or descriptors were lost: the stream cannot be followed
     * @throws IOException the socket failed
     */
    public Look peek() throws MalformedMessageException, IOException {
        try {
            Look header = peekUntil(MessageHeader.BYTES);
            if (header != null) {
                return header;
            }
            int whole = MessageHeader.BYTES + checkHeader();
            if (whole > MessageHeader.BYTES) {
                Look rest = peekUntil(whole);
                if (rest != null) {
                    return rest;
                }
            }
            peekDescriptors(incoming.asSlice(MessageHeader.BYTES, whole - MessageHeader.BYTES));
            return new Look.Whole(take());
        } finally {
            closeDescriptors();
        }
    }

    /** Descriptors come with the first byte; they are asked for only where the message has some. */
    private void peekDescriptors(MemorySegment payload) throws MalformedMessageException, IOException {
        MessageKind kind = kinds.apply(MessageHeader.request(incoming, 0)).orElse(null);
        if (kind == null || !kind.descriptors().expects(kind, payload)) {
            return;
        }
        lookAt(FIRST);
        long n = messages.receive(incoming, 0, 1, MessageSocket.PEEK | MessageSocket.DONT_WAIT);
        if (n < 0) {
            throw new PosixException("receive from " + socket, (int) -n);
        }
        collect();
    }

    /** Looks at the first bytes of the socket; null when all are there, in {@link #incoming}. */
    private Look peekUntil(int bytes) throws MalformedMessageException, IOException {
        closeDescriptors();
        int got = 0;
        try {
            while (got < bytes) {
                // the kernel ends a look after bytes that carry descriptors: look on behind them
                lookAt(got == 0 ? FIRST : got);
                long n = messages.look(incoming, got, bytes - got, MessageSocket.DONT_WAIT);
                if (n == -Errno.EINTR) {
                    continue;
                }
                if (n == -Errno.EAGAIN) {
                    return got == 0 ? new Look.Nothing() : new Look.Partial(got);
                }
                if (n == 0 || n == -Errno.ECONNRESET || n == -Errno.EPIPE) {
                    return end(got, n);
                }
                if (n < 0) {
                    throw new PosixException("receive from " + socket, (int) -n);
                }
                got += (int) n;
            }
            return null;
        } finally {
            lookAt(FIRST);
        }
    }

    private void lookAt(int offset) throws IOException {
        if (offset != lookingAt) {
            UnixSockets.peekOffset(socket, offset);
            lookingAt = offset;
        }
    }

    private static Look end(int got, long n) {
        String how = n == 0 ? "the peer closed the connection" : "the connection was reset";
        return new Look.End(got == 0 ? how : how + " after " + got + " bytes of a message");
    }

    private void collect() throws MalformedMessageException {
        descriptors.addAll(messages.descriptors());
        messages.descriptors().clear();
        if (messages.truncated()) {
            throw new MalformedMessageException("message", "descriptors", "cut off",
                    "all of them; is this process out of descriptors (see its RLIMIT_NOFILE)?");
        }
    }

    /** Checks the header in {@link #incoming}; returns the payload's size. */
    private int checkHeader() throws MalformedMessageException {
        int version = MessageHeader.flags(incoming, 0) & MessageHeader.VERSION_MASK;
        if (version != MessageHeader.VERSION) {
            throw new MalformedMessageException(name(), "version", version, MessageHeader.VERSION);
        }
        long size = MessageHeader.size(incoming, 0);
        if (size > MessageHeader.MAX_PAYLOAD) {
            throw new MalformedMessageException(name(), "payload size", size, "at most " + MessageHeader.MAX_PAYLOAD);
        }
        return (int) size;
    }

    private String name() {
        int id = MessageHeader.request(incoming, 0);
        return kinds.apply(id).map(MessageKind::name).orElse("request " + Integer.toUnsignedString(id));
    }

    private Message take() {
        int id = MessageHeader.request(incoming, 0);
        MemorySegment payload = Wire.bytes((int) MessageHeader.size(incoming, 0));
        MemorySegment.copy(incoming, MessageHeader.BYTES, payload, 0, payload.byteSize());
        Message m = new Message(id, MessageHeader.flags(incoming, 0), kinds.apply(id), payload, descriptors);
        descriptors.clear();
        return m;
    }

    private void closeDescriptors() {
        messages.closeDescriptors();
        descriptors.forEach(Fd::close);
        descriptors.clear();
    }

    /**
     * Takes a message out of the socket that {@link #peek} showed. The descriptors that come along are closed; those of the message are
     * not touched.
     *
     * @param m the message
     * @throws IOException the socket failed, or somebody else read from it, or the message has descriptors where none belong, or those
     *         that it was shown with are the next one's
     */
    public void consume(Message m) throws IOException {
        int left = m.bytes();
        int came = 0;
        boolean counted = true;
        while (left > 0) {
            long n = messages.receive(incoming, 0, left, MessageSocket.DONT_WAIT);
            came += messages.descriptors().size();
            counted &= !messages.truncated(); // no free numbers just now; the message has its own already
            messages.closeDescriptors();
            if (n == 0 || n < 0 && n != -Errno.EINTR) {
                throw new IOException("cannot take " + m.name() + " out of " + socket + ": "
                        + (n == 0 ? "end of stream" : Errno.text((int) -n)));
            }
            left -= (int) Math.max(n, 0);
        }
        // a look may show a message the descriptors of the next one, if it has none itself; only taking it out tells
        if (counted && !m.accountsFor(came)) {
            throw new IOException(m.name() + ": came with " + came + " descriptors, expected "
                    + m.request().map(r -> r.descriptors().toString()).orElse("none"));
        }
    }

    /**
     * Waits for a message and takes it.
     *
     * @param deadlineNanos by {@link System#nanoTime()}
     * @return the message, which the caller closes, or empty at the deadline; what has arrived is kept for the next call
     * @throws EOFException the peer is gone
     * @throws MalformedMessageException the header is wrong or descriptors were lost
     * @throws IOException the socket failed
     */
    public Optional<Message> receive(long deadlineNanos) throws MalformedMessageException, IOException {
        boolean followed = false;
        try {
            Optional<Message> m = receiveUntil(deadlineNanos);
            followed = true;
            return m;
        } finally {
            if (!followed) {
                closeDescriptors();
            }
        }
    }

    private Optional<Message> receiveUntil(long deadlineNanos) throws MalformedMessageException, IOException {
        while (true) {
            int want = received < MessageHeader.BYTES ? MessageHeader.BYTES : MessageHeader.BYTES + checkHeader();
            if (received >= MessageHeader.BYTES && received == want) {
                received = 0;
                return Optional.of(take());
            }
            long n = messages.receive(incoming, received, want - received, MessageSocket.DONT_WAIT);
            if (n > 0) {
                collect();
                received += (int) n;
            } else if (n == 0 || n == -Errno.ECONNRESET) {
                throw new EOFException(((Look.End) end(received, n)).reason());
            } else if (n == -Errno.EAGAIN) {
                if (!await(false, deadlineNanos)) {
                    return Optional.empty();
                }
            } else if (n != -Errno.EINTR) {
                throw new PosixException("receive from " + socket, (int) -n);
            }
        }
    }

    private boolean await(boolean writing, long deadlineNanos) {
        long left = deadlineNanos - System.nanoTime();
        if (left <= 0) {
            return false;
        }
        int millis = (int) Math.min(Integer.MAX_VALUE, TimeUnit.NANOSECONDS.toMillis(left) + 1);
        if (writing) {
            Poll.writable(millis, socket.number());
        } else {
            Poll.readable(millis, socket.number());
        }
        return true;
    }

    /**
     * Sends a message.
     *
     * @param kind the request
     * @param flags REPLY, NEED_REPLY; the version is added
     * @param payload at most {@link MessageHeader#MAX_PAYLOAD} bytes
     * @param with descriptors that go along; they stay the caller's
     * @param deadlineNanos by {@link System#nanoTime()}, for a peer that does not read
     * @throws IOException the peer is gone or did not read until the deadline; part of the message may be sent, so the stream is lost
     */
    public void send(MessageKind kind, int flags, MemorySegment payload, List<Fd> with, long deadlineNanos) throws IOException {
        send(kind.id(), kind.name(), flags, payload, with, deadlineNanos);
    }

    private void send(int id, String name, int flags, MemorySegment payload, List<Fd> with, long deadlineNanos) throws IOException {
        int size = (int) payload.byteSize();
        MessageHeader.write(outgoing, 0, id, flags | MessageHeader.VERSION, size);
        MemorySegment.copy(payload, 0, outgoing, MessageHeader.BYTES, size);
        int whole = MessageHeader.BYTES + size;
        for (int at = 0; at < whole;) {
            long n = messages.send(outgoing, at, whole - at, at == 0 ? with : NO_DESCRIPTORS, MessageSocket.DONT_WAIT);
            if (n == -Errno.EAGAIN) {
                if (!await(true, deadlineNanos)) {
                    throw new IOException("cannot send " + name + " to " + socket + ": the peer does not read");
                }
            } else if (n < 0 && n != -Errno.EINTR) {
                throw new PosixException("send " + name + " to " + socket, (int) -n);
            } else {
                at += (int) Math.max(n, 0);
            }
        }
    }

    /**
     * Answers a request with its own reply.
     *
     * @param to the request
     * @param payload of the reply
     * @param with descriptors that go along; they stay the caller's
     * @param deadlineNanos by {@link System#nanoTime()}
     * @throws IOException as {@link #send}
     */
    public void reply(Message to, MemorySegment payload, List<Fd> with, long deadlineNanos) throws IOException {
        send(to.id(), to.name() + " reply", MessageHeader.REPLY, payload, with, deadlineNanos);
    }

    /**
     * Answers a request with a u64: its own reply, or its acknowledgement (REPLY_ACK: 0 success, else failure).
     *
     * @param to the request
     * @param value the u64
     * @param deadlineNanos by {@link System#nanoTime()}
     * @throws IOException as {@link #send}
     */
    public void replyU64(Message to, long value, long deadlineNanos) throws IOException {
        reply(to, u64(value), NO_DESCRIPTORS, deadlineNanos);
    }

    /** A u64 as a payload. */
    public static MemorySegment u64(long value) {
        MemorySegment p = Wire.bytes(8);
        p.set(Wire.LONG, 0, value);
        return p;
    }
}
