// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.vireo.net.api.Fds;
import org.vireo.posix.Descriptors;
import org.vireo.testsupport.Requirements;
import org.vireo.testsupport.TestProcess;
import org.vireo.vhostuser.VirtioNet;

/** A device that others wrote: DPDK's vhost port, which sends back what it gets. */
class DpdkDeviceIT {
    private static final Duration LIMIT = Duration.ofSeconds(30);
    private static final int WINDOW = 24;

    private final Fds fds = new Descriptors();
    private final SplittableRandom random = new SplittableRandom(1);
    @TempDir
    private Path folder;
    private TestProcess testpmd;

    @BeforeEach
    void start() {
        Requirements.dpdk();
        // the guest's memory comes from the guest, so its own need not be shared: no huge pages
        testpmd = TestProcess.start(List.of("dpdk-testpmd", "--lcores", "0@0,1@1", "--no-huge", "--no-shconf", "-m", "128", "--no-pci",
                "--no-telemetry", "--vdev", "net_vhost0,iface=" + folder.resolve("vu") + ",queues=1", "--", "--total-num-mbufs=2048",
                "--forward-mode=io", "--port-topology=loop", "--no-flush-rx", "--auto-start", "--stats-period", "60"),
                Map.of("RUNTIME_DIRECTORY", folder.toString()), folder);
    }

    @AfterEach
    void end() {
        if (testpmd != null) {
            testpmd.close();
        }
    }

    private GuestNic nic(GuestNic.Options options) throws IOException {
        return options.start(fds, FrontEnd.connect(fds, folder.resolve("vu"), LIMIT));
    }

    /** With mergeable buffers only: without, DPDK 22.11 leaves num_buffers 0, where 5.1.6.4.1 wants 1. */
    @ParameterizedTest
    @CsvSource({"false,true,true,256,''", "true,true,true,256,''", "true,true,true,100,'12 14'", "true,true,false,77,'12 14'",
        "true,true,false,256,12", "true,false,false,64,''", "true,false,true,129,12", "true,false,false,33,'12 14'"})
    void framesComeBack(boolean packed, boolean events, boolean indirect, int size, String lengths) throws IOException {
        int[] pieces = lengths.isEmpty() ? new int[0] : Arrays.stream(lengths.split(" ")).mapToInt(Integer::parseInt).toArray();
        long features = events ? GuestNic.RING_FEATURES : GuestNic.RING_FEATURES & ~VirtioNet.EVENT_IDX;
        // a frame of 1500 needs four buffers, so it is given back in several entries
        try (GuestNic nic = nic(GuestNic.options().packed(packed).ringSize(size).features(features).indirect(indirect)
                .transmitPieces(pieces).receivePieces(pieces.length > 1 ? new int[] {12} : new int[0]).receiveBytes(400))) {
            long asked = VirtioNet.MRG_RXBUF | VirtioNet.EVENT_IDX | VirtioNet.RING_PACKED | VirtioNet.INDIRECT_DESC;
            assertEquals((packed ? features | VirtioNet.RING_PACKED : features) & asked, nic.features() & asked);
            exchange(nic, 20_000);
        }
    }

    /** GET_VRING_BASE of this device has the low half only; it takes the used position for the same as the available one. */
    @ParameterizedTest
    @CsvSource({"false,64", "true,64", "true,50"})
    void stoppedRingsGoOnWhereTheyStood(boolean packed, int size) throws IOException {
        try (GuestNic nic = nic(GuestNic.options().packed(packed).ringSize(size))) {
            for (int round = 0; round < 12; round++) {
                exchange(nic, 10 + 13 * round);
                FrontEnd f = nic.frontEnd();
                int receive = f.stop(0);
                int transmit = f.stop(1);
                assertEquals(nic.transmit(0).base() & 0xffff, transmit, "round " + round);
                assertEquals(nic.receive(0).base() & 0xffff, receive, "round " + round);
                f.start(nic.receive(0), receive);
                f.start(nic.transmit(0), transmit);
                nic.enablePair(0, true);
            }
        }
    }

    @Test
    void aGuestThatComesBackFindsPackedRingsAgain() throws IOException {
        for (int i = 0; i < 3; i++) {
            try (GuestNic nic = nic(GuestNic.options().packed(i != 1))) {
                exchange(nic, 500);
            }
        }
    }

    /** Sends frames, several at a time, and checks what comes back; sleeps on the call descriptor for it. */
    private void exchange(GuestNic nic, int frames) {
        TransmitQueue tx = nic.transmit(0);
        ReceiveQueue rx = nic.receive(0);
        // merged or not, what is under way has to fit into the posted buffers
        int window = Math.clamp(rx.slots() / 5, 1, WINDOW);
        byte[][] sent = new byte[window][];
        for (int done = 0; done < frames;) {
            int n = Math.min(1 + random.nextInt(window), frames - done);
            for (int i = 0; i < n; i++) {
                sent[i] = new byte[60 + random.nextInt(1441)];
                random.nextBytes(sent[i]);
                int slot = tx.claim();
                assertTrue(slot >= 0, "frame " + (done + i));
                GuestRam.MEMORY.asSlice(tx.buffer(slot), 12).fill((byte) 0);
                MemorySegment.copy(sent[i], 0, GuestRam.MEMORY, ValueLayout.JAVA_BYTE, tx.buffer(slot) + 12, sent[i].length);
                tx.submit(slot, 12 + sent[i].length);
                if (random.nextInt(4) == 0) {
                    tx.publish();
                }
            }
            tx.publish();
            for (int i = 0; i < n; i++) {
                byte[] got = rx.take(System.nanoTime() + LIMIT.toNanos());
                assertNotNull(got, "frame " + (done + i) + " did not come back");
                assertTrue(Arrays.equals(sent[i], 0, sent[i].length, got, 12, got.length), "frame " + (done + i));
            }
            done += n;
            assertTrue(tx.awaitAll(System.nanoTime() + LIMIT.toNanos()), "frame " + done);
        }
        assertEquals(tx.ringSize(), tx.freeDescriptors());
    }
}
