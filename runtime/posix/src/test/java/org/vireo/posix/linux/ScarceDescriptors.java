// SPDX-License-Identifier: Apache-2.0
package org.vireo.posix.linux;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.vireo.net.api.Fd;
import org.vireo.posix.Descriptors;
import org.vireo.posix.Errno;
import org.vireo.posix.PosixException;

/** Runs in a JVM of its own under a small RLIMIT_NOFILE: what happens when the numbers run out. Prints one line. */
public final class ScarceDescriptors {
    private static final Descriptors FDS = new Descriptors();

    private ScarceDescriptors() {
    }

    /**
     * Runs one case.
     *
     * @param arguments "duplicate", "receive" or "accept"
     * @throws Exception it does not go as it must
     */
    public static void main(String[] arguments) throws Exception {
        // Once with plenty, so that no class file has to be opened when there is nothing left.
        String unusedToo = new PosixException("nothing", Errno.EMFILE).getMessage();
        String unused = run(arguments[0], false);
        System.out.println(run(arguments[0], true));
    }

    private static String run(String what, boolean scarce) throws Exception {
        return switch (what) {
            case "duplicate" -> duplicate(scarce);
            case "receive" -> receive(scarce);
            case "accept" -> accept(scarce);
            default -> throw new IllegalArgumentException(what);
        };
    }

    private static List<Fd> exhaust(boolean really) throws IOException {
        List<Fd> all = new ArrayList<>();
        try {
            for (int i = 0; really || i < 3; i++) {
                all.add(EventFd.create(FDS, "ballast"));
            }
        } catch (PosixException e) {
            if (e.errno() != Errno.EMFILE) {
                throw e;
            }
        }
        return all;
    }

    private static String duplicate(boolean scarce) throws IOException {
        String result = "no limit";
        List<Fd> ballast = exhaust(scarce);
        Fd last = ballast.removeLast();
        Fd duplicate = null;
        try {
            // Frees nothing, so a second one is one too many.
            duplicate = last.duplicate();
        } catch (PosixException e) {
            result = e.errno() == Errno.EMFILE ? "EMFILE" : e.getMessage();
        }
        if (duplicate != null) {
            duplicate.close();
        }
        ballast.removeLast().close();
        last.duplicate().close();
        last.close();
        ballast.forEach(Fd::close);
        return result + ", then open again";
    }

    private static String receive(boolean scarce) throws IOException {
        Fd[] pair = UnixSockets.pair(FDS, 1, false, "pair");
        MessageSocket to = new MessageSocket(pair[0], FDS, "sent");
        MessageSocket from = new MessageSocket(pair[1], FDS, "received");
        try (Arena arena = Arena.ofConfined(); Fd a = EventFd.create(FDS, "a")) {
            MemorySegment m = arena.allocate(8);
            to.sendAll(m, 8, List.of(a, a, a));
            List<Fd> ballast = exhaust(scarce);
            ballast.removeLast().close();
            long n = from.receive(m, 0, 8, 0);
            String result = n + " bytes, " + from.descriptors().size() + " descriptors, truncated " + from.truncated();
            from.closeDescriptors();
            ballast.forEach(Fd::close);
            to.sendAll(m, 8, List.of(a, a, a));
            from.receive(m, 0, 8, 0);
            result += "; then " + from.descriptors().size() + " descriptors, truncated " + from.truncated();
            from.closeDescriptors();
            return result;
        } finally {
            pair[0].close();
            pair[1].close();
        }
    }

    private static String accept(boolean scarce) throws IOException {
        Path folder = Files.createTempDirectory("scarce");
        Path path = folder.resolve("s");
        try (Fd listener = UnixSockets.listen(FDS, path, 0600, "listener"); Fd client = UnixSockets.connect(FDS, path, "client")) {
            String result = client.isOpen() ? "accepted" : "not connected";
            List<Fd> ballast = exhaust(scarce);
            try {
                Fd got = UnixSockets.accept(listener, FDS, true, "connection");
                got.close();
            } catch (PosixException e) {
                result = e.errno() == Errno.EMFILE ? "EMFILE" : e.getMessage();
            }
            try {
                UnixSockets.connect(FDS, path.resolveSibling("nobody"), "second client").close();
            } catch (IOException e) {
                result += e.getMessage().contains("oo many open files") ? " twice" : "";
            }
            ballast.forEach(Fd::close);
            if (scarce) {
                Fd got = UnixSockets.accept(listener, FDS, true, "connection");
                if (got == null) {
                    return result + ", connection lost";
                }
                got.close();
                result += ", then accepted";
            }
            return result;
        } finally {
            Files.deleteIfExists(path);
            Files.delete(folder);
        }
    }
}
