// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.slot;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.vireo.net.api.AlreadyOpenException;
import org.vireo.net.api.NetdevException;
import org.vireo.testsupport.Await;

/** Calls of a backend's control side. */
class BackendCallsTest {
    private static final Duration LIMIT = Duration.ofSeconds(15);

    private final BackendCalls calls = new BackendCalls("net0", BackendThreads.ordinary());

    private static long in(long millis) {
        return System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(millis);
    }

    /** What is said of a call that hangs; one that a busy machine does not even begin in its time is not made, and is tried again. */
    private String hang(CountDownLatch sleep, Consumer<String> tooLate) {
        return Await.value(LIMIT, "the call to hang", () -> {
            String said = assertThrows(NetdevException.class, () -> calls.call("open", "tap 1.0", in(50), () -> {
                sleep.await(15, TimeUnit.SECONDS);
                return "port";
            }, tooLate)).getMessage();
            return said.contains("not begun") ? null : said;
        });
    }

    @Test
    void whatABackendThrowsIsNamed() throws Exception {
        assertEquals(7, calls.call("open", "tap 1.0", in(15_000), () -> 7));
        NetdevException own = new NetdevException("its own words");
        assertEquals(own, assertThrows(NetdevException.class, () -> calls.run("open", "tap 1.0", in(15_000), () -> {
            throw own;
        })));
        NetdevException e = assertThrows(NetdevException.class, () -> calls.run("open", "tap 1.0", in(15_000), () -> {
            throw new NoClassDefFoundError("Missing");
        }));
        assertTrue(e.getMessage().startsWith("netdev net0: open of tap 1.0 threw") && e.getMessage().contains("Missing"), e.getMessage());
    }

    /** A call that hangs: further ones are refused at once, its result is disposed of, and then all is well again. */
    @Test
    void aCallThatComesBackTooLate() throws Exception {
        CountDownLatch sleep = new CountDownLatch(1);
        List<String> disposed = new ArrayList<>();
        assertEquals("netdev net0: open of tap 1.0 did not return in time", hang(sleep, disposed::add));
        for (int i = 0; i < 3; i++) {
            long t = System.nanoTime();
            NetdevException e = assertThrows(NetdevException.class, () -> calls.call("close", "tap 1.0", in(15_000), () -> 1));
            assertEquals("netdev net0: open of tap 1.0 has not returned", e.getMessage());
            assertTrue(System.nanoTime() - t < 5_000_000_000L);
        }
        sleep.countDown();
        Await.until(LIMIT, "the call to return", () -> {
            try {
                return calls.call("close", "tap 1.0", in(15_000), () -> true);
            } catch (NetdevException x) {
                return false;
            }
        });
        assertEquals(List.of("port"), disposed);
    }

    /** Nobody waits longer than it wants to, also behind somebody else's call. */
    @Test
    void aCallBehindAnotherOneGivesUpAndIsNotMade() throws Exception {
        CountDownLatch begun = new CountDownLatch(1);
        CountDownLatch sleep = new CountDownLatch(1);
        AtomicInteger made = new AtomicInteger();
        CompletableFuture<Boolean> first = CompletableFuture.supplyAsync(() -> {
            try {
                return calls.call("statistics", "tap 1.0", in(15_000), () -> {
                    begun.countDown();
                    return sleep.await(15, TimeUnit.SECONDS);
                });
            } catch (NetdevException e) {
                throw new IllegalStateException(e);
            }
        });
        assertTrue(begun.await(15, TimeUnit.SECONDS));
        NetdevException e = assertThrows(NetdevException.class, () -> calls.call("apply", "tap 1.0", in(50), made::incrementAndGet));
        assertEquals("netdev net0: apply of tap 1.0 waited in vain for statistics of tap 1.0", e.getMessage());
        sleep.countDown();
        assertTrue(first.get(15, TimeUnit.SECONDS));
        assertEquals(1, calls.call("apply", "tap 1.0", in(15_000), made::incrementAndGet));
    }

    /** Nobody is before it, and yet no processor is there for it. */
    @Test
    void aCallThatIsNotBegunIsNotMade() {
        List<Runnable> threads = new ArrayList<>();
        BackendCalls starved = new BackendCalls("net0", threads::add);
        AtomicInteger made = new AtomicInteger();
        NetdevException e = assertThrows(NetdevException.class, () -> starved.call("quiesce", "tap 1.0", in(1), made::incrementAndGet));
        assertEquals("netdev net0: quiesce of tap 1.0 was not begun in time: is the machine overloaded?", e.getMessage());
        threads.getFirst().run();
        assertEquals(0, made.get());
    }

    /** What a call throws is code of the backend: its message may throw, or be of a class that nobody here knows. */
    @Test
    void whatCannotEvenBeTold() {
        NetdevException e = assertThrows(NetdevException.class, () -> calls.run("open", "tap 1.0", in(15_000), () -> {
            throw new IllegalStateException("its own words", new RuntimeException() {
                private static final long serialVersionUID = 1L;

                @Override
                public String toString() {
                    throw new StackOverflowError();
                }
            });
        }));
        assertEquals("netdev net0: open of tap 1.0 threw java.lang.IllegalStateException: its own words", e.getMessage());
        for (Throwable t = e; t != null; t = t.getCause()) {
            assertTrue(t.toString().contains(t == e ? "net0" : t.getMessage()), "told in words of our own");
        }
        e = assertThrows(NetdevException.class, () -> calls.run("open", "tap 1.0", in(15_000), () -> {
            throw new NetdevException(null);
        }));
        assertEquals("netdev net0: open of tap 1.0 threw org.vireo.net.api.NetdevException without a message", e.getMessage());
        NetdevException busy = assertThrows(NetdevException.class, () -> calls.run("open", "tap 1.0", in(15_000), () -> {
            throw new AlreadyOpenException("is open");
        }));
        assertEquals(AlreadyOpenException.class, busy.getClass());
    }

    /** A late result whose disposal throws, whatever it is, does not end the calls. */
    @Test
    void aLateResultThatCannotBeDisposedOf() throws Exception {
        CountDownLatch sleep = new CountDownLatch(1);
        hang(sleep, late -> BackendCallsTest.<RuntimeException>sneak(new Exception("checked")));
        AtomicInteger closed = new AtomicInteger();
        NetdevException e = assertThrows(NetdevException.class,
                () -> calls.finish("close", "tap 1.0", in(15_000), closed::incrementAndGet));
        assertEquals("netdev net0: open of tap 1.0 has not returned; close comes after it", e.getMessage());
        assertEquals(0, closed.get());
        sleep.countDown();
        Await.until(LIMIT, "the close that came in between", () -> closed.get() == 1);
        assertEquals(7, calls.call("open", "tap 1.0", in(15_000), () -> 7));
    }

    @SuppressWarnings("unchecked")
    private static <T extends Throwable> void sneak(Throwable t) throws T {
        throw (T) t;
    }
}
