// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.mutants;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
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

/** A network for the kit: the other end of a pair of sockets. Needs nothing of the machine. */
public final class MutantFixture implements BackendFixture {
    /** System property with the fault. */
    static final String FAULT = "vireo.mutant";

    /** A fixture. */
    public MutantFixture() {
        // nothing is made before it is asked for
    }

    @Override
    public void require() {
        // any Linux will do
    }

    @Override
    public int maxPairs() {
        return 1;
    }

    @Override
    public Network network(int pairs) throws IOException {
        return new Wire();
    }

    @Override
    public CongestedNetwork congestedNetwork() throws IOException {
        return new Wire();
    }

    @Override
    public Map<String, Map<String, ?>> refusedOptions() {
        Map<String, Object> many = new LinkedHashMap<>(fault());
        many.put("fd", "many");
        return Map.of("fd=many", many, "nonsense", Map.of("fd", "1", "fault", "nonsense"));
    }

    private static Map<String, String> fault() {
        String fault = System.getProperty(FAULT);
        return fault == null ? Map.of() : Map.of("fault", fault);
    }

    @Override
    public NetBackend backend(String id, Map<String, ?> options) throws Exception {
        return new MutantBackend(id, options);
    }

    @Override
    public Map<String, String> systemProperties() {
        return System.getProperty(FAULT) == null ? Map.of() : Map.of(FAULT, System.getProperty(FAULT));
    }

    @Override
    public void close() {
        // a backend without open port holds nothing
    }

    private static final class Wire implements CongestedNetwork {
        private static final int MOST = 64 * 1024;

        private final Fd[] pair = UnixSockets.pair(new Descriptors(), 5, true, "the kit's network");
        private final MemorySegment buffer = Arena.ofAuto().allocate(MOST);
        private final Deque<byte[]> aside = new ArrayDeque<>();

        Wire() throws IOException {
            for (Fd end : pair) {
                UnixSockets.sendBuffer(end, 1 << 20);
            }
        }

        @Override
        public Map<String, ?> options() {
            Map<String, String> o = new LinkedHashMap<>(fault());
            o.put("fd", Integer.toString(pair[0].number()));
            return o;
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
            if (!aside.isEmpty()) {
                return aside.pop();
            }
            if (Poll.readable((int) limit.toMillis(), pair[1].number()) == 0) {
                return null;
            }
            return read();
        }

        private byte[] read() {
            long n = Posix.read(pair[1].number(), buffer.address(), MOST);
            return n <= 0 ? null : buffer.asSlice(0, n).toArray(ValueLayout.JAVA_BYTE);
        }

        /** What came that is no frame: nothing else can be changed here. */
        @Override
        public String observe() {
            for (byte[] frame = read(); frame != null; frame = read()) {
                aside.add(frame);
            }
            return aside.stream().filter(f -> f.length < 14).map(String::new).toList().toString();
        }

        @Override
        public void block() {
            // it is when nobody takes
        }

        @Override
        public void unblock() {
            for (byte[] frame = read(); frame != null; frame = read()) {
                aside.add(frame);
            }
        }

        @Override
        public void close() {
            pair[0].close();
            pair[1].close();
        }
    }
}
