// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser.kit;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import org.vireo.backend.vhostuser.VhostUserBackend;
import org.vireo.net.api.NetBackend;
import org.vireo.tck.BackendFixture;

/** Gives the backend test kit a netdev and what stands behind it: a back-end of a few lines, in this process. */
public final class VhostUserFixture implements BackendFixture {
    private static final int PAIRS = 2;

    /** A fixture. */
    public VhostUserFixture() {
        // nothing is made before it is asked for
    }

    @Override
    public void require() {
        // any Linux will do
    }

    @Override
    public boolean takesRings() {
        return true;
    }

    @Override
    public int maxPairs() {
        return PAIRS;
    }

    @Override
    public Network network(int pairs) throws IOException {
        Behind b = new Behind(pairs);
        b.come(false);
        return b;
    }

    @Override
    public ExternalNetwork externalNetwork() throws IOException {
        return new Behind(1);
    }

    @Override
    public CongestedNetwork congestedNetwork() {
        // a ring that is not served waits in the guest's memory
        return null;
    }

    @Override
    public Map<String, Map<String, ?>> refusedOptions() {
        return Map.of("chardev", Map.of("chardev", "chr0"), "path", Map.of("path", "relative"), "queues", Map.of("path", "/run/x", "queues",
                "many"), "nonsense", Map.of("path", "/run/x", "nonsense", "1"));
    }

    @Override
    public NetBackend backend(String id, Map<String, ?> options) {
        return new VhostUserBackend(id, options);
    }

    @Override
    public Map<String, String> systemProperties() {
        return Map.of();
    }

    @Override
    public void close() {
        // a backend without open port holds nothing
    }

    /** What is behind a socket: a back-end that is there or not, and the network behind that. */
    private static final class Behind implements ExternalNetwork {
        private final Path folder = Files.createTempDirectory("vireo-vhost-user-kit");
        private final int pairs;
        private final Frames frames = new Frames();
        private TestBackEnd backEnd;

        Behind(int pairs) throws IOException {
            this.pairs = pairs;
        }

        @Override
        public Map<String, ?> options() {
            return Map.of("path", folder.resolve("socket").toString(), "queues", pairs, "reconnect-ms", 20);
        }

        @Override
        public void come(boolean able) {
            try {
                backEnd = new TestBackEnd(folder.resolve("socket"), pairs, able, frames);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }

        @Override
        public void go() {
            backEnd.close();
            backEnd = null;
        }

        @Override
        public void send(byte[] frame) {
            frames.toGuest(frame);
            if (backEnd != null) {
                backEnd.wake();
            }
        }

        @Override
        public byte[] take(Duration limit) {
            return frames.fromGuest(limit);
        }

        @Override
        public String observe() {
            return backEnd == null ? "nobody is there" : backEnd.observe();
        }

        @Override
        public void close() {
            if (backEnd != null) {
                go();
            }
            try {
                Files.delete(folder);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    }
}
