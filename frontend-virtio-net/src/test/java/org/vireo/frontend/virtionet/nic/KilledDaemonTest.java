// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.vireo.guest.FrontEnd;
import org.vireo.guest.GuestNic;
import org.vireo.guest.ReceiveQueue;
import org.vireo.guest.TransmitQueue;
import org.vireo.posix.Descriptors;
import org.vireo.testsupport.TestProcess;

/**
 * A process is killed at any moment under load, the next one takes its place, and the VMM connects again: frames may be lost, ring entries
 * not. The driver is one and the same all the time and would notice a head that is returned twice, a wrong length, a frame in pieces.
 */
class KilledDaemonTest {
    /** Each costs a second of a processor, most of it the JVM's start. */
    private static final int ROUNDS = Integer.getInteger("vireo.kill.rounds", 8);
    private static final int SIZE = 256;
    /** In three buffers. */
    private static final int FRAME = 700;

    @TempDir
    private Path folder;
    private final Descriptors fds = new Descriptors();
    private final Random random = new Random(23);
    private final Deque<TestProcess> daemons = new ArrayDeque<>();

    @AfterEach
    void end() {
        daemons.forEach(TestProcess::close);
    }

    private Path socket() {
        return folder.resolve("vu");
    }

    /** Begins to start one. */
    private void prepare() {
        List<String> c = new ArrayList<>(TestProcess.java("-XX:TieredStopAtLevel=1", "-Djava.io.tmpdir=" + folder, "-cp",
                System.getProperty("java.class.path"), EchoingDaemon.class.getName(), socket().toString()));
        daemons.add(TestProcess.start(c, Map.of(), null));
    }

    private TestProcess next() {
        TestProcess p = daemons.getFirst();
        p.write("\n");
        p.awaitLine(EchoingDaemon.READY, Harness.LIMIT);
        prepare();
        return p;
    }

    private static void sigkill(TestProcess p) {
        ProcessHandle.of(p.pid()).ifPresent(ProcessHandle::destroyForcibly);
    }

    private void kill(TestProcess p) {
        sigkill(p);
        assertTrue(p.exitCode(Harness.LIMIT) == 128 + 9, () -> "it ended before it was killed: " + p.lines());
        daemons.remove(p);
        p.close();
    }

    private FrontEnd connect() throws IOException {
        return FrontEnd.connect(fds, socket(), Harness.LIMIT);
    }

    @ParameterizedTest
    @CsvSource({"false, false", "true, false", "false, true", "true, true"})
    void ringsAreWholeAfterEachKill(boolean packed, boolean inflight) throws Exception {
        prepare();
        TestProcess p = next();
        try (GuestNic g = GuestNic.options().packed(packed).inflight(inflight).ringSize(SIZE).receiveBytes(300).start(fds, connect())) {
            for (int round = 1; round <= (inflight ? Math.max(1, ROUNDS / 2) : ROUNDS); round++) {
                load(g);
                kill(p);
                if (round % 4 == 0) {
                    killWhileItIsSetUp(g);
                }
                p = next();
                g.reconnect(connect());
                assertWhole(g, round);
            }
        }
        kill(p);
    }

    /** As much as goes, for a while; at its end the device is in the middle of it. */
    private void load(GuestNic g) {
        long end = System.nanoTime() + random.nextInt(20_000_000);
        do {
            offer(g.transmit(0), SIZE);
            take(g.receive(0), new HashSet<>());
        } while (System.nanoTime() < end);
        offer(g.transmit(0), SIZE);
    }

    private void killWhileItIsSetUp(GuestNic g) {
        TestProcess p = next();
        CompletableFuture<Void> killed = CompletableFuture.runAsync(() -> sigkill(p),
                CompletableFuture.delayedExecutor(random.nextInt(5_000), TimeUnit.MICROSECONDS));
        try {
            g.reconnect(connect());
            offer(g.transmit(0), SIZE);
        } catch (IOException e) {
            assertTrue(e.getMessage() != null);
        }
        killed.join();
        kill(p);
    }

    private static void offer(TransmitQueue tx, int most) {
        int slot;
        for (int n = 0; n < most && (slot = tx.claim()) >= 0; n++) {
            tx.submit(slot, tx.headerBytes() + FRAME);
        }
        tx.publish();
    }

    /** Takes what has come; where it lay is added. */
    private static void take(ReceiveQueue rx, Set<Long> slots) {
        while (rx.next()) {
            assertEquals(rx.headerBytes() + FRAME, rx.total());
            for (int i = 0; i < rx.parts(); i++) {
                slots.add(rx.part(i));
            }
            rx.recycle();
        }
        rx.publish();
    }

    private static void assertWhole(GuestNic g, int round) {
        TransmitQueue tx = g.transmit(0);
        assertTrue(tx.awaitAll(Harness.soon()), () -> "round " + round + ": " + tx.outstanding() + " frames do not come back");
        assertEquals(SIZE, tx.freeDescriptors(), "round " + round);
        ReceiveQueue rx = g.receive(0);
        Set<Long> slots = new HashSet<>();
        long deadline = Harness.soon();
        while (slots.size() < SIZE) {
            assertTrue(System.nanoTime() < deadline, "round " + round + ": only " + slots.size() + " of " + SIZE + " buffers come back");
            offer(tx, 8);
            rx.awaitUsed(Math.min(deadline, System.nanoTime() + 20_000_000));
            take(rx, slots);
        }
        assertEquals(0, rx.freeDescriptors(), "round " + round + ": buffers with the device");
        assertTrue(tx.awaitAll(Harness.soon()));
    }
}
