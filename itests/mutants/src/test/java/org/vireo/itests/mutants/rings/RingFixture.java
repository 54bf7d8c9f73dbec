// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.mutants.rings;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import org.vireo.net.api.Fd;
import org.vireo.net.api.NetBackend;
import org.vireo.posix.Descriptors;
import org.vireo.posix.Errno;
import org.vireo.posix.Posix;
import org.vireo.posix.linux.Poll;
import org.vireo.posix.linux.UnixSockets;
import org.vireo.tck.BackendFixture;

/** A network for the kit: the other end of a pair of sockets, which is there or not. Needs nothing of the machine. */
public final class RingFixture implements BackendFixture {
    /** System property with the fault. */
    static final String FAULT = "vireo.ring-mutant";

    /** A fixture. */
    public RingFixture() {
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
        return 1;
    }

    @Override
    public Network network(int pairs) throws IOException {
        Wire w = new Wire();
        w.come(false);
        return w;
    }

    @Override
    public ExternalNetwork externalNetwork() throws IOException {
        return new Wire();
    }

    @Override
    public CongestedNetwork congestedNetwork() {
        return null;
    }

    @Override
    public Map<String, Map<String, ?>> refusedOptions() {
        return Map.of("fd=many", Map.of("fd", "many"));
    }

    @Override
    public NetBackend backend(String id, Map<String, ?> options) throws Exception {
        return new RingBackend(id, options);
    }

    @Override
    public Map<String, String> systemProperties() {
        return System.getProperty(FAULT) == null ? Map.of() : Map.of(FAULT, System.getProperty(FAULT));
    }

    @Override
    public void close() {
        // a backend without open port holds nothing
    }

    private static final class Wire implements ExternalNetwork {
        private static final int MOST = 4096;

        private final Fd[] pair = UnixSockets.pair(new Descriptors(), 5, true, "the kit's network");
        private final MemorySegment buffer = Arena.ofAuto().allocate(MOST);
        private final Path folder = Files.createTempDirectory("vireo-rings");

        Wire() throws IOException {
            for (Fd end : pair) {
                UnixSockets.sendBuffer(end, 1 << 20);
            }
        }

        private Path there() {
            return folder.resolve("there");
        }

        @Override
        public Map<String, ?> options() {
            Map<String, String> o = new LinkedHashMap<>(Map.of("fd", Integer.toString(pair[0].number()), "there", there().toString()));
            if (System.getProperty(FAULT) != null) {
                o.put("fault", System.getProperty(FAULT));
            }
            return o;
        }

        @Override
        public void come(boolean able) {
            try {
                Files.move(Files.writeString(folder.resolve("new"), able ? "able" : ""), there());
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }

        @Override
        public void go() {
            try {
                Files.delete(there());
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }

        @Override
        public void send(byte[] frame) {
            MemorySegment.copy(frame, 0, buffer, ValueLayout.JAVA_BYTE, 0, frame.length);
            long n = Posix.write(pair[1].number(), buffer.address(), frame.length);
            if (n != frame.length) {
                throw new AssertionError("the test's end of the wire: " + Errno.text((int) -n));
            }
        }

        @Override
        public byte[] take(Duration limit) {
            if (Poll.readable((int) limit.toMillis(), pair[1].number()) == 0) {
                return null;
            }
            long n = Posix.read(pair[1].number(), buffer.address(), MOST);
            return n <= 0 ? null : buffer.asSlice(0, n).toArray(ValueLayout.JAVA_BYTE);
        }

        @Override
        public String observe() {
            return "";
        }

        @Override
        public void close() {
            pair[0].close();
            pair[1].close();
            try {
                Files.deleteIfExists(there());
                Files.delete(folder);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    }
}
