// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.locks.LockSupport;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.Errno;
import org.vireo.posix.PosixException;
import org.vireo.posix.linux.Poll;
import org.vireo.posix.linux.Udp;

/**
 * Receives what a {@link NumberedSender} sends, counts, and ends at its end. {@link #run} belongs to one thread, the counters are for
 * any, a little late.
 */
public final class NumberedReceiver implements AutoCloseable {
    private static final int BATCH = 128;
    private static final long NAP_NANOS = 250_000;
    private static final long GRACE_NANOS = 300_000_000;
    private static final int BUFFER_BYTES = 64 << 20;

    private final Fd socket;
    private final InetSocketAddress at;
    private final Udp.Batch batch = new Udp.Batch(BATCH, 2048);
    private final SequenceCheck check = new SequenceCheck();
    private volatile boolean stopped;
    private volatile long received;
    private volatile long sent = -1;
    private long endAt;
    private long lastArrival;
    private long longestGap;
    private long longestDelay;
    private long longestGapAfter = -1;

    /**
     * Listens.
     *
     * @param fds makes the descriptor
     * @param at where
     * @throws IOException the address is taken or not this namespace's
     */
    public NumberedReceiver(Fds fds, InetSocketAddress at) throws IOException {
        this.at = at;
        socket = Udp.open(fds, at, null, BUFFER_BYTES);
    }

    /**
     * Receives until the sender has ended.
     *
     * @param nanos at most
     * @throws IOException the socket failed
     */
    public void run(long nanos) throws IOException {
        long limit = System.nanoTime() + nanos;
        while (!stopped) {
            int n = batch.receive(socket.number());
            long now = System.nanoTime();
            for (int i = 0; i < n; i++) {
                datagram(i, now);
            }
            if (endAt != 0 && now - endAt > GRACE_NANOS || now - limit > 0) {
                return;
            }
            if (n == -Errno.EAGAIN) {
                Poll.readable(50, socket.number());
            } else if (n < 0 && n != -Errno.EINTR && n != -Errno.ECONNREFUSED) {
                throw new PosixException("receive at " + at, -n);
            }
            if (n < BATCH) {
                // many datagrams a wake-up
                LockSupport.parkNanos(NAP_NANOS);
            }
        }
    }

    private void datagram(int i, long now) {
        MemorySegment d = batch.data();
        long p = 2048L * i;
        if (batch.length(i) < NumberedSender.MIN_BYTES || d.get(NumberedSender.INT, p) != NumberedSender.MAGIC) {
            return;
        }
        switch (d.get(NumberedSender.INT, p + 4)) {
            case NumberedSender.FRAME -> frame(d.get(NumberedSender.LONG, p + 8), d.get(NumberedSender.LONG, p + 16), now);
            case NumberedSender.HELLO -> {
                if (i == 0) {
                    batch.answer(socket.number(), NumberedSender.MIN_BYTES);
                }
            }
            case NumberedSender.END -> {
                sent = d.get(NumberedSender.LONG, p + 8);
                endAt = endAt == 0 ? now : endAt;
            }
            default -> { /* a warm-up, or a stranger's */ }
        }
    }

    private void frame(long number, long sentAt, long now) {
        check.frame(number);
        received++;
        if (lastArrival != 0 && now - lastArrival > longestGap) {
            longestGap = now - lastArrival;
            longestGapAfter = number - 1;
        }
        lastArrival = now;
        longestDelay = Math.max(longestDelay, now - sentAt);
    }

    /** Ends the receiving early. */
    public void stop() {
        stopped = true;
    }

    /** Frames that have come, repeats too. */
    public long received() {
        return received;
    }

    /** Frames that the sender says it sent; -1 before it has ended. */
    public long sent() {
        return sent;
    }

    /** The counts, after {@link #run}. */
    public SequenceCheck check() {
        return check;
    }

    /** Longest time without a frame, in nanoseconds, to about 0.3 ms, after {@link #run}. */
    public long longestGapNanos() {
        return longestGap;
    }

    /** Longest way of a frame, in nanoseconds, to about 0.3 ms; ends on one machine only. After {@link #run}. */
    public long longestDelayNanos() {
        return longestDelay;
    }

    /** Frames that this very socket threw away as its buffer was full; they are lost, but not by the network. */
    public long droppedBySocket() throws IOException {
        String port = String.format(Locale.ROOT, ":%04X ", at.getPort());
        try (var lines = Files.lines(Path.of("/proc/self/net/udp"))) {
            return lines.filter(l -> l.contains(port)).map(l -> l.strip().split("\\s+"))
                    .mapToLong(f -> Long.parseLong(f[f.length - 1])).sum();
        }
    }

    /** One JSON object, after {@link #run}. Without the sender's end, frames up to the highest number count as sent. */
    public String json() throws IOException {
        long all = sent >= 0 ? sent : check.next();
        return String.format(Locale.ROOT, "{\"sent\":%d,\"ended\":%b,\"received\":%d,\"lost\":%d,\"duplicated\":%d,\"reordered\":%d,"
                + "\"longestGapMicros\":%d,\"longestGapAfter\":%d,\"longestDelayMicros\":%d,\"droppedBySocket\":%d}", all, sent >= 0,
                received, check.lost(all), check.duplicated(), check.reordered(), longestGap / 1000, longestGapAfter, longestDelay / 1000,
                droppedBySocket());
    }

    @Override
    public void close() {
        socket.close();
    }
}
