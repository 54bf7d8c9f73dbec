// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.worker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.vireo.posix.Descriptors;
import org.vireo.testsupport.Await;

/** Workers and who watches them. */
class WatchdogTest {
    private static final java.time.Duration LIMIT = java.time.Duration.ofSeconds(15);
    private Watchdog watchdog;
    private Worker worker;

    @BeforeEach
    void start() throws Exception {
        watchdog = new Watchdog();
        worker = new Worker("test-worker", new Descriptors(), watchdog, Worker.Urgency.FRAMES);
    }

    @AfterEach
    void stop() {
        worker.close();
        watchdog.close();
    }

    /** A task that counts its runs and does something in each. */
    private static class TestTask extends Task {
        final AtomicInteger runs = new AtomicInteger();
        final AtomicInteger rewinds = new AtomicInteger();
        final AtomicReference<Throwable> broken = new AtomicReference<>();
        final CountDownLatch brokenSignal = new CountDownLatch(1);
        final CountDownLatch returned = new CountDownLatch(1);
        final Object group;
        volatile boolean truncated;
        volatile Action action = () -> false;
        volatile Runnable onRewind = () -> { };

        interface Action {
            boolean run() throws Exception;
        }

        TestTask(Object group) {
            this.group = group;
        }

        @Override
        protected void ready(int source, int events) {
            wake();
        }

        @Override
        protected boolean run(Scratch scratch) throws Exception {
            runs.incrementAndGet();
            return action.run();
        }

        @Override
        protected void broken(Throwable why) {
            broken.set(why);
            brokenSignal.countDown();
        }

        @Override
        protected boolean memoryTruncated() {
            return truncated;
        }

        @Override
        protected void rewind() {
            rewinds.incrementAndGet();
            onRewind.run();
        }

        @Override
        protected Object group() {
            return group;
        }

        @Override
        protected void returned() {
            returned.countDown();
        }

        void poke() {
            wake();
        }
    }

    private TestTask add(Object group) throws Exception {
        TestTask t = new TestTask(group);
        worker.execute(() -> {
            worker.add(t);
            return null;
        }).get(15, TimeUnit.SECONDS);
        return t;
    }

    private void poke(TestTask t) throws Exception {
        worker.execute(() -> {
            t.poke();
            return null;
        }).get(15, TimeUnit.SECONDS);
    }

    @Test
    void aTaskThatSleepsHoldsNobodyElseUp() throws Exception {
        TestTask neighbour = add("b");
        TestTask sameNic = add("a");
        TestTask guilty = add("a");
        CountDownLatch sleep = new CountDownLatch(1);
        AtomicInteger late = new AtomicInteger();
        guilty.action = () -> {
            sleep.await(30, TimeUnit.SECONDS);
            late.incrementAndGet();
            return true;
        };
        poke(guilty);
        long t = System.nanoTime();
        poke(neighbour);
        long millis = (System.nanoTime() - t) / 1_000_000;
        Await.until(LIMIT, "the neighbour to run", () -> neighbour.runs.get() == 1);
        assertTrue(guilty.brokenSignal.await(15, TimeUnit.SECONDS));
        assertTrue(millis < 3000, "the neighbour waited " + millis + " ms");
        StuckException why = (StuckException) guilty.broken.get();
        assertTrue(why.inside());
        assertTrue(sameNic.brokenSignal.await(15, TimeUnit.SECONDS));
        assertFalse(((StuckException) sameNic.broken.get()).inside());
        assertTrue(guilty.isRevoked() && sameNic.isRevoked());
        assertFalse(neighbour.isRevoked());
        assertEquals(1, guilty.returned.getCount());
        poke(neighbour);
        Await.until(LIMIT, "the neighbour to run again", () -> neighbour.runs.get() == 2);
        sleep.countDown();
        assertTrue(guilty.returned.await(15, TimeUnit.SECONDS));
        assertEquals(1, late.get());
        Await.until(LIMIT, "its thread to end",
                () -> Thread.getAllStackTraces().keySet().stream().filter(x -> x.getName().equals("test-worker")).count() == 1);
        assertEquals(1, guilty.runs.get());
        poke(neighbour);
        Await.until(LIMIT, "the neighbour to run once more", () -> neighbour.runs.get() == 3);
    }

    /** Each thread that is given up has one successor, also the second one. */
    @Test
    void severalOneAfterTheOther() throws Exception {
        TestTask neighbour = add("b");
        CountDownLatch sleep = new CountDownLatch(1);
        for (int i = 0; i < 3; i++) {
            TestTask guilty = add("a" + i);
            guilty.action = () -> sleep.await(30, TimeUnit.SECONDS);
            poke(guilty);
            assertTrue(guilty.brokenSignal.await(15, TimeUnit.SECONDS), "number " + i);
            int runs = neighbour.runs.get();
            poke(neighbour);
            Await.until(LIMIT, "the neighbour to run", () -> neighbour.runs.get() > runs);
        }
        sleep.countDown();
        Await.until(LIMIT, "the threads to end",
                () -> Thread.getAllStackTraces().keySet().stream().filter(x -> x.getName().equals("test-worker")).count() == 1);
    }

    /** It sleeps while nothing happens, and is awake again for the very first task that does not return. */
    @Test
    void theFirstTaskAfterALongPauseIsWatchedToo() throws Exception {
        TestTask guilty = add("a");
        CountDownLatch sleep = new CountDownLatch(1);
        guilty.action = () -> sleep.await(30, TimeUnit.SECONDS);
        Thread w = Thread.getAllStackTraces().keySet().stream().filter(x -> x.getName().equals("vireo-watchdog")).findFirst().orElseThrow();
        Await.until(LIMIT, "the watchdog to sleep", () -> w.getState() == Thread.State.WAITING);
        poke(guilty);
        assertTrue(guilty.brokenSignal.await(15, TimeUnit.SECONDS));
        sleep.countDown();
        assertTrue(guilty.returned.await(15, TimeUnit.SECONDS));
    }

