// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.vireo.guest.ReceiveQueue;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.Fd;
import org.vireo.net.api.NetPort.Disposal;
import org.vireo.net.api.PortUnavailableException;
import org.vireo.net.api.RingPosition;
import org.vireo.posix.linux.SharedMemory;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.Requirements;
import org.vireo.testsupport.TestProcess;
import org.vireo.vhostuser.MemoryRegionSpec;
import org.vireo.vhostuser.VirtioNet;

/** DPDK's testpmd as the back-end: what a guest transmits comes back to it, whatever happens to testpmd and to the port. */
final class DpdkBackEndIT extends PortCase {
    private static final int RING = 256;
    private static final int HEADER = 12;
    private static final int FRAME = 200;
    private static final Duration START = Duration.ofSeconds(60);

    private int sent;

    /** Sends every frame back. It needs no huge pages of its own: the guest's memory is the guest's. */
    private TestProcess testpmd(int queues, boolean client) {
        return keep(TestProcess.start(List.of("dpdk-testpmd", "--lcores", "0@0,1@1", "--no-huge", "-m", "256", "--iova-mode=va", "--no-pci",
                "--no-telemetry", "--file-prefix=vireo-" + ProcessHandle.current().pid(), "--vdev",
                "net_vhost0,iface=" + path() + ",queues=" + queues + (client ? ",client=1" : ""), "--", "--total-num-mbufs=4096",
                "--rxq=" + queues, "--txq=" + queues, "--forward-mode=io", "--port-topology=loop", "--auto-start", "--stats-period", "1",
                "--no-flush-rx", "--no-lsc-interrupt"), Map.of(), folder));
    }

    private TestGuest guestOf(int pairs) throws Exception {
        return keep(new TestGuest(SPLIT, pairs, RING));
    }

    private void start(VhostUserPort p, TestGuest g, int pairs) throws Exception {
        p.features(SPLIT | VirtioNet.MQ);
        p.memory(g.memory());
        for (int ring = 0; ring < 2 * pairs; ring++) {
            p.enable(ring, true);
            p.start(ring, g.spec(ring, g.queue(ring).ring().usedIndex()));
        }
    }

    private byte[] frame() {
        byte[] f = new byte[FRAME];
        Arrays.fill(f, 0, 6, (byte) 2);
        Arrays.fill(f, 6, 12, (byte) 4);
        f[12] = (byte) 0x88;
        f[13] = (byte) 0xb5;
        ByteBuffer.wrap(f).putInt(14, ++sent);
        return f;
    }

    /** Sends frames one by one until one comes back: a back-end takes up work a moment after it was told, and drops meanwhile. */
    private void awaitEcho(TestGuest g) {
        ReceiveQueue r = g.receive.getFirst();
        Await.until(START, "a frame comes back", () -> {
            assertTrue(g.transmit.getFirst().send(frame(), System.nanoTime() + LIMIT.toNanos()));
            return r.take(System.nanoTime() + 50_000_000) != null;
        });
        // those that came late
        while (r.take(System.nanoTime() + 300_000_000) != null) {
            assertTrue(r.frames() <= sent);
        }
    }

    private void assertEchoes(TestGuest g, int pair, int frames) {
        for (int i = 0; i < frames; i += 16) {
            byte[][] batch = new byte[16][];
            for (int k = 0; k < 16; k++) {
                batch[k] = frame();
                assertTrue(g.transmit.get(pair).send(batch[k], System.nanoTime() + LIMIT.toNanos()), "no room");
            }
            for (int k = 0; k < 16; k++) {
                byte[] back = g.receive.get(pair).take(System.nanoTime() + LIMIT.toNanos());
                assertNotNull(back, "frame " + (i + k) + " of pair " + pair + " does not come back");
                assertArrayEquals(batch[k], Arrays.copyOfRange(back, HEADER, back.length));
            }
        }
        assertTrue(g.transmit.get(pair).awaitAll(System.nanoTime() + LIMIT.toNanos()), "transmitted buffers do not come back");
    }

