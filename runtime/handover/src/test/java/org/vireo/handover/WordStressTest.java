// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import java.util.Random;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.vireo.handover.WordRules.Decision;
import org.vireo.net.api.nic.Ownership;
import org.vireo.net.api.nic.Ownership.Phase;

/**
 * Three parties on threads of their own hand one word about, with offers, withdrawals, givings back, late wakers and fences at random
 * moments, by the rules alone. Never do two read; in the end one owns.
 */
class WordStressTest {
    private static final int PARTIES = 3;
    private static final int MOVES = 1_000;
    /** Nothing rests on a deadline's length: with these, everything is overdue whenever a thread was not scheduled. */
    private static final Deadlines HASTY = new Deadlines(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1);

    private final AtomicLong word = new AtomicLong(new Ownership(1, Phase.OWNED, 0, Ownership.NONE).encode());
    private final AtomicInteger reader = new AtomicInteger(0);
    private final AtomicInteger moves = new AtomicInteger();

    private final class Party implements Runnable {
        private final int self;
        private final Random random;
        private final StandIns.Block block;
        private final WordWatch watch;
        private boolean source;
        private boolean reading;
        private boolean unable;
        private Throwable wrong;

        Party(int self) {
            this.self = self;
            random = new Random(self);
            block = new StandIns.Block(word, new AtomicLong(), self);
            watch = new WordWatch(block, HASTY, this::gather);
        }

        private void gather(Ownership w, Set<Fact> facts) {
            facts.add(Fact.CURRENT);
            facts.add(Fact.FED);
            if (source) {
                facts.add(Fact.SOURCE);
            }
            if (reading) {
                facts.add(Fact.READING);
                facts.add(unable ? Fact.UNABLE : Fact.PASSED);
            }
            if (random.nextInt(100) == 0) {
                facts.add(Fact.WITHDRAW);
            }
            if (random.nextInt(4) == 0) {
                Thread.yield();
            }
        }

        private void begin() {
            if (!reader.compareAndSet(-1, self)) {
                fail("party " + self + " begins to read while " + reader + " does: " + Ownership.decode(word.get()));
            }
        }

        private void end() {
            if (!reader.compareAndSet(self, -1)) {
                fail("party " + self + " did not read, but " + reader);
            }
        }

        @Override
        public void run() {
            try {
                if (self == 0) {
                    own();
                }
                while (!done()) {
                    step();
                }
            } catch (Throwable t) {
                wrong = t;
                moves.set(MOVES);
            }
        }

        private boolean done() {
            return moves.get() >= MOVES && Ownership.decode(word.get()).phase() == Phase.OWNED;
        }

        /** It reads, and the word says OWNED by it: it offers to somebody, or ends. */
        private void own() {
            source = false;
            reading = false;
            unable = false;
            if (moves.get() >= MOVES) {
                return;
            }
            end();
            source = true;
            assertTrue(watch.offer((self + 1 + random.nextInt(PARTIES - 1)) % PARTIES), "nobody changes an owned word but its owner");
        }

        private void step() {
            Decision d = watch.step();
            switch (d.act()) {
                case WAIT, KILL, FENCE, RUN -> Thread.yield();
                case TAKE -> {
                    unable = random.nextInt(4) == 0;
                    reading = true;
                    if (!unable) {
                        begin();
                    }
                }
                case OWN -> {
                    moves.incrementAndGet();
                    own();
                }
                case RESUME -> {
                    begin();
                    own();
                }
                case STOP_READING -> {
                    if (!unable) {
                        end();
                    }
                    reading = false;
                    unable = false;
                }
                case YIELD -> Thread.yield();
                case DROP, LET_GO, GIVE_BACK -> {
                    // it is prepared anew at once
                    source = false;
                    reading = false;
                    unable = false;
                }
                default -> fail(d.toString());
            }
        }
    }

    @Test
    @Timeout(60)
    void neverTwoReaders() throws InterruptedException {
        Party[] parties = new Party[PARTIES];
        Thread[] threads = new Thread[PARTIES];
        for (int i = 0; i < PARTIES; i++) {
            parties[i] = new Party(i);
            threads[i] = Thread.ofPlatform().name("party " + i).start(parties[i]);
        }
        for (int i = 0; i < PARTIES; i++) {
            threads[i].join();
        }
        for (Party p : parties) {
            if (p.wrong != null) {
                throw new AssertionError("party " + p.self, p.wrong);
            }
        }
        Ownership w = Ownership.decode(word.get());
        assertEquals(Phase.OWNED, w.phase());
        assertEquals(w.holder(), reader.get());
        assertTrue(moves.get() >= MOVES, moves + " takes");
    }
}
