// SPDX-License-Identifier: Apache-2.0
package org.vireo.vhostuser;

import java.io.EOFException;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.vireo.net.api.Fd;

/**
 * The front-end's side of a channel: sends a request and waits for what belongs to it. One thread at a time.
 *
 * <p>Whatever else than the right answer comes, or nothing until the deadline, is an {@link IOException}: the two sides have lost each
 * other then, and the connection is of no further use.
 */
public final class Requester {
    private static final MemorySegment EMPTY = MemorySegment.ofArray(new byte[0]);

    private final MessageChannel channel;
    private boolean acknowledged;

    /**
     * For a channel.
     *
     * @param channel to the back-end
     */
    public Requester(MessageChannel channel) {
        this.channel = channel;
    }

    /**
     * Whether requests without a reply of their own are acknowledged from now on.
     *
     * @param on whether REPLY_ACK is negotiated
     */
    public void acknowledged(boolean on) {
        acknowledged = on;
    }

    /**
     * Whether requests without a reply of their own are acknowledged.
     *
     * @return whether
     */
    public boolean isAcknowledged() {
        return acknowledged;
    }

    /**
     * Sends a request that has a reply of its own and waits for it.
     *
     * @param request the request
     * @param payload its payload
     * @param with descriptors that go along; they stay the caller's
     * @param deadlineNanos by {@link System#nanoTime()}
     * @return the reply, checked; the caller closes it
     * @throws IOException no answer in time, the back-end is gone, or the reply breaks the rules
     */
    public Message ask(Request request, MemorySegment payload, List<Fd> with, long deadlineNanos) throws IOException {
        long limit = deadlineNanos - System.nanoTime();
        send(request, 0, payload, with, deadlineNanos);
        return reply(request, false, deadlineNanos, limit);
    }

    /**
     * Asks for a number.
     *
     * @param request the request, which has no payload
     * @param deadlineNanos by {@link System#nanoTime()}
     * @return the number
     * @throws IOException as {@link #ask}
     */
    public long askU64(Request request, long deadlineNanos) throws IOException {
        try (Message m = ask(request, EMPTY, List.of(), deadlineNanos)) {
            return m.u64();
        } catch (MalformedMessageException e) {
            throw new IOException(e.getMessage(), e);
        }
    }

    /**
     * Sends a request that has no reply of its own, and waits for the acknowledgement if there is to be one.
     *
     * @param request the request
     * @param payload its payload
     * @param with descriptors that go along; they stay the caller's
     * @param deadlineNanos by {@link System#nanoTime()}
     * @return the acknowledgement: 0, or another number if the back-end refuses
     * @throws IOException no answer in time, the back-end is gone, or the answer breaks the rules
     */
    public long tell(Request request, MemorySegment payload, List<Fd> with, long deadlineNanos) throws IOException {
        long limit = deadlineNanos - System.nanoTime();
        send(request, acknowledged ? MessageHeader.NEED_REPLY : 0, payload, with, deadlineNanos);
        if (!acknowledged) {
            return 0;
        }
        try (Message m = reply(request, true, deadlineNanos, limit)) {
            return m.u64();
        } catch (MalformedMessageException e) {
            throw new IOException(e.getMessage(), e);
        }
    }

    /**
     * Sends a request and waits for nothing.
     *
     * @param request the request
     * @param flags as {@link MessageChannel#send} takes them
     * @param payload its payload
     * @param with descriptors that go along; they stay the caller's
     * @param deadlineNanos by {@link System#nanoTime()}
     * @throws IOException as {@link MessageChannel#send}
     */
    public void send(Request request, int flags, MemorySegment payload, List<Fd> with, long deadlineNanos) throws IOException {
        channel.send(request, flags, payload, with, deadlineNanos);
    }

    /** Tens of milliseconds, upwards: what has passed on the way to the question makes no other message. */
    private static long told(long limitNanos) {
        return Math.max(0, Math.ceilDiv(limitNanos, TimeUnit.MILLISECONDS.toNanos(10)) * 10);
    }

    private Message reply(Request request, boolean acknowledgement, long deadlineNanos, long limit) throws IOException {
        try {
            Message m = channel.receive(deadlineNanos).orElseThrow(() ->
                    new IOException("no answer to " + request + " within " + told(limit) + " ms"));
            try {
                if (m.id() != request.id()) {
                    throw new IOException(request + " was answered with " + m);
                }
                m.checkReply(acknowledgement);
                return m;
            } catch (IOException | MalformedMessageException e) {
                m.close();
                throw e;
            }
        } catch (EOFException e) {
            throw new EOFException("no answer to " + request + ": " + e.getMessage());
        } catch (MalformedMessageException e) {
            throw new IOException(e.getMessage(), e);
        }
    }
}
