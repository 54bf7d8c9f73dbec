// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import java.io.IOException;
import java.io.PrintStream;
import java.util.Arrays;
import java.util.Set;
import org.vireo.net.api.Fds;
import org.vireo.posix.Descriptors;

/**
 * Numbered UDP datagrams from one network namespace to another, as a program:
 * <pre>
 *  send    --to ADDRESS:PORT --rate FRAMES [--secs S | --until-stdin-closes] [--bytes N] [--warm-up S]
 *  receive --at ADDRESS:PORT [--secs S]
 * </pre>
 * The receiver prints {@code ready} on standard error when it listens; the sender begins when the receiver has answered it, and says
 * at its end how many there were. Each prints one JSON object on standard output.
 */
public final class NumberedUdp {
    private NumberedUdp() {
    }

    /**
     * Runs one end.
     *
     * @param args see above
     */
    public static void main(String[] args) {
        System.exit(run(args, System.out, System.err));
    }

    private static int run(String[] args, PrintStream out, PrintStream err) {
        try {
            String what = args.length == 0 ? "" : args[0];
            var rest = Arrays.asList(args).subList(Math.min(1, args.length), args.length);
            switch (what) {
                case "send" -> out.println(send(new Descriptors(), new Arguments(rest, Set.of("to", "rate", "secs", "bytes", "warm-up"),
                        Set.of("until-stdin-closes"))));
                case "receive" -> out.println(receive(new Descriptors(), new Arguments(rest, Set.of("at", "secs"), Set.of()), err));
                default -> throw new IllegalArgumentException("say send or receive, not '" + what + "'");
            }
            return 0;
        } catch (IllegalArgumentException e) {
            err.println("numbered-udp: " + e.getMessage());
            return 2;
        } catch (IOException e) {
            err.println("numbered-udp: " + e.getMessage());
            return 1;
        }
    }

    private static String send(Fds fds, Arguments a) throws IOException {
        int rate = a.number("rate", 50_000, 1, 10_000_000);
        try (NumberedSender s = new NumberedSender(fds, a.address("to"), rate, a.number("bytes", 64, NumberedSender.MIN_BYTES, 1472))) {
            if (a.has("until-stdin-closes")) {
                Thread.ofPlatform().daemon().name("stdin").start(() -> awaitStdin(s));
            }
            long warmUp = (long) (1e9 * a.seconds("warm-up", 1));
            s.run(warmUp, a.has("until-stdin-closes") ? Long.MAX_VALUE : (long) (1e9 * a.seconds("secs", 5)));
            return s.json();
        }
    }

    private static void awaitStdin(NumberedSender s) {
        try {
            while (System.in.read() >= 0) {
                // only the end counts
            }
        } catch (IOException e) {
            System.err.println("numbered-udp: standard input: " + e.getMessage());
        }
        s.stop();
    }

    private static String receive(Fds fds, Arguments a, PrintStream err) throws IOException {
        try (NumberedReceiver r = new NumberedReceiver(fds, a.address("at"))) {
            err.println("ready");
            r.run((long) (1e9 * a.seconds("secs", 3600)));
            return r.json();
        }
    }
}
