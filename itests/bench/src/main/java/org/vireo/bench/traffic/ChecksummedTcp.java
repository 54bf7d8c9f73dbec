// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.traffic;

import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Locale;
import java.util.SplittableRandom;

/**
 * TCP with a guest that has busybox only, a program: {@code ADDRESS MEGABYTES [again]}, or {@code ADDRESS connections N}. Port 7001 takes
 * bytes and answers with their SHA-256, port 7002 says the SHA-256 of what it sends then. With {@code again} it goes on until there is a
 * line on its standard input; with {@code connections} it sends a few bytes to port 7001 in each of N. Prints one JSON object.
 */
public final class ChecksummedTcp {
    private static final int SUM_LINE = 68;

    private ChecksummedTcp() {
    }

    /**
     * Runs.
     *
     * @param args see above
     */
    public static void main(String[] args) {
        try {
            if (args[1].equals("connections")) {
                int count = Integer.parseInt(args[2]);
                for (int i = 0; i < count; i++) {
                    to(args[0], new byte[] {(byte) i}, 1);
                }
                System.out.println("{\"ok\":true}");
                return;
            }
            byte[] megabyte = new byte[1 << 20];
            new SplittableRandom(1).nextBytes(megabyte);
            int n = Integer.parseInt(args[1]);
            double in;
            double out;
            int rounds = 0;
            do {
                in = to(args[0], megabyte, n);
                out = from(args[0]);
                rounds++;
            } while (args.length > 2 && !isToldToEnd());
            System.out.println(String.format(Locale.ROOT, "{\"ok\":true,\"out_mbit\":%.0f,\"in_mbit\":%.0f,\"rounds\":%d}",
                    out, in, rounds));
        } catch (IOException | NoSuchAlgorithmException e) {
            System.err.println("tcp: " + e.getMessage());
            System.exit(1);
        }
    }

    private static boolean isToldToEnd() throws IOException {
        return System.in.available() > 0;
    }

    private static double to(String address, byte[] bytes, int n) throws IOException, NoSuchAlgorithmException {
        MessageDigest sum = MessageDigest.getInstance("SHA-256");
        long begin = System.nanoTime();
        try (Socket s = new Socket(address, 7001)) {
            for (int i = 0; i < n; i++) {
                sum.update(bytes);
                s.getOutputStream().write(bytes);
            }
            s.shutdownOutput();
            require(sum, line(s.getInputStream()));
        }
        return mbit((long) n * bytes.length, begin);
    }

    private static double from(String address) throws IOException, NoSuchAlgorithmException {
        MessageDigest sum = MessageDigest.getInstance("SHA-256");
        try (Socket s = new Socket(address, 7002)) {
            InputStream in = s.getInputStream();
            String line = line(in);
            long begin = System.nanoTime();
            byte[] b = new byte[1 << 18];
            long all = 0;
            for (int n = in.read(b); n >= 0; n = in.read(b)) {
                sum.update(b, 0, n);
                all += n;
            }
            require(sum, line);
            return mbit(all, begin);
        }
    }

    private static double mbit(long bytes, long begin) {
        return bytes * 8e3 / (System.nanoTime() - begin);
    }

    /** As sha256sum writes it: the sum, two spaces, a dash, the end of the line. */
    private static String line(InputStream in) throws IOException {
        byte[] b = in.readNBytes(SUM_LINE);
        if (b.length < SUM_LINE) {
            throw new EOFException("the guest closed the connection without a checksum");
        }
        return new String(b, StandardCharsets.US_ASCII);
    }

    private static void require(MessageDigest sum, String line) throws IOException {
        String expected = HexFormat.of().formatHex(sum.digest());
        if (!line.startsWith(expected)) {
            throw new IOException("checksum " + line.strip() + " instead of " + expected + ": a byte was wrong");
        }
    }
}
