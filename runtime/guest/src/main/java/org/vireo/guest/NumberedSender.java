// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.net.InetSocketAddress;
import java.util.Locale;
import java.util.concurrent.locks.LockSupport;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.Errno;
import org.vireo.posix.PosixException;
import org.vireo.posix.linux.Poll;
import org.vireo.posix.linux.Udp;

/**
 * Sends numbered datagrams at a rate, evenly. Allocates nothing a frame. {@link #run} belongs to one thread; the counters and
 * {@link #stop} are for any.
 *
 * <pre>
 *  datagram: 0 magic u32 | 4 kind u32 | 8 number u64 | 16 sender's clock (CLOCK_MONOTONIC) u64 | padding
 *  kinds: 1 hello and its answer, 2 frame, 3 end (its number: how many frames there were), 4 warm-up, which does not count
 * </pre>
 */
public final class NumberedSender implements AutoCloseable {
    /** Smallest datagram. */
    public static final int MIN_BYTES = 24;

    static final int MAGIC = 0x56697265;
    static final int HELLO = 1;
    static final int FRAME = 2;
    static final int END = 3;
    static final int WARM_UP = 4;
    static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED;
    static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED;

    private static final int BATCH = 64;
    private static final int WARM_UP_STEPS = 10;
    private static final long PACE_NANOS = 400_000;
    private static final long HELLO_NANOS = 50_000_000;
    private static final long HELLO_LIMIT_NANOS = 10_000_000_000L;
    private static final int ENDS = 5;
    /** A sender that was kept from its processor does not make up for more than this, which the queues on the way could not hold. */
    private static final long CATCH_UP_NANOS = 4_000_000;

    private final Fd socket;
    private final Udp.Batch batch;
    private final Udp.Batch answers = new Udp.Batch(8, 2048);
    private final InetSocketAddress to;
    private final int rate;
    private final int bytes;
    private volatile boolean stopped;
    private volatile long sent;
    private volatile long skippedNanos;
    private volatile long blocked;
    private Runnable counting = () -> { };
    private long began;
    private long ended;

    /**
     * A sender.
     *
     * @param fds makes the descriptor
     * @param to the receiver
     * @param rate frames a second
     * @param bytes of each datagram
     * @throws IOException no such address
     */
    public NumberedSender(Fds fds, InetSocketAddress to, int rate, int bytes) throws IOException {
        this.to = to;
        this.rate = rate;
        this.bytes = bytes;
        socket = Udp.open(fds, null, to, 4 << 20);
        batch = new Udp.Batch(BATCH, bytes);
    }

    /**
     * Waits for the receiver, warms all on the way up with frames that do not count, sends, and says how many there were.
     *
     * @param warmUpNanos how long the rate rises
     * @param nanos how long to send then, unless stopped before
     * @throws IOException the receiver does not answer, or the socket failed
     */
    public void run(long warmUpNanos, long nanos) throws IOException {
        greet();
        warmUp(warmUpNanos);
        counting.run();
        began = System.nanoTime();
        long schedule = began;
        while (!stopped && System.nanoTime() - began < nanos) {
            long now = System.nanoTime();
            long behind = now - schedule - (sent + 1) * 1_000_000_000 / rate;
            if (behind > CATCH_UP_NANOS) {
                schedule += behind - CATCH_UP_NANOS;
                skippedNanos += behind - CATCH_UP_NANOS;
            }
            send(FRAME, due(now - schedule, rate));
            LockSupport.parkNanos(PACE_NANOS);
        }
        ended = System.nanoTime();
        LockSupport.parkNanos(HELLO_NANOS);
        for (int i = 0; i < ENDS; i++) {
            control(END, sent);
            LockSupport.parkNanos(HELLO_NANOS);
        }
    }

    /**
     * Asks to be told when the warm-up is over and the frames that count begin; before {@link #run}, on its thread.
     *
     * @param then is told
     */
    public void onCounting(Runnable then) {
        counting = then;
    }

    private void warmUp(long nanos) throws IOException {
        long start = System.nanoTime();
        for (int step = 1; step <= WARM_UP_STEPS && !stopped; step++) {
            long begin = System.nanoTime();
            sent = 0;
            while (!stopped && System.nanoTime() - start < nanos / WARM_UP_STEPS * step) {
                send(WARM_UP, Math.min(due(System.nanoTime() - begin, rate) * step / WARM_UP_STEPS, sent + BATCH));
                LockSupport.parkNanos(PACE_NANOS);
            }
        }
        sent = 0;
    }

    private static long due(long elapsedNanos, int rate) {
        return elapsedNanos / 1_000_000_000 * rate + elapsedNanos % 1_000_000_000 * rate / 1_000_000_000;
    }

    /** A first datagram teaches both kernels the other's address; frames that wait for that would be thrown away. */
    private void greet() throws IOException {
        long limit = System.nanoTime() + HELLO_LIMIT_NANOS;
        while (System.nanoTime() - limit < 0) {
            control(HELLO, 0);
            if (Poll.readable((int) (HELLO_NANOS / 1_000_000), socket.number()) != 0) {
                int n = answers.receive(socket.number());
                if (n > 0 && answers.data().get(INT, 0) == MAGIC) {
                    return;
                }
                LockSupport.parkNanos(HELLO_NANOS);
            }
        }
        throw new IOException("nobody answers at " + to + " (is a receiver running there?)");
    }

    private void control(int kind, long number) throws IOException {
        fill(0, kind, number);
        int n = batch.send(socket.number(), 1, bytes);
        if (n < 0 && n != -Errno.ECONNREFUSED && n != -Errno.EAGAIN) {
            throw new PosixException("send to " + to, -n);
        }
    }

    private void fill(int i, int kind, long number) {
        MemorySegment d = batch.data();
        long at = (long) i * bytes;
        d.set(INT, at, MAGIC);
        d.set(INT, at + 4, kind);
        d.set(LONG, at + 8, number);
        d.set(LONG, at + 16, System.nanoTime());
    }

    private void send(int kind, long due) throws IOException {
        while (sent < due && !stopped) {
            int n = (int) Math.min(BATCH, due - sent);
            for (int i = 0; i < n; i++) {
                fill(i, kind, sent + i);
            }
            int r = batch.send(socket.number(), n, bytes);
            if (r > 0) {
                sent += r;
            } else if (r == -Errno.EAGAIN || r == -Errno.ENOBUFS) {
                blocked++;
                Poll.writable(10, socket.number());
            } else if (r != -Errno.ECONNREFUSED && r != -Errno.EINTR) {
                throw new PosixException("send to " + to, -r);
            }
        }
    }

    /** Ends the sending early. */
    public void stop() {
        stopped = true;
    }

    /** Frames handed to the kernel. */
    public long sent() {
        return sent;
    }

    /** One JSON object, after {@link #run}. */
    public String json() {
        double seconds = (ended - began) / 1e9;
        return String.format(Locale.ROOT, "{\"sent\":%d,\"seconds\":%.3f,\"rate\":%.0f,\"blocked\":%d,\"skippedMillis\":%d}",
                sent, seconds, seconds > 0 ? sent / seconds : 0, blocked, skippedNanos / 1_000_000);
    }

    @Override
    public void close() {
        socket.close();
    }
}
