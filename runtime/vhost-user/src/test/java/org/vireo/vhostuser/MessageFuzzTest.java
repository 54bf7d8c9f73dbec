// SPDX-License-Identifier: Apache-2.0
package org.vireo.vhostuser;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Fuzzing of the message codec: whatever comes on a socket is a message, a part of one, the end, or a {@link MalformedMessageException};
 * and no descriptor stays open. Inputs are the corpus under src/test/resources and a fixed number from a seeded generator, nearly right
 * as random bytes seldom are. An input that once broke something is kept in the corpus. {@link MessageChannelFuzzTest} is led by
 * coverage instead.
 */
class MessageFuzzTest {
    private static final int INPUTS = 15_000;

    static Stream<Path> corpus() throws Exception {
        Path folder = Path.of(MessageFuzzTest.class.getResource("MessageFuzzTest").toURI());
        try (Stream<Path> files = Files.list(folder)) {
            return files.sorted().toList().stream();
        }
    }

    @ParameterizedTest
    @MethodSource("corpus")
    void theCorpus(Path input) throws Exception {
        byte[] data = Files.readAllBytes(input);
        int before = Pair.openDescriptors();
        feed(data);
        int after = Pair.openDescriptors();
        assertTrue(after <= before + 1, after + " descriptors after " + before);
    }

    @Test
    void manyStreams() throws Exception {
        Random random = new Random(25);
        int before = Pair.openDescriptors();
        int whole = 0;
        for (int n = 0; n < INPUTS; n++) {
            whole += feed(input(random));
        }
        assertTrue(whole > INPUTS / 10, whole + " whole messages of " + INPUTS + " inputs: it does not try much");
        int after = Pair.openDescriptors();
        assertTrue(after <= before + 2, after + " descriptors after " + before);
    }

    /** The first byte tells how many descriptors go along; the rest is the stream. Returns how many whole messages there were. */
    private static int feed(byte[] data) throws IOException {
        if (data.length < 2) {
            return 0;
        }
        int whole = 0;
        try (Pair p = new Pair(data[0] & 3)) {
            MemorySegment bytes = MemorySegment.ofArray(data);
            p.write(bytes, 1, Math.min(data.length - 1, 100_000), data[0] & 3);
            while (true) {
                if (!(p.channel.peek() instanceof Look.Whole w)) {
                    return whole;
                }
                try (Message m = w.message()) {
                    whole++;
                    read(m);
                    p.channel.consume(m);
                }
            }
        } catch (MalformedMessageException | IOException e) {
            if (e.getMessage() == null || e.getMessage().isEmpty()) {
                throw new AssertionError("no reason", e);
            }
            return whole;
        }
    }

    /** Every reader either gives a value or says what is wrong. */
    private static void read(Message m) {
        List<Reader> all = List.of(m::check, () -> m.checkReply(true), () -> m.checkReply(false), m::u64, m::vringState,
                m::vringAddress, m::memoryTable, m::memoryRegion, m::config, m::log, m::inflight, m::deviceState, m::descriptorRing,
                () -> m.takeDescriptor().close());
        for (Reader r : all) {
            try {
                r.read();
            } catch (MalformedMessageException e) {
                if (e.getMessage().isEmpty()) {
                    throw new AssertionError("no reason", e);
                }
            }
        }
        assertTrue(!m.toString().isEmpty() && m.name() != null);
    }

    @FunctionalInterface
    private interface Reader {
        void read() throws MalformedMessageException;
    }

    private static byte[] input(Random random) {
        ByteBuffer b = ByteBuffer.allocate(4096).order(ByteOrder.LITTLE_ENDIAN);
        b.put((byte) random.nextInt(4));
        for (int messages = 1 + random.nextInt(3); messages > 0; messages--) {
            int request = random.nextInt(20) == 0 ? random.nextInt() : random.nextInt(48);
            int flags = random.nextInt(20) == 0 ? random.nextInt() : 1 | random.nextInt(4) << 2;
            byte[] payload = new byte[size(random)];
            random.nextBytes(payload);
            if (payload.length >= 8 && random.nextBoolean()) {
                Arrays.fill(payload, 0, 8, (byte) 0);
                payload[0] = (byte) random.nextInt(9);
                payload[4] = (byte) random.nextInt(20);
            }
            b.putInt(request).putInt(flags).putInt(random.nextInt(20) == 0 ? random.nextInt() : payload.length).put(payload);
        }
        int length = b.position();
        return Arrays.copyOf(b.array(), random.nextInt(10) == 0 ? 1 + random.nextInt(length) : length);
    }

    private static int size(Random random) {
        return switch (random.nextInt(8)) {
            case 0 -> 0;
            case 1, 2 -> 8;
            case 3 -> 40;
            case 4 -> 8 + 32 * random.nextInt(9);
            case 5 -> 12 + random.nextInt(257);
            case 6 -> 4 * random.nextInt(16);
            default -> random.nextInt(600);
        };
    }
}
