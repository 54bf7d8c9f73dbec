// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.vireo.guest.GuestNic;
import org.vireo.net.api.nic.IncomingNic;
import org.vireo.net.api.nic.NicImage;
import org.vireo.net.api.nic.NicState;
import org.vireo.net.api.nic.TransferableNic;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.OpenFiles;
import org.vireo.vhostuser.VirtioNet;

/** A rehearsal does the real thing with stand-ins: it moves frames, touches nobody, and leaves nothing. */
@Timeout(120)
class DressRehearsalTest {
    private static final Pattern DONE = Pattern.compile("([0-9]+) handovers, ([0-9]+) frames, [0-9]+ ms; best: [0-9]+ us a handover, "
            + "[0-9]+ ns a frame(?:; ([0-9]+) changes of VMM; best: [0-9]+ us)?");

    private Harness host;
    private Harness other;
    private FakeNetwork net;
    private FakeBackend backend;

    @BeforeEach
    void start() throws Exception {
        host = new Harness(1);
        other = new Harness(1);
        net = host.network(1);
        backend = host.backend("neta", net);
    }

    @AfterEach
    void end() {
        host.close();
        other.close();
    }

    private static long deadline() {
        return System.nanoTime() + Duration.ofSeconds(20).toNanos();
    }

    private static void assertDone(String report) {
        var m = DONE.matcher(report);
        assertTrue(m.matches(), report);
        assertTrue(Long.parseLong(m.group(1)) > 10, report);
        assertTrue(Long.parseLong(m.group(2)) > 1000, report);
    }

    private static List<String> rehearsalThreads() {
        return Thread.getAllStackTraces().keySet().stream().map(Thread::getName).filter(n -> n.startsWith("vireo-rehearsal")).toList();
    }

    @Test
    void nobodysNicLeavesNothing() throws Exception {
        host.registry.rehearse(deadline());
        long before = OpenFiles.count();
        assertDone(host.registry.rehearse(deadline()));
        Await.until(Harness.LIMIT, "the descriptors to be as many as before", () -> OpenFiles.count() <= before);
        Await.until(Harness.LIMIT, "the end of its threads", () -> rehearsalThreads().isEmpty());
        assertEquals(List.of(), host.events);
        assertEquals(List.of(), host.registry.list());
        assertEquals(List.of(), host.registry.transferable());
    }

    @Test
    void whereTwoNicsNameOneNetdevAChangeOfVmmIsRehearsedToo() throws Exception {
        host.nic("a");
        host.nic("b", "netdev", "neta");
        host.registry.rehearse(deadline());
        long before = OpenFiles.count();
        List<String> events = List.copyOf(host.events);
        List<String> calls = List.copyOf(backend.calls);
        String report = host.registry.rehearse(deadline());
        var m = DONE.matcher(report);
        assertTrue(m.matches() && m.group(3) != null && Integer.parseInt(m.group(3)) >= 10, report);
        Await.until(Harness.LIMIT, "the descriptors to be as many as before", () -> OpenFiles.count() <= before);
        Await.until(Harness.LIMIT, "the end of its threads", () -> rehearsalThreads().isEmpty());
        assertEquals(events, host.events);
        assertEquals(calls, backend.calls, "with a stand-in");
    }

