// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.slot;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.reflect.Proxy;
import java.time.Duration;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.function.Executable;
import org.vireo.net.api.NetPort.Disposal;
import org.vireo.net.api.NetdevException;
import org.vireo.posix.Descriptors;
import org.vireo.testsupport.Await;

/** A NIC is prepared anew while what it was before is over, and has not let go: a worker is still in it. */
@Timeout(60)
class SlotUsersTest {
    private final NetdevSlot slot = new NetdevSlot("net0", new Descriptors(), Runnable::run);
    private volatile boolean ended;
    private final SlotUser before = user(true);
    private final SlotUser anew = user(false);

    private SlotUser user(boolean ends) {
        return (SlotUser) Proxy.newProxyInstance(SlotUser.class.getClassLoader(), new Class<?>[] {SlotUser.class},
                (self, method, arguments) -> switch (method.getName()) {
                    case "id" -> "nic0";
                    case "pairs" -> 1;
                    case "ended" -> ends && ended;
                    case "equals" -> self == arguments[0];
                    case "hashCode" -> System.identityHashCode(self);
                    default -> throw new UnsupportedOperationException(method.getName());
                });
    }

    private static long soon() {
        return System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
    }

    @BeforeEach
    void end() throws NetdevException {
        slot.users().add(before);
        ended = true;
    }

    @Test
    void whoComesFromAnotherProcessWaitsForAMoment() throws Exception {
        FutureTask<Void> comes = new FutureTask<>(() -> {
            slot.users().receive(anew, true, soon());
            return null;
        });
        Thread thread = Thread.ofPlatform().start(comes);
        Await.until(Duration.ofSeconds(15), "it waits", () -> thread.getState() == Thread.State.TIMED_WAITING || comes.isDone());
        slot.release(before, Disposal.LEAVE);
        comes.get(20, TimeUnit.SECONDS);
        assertTrue(slot.users().isHeldBy(anew));
    }

    @Test
    void whatHangsIsNotWaitedFor() {
        assertRefused(() -> slot.users().receive(anew, true, soon()));
        assertFalse(slot.users().isHeldBy(anew));
    }

    /** Its thread may be the one that the other NIC ends on. */
    @Test
    void whoIsMadeHereDoesNotWait() {
        long began = System.nanoTime();
        assertRefused(() -> slot.users().add(anew));
        assertTrue(System.nanoTime() - began < TimeUnit.MILLISECONDS.toNanos(400), "it waited");
    }

    private static void assertRefused(Executable what) {
        NetdevException e = assertThrows(NetdevException.class, what);
        assertTrue(e.getMessage().contains("is in use by NIC nic0, which is over, but whose backend has not let go yet"), e.getMessage());
    }
}
