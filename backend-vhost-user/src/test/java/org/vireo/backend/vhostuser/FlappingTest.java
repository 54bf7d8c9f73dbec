// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import java.util.logging.SimpleFormatter;
import org.junit.jupiter.api.Test;
import org.vireo.net.api.NetPort.Disposal;
import org.vireo.posix.linux.Poll;
import org.vireo.vhostuser.FlapDamping;
import org.vireo.vhostuser.Request;

/** A back-end that comes and goes over and over costs neither the log nor the processor. */
final class FlappingTest extends PortCase {
    private static final Logger LOGGER = Logger.getLogger(Link.class.getName());

    /** What the link logs. */
    private final class Lines extends Handler {
        private final List<String> all = new CopyOnWriteArrayList<>();
        private final List<String> warnings = new CopyOnWriteArrayList<>();

        Lines() {
            LOGGER.addHandler(this);
            keep(this::close);
        }

        List<String> take() {
            List<String> t = List.copyOf(all);
            all.removeAll(t);
            return t;
        }

        @Override
        public void publish(LogRecord record) {
            String line = new SimpleFormatter().formatMessage(record);
            all.add(line);
            if (record.getLevel() == Level.WARNING) {
                warnings.add(line);
            }
        }

        @Override
        public void flush() {
            // nothing is kept back
        }

        @Override
        public void close() {
            LOGGER.removeHandler(this);
        }
    }

    private void flap(ScriptedBackEnd b, int times) {
        for (int i = 0; i < times; i++) {
            news.take();
            b.hangUp();
            news.await("link up");
        }
    }

    @Test
    void theLogGetsTheFirstChangesAndThenOneLineAnInterval() throws Exception {
        AtomicLong clock = new AtomicLong();
        pace = new Pace(clock::get, 10);
        ScriptedBackEnd b = backEnd(PLAIN);
        Lines log = new Lines();
        VhostUserPort p = open("reconnect-ms=1");
        flap(b, 10);
        clock.addAndGet(FlapDamping.INTERVAL_NANOS / 2);
        flap(b, 10);
        List<String> first = log.take();
        assertEquals(6, first.size(), first::toString);
        assertTrue(first.getFirst().contains("has gone: it closed the connection"), first::toString);
        int left = p.link().next().millis();
        assertTrue(left >= 5_000 && left < 5_010, "it wakes up in " + left + " ms to say the rest");
        clock.addAndGet(FlapDamping.INTERVAL_NANOS / 2);
        assertEquals(0, p.link().next().millis());
        flap(b, 20);
        List<String> more = log.take();
        assertEquals(1, more.size(), more::toString);
        String line = more.getFirst();
        assertTrue(line.matches(".* is there: .* \\(it comes and goes: the last of \\d\\d changes within 10 s\\)"), line);
        b.twist(Request.GET_FEATURES, ScriptedBackEnd.Twist.DIE);
        news.take();
        b.hangUp();
        news.await("link down");
        p.close(Disposal.RELEASE);
        List<String> last = log.take();
        assertEquals(1, last.size(), last::toString);
        assertTrue(last.getFirst().contains("has gone: ") || last.getFirst().contains("no back-end at"), last::toString);
    }

    /** Who did that, or is told of it by somebody, has to find it, whatever else comes and goes. */
    @Test
    void thatSomebodyRemovedTheSocketIsAWarningAndNotDampedAway() throws Exception {
        ScriptedBackEnd b = keep(new ScriptedBackEnd(path(), false, OFFERED, PLAIN, 2));
        Lines log = new Lines();
        open("server=on");
        flap(b, 10);
        long start = System.nanoTime();
        for (int i = 0; i < 5; i++) {
            Files.delete(path());
            flap(b, 1);
            assertTrue(Files.exists(path()));
        }
        long most = 1 + TimeUnit.NANOSECONDS.toSeconds(System.nanoTime() - start);
        assertTrue(!log.warnings.isEmpty() && log.warnings.size() <= most, log.warnings::toString);
        assertTrue(log.warnings.getFirst().contains(path() + " was removed by somebody"), log.warnings::toString);
    }

    /** One that hangs up as soon as it is spoken to is no reason to call a thousand times a second. */
    @Test
    void itIsTriedMoreSeldomAndSoonAgainAfterItWasAway() throws Exception {
        pace = Pace.USUAL;
        ScriptedBackEnd b = new ScriptedBackEnd(path(), true, OFFERED, PLAIN, 2);
        try (b) {
            open("reconnect-ms=1");
            b.twist(Request.GET_FEATURES, ScriptedBackEnd.Twist.DIE);
            b.hangUp();
            news.awaitEverDown(".*; Vireo connects again every (512|1024|2000) ms, since it comes and goes: it closed the connection.*");
            int before = b.connections();
            Poll.readable(1_000);
            int more = b.connections() - before;
            assertTrue(more < 4, more + " connections within a second");
        }
        Poll.readable(Backoff.MOST_MILLIS + 600);
        long start = System.nanoTime();
        backEnd(PLAIN);
        news.await("link up");
        long millis = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - start);
        assertTrue(millis < 1_000, "it was taken after " + millis + " ms");
    }
}
