// SPDX-License-Identifier: Apache-2.0
package org.vireo.vhostuser;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** However often something changes, a log gets few lines, and the last one is true. */
final class FlapDampingTest {
    private static final int FIRST = 3;
    private static final long INTERVAL_MILLIS = TimeUnit.NANOSECONDS.toMillis(FlapDamping.INTERVAL_NANOS);

    private final List<String> said = new ArrayList<>();
    /** Such a clock may begin anywhere. */
    private long now = Long.MAX_VALUE - FlapDamping.INTERVAL_NANOS / 2;
    private final FlapDamping damping = new FlapDamping(FIRST, () -> now, said::add);

    private void pass(long millis) {
        now += TimeUnit.MILLISECONDS.toNanos(millis);
    }

    private List<String> take() {
        List<String> t = List.copyOf(said);
        said.clear();
        return t;
    }

    @Test
    void theFirstChangesAreSaidAtOnce() {
        for (String s : List.of("up", "down", "up")) {
            damping.say(s);
            assertEquals(List.of(s), take());
            assertEquals(FlapDamping.NOTHING, damping.leftNanos());
        }
    }

    @Test
    void moreOfThemMakeOneLineAnIntervalWithTheirNumberAndTheLastOne() {
        for (int i = 0; i < FIRST; i++) {
            damping.say("down");
        }
        take();
        damping.say("down");
        assertEquals(FlapDamping.INTERVAL_NANOS, damping.leftNanos());
        for (int i = 0; i < 99; i++) {
            damping.say(i % 2 == 0 ? "up" : "down");
        }
        pass(INTERVAL_MILLIS - 6);
        damping.say("up");
        pass(5);
        damping.flush();
        assertEquals(List.of(), take());
        pass(1);
        assertEquals(0, damping.leftNanos());
        damping.flush();
        assertEquals(List.of("up (it comes and goes: the last of 101 changes within 10 s)"), take());
        assertEquals(FlapDamping.NOTHING, damping.leftNanos());
        pass(5);
        damping.say("down");
        assertEquals(List.of(), take(), "it goes on");
        pass(INTERVAL_MILLIS);
        damping.flush();
        assertEquals(List.of("down"), take());
    }

    @Test
    void afterAQuietIntervalChangesAreFirstOnesAgain() {
        for (int i = 0; i <= FIRST; i++) {
            damping.say("x");
        }
        pass(1);
        damping.say("y");
        pass(INTERVAL_MILLIS - 1);
        damping.flush();
        take();
        damping.say("held");
        assertEquals(List.of(), take());
        pass(2 * INTERVAL_MILLIS);
        damping.say("at once");
        assertEquals(List.of("held", "at once"), take(), "nobody has flushed meanwhile");
    }

    @Test
    void whatIsHeldBackIsSaidInTheEnd() {
        for (int i = 0; i < FIRST + 2; i++) {
            damping.say("n" + i);
        }
        take();
        damping.end();
        assertEquals(List.of("n4 (it comes and goes: the last of 2 changes within 1 s)"), take());
        damping.end();
        assertEquals(List.of(), take());
    }

    /** Whatever the rhythm: few lines, and at every moment the last line is the last change or that is due within an interval. */
    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4})
    void linesAreFewAndTheLastOneIsTrue(long seed) {
        Random random = new Random(seed);
        String last = "";
        long passed = 0;
        int lines = 0;
        for (int i = 0; i < 20_000; i++) {
            last = "c" + i;
            damping.say(last);
            long pause = random.nextInt(100) == 0 ? random.nextLong(2 * INTERVAL_MILLIS) : random.nextLong(200);
            for (long left = pause; left > 0;) {
                long step = Math.min(left, Math.max(1, TimeUnit.NANOSECONDS.toMillis(Math.min(damping.leftNanos(), Long.MAX_VALUE / 2))));
                pass(step);
                damping.flush();
                left -= step;
            }
            passed += pause;
            lines += said.size();
            if (!said.isEmpty() && damping.leftNanos() == FlapDamping.NOTHING) {
                assertTrue(said.getLast().startsWith(last), said.getLast());
            }
            take();
            assertTrue(damping.leftNanos() == FlapDamping.NOTHING || damping.leftNanos() <= FlapDamping.INTERVAL_NANOS);
        }
        assertTrue(lines <= (FIRST + 1) * (passed / INTERVAL_MILLIS + 1), lines + " lines in " + passed + " ms");
    }
}