    @Test
    void manyShortTasksAreNotStuck() throws Exception {
        TestTask busy = add("a");
        long end = System.nanoTime() + 600_000_000L;
        busy.action = () -> {
            Thread.sleep(1);
            return System.nanoTime() < end;
        };
        poke(busy);
        Await.until(LIMIT, "it to end", () -> System.nanoTime() > end);
        poke(busy);
        assertEquals(1, busy.brokenSignal.getCount());
    }

    @Test
    void aTaskThatThrowsIsTakenOut() throws Exception {
        TestTask neighbour = add("b");
        TestTask guilty = add("a");
        guilty.action = () -> {
            throw new StackOverflowError("deep");
        };
        poke(guilty);
        assertTrue(guilty.brokenSignal.await(15, TimeUnit.SECONDS));
        assertTrue(guilty.broken.get() instanceof StackOverflowError);
        poke(guilty);
        poke(neighbour);
        Await.until(LIMIT, "the neighbour to run", () -> neighbour.runs.get() == 1);
        assertEquals(1, guilty.runs.get());
    }

    /** A fault of memory may show up late, in another task: who did it is found by its memory, also when it is queued itself. */
    @Test
    void aFaultIsTheTruncatedOnes() throws Exception {
        TestTask innocent = add("b");
        TestTask guilty = add("a");
        AtomicInteger faults = new AtomicInteger(1);
        innocent.action = () -> {
            if (faults.getAndDecrement() > 0) {
                throw new InternalError("a fault occurred in a recent unsafe memory access operation");
            }
            return false;
        };
        guilty.truncated = true;
        worker.execute(() -> {
            innocent.poke();
            guilty.poke();
            return null;
        }).get(15, TimeUnit.SECONDS);
        assertTrue(guilty.brokenSignal.await(15, TimeUnit.SECONDS));
        Await.until(LIMIT, "the innocent to run again", () -> innocent.runs.get() == 2);
        assertEquals(1, innocent.rewinds.get());
        assertEquals(1, innocent.brokenSignal.getCount());
        assertEquals(0, guilty.runs.get());
    }

    /** The look-ahead may be marked in memory that faults as well. */
    @Test
    void aFaultWhileTheLookAheadIsUndoneCostsOnlyItsTask() throws Exception {
        TestTask neighbour = add("b");
        TestTask guilty = add("a");
        guilty.action = () -> {
            throw new InternalError("a fault occurred in an unsafe memory access operation");
        };
        guilty.onRewind = () -> {
            throw new InternalError("another one");
        };
        poke(guilty);
        assertTrue(guilty.brokenSignal.await(15, TimeUnit.SECONDS));
        poke(neighbour);
        Await.until(LIMIT, "the neighbour to run", () -> neighbour.runs.get() == 1);
        assertEquals(1, guilty.runs.get());
    }

    @Test
    void whoThrowsInternalErrorsForNoReasonIsTakenOut() throws Exception {
        TestTask guilty = add("a");
        guilty.action = () -> {
            throw new InternalError("because");
        };
        poke(guilty);
        assertTrue(guilty.brokenSignal.await(15, TimeUnit.SECONDS));
        assertTrue(guilty.runs.get() < 10);
    }

    @Test
    void aCommandThatIsWithdrawnDoesNotRun() throws Exception {
        CountDownLatch hold = new CountDownLatch(1);
        AtomicInteger ran = new AtomicInteger();
        Worker.Command<Boolean> first = worker.execute(() -> hold.await(15, TimeUnit.SECONDS));
        Worker.Command<Integer> second = worker.execute(ran::incrementAndGet);
        assertTrue(second.withdraw());
        hold.countDown();
        assertTrue(first.get(15, TimeUnit.SECONDS));
        worker.execute(() -> null).get(15, TimeUnit.SECONDS);
        assertEquals(0, ran.get());
        assertFalse(first.withdraw());
    }

    /** A thread that waits for a processor is not stuck; one that sleeps or computes is. */
    @Test
    void waitingForAProcessorIsTakenOff() {
        ThreadTimes before = new ThreadTimes(true, 1000, 1000);
        assertEquals(50, new ThreadTimes(false, 1000, 1000).heldSince(before, 50), "asleep");
        assertEquals(50, new ThreadTimes(true, 1050, 1000).heldSince(before, 50), "computing");
        assertEquals(0, new ThreadTimes(true, 1000, 1000).heldSince(before, 50), "waiting, and the kernel has not counted it yet");
        assertEquals(10, new ThreadTimes(true, 1010, 1040).heldSince(before, 50), "waiting, with some work");
        assertEquals(10, new ThreadTimes(false, 1005, 1040).heldSince(before, 50), "waited, then slept");
        assertEquals(0, new ThreadTimes(false, 1000, 1500).heldSince(before, 50), "a wait of several periods is over");
    }

    @Test
    void theTimesOfAThreadAreReal() {
        int me = org.vireo.posix.linux.Processes.threadId();
        ThreadTimes a = ThreadTimes.of(me);
        assertTrue(a.runnable());
        assertTrue(a.cpuNanos() > 0);
        Await.until(LIMIT, "cpu time to go on", () -> ThreadTimes.of(me).cpuNanos() > a.cpuNanos());
        assertEquals(new ThreadTimes(false, 0, 0), ThreadTimes.of(-1));
    }
}