    private VhostUserPort openWhenItIsThere(VhostUserBackend b, int pairs) throws Exception {
        return kept(Await.value(START, "a back-end", () -> {
            try {
                return (VhostUserPort) b.open(news.context(LIMIT, pairs, false));
            } catch (PortUnavailableException e) {
                return null;
            }
        }));
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void framesPassAndGoOnPassingWhenItIsKilledAndReturns(boolean server) throws Exception {
        Requirements.dpdk();
        TestProcess first = testpmd(1, server);
        TestGuest g = guestOf(1);
        VhostUserPort p = openWhenItIsThere(server ? netdev("server=on") : netdev("reconnect-ms=100"), 1);
        start(p, g, 1);
        awaitEcho(g);
        assertEchoes(g, 0, 1_600);
        first.signal("KILL");
        news.await("link down");
        // what nobody takes meanwhile is taken later
        assertTrue(g.transmit.getFirst().send(frame(), System.nanoTime() + LIMIT.toNanos()));
        first.close();
        if (!server) {
            // it would not replace what it has left behind
            Files.deleteIfExists(path());
        }
        testpmd(1, server);
        Await.until(START, "it returns", () -> news.has("link up"));
        awaitEcho(g);
        assertEchoes(g, 0, 1_600);
        assertFalse(news.has("failed"));
    }

    @Test
    void severalPairsPassFrames() throws Exception {
        Requirements.dpdk();
        testpmd(2, false);
        TestGuest g = guestOf(2);
        VhostUserPort p = openWhenItIsThere(netdev("reconnect-ms=100", "queues=2"), 2);
        assertEquals(2, p.profile().pairs());
        start(p, g, 2);
        awaitEcho(g);
        assertEchoes(g, 0, 320);
        assertEchoes(g, 1, 320);
    }

    @Test
    void ringsGoOnAfterStopsAndPauses() throws Exception {
        Requirements.dpdk();
        testpmd(1, false);
        TestGuest g = guestOf(1);
        VhostUserPort p = openWhenItIsThere(netdev(), 1);
        start(p, g, 1);
        awaitEcho(g);
        for (int i = 0; i < 20; i++) {
            RingPosition rx = p.stop(0);
            RingPosition tx = p.stop(1);
            assertEquals(g.queue(1).ring().usedIndex(), tx.used());
            p.start(0, g.spec(0, rx, g.queue(0).callFd()));
            p.start(1, g.spec(1, tx, g.queue(1).callFd()));
            p.memory(g.memory());
            p.enable(0, false);
            p.enable(0, true);
            awaitEcho(g);
            assertEchoes(g, 0, 160);
        }
    }

    @Test
    void whatItWritesIsLogged() throws Exception {
        Requirements.dpdk();
        testpmd(1, false);
        TestGuest g = guestOf(1);
        VhostUserPort p = openWhenItIsThere(netdev(), 1);
        start(p, g, 1);
        awaitEcho(g);
        MemoryRegionSpec last = g.ram.specs().getLast();
        long bytes = (last.guest() + last.size() + (1 << 15) - 1) / (1 << 15) + 4096 & -4096;
        try (Fd file = SharedMemory.create(ScriptedBackEnd.FDS, "log", bytes, false)) {
            p.log(VhostUserPortTest.log(file, bytes));
            assertEchoes(g, 0, 320);
            assertTrue(isLogged(file, g.queue(0).ring().usedGuest()), "the receive ring's used ring");
            assertTrue(isLogged(file, g.queue(1).ring().usedGuest()), "the transmit ring's used ring");
            assertTrue(isLogged(file, g.queue(0).bufferGuest(0)), "a receive buffer");
            assertFalse(isLogged(file, g.queue(1).bufferGuest(RING / 2)), "a transmit buffer");
            p.log(null);
        }
        awaitEcho(g);
        assertEchoes(g, 0, 160);
    }

    private static boolean isLogged(Fd log, long guest) throws Exception {
        return (SharedBytes.read(log, guest >> 15, 1)[0] >> (guest >> 12 & 7) & 1) != 0;
    }

    @Test
    void theGuestIsAnnounced() throws Exception {
        Requirements.dpdk();
        testpmd(1, false);
        TestGuest g = guestOf(1);
        VhostUserPort p = openWhenItIsThere(netdev(), 1);
        start(p, g, 1);
        awaitEcho(g);
        byte[] mac = {0x52, 0x54, 0, 0x12, 0x34, 0x56};
        p.announce(mac);
        // it goes out with the next frames
        Await.until(LIMIT, "a RARP frame of the guest's address", () -> {
            g.transmit.getFirst().send(frame(), System.nanoTime() + LIMIT.toNanos());
            byte[] back = g.receive.getFirst().take(System.nanoTime() + 100_000_000);
            return back != null && back[HEADER + 12] == (byte) 0x80 && back[HEADER + 13] == 0x35
                    && Arrays.equals(mac, Arrays.copyOfRange(back, HEADER + 6, HEADER + 12));
        });
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void theConnectionMovesAndFramesGoOn(boolean orderly) throws Exception {
        Requirements.dpdk();
        testpmd(1, false);
        TestGuest g = guestOf(1);
        VhostUserBackend from = netdev();
        VhostUserPort p = openWhenItIsThere(from, 1);
        start(p, g, 1);
        awaitEcho(g);
        assertEchoes(g, 0, 320);
        for (int i = 0; i < 5; i++) {
            VhostUserBackend to = netdev();
            try (BackendState s = from.save(p, 1)) {
                RingPosition rx = RingPosition.of(0, 0);
                RingPosition tx = rx;
                if (orderly) {
                    rx = p.stop(0);
                    tx = p.stop(1);
                    p.quiesce();
                }
                News unheard = new News();
                g.inherited = true;
                VhostUserPort q = kept((VhostUserPort) to.load(s, unheard.context()));
                p.close(Disposal.LEAVE);
                q.features(SPLIT | VirtioNet.MQ);
                q.memory(g.memory());
                for (int ring = 0; ring < 2; ring++) {
                    q.enable(ring, true);
                    q.start(ring, g.spec(ring, ring == 0 ? rx : tx, g.queue(ring).callFd()));
                }
                awaitEcho(g);
                assertEchoes(g, 0, 320);
                assertFalse(unheard.has("link"), "the connection has lasted");
                p = q;
                from = to;
            }
        }
    }
}
