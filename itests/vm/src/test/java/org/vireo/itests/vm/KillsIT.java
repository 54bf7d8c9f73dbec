// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.vireo.guest.FrontEnd;
import org.vireo.guest.GuestNic;
import org.vireo.posix.Descriptors;

/**
 * A guest's rings are served by an external back-end, a daemon behind its own. Either of the two is killed at any moment under load, and
 * the next one takes its place at once: frames may be lost, entries of a ring not, and the guest sends again within a second.
 */
final class KillsIT {
    private static final Duration LIMIT = Duration.ofSeconds(30);
    private static final int KILLS = Rounds.of(1, 100);
    private static final int SIZE = 256;
    /** So often one is killed that has just begun. */
    private static final int EARLY = 3;

    @TempDir
    private Path folder;
    @RegisterExtension
    final OnBridge on = new OnBridge();
    private final Descriptors fds = new Descriptors();
    private final Random random = new Random(23);
    private final List<Spare> running = new ArrayList<>();
    private final Map<Victim, CompletableFuture<Spare>> next = new EnumMap<>(Victim.class);
    private int started;
    private Spare others;

    private enum Victim { BACK_END, DAEMON }

    @BeforeEach
    void otherGuest() throws IOException {
        others = new Spare(on.namespace(), folder.resolve("others"), "tap,ifname=" + on.otherTap(), folder.resolve("nic1"));
        running.add(others);
        others.serve();
    }

    @AfterEach
    void end() {
        next.values().forEach(n -> running.add(n.join()));
        running.forEach(Spare::close);
    }

    private Path socket() {
        return folder.resolve("vu");
    }

    private Path nic() {
        return folder.resolve("nic0");
    }

    private CompletableFuture<Spare> begin(Victim what) {
        String netdev = what == Victim.BACK_END ? "tap,ifname=" + on.tap() : "vhost-user,reconnect-ms=20,path=" + socket();
        return Spare.begin(on.namespace(), folder.resolve("qmp" + ++started), netdev, what == Victim.BACK_END ? socket() : nic());
    }

    /** The one that was begun. */
    private Spare take(Victim what) {
        Spare s = next.remove(what).join();
        running.add(s);
        return s;
    }

    private FrontEnd connect() throws IOException {
        return FrontEnd.connect(fds, nic(), LIMIT);
    }

    @Test
    void ringsAreWholeAfterEachKill() throws Exception {
        assertWholeAfterEachKill(false);
        if (Rounds.isFull()) {
            // with every build InflightIT does it
            assertWholeAfterEachKill(true);
        }
    }

    private void assertWholeAfterEachKill(boolean packed) throws Exception {
        Map<Victim, Spare> serving = new EnumMap<>(Victim.class);
        for (Victim v : Victim.values()) {
            next.put(v, begin(v));
        }
        for (Victim v : Victim.values()) {
            serving.put(v, take(v));
            serving.get(v).serve();
        }
        try (RingLoad load = new RingLoad(GuestNic.options().packed(packed).ringSize(SIZE).receiveBytes(RingLoad.RECEIVE_BYTES)
                .start(fds, connect()), Guests.connect(fds, folder.resolve("nic1")))) {
            load.assertWhole("at the beginning");
            for (Victim v : Victim.values()) {
                long[] times = new long[KILLS];
                for (int i = 0; i < KILLS; i++) {
                    next.put(v, begin(v));
                    if (i % EARLY == EARLY - 1) {
                        Spare successor = take(v);
                        next.put(v, begin(v));
                        load.run(random.nextInt(20_000_000));
                        end(serving.get(v));
                        killEarly(successor, v, load);
                        serving.put(v, successor);
                    }
                    times[i] = kill(v, serving, take(v), load, v + " " + (i + 1));
                }
                Rounds.judge((packed ? "packed" : "split") + " rings, " + v + " killed: from the kill to the next frame", times);
            }
        }
        serving.values().forEach(this::end);
    }

    /** How long it takes until the next frame. */
    private long kill(Victim what, Map<Victim, Spare> serving, Spare successor, RingLoad load, String kill) throws IOException {
        load.run(random.nextInt(20_000_000));
        long begin = System.nanoTime();
        end(serving.get(what));
        load.drain();
        successor.serve();
        reconnect(what, load);
        load.awaitFrame(kill);
        long time = System.nanoTime() - begin;
        serving.put(what, successor);
        load.assertWhole(kill);
        return time;
    }

    private void end(Spare victim) {
        victim.kill();
        running.remove(victim);
    }

    /** One that has begun to serve a moment ago. */
    private void killEarly(Spare victim, Victim what, RingLoad load) throws IOException {
        victim.serve();
        long after = random.nextInt(40_000_000);
        CompletableFuture<Void> killed = CompletableFuture.runAsync(() -> {
            LockSupport.parkNanos(after);
            victim.strike();
        });
        try {
            reconnect(what, load);
            load.run(5_000_000);
        } catch (IOException e) {
            // it was dead before it had answered everything
            assertTrue(what == Victim.DAEMON, e.toString());
        }
        killed.join();
    }

    private void reconnect(Victim victim, RingLoad load) throws IOException {
        if (victim == Victim.DAEMON) {
            load.guest().reconnect(connect());
        }
    }
}
