// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.vireo.guest.FrontEnd;
import org.vireo.guest.GuestNic;
import org.vireo.net.api.Fd;
import org.vireo.net.api.nic.NicException;
import org.vireo.posix.linux.EventFd;
import org.vireo.testsupport.Await;

/** Runs in a process of its own with few descriptors. */
final class FewDescriptors {
    private FewDescriptors() {
    }

    public static void main(String[] args) throws Exception {
        PrintStream out = System.out;
        loadClasses();
        try (Harness h = new Harness(1)) {
            FakeNetwork net = h.network(1);
            h.backend("neta", net);
            h.nic("a");
            GuestNic g = h.guest("a", GuestNic.options());
            FakeNetwork other = h.network(1);
            h.backend("netb", other);
            h.nic("b");
            List<Fd> all = new ArrayList<>();
            FrontEnd waiting = FrontEnd.connect(h.fds, h.socket("b"), Harness.LIMIT);
            Await.until(Harness.LIMIT, "the second VMM", () -> h.status("b").vmmPid() != 0);
            fill(h, all);
            // a NIC cannot be made, and leaves nothing
            int refused = 0;
            for (int i = 0; i < 5; i++) {
                try {
                    h.nic("c", "netdev", "");
                } catch (NicException e) {
                    refused++;
                }
            }
            require(refused == 5, "a NIC was made without descriptors");
            // memory and rings of the second VMM cannot be taken: its session ends, or it is refused
            try {
                all.removeLast().close();
                all.removeLast().close();
                GuestNic.options().start(h.fds, waiting);
                throw new IllegalStateException("a guest was started without descriptors");
            } catch (IOException e) {
                out.println("refused: " + e.getMessage());
            }
            for (int i = 0; i < 100; i++) {
                pass(g, net, i);
            }
            all.forEach(Fd::close);
            Await.until(Harness.LIMIT, "the second session to end", () -> h.status("b").vmmPid() == 0);
            GuestNic next = h.guest("b", GuestNic.options());
            pass(next, other, 5);
            h.nic("c", "netdev", "");
            out.println("went on");
        }
    }

    /** Classes are read from folders here, which takes descriptors; what is installed is in jars that are open. */
    private static void loadClasses() throws Exception {
        for (String entry : System.getProperty("java.class.path").split(java.io.File.pathSeparator)) {
            Path folder = Path.of(entry);
            if (Files.isDirectory(folder)) {
                try (Stream<Path> files = Files.walk(folder)) {
                    for (Path f : files.filter(x -> x.toString().endsWith(".class") && !x.toString().contains("-info")).toList()) {
                        String name = folder.relativize(f).toString().replace('/', '.');
                        if (name.startsWith("org.vireo")) {
                            Class.forName(name.substring(0, name.length() - ".class".length()), false,
                                    FewDescriptors.class.getClassLoader());
                        }
                    }
                }
            }
        }
        // and those that speak of trouble
        try {
            throw new IOException(new org.vireo.posix.PosixException("warm up", org.vireo.posix.Errno.EMFILE).getMessage());
        } catch (IOException e) {
            require(e.getMessage().contains("warm up"), e.getMessage());
        }
    }

    private static void fill(Harness h, List<Fd> all) {
        try {
            while (true) {
                all.add(EventFd.create(h.fds, "filler"));
            }
        } catch (IOException e) {
            // that was the last one
            require(all.size() > 5, "too few descriptors to begin with: " + all.size());
        }
    }

    private static void pass(GuestNic g, FakeNetwork net, int number) {
        require(g.transmit(0).send(FakeBackend.frame(0, 60, number), Harness.soon()), "send");
        require(FakeBackend.number(net.take(0), 12) == number, "transmit");
        net.sendSurely(0, FakeBackend.frame(12, 60, number));
        require(FakeBackend.number(g.receive(0).take(Harness.soon()), 12) == number, "receive");
    }

    private static void require(boolean condition, String what) {
        if (!condition) {
            throw new IllegalStateException(what);
        }
    }
}
