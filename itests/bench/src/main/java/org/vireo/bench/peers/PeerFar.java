// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.peers;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.SplittableRandom;
import org.vireo.bench.guest.GuestImage;
import org.vireo.bench.guest.GuestTraffic;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Daemon;
import org.vireo.bench.host.Namespace;
import org.vireo.bench.host.Stage;
import org.vireo.bench.traffic.ChecksummedTcp;

/** A namespace in the place of a guest: what a guest's address does, an interface of another process does here. One thread. */
final class PeerFar {
    private static final Duration LIMIT = Duration.ofSeconds(20);

    private final Namespace namespace;
    private final String itf;

    /**
     * Makes it, and serves {@link ChecksummedTcp} in it.
     *
     * @param stage what it belongs to
     * @param itf the interface, which another process makes
     */
    PeerFar(Stage stage, String itf) throws BenchException {
        this.itf = itf;
        namespace = new Namespace(stage, "far");
        Path folder = stage.folder();
        byte[] data = new byte[GuestTraffic.MEGABYTES << 20];
        new SplittableRandom(2).nextBytes(data);
        try {
            Files.write(folder.resolve("data"), data);
            GuestImage.script(folder.resolve("sink"), "#!/bin/sh\nexec sha256sum\n");
            GuestImage.script(folder.resolve("source"), "#!/bin/sh\nsha256sum <'" + folder + "/data'\nexec cat '" + folder + "/data'\n");
        } catch (IOException e) {
            throw new BenchException("files of the far side: " + e.getMessage(), e);
        }
        namespace.start("TCP", List.of("busybox", "nc", "-ll", "-p", "7001", "-e", folder.resolve("sink").toString()));
        namespace.start("TCP", List.of("busybox", "nc", "-ll", "-p", "7002", "-e", folder.resolve("source").toString()));
    }

    Namespace namespace() {
        return namespace;
    }

    /** Gives the interface its address, when it is there. */
    void address(String address) throws BenchException {
        address(namespace, itf, address);
    }

    /** The same in another namespace. */
    static void address(Namespace namespace, String itf, String address) throws BenchException {
        long end = System.nanoTime() + LIMIT.toNanos();
        while (namespace.counter(itf, 0) < 0) {
            if (System.nanoTime() - end > 0) {
                throw new BenchException("there is no interface " + itf + " after " + LIMIT.toSeconds() + " s");
            }
            Daemon.pause(20);
        }
        namespace.run("ip", "addr", "replace", address + "/24", "dev", itf);
        namespace.run("ip", "link", "set", itf, "up");
    }
}
