// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.ring;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Fuzzing of the ring: the corpus under src/test/resources, and a fixed number of inputs from a seeded generator, nearly right as random
 * bytesX */
class RingFuzzTest {
    private static final int INPUTS = 50_000;
    private static RingFuzz fuzz;

    @BeforeAll
    static void start() throws Exception {
        fuzz = new RingFuzz();
    }

    @AfterAll
    static void stop() {
        fuzz.close();
    }

    static Stream<Path> corpus() throws Exception {
        Path folder = Path.of(RingFuzzTest.class.getResource("RingFuzzTest").toURI());
        try (Stream<Path> files = Files.list(folder)) {
            return files.sorted().toList().stream();
        }
    }

    @ParameterizedTest
    @MethodSource("corpus")
    void theCorpus(Path input) throws Exception {
        // what the name says is good is good
        boolean good = List.of("one", "receive", "event-index", "skip", "skip-all", "as-long-as-the-ring", "wraps", "indirect",
                "indirect-after-plain", "indirect-unaligned").contains(input.getFileName().toString());
        assertEquals(good, fuzz.run(Files.readAllBytes(input)));
    }

    @Test
    void manyRings() {
        Random random = new Random(25);
        int good = 0;
        for (int n = 0; n < INPUTS; n++) {
            if (fuzz.run(input(random))) {
                good++;
            }
        }
        assertTrue(good > INPUTS / 100 && good < INPUTS * 99 / 100, good + " good of " + INPUTS + ": it does not try much");
    }

    private static byte[] input(Random random) {
        ByteBuffer b = ByteBuffer.allocate(1 + 128 + 22 + 256).order(ByteOrder.LITTLE_ENDIAN);
        int choice = random.nextInt(256);
        b.put((byte) choice);
        for (int i = 0; i < 8; i++) {
            descriptor(b, random, (choice & 2) != 0);
        }
        b.putShort((short) random.nextInt(2)).putShort((short) (random.nextInt(20) == 0 ? random.nextInt() : random.nextInt(9)));
        for (int i = 0; i < 8; i++) {
            b.putShort((short) (random.nextInt(50) == 0 ? random.nextInt() : random.nextInt(8)));
        }
        b.putShort((short) random.nextInt());
        for (int i = 0; i < 16; i++) {
            descriptor(b, random, (choice & 2) != 0);
        }
        return b.array();
    }

    private static void descriptor(ByteBuffer b, Random random, boolean write) {
        int flags = (write ? 2 : 0) | (random.nextInt(3) == 0 ? 1 : 0);
        long address = fuzz.memory() + random.nextInt(0x8000);
        int length = random.nextInt(2000);
        switch (random.nextInt(40)) {
            case 0 -> flags = random.nextInt();
            case 1 -> address = random.nextLong();
            case 2 -> length = random.nextInt();
            case 3 -> address = fuzz.memory() + 0x10000 - random.nextInt(3000);
            case 4, 5, 6, 7 -> {
                flags = 4;
                address = fuzz.memory() + 0x8000;
                length = 16 * (1 + random.nextInt(16)) + (random.nextInt(10) == 0 ? 1 : 0);
            }
            default -> {
                // a good one
            }
        }
        b.putLong(address).putInt(length).putShort((short) flags);
        b.putShort((short) (random.nextInt(30) == 0 ? random.nextInt() : random.nextInt(8)));
    }
}
