// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.vireo.guest.GuestNic;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.NicState;
import org.vireo.testsupport.Await;

/**
 * A backend that sleeps 10 s in a call costs its own NIC only: on the same worker, the neighbour loses nothing of numbered frames at
 * 1,000 a second, and the guilty NIC can be deleted.
 */
@Timeout(60)
class WatchdogProofTest {
    private Harness h;
    private FakeNetwork net;
    private FakeBackend guilty;
    private NumberedTraffic traffic;

    @BeforeEach
    void start() throws Exception {
        h = new Harness(1);
        net = h.network(1);
        guilty = h.backend("neta", net);
        FakeNetwork other = h.network(1);
        h.backend("netb", other);
        h.nic("b");
        traffic = new NumberedTraffic(h.guest("b", GuestNic.options()), other);
    }

    @AfterEach
    void stop() throws Exception {
        traffic.end();
        h.close();
    }

    private GuestNic guestOfGuilty() throws Exception {
        h.nic("a");
        GuestNic g = h.guest("a", GuestNic.options());
        assertTrue(g.transmit(0).send(FakeBackend.frame(0, 60, 1), Harness.soon()));
        assertEquals(1, FakeBackend.number(net.take(0), 12));
        return g;
    }

    private long deleteInMillis() throws NicException {
        long t = System.nanoTime();
        h.registry.remove("a");
        return TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - t);
    }

    @ParameterizedTest
    @ValueSource(strings = {"transmit", "receive"})
    void aCallOfTheDataPathThatHangs(String call) throws Exception {
        traffic.more(100);
        GuestNic g = guestOfGuilty();
        assertTrue(g.transmit(0).awaitAll(Harness.soon()));
        int before = threads("vireo-worker-0");
        guilty.stall(call);
        if (call.equals("transmit")) {
            assertTrue(g.transmit(0).send(FakeBackend.frame(0, 60, 2), Harness.soon()));
        } else {
            net.sendSurely(0, FakeBackend.frame(12, 60, 2));
        }
        guilty.awaitStalled(call);
        h.awaitState("a", NicState.FAILED);
        traffic.more(300);
        assertTrue(h.status("a").why().contains("did not return") && h.status("a").why().contains("fake of"), h.status("a").why());
        assertTrue(g.frontEnd().awaitClosed(Harness.soon()), "its VMM is told");
        long millis = deleteInMillis();
        assertTrue(millis < 5000, "device_del took " + millis + " ms");
        traffic.more(100);
        assertEquals(before + 1, threads("vireo-worker-0"));
        // what the thread still holds is not given to anybody before it is back
        NicException e = assertThrows(NicException.class, () -> h.nic("a"));
        assertTrue(e.getMessage().contains("in use by NIC a"), e.getMessage());
        assertTrue(guilty.calls.stream().noneMatch(c -> c.startsWith("close")), "closed under the thread's feet");
        guilty.wake(call);
        Await.until(Harness.LIMIT, "the thread to end", () -> threads("vireo-worker-0") == before);
        Await.until(Harness.LIMIT, "the port to be closed", () -> guilty.calls.contains("close RELEASE"));
        // late, the backend found memory of zeros where the guest's frame had been
        for (byte[] b = net.poll(0); b != null; b = net.poll(0)) {
            assertArrayEquals(new byte[b.length], b);
        }
        h.nic("a");
        GuestNic next = h.guest("a", GuestNic.options());
        assertTrue(next.transmit(0).send(FakeBackend.frame(0, 60, 3), Harness.soon()));
        traffic.more(100);
        assertTrue(traffic.longestNanos() < 15_000_000_000L);
    }

    private static int threads(String name) {
        return (int) Thread.getAllStackTraces().keySet().stream().filter(t -> t.getName().equals(name)).count();
    }

    @Test
    void openThatHangs() throws Exception {
        traffic.more(100);
        guilty.stall("open");
        long t = System.nanoTime();
        NicException e = assertThrows(NicException.class, () -> h.nic("a"));
        long millis = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - t);
        assertTrue(e.getMessage().contains("open of") && e.getMessage().contains("did not return"), e.getMessage());
        assertTrue(millis < 9000, "device_add took " + millis + " ms");
        traffic.more(100);
        assertTrue(h.registry.list().stream().noneMatch(n -> n.id().equals("a")));
        // the port that comes too late is closed
        guilty.wake("open");
        Await.until(Harness.LIMIT, "the late port to be closed", () -> guilty.calls.contains("close RELEASE"));
        h.nic("a");
        traffic.more(100);
    }

    @Test
    void applyThatHangs() throws Exception {
        traffic.more(100);
        h.nic("a");
        guilty.stall("apply");
        CompletableFuture<Void> vmm = CompletableFuture.runAsync(() -> {
            try (GuestNic g = GuestNic.options().start(h.fds, org.vireo.guest.FrontEnd.connect(h.fds, h.socket("a"), Harness.LIMIT))) {
                assertNotNull(g);
            } catch (IOException | IllegalStateException e) {
                assertNotNull(e.getMessage());
            }
        });
        guilty.awaitStalled("apply");
        traffic.more(300);
        long millis = deleteInMillis();
        assertTrue(millis < 9000, "device_del took " + millis + " ms");
        traffic.more(100);
        vmm.get(30, TimeUnit.SECONDS);
        NicException e = assertThrows(NicException.class, () -> h.nic("a"));
        assertTrue(e.getMessage().contains("has not returned"), e.getMessage());
        guilty.wake("apply");
    }

    @Test
    void closeThatHangs() throws Exception {
        traffic.more(100);
        guestOfGuilty();
        guilty.stall("close");
        long millis = deleteInMillis();
        assertTrue(millis < 5000, "device_del took " + millis + " ms");
        traffic.more(100);
        NicException e = assertThrows(NicException.class, () -> h.nic("a"));
        assertTrue(e.getMessage().contains("close of") && e.getMessage().contains("has not returned"), e.getMessage());
        guilty.wake("close");
        Await.until(Harness.LIMIT, "the call to return", () -> {
            try {
                h.nic("a");
                return true;
            } catch (NicException x) {
                return false;
            }
        });
        traffic.more(100);
    }

    @Test
    void saveThatHangs() throws Exception {
        traffic.more(100);
        GuestNic g = guestOfGuilty();
        guilty.stall("save");
        NicException e = assertThrows(NicException.class,
                () -> h.registry.transferable("a").orElseThrow().begin(1, true, false, i -> i.close()));
        assertTrue(e.getMessage().contains("save of"), e.getMessage());
        // it runs on untouched
        assertTrue(g.transmit(0).send(FakeBackend.frame(0, 60, 4), Harness.soon()));
        assertEquals(4, FakeBackend.number(net.take(0), 12));
        traffic.more(100);
        long millis = deleteInMillis();
        assertTrue(millis < 5000, "device_del took " + millis + " ms");
        traffic.more(100);
    }

    @Test
    void statisticsThatHang() throws Exception {
        traffic.more(100);
        GuestNic g = guestOfGuilty();
        guilty.stall("statistics");
        long t = System.nanoTime();
        assertEquals(2, h.registry.measure().size());
        long millis = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - t);
        assertTrue(millis < 6000, "query-nics took " + millis + " ms");
        t = System.nanoTime();
        assertEquals(2, h.registry.measure().size());
        millis = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - t);
        assertTrue(millis < 3000, "a second query-nics took " + millis + " ms");
        // what makes or deletes NICs asks no backend for that
        assertTrue(h.registry.list().stream().noneMatch(n -> n.counters().containsKey("port-fake")));
        assertTrue(g.transmit(0).send(FakeBackend.frame(0, 60, 4), Harness.soon()));
        assertEquals(4, FakeBackend.number(net.take(0), 12));
        traffic.more(100);
        guilty.wake("statistics");
        Await.until(Harness.LIMIT, "statistics to be back",
                () -> h.registry.measure().stream().anyMatch(n -> n.counters().containsKey("port-fake")));
        long del = deleteInMillis();
        assertTrue(del < 5000, "device_del took " + del + " ms");
    }

    @Test
    void anAnnouncementThatHangs() throws Exception {
        traffic.more(100);
        GuestNic g = guestOfGuilty();
        guilty.stall("transmit");
        assertThrows(IOException.class, () -> g.frontEnd().sendRarp(new byte[] {0x52, 0x54, 0, 1, 2, 3}));
        h.awaitState("a", NicState.FAILED);
        traffic.more(300);
        assertTrue(deleteInMillis() < 5000);
        traffic.more(100);
    }
}
