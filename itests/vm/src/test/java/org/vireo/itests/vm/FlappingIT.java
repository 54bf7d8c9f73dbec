// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.vireo.guest.FrontEnd;
import org.vireo.guest.GuestNic;
import org.vireo.posix.Descriptors;
import org.vireo.testsupport.Await;
import org.vireo.vhostuser.VirtioNet;

/**
 * Daemons stand by for one another beside an external back-end that comes and goes many times a second. The active one is killed, and the
 * guest goes on when the back-end stays. As a rule the standby has the NIC; each coming and going makes it prepare that anew, and where the
 * kill falls into that moment, the VMM has to connect again.
 */
@Tag(Rounds.COUNT)
final class FlappingIT {
    private static final Duration LIMIT = Duration.ofSeconds(60);
    private static final int KILLS = Rounds.of(1, 20);
    private static final int SIZE = 256;
    private static final int LIFE_MILLIS = 50;
    private static final Pattern ENDED = Pattern.compile("standby of process .* ended, [01] NICs? taken");

    @TempDir
    private Path folder;
    @RegisterExtension
    final OnBridge on = new OnBridge();
    private final Descriptors fds = new Descriptors();
    private final Random random = new Random(55);
    private final List<AutoCloseable> running = new ArrayList<>();
    private Spare far;
    private int kills;
    private int hungUp;

    @AfterEach
    void end() throws Exception {
        for (AutoCloseable c : running.reversed()) {
            c.close();
        }
        running.clear();
    }

    private Path socket() {
        return folder.resolve("vu");
    }

    private Vireo daemon() {
        Vireo v = Vireo.run(on.namespace(), folder.resolve("qmp"), "--standby", "unix:" + folder.resolve("pair"), "--netdev",
                "vhost-user,id=net0,reconnect-ms=1,path=" + socket(), "--nic", "id=nic0,netdev=net0,socket=" + folder.resolve("nic0"));
        running.add(v);
        return v;
    }

    private Spare spare(String name, String tap, Path socket) throws IOException {
        Spare s = new Spare(on.namespace(), folder.resolve(name), "tap,ifname=" + tap, socket);
        running.add(s);
        s.serve();
        return s;
    }

    private boolean standbyHasIt() {
        try (Monitor m = new Monitor(folder.resolve("qmp"))) {
            return m.does("query-standby").contains("\"prepared\"");
        } catch (IOException e) {
            // nobody serves it just now
            return false;
        }
    }

    /** Makes the back-end come and go, from now on until it is closed; then it stays. */
    private interface Flapping {
        AutoCloseable begin() throws Exception;
    }

    @Test
    void theGuestGoesOn() throws Exception {
        if (Rounds.isFull()) {
            assertTheGuestGoesOn(false, this::hangsUp, this::servesForMoments);
        }
        assertTheGuestGoesOn(true, this::servesForMoments);
        Rounds.tell("of " + kills + " kills beside a back-end that comes and goes " + hungUp + " cost the VMM its connection");
    }

    private void assertTheGuestGoesOn(boolean packed, Flapping... flappings) throws Exception {
        far = spare("far", on.tap(), socket());
        spare("others", on.otherTap(), folder.resolve("nic1"));
        Vireo active = daemon();
        try (RingLoad load = new RingLoad(GuestNic.options().packed(packed).ringSize(SIZE).receiveBytes(RingLoad.RECEIVE_BYTES)
                .start(fds, FrontEnd.connect(fds, folder.resolve("nic0"), LIMIT)), Guests.connect(fds, folder.resolve("nic1")))) {
            load.assertWhole("at the beginning");
            for (int i = 1; i <= KILLS; i++) {
                for (Flapping f : flappings) {
                    active = kill(active, f, load, "kill " + i);
                }
            }
        }
        end();
    }

    /** Kills the active one; who is active then. */
    private Vireo kill(Vireo active, Flapping flapping, RingLoad load, String kill) throws Exception {
        Vireo standby;
        try (AutoCloseable _ = flapping.begin()) {
            standby = daemon();
            Await.until(LIMIT, "the standby to have the NIC at " + kill, this::standbyHasIt);
            load.run(random.nextInt(100_000_000));
            active.process().signal("KILL");
            assertEquals(128 + 9, active.process().exitCode(LIMIT));
            running.remove(active);
            active.close();
            standby.process().awaitLine(ENDED, LIMIT);
            load.run(random.nextInt(100_000_000));
        }
        kills++;
        if (load.guest().frontEnd().awaitClosed(System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(10))) {
            hungUp++;
            load.guest().reconnect(FrontEnd.connect(fds, folder.resolve("nic0"), LIMIT));
        }
        load.drain();
        load.awaitFrame(kill);
        load.assertWhole(kill);
        return standby;
    }

    /** In the middle of what it is told; it never takes a frame. */
    private AutoCloseable hangsUp() throws IOException {
        far.leave();
        FlappingBackEnd flaps = new FlappingBackEnd(socket(), GuestNic.RING_FEATURES & ~(VirtioNet.MTU | VirtioNet.MAC | VirtioNet.STATUS),
                LIFE_MILLIS);
        return () -> {
            flaps.close();
            Rounds.tell("a back-end that hung up " + flaps.connections() + " times");
            far.serve();
        };
    }

    /** And ends in good order. */
    private AutoCloseable servesForMoments() {
        AtomicBoolean ending = new AtomicBoolean();
        CompletableFuture<Integer> all = CompletableFuture.supplyAsync(() -> {
            int times = 0;
            try {
                for (; !ending.get(); times++) {
                    far.leave();
                    LockSupport.parkNanos(random.nextInt(10_000_000));
                    far.serve();
                    LockSupport.parkNanos(random.nextInt(1_000_000 * LIFE_MILLIS));
                }
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
            return times;
        });
        return () -> {
            ending.set(true);
            Rounds.tell("a back-end that came and went " + all.get(LIMIT.toSeconds(), TimeUnit.SECONDS) + " times");
        };
    }
}
