// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.lang.reflect.Proxy;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.vireo.vhostuser.FlapDamping;

/** What is held back is said in time by nobody but the timer. */
class NicNewsTest {
    private final List<String> said = new ArrayList<>();
    private final Deque<Runnable> scheduled = new ArrayDeque<>();
    private long now;
    private long due;
    private final ScheduledExecutorService timer = (ScheduledExecutorService) Proxy.newProxyInstance(NicNewsTest.class.getClassLoader(),
            new Class<?>[] {ScheduledExecutorService.class}, (p, m, a) -> {
                assertEquals("schedule", m.getName());
                scheduled.add((Runnable) a[0]);
                due = now + ((TimeUnit) a[2]).toNanos((long) a[1]);
                return null;
            });
    private final NicNews news = new NicNews(new Actor("a", Runnable::run), timer, 1, () -> now, said::add);

    private void timer() {
        now = due;
        scheduled.pop().run();
    }

    @Test
    void oneTimerAtATimeSaysWhatIsHeldBackUntilNothingIs() {
        news.say("a");
        assertEquals(0, scheduled.size());
        news.say("b");
        news.say("c");
        assertEquals(1, scheduled.size());
        assertEquals(FlapDamping.INTERVAL_NANOS, due);
        now = due - 1;
        news.say("d");
        timer();
        assertEquals(List.of("a", "d (it comes and goes: the last of 3 changes within 10 s)"), said);
        assertEquals(0, scheduled.size());
        news.say("e");
        assertEquals(1, scheduled.size());
        timer();
        assertEquals("e", said.getLast());
        assertEquals(0, scheduled.size());
    }

    @Test
    void aTimerThatComesAfterTheEndSaysNothing() {
        news.say("a");
        news.say("b");
        news.end();
        timer();
        assertEquals(List.of("a", "b"), said);
    }
}
