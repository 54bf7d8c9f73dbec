// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import java.io.EOFException;
import java.io.IOException;
import java.net.ConnectException;
import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.util.Arrays;
import java.util.Locale;
import java.util.Set;
import java.util.SplittableRandom;

/**
 * Bulk TCP both ways with every byte checked, as a program:
 * <pre>
 *  serve --at ADDRESS:PORT               prints "ready", serves one client after the other until it is ended
 *  run   --to ADDRESS:PORT [--secs S]    out for S seconds, then in for S seconds; prints one JSON object
 * </pre>
 */
public final class TcpLoad {
    private static final int PATTERN_BYTES = 1 << 20;
    private static final int CHUNK_BYTES = 256 << 10;
    private static final byte SEND = 1;
    private static final byte TAKE = 2;

    private TcpLoad() {
    }

    /**
     * Runs one end.
     *
     * @param args see above
     */
    public static void main(String[] args) {
        int status = 0;
        try {
            String what = args.length == 0 ? "" : args[0];
            var rest = Arrays.asList(args).subList(Math.min(1, args.length), args.length);
            switch (what) {
                case "serve" -> serve(new Arguments(rest, Set.of("at"), Set.of()).address("at"));
                case "run" -> {
                    Arguments a = new Arguments(rest, Set.of("to", "secs"), Set.of());
                    System.out.println(run(a.address("to"), (long) (1e9 * a.seconds("secs", 3))));
                }
                default -> throw new IllegalArgumentException("say serve or run, not '" + what + "'");
            }
        } catch (IllegalArgumentException e) {
            System.err.println("tcp-load: " + e.getMessage());
            status = 2;
        } catch (IOException e) {
            System.err.println("tcp-load: " + e.getMessage());
            status = 1;
        }
        System.exit(status);
    }

    private static ByteBuffer pattern() {
        ByteBuffer b = ByteBuffer.allocateDirect(PATTERN_BYTES);
        SplittableRandom r = new SplittableRandom(1);
        while (b.hasRemaining()) {
            b.putLong(r.nextLong());
        }
        return b.clear();
    }

    static void serve(InetSocketAddress at) throws IOException {
        try (ServerSocketChannel s = ServerSocketChannel.open()) {
            s.setOption(StandardSocketOptions.SO_REUSEADDR, true);
            s.bind(at);
            System.out.println("ready");
            System.out.flush();
            while (true) {
                try (SocketChannel c = s.accept()) {
                    serve(c);
                } catch (IOException e) {
                    System.err.println("tcp-load: a client: " + e.getMessage());
                }
            }
        }
    }

    /** The client says what it does and for how long; the one that takes answers with the number of bytes. */
    private static void serve(SocketChannel c) throws IOException {
        ByteBuffer head = ByteBuffer.allocateDirect(9);
        full(c, head);
        long nanos = head.getLong(1);
        if (head.get(0) == SEND) {
            long n = take(c);
            write(c, ByteBuffer.allocateDirect(8).putLong(n).flip());
        } else {
            send(c, nanos);
            c.shutdownOutput();
        }
    }

    /**
     * Moves bytes out, then in.
     *
     * @param to a server
     * @param nanos for each direction
     * @return one JSON object
     * @throws IOException the connection failed, or a byte was wrong
     */
    static String run(InetSocketAddress to, long nanos) throws IOException {
        long began = System.nanoTime();
        long out;
        try (SocketChannel c = greet(to, SEND, nanos)) {
            out = send(c, nanos);
            c.shutdownOutput();
            ByteBuffer n = ByteBuffer.allocateDirect(8);
            full(c, n);
            if (n.getLong(0) != out) {
                throw new IOException("sent " + out + " bytes, " + n.getLong(0) + " arrived");
            }
        }
        long turn = System.nanoTime();
        long in;
        try (SocketChannel c = greet(to, TAKE, nanos)) {
            in = take(c);
        }
        long end = System.nanoTime();
        return String.format(Locale.ROOT, "{\"ok\":%b,\"out_mbit\":%.0f,\"in_mbit\":%.0f,\"out_bytes\":%d,\"in_bytes\":%d}",
                out > 0 && in > 0, out * 8e3 / (turn - began), in * 8e3 / (end - turn), out, in);
    }

    private static SocketChannel greet(InetSocketAddress to, byte what, long nanos) throws IOException {
        SocketChannel c = SocketChannel.open();
        try {
            c.connect(to);
            write(c, ByteBuffer.allocateDirect(9).put(what).putLong(nanos).flip());
            return c;
        } catch (IOException e) {
            c.close();
            if (e instanceof ConnectException) {
                throw (ConnectException) new ConnectException("connect to " + to + ": " + e.getMessage()).initCause(e);
            }
            throw e;
        }
    }

    private static long send(SocketChannel c, long nanos) throws IOException {
        ByteBuffer pattern = pattern();
        long end = System.nanoTime() + nanos;
        long sent = 0;
        while (System.nanoTime() - end < 0) {
            int at = (int) (sent % PATTERN_BYTES);
            pattern.limit(Math.min(PATTERN_BYTES, at + CHUNK_BYTES)).position(at);
            sent += c.write(pattern);
        }
        return sent;
    }

    private static long take(SocketChannel c) throws IOException {
        ByteBuffer pattern = pattern();
        ByteBuffer got = ByteBuffer.allocateDirect(CHUNK_BYTES);
        long taken = 0;
        while (true) {
            int at = (int) (taken % PATTERN_BYTES);
            got.clear().limit(Math.min(CHUNK_BYTES, PATTERN_BYTES - at));
            int n = c.read(got);
            if (n < 0) {
                return taken;
            }
            got.flip();
            pattern.limit(at + n).position(at);
            int wrong = got.mismatch(pattern);
            if (wrong >= 0) {
                throw new IOException("byte " + (taken + wrong) + " is wrong");
            }
            taken += n;
        }
    }

    private static void full(SocketChannel c, ByteBuffer b) throws IOException {
        while (b.hasRemaining()) {
            if (c.read(b) < 0) {
                throw new EOFException("the peer closed the connection");
            }
        }
    }

    private static void write(SocketChannel c, ByteBuffer b) throws IOException {
        while (b.hasRemaining()) {
            c.write(b);
        }
    }
}
