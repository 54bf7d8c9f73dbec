// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.traffic;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import org.vireo.guest.NumberedReceiver;
import org.vireo.guest.NumberedSender;
import org.vireo.posix.Descriptors;

/**
 * One end of numbered traffic both ways, a program: {@code AT-ADDRESS TO-ADDRESS PORT RATE WARM-UP-SECONDS}. It receives at PORT and
 * sends to the other end's PORT; says {@code counting} on the standard error when the frames that count begin; stops sending when its
 * standard input ends, receives until the other end has stopped, and prints {@code {"send":..,"receive":..}}.
 */
public final class LoadEnd {
    private static final long LIMIT_NANOS = 3_600_000_000_000L;
    private static final int FRAME_BYTES = 64;

    private LoadEnd() {
    }

    /**
     * Runs.
     *
     * @param args see above
     */
    public static void main(String[] args) {
        int code = 1;
        try {
            int port = Integer.parseInt(args[2]);
            run(new InetSocketAddress(args[0], port), new InetSocketAddress(args[1], port), Integer.parseInt(args[3]),
                    (long) (1e9 * Double.parseDouble(args[4])));
            code = 0;
        } catch (IOException e) {
            System.err.println("load: " + e.getMessage());
        } catch (InterruptedException e) {
            System.err.println("load: interrupted");
        }
        // a thread that still waits for the other end does not keep it
        Runtime.getRuntime().halt(code);
    }

    private static void run(InetSocketAddress at, InetSocketAddress to, int rate, long warmUp) throws IOException, InterruptedException {
        Descriptors fds = new Descriptors();
        try (NumberedReceiver receiver = new NumberedReceiver(fds, at);
                NumberedSender sender = new NumberedSender(fds, to, rate, FRAME_BYTES)) {
            FutureTask<Void> receiving = start("receive", () -> {
                receiver.run(LIMIT_NANOS);
                return null;
            });
            System.err.println("ready");
            sender.onCounting(() -> System.err.println("counting"));
            Thread.ofPlatform().daemon().name("stdin").start(() -> awaitStdin(sender));
            sender.run(warmUp, LIMIT_NANOS);
            await(receiving);
            System.out.println("{\"send\":" + sender.json() + ",\"receive\":" + receiver.json() + "}");
            System.out.flush();
        }
    }

    private static FutureTask<Void> start(String name, Callable<Void> what) {
        FutureTask<Void> t = new FutureTask<>(what);
        Thread.ofPlatform().daemon().name(name).start(t);
        return t;
    }

    private static void await(FutureTask<Void> t) throws IOException, InterruptedException {
        try {
            t.get();
        } catch (ExecutionException e) {
            throw new IOException(e.getCause() == null ? e.getMessage() : e.getCause().getMessage(), e);
        }
    }

    private static void awaitStdin(NumberedSender sender) {
        try {
            while (System.in.read() >= 0) {
                // only the end counts
            }
        } catch (IOException e) {
            System.err.println("load: standard input: " + e.getMessage());
        }
        sender.stop();
    }
}
