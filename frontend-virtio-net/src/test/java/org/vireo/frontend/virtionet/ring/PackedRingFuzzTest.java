// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.ring;

import static org.junit.jupiter.api.Assertions.assertTrue;

import com.code_intelligence.jazzer.junit.FuzzTest;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.provider.MethodSource;

/** Fuzzing of packed rings, as of split ones: inputs of a seeded generator, nearly right, and others led by coverage. */
class PackedRingFuzzTest {
    private static final int INPUTS = 50_000;
    private static final int LAP = 1 << 7;
    private static final int OTHER_LAP = 1 << 15;
    private static RingFuzz fuzz;

    @BeforeAll
    static void start() throws Exception {
        fuzz = new RingFuzz(true);
    }

    @AfterAll
    static void stop() {
        fuzz.close();
    }

    @Test
    void manyRings() {
        Random random = new Random(26);
        int good = 0;
        for (int n = 0; n < INPUTS; n++) {
            if (fuzz.run(input(random))) {
                good++;
            }
        }
        assertTrue(good > INPUTS / 100 && good < INPUTS * 99 / 100, good + " good of " + INPUTS + ": it does not try much");
    }

    static List<byte[]> some() {
        Random random = new Random(27);
        return IntStream.range(0, 200).mapToObj(i -> input(random)).toList();
    }

    @MethodSource("some")
    @FuzzTest(maxExecutions = 50_000)
    void whateverLiesInARing(byte[] input) {
        fuzz.run(input);
    }

    private static byte[] input(Random random) {
        ByteBuffer b = ByteBuffer.allocate(1 + 128 + 22 + 256).order(ByteOrder.LITTLE_ENDIAN);
        // position 0 to 7 in bits 4 to 6, wrap counter in bit 3
        int choice = random.nextInt(256) & (random.nextInt(20) == 0 ? 0xff : 0x7f);
        b.put((byte) choice);
        boolean lap = (choice & 8) != 0;
        for (int i = 0; i < 8; i++) {
            // what lies before the position is of the next lap
            int available = i >= (choice >> 4 & 7) == lap ? LAP : OTHER_LAP;
            descriptor(b, random, (choice & 2) != 0, random.nextInt(12) == 0 ? 0 : available);
        }
        b.putInt(random.nextInt()).position(1 + 128 + 22);
        for (int i = 0; i < 16; i++) {
            descriptor(b, random, (choice & 2) != 0, 0);
        }
        return b.array();
    }

    private static void descriptor(ByteBuffer b, Random random, boolean write, int lap) {
        int flags = (write ? 2 : 0) | (random.nextInt(3) == 0 ? 1 : 0);
        long address = fuzz.memory() + random.nextInt(0x8000);
        int length = random.nextInt(2000);
        switch (random.nextInt(40)) {
            case 0 -> flags = random.nextInt() & ~(LAP | OTHER_LAP);
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
        b.putLong(address).putInt(length).putShort((short) random.nextInt()).putShort((short) (flags | lap));
    }
}