    @Test
    void oneWithoutTimeForMoreTellsThat() throws Exception {
        String report = host.registry.rehearse(System.nanoTime() + 1);
        assertTrue(report.endsWith("; ended before it was fast"), report);
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void theRealBackendIsRehearsedBesideTheRealPort(boolean packed) throws Exception {
        host.nic("a");
        GuestNic g = host.guest("a", GuestNic.options().packed(packed));
        host.awaitState("a", NicState.RUNNING);
        List<String> events = List.copyOf(host.events);
        TransferableNic nic = host.registry.transferable("a").orElseThrow();
        long word = nic.block().word();
        try (NicImage image = nic.begin(1, true, false, NicImage::close)) {
            assertNotNull(image);
        }
        int calls = backend.calls.size();
        assertDone(nic.rehearse(deadline()));
        assertEquals("done before", nic.rehearse(deadline()));
        List<String> made = backend.calls.subList(calls, backend.calls.size());
        assertTrue(made.contains("rehearse"), made.toString());
        assertFalse(made.contains("load") || made.contains("close"), made.toString());
        assertEquals(word, nic.block().word());
        assertEquals(events, host.events);
        nic.end();
        assertTrue(g.transmit(0).send(FakeBackend.frame(0, 60, 7), Harness.soon()));
        assertEquals(7, FakeBackend.number(net.take(0), 12));
        Await.until(Harness.LIMIT, "the end of its threads", () -> rehearsalThreads().isEmpty());
    }

    /** It has no state that stand-ins could be made of: another backend takes its part. */
    @Test
    void aBackendThatStaysBehindIsNotTouched() throws Exception {
        host.nic("a", "backend-transfer", "off", "mtu", "1400");
        TransferableNic nic = host.registry.transferable("a").orElseThrow();
        nic.begin(1, true, false, NicImage::close).close();
        assertDone(nic.rehearse(deadline()));
        nic.end();
        GuestNic g = host.guest("a", GuestNic.options().features(GuestNic.RING_FEATURES | VirtioNet.CSUM));
        TransferableNic again = host.registry.transferable("a").orElseThrow();
        int calls = backend.calls.size();
        again.begin(1, true, true, NicImage::close).close();
        assertEquals("done before", again.rehearse(deadline()));
        again.end();
        assertEquals(calls, backend.calls.size(), backend.calls.toString());
        assertTrue(g.transmit(0).send(FakeBackend.frame(0, 60, 7), Harness.soon()));
        assertEquals(7, FakeBackend.number(net.take(0), 12));
    }

    @Test
    void whatIsLetGoEndsItsRehearsal() throws Exception {
        host.nic("a");
        host.guest("a", GuestNic.options());
        other.backend("neta", net);
        other.registry.add(other.options("a", "socket", host.socket("a").toString()), true);
        TransferableNic nic = host.registry.transferable("a").orElseThrow();
        try (IncomingNic in = other.registry.prepare(nic.begin(1, true, false, NicImage::close), true, deadline())) {
            assertDone(in.rehearse(deadline()));
            assertFalse(rehearsalThreads().isEmpty(), "it is kept for the next time");
        }
        Await.until(Harness.LIMIT, "the end of its threads", () -> rehearsalThreads().isEmpty());
        nic.end();
    }

    @Test
    void aDeadlineEndsItAndItIsNotDone() throws Exception {
        String report = host.registry.rehearse(System.nanoTime());
        assertTrue(report.startsWith("0 handovers, 0 frames"), report);
        assertDone(host.registry.rehearse(deadline()));
    }

    @Test
    void anInterruptEndsItAndNothingIsLeft() throws Exception {
        host.registry.rehearse(deadline());
        long before = OpenFiles.count();
        // until one is caught in the middle: another time a short one is over first
        for (String end = ""; end.isEmpty();) {
            FutureTask<String> runs = new FutureTask<>(() -> host.registry.rehearse(deadline()));
            Thread t = Thread.ofPlatform().daemon().start(runs);
            Await.until(Harness.LIMIT, "its begin", () -> runs.isDone() || !rehearsalThreads().isEmpty());
            t.interrupt();
            try {
                runs.get(10, TimeUnit.SECONDS);
            } catch (ExecutionException e) {
                end = e.getCause().getMessage();
                assertEquals("rehearsal: interrupted", end);
            }
        }
        Await.until(Harness.LIMIT, "the end of its threads", () -> rehearsalThreads().isEmpty());
        Await.until(Harness.LIMIT, "the descriptors to be as many as before", () -> OpenFiles.count() <= before);
    }

    @Test
    void whatIsLetGoWhileItRunsEndsItSoon() throws Exception {
        host.nic("a");
        host.guest("a", GuestNic.options());
        TransferableNic nic = host.registry.transferable("a").orElseThrow();
        nic.begin(1, true, false, NicImage::close).close();
        FutureTask<String> runs = new FutureTask<>(() -> nic.rehearse(deadline()));
        Thread.ofPlatform().daemon().start(runs);
        Await.until(Harness.LIMIT, "its begin", () -> !rehearsalThreads().isEmpty());
        nic.end();
        runs.get(10, TimeUnit.SECONDS);
        Await.until(Harness.LIMIT, "the end of its threads", () -> rehearsalThreads().isEmpty());
        assertTrue(nic.rehearse(deadline()).startsWith("ended early: "), "it is over");
    }
}
