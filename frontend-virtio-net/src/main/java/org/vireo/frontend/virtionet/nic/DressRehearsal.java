// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.vireo.frontend.virtionet.block.NicBlockMemory;
import org.vireo.frontend.virtionet.rehearsal.RehearsalDriver;
import org.vireo.frontend.virtionet.rehearsal.RehearsalTraffic;
import org.vireo.frontend.virtionet.rehearsal.StandInBackend;
import org.vireo.frontend.virtionet.rehearsal.StandIns;
import org.vireo.frontend.virtionet.session.DeviceState;
import org.vireo.frontend.virtionet.session.RingState;
import org.vireo.frontend.virtionet.slot.Slots;
import org.vireo.frontend.virtionet.worker.Watchdog;
import org.vireo.frontend.virtionet.worker.Worker;
import org.vireo.net.api.Fd;
import org.vireo.net.api.NetPort.Disposal;
import org.vireo.net.api.Section;
import org.vireo.net.api.nic.NicImage;
import org.vireo.posix.linux.UnixSockets;
import org.vireo.vhostuser.VirtioNet;

/**
 * Takes a twin of a NIC, serves a driver with it, gives it back and hands it on, again and again until that is fast. Code that runs for
 * the first time is loaded, linked and interpreted: 20 to 50 times slower than compiled code, which a frozen guest would wait for. So
 * this is the same code on the same path, with the real backend and exactly the acknowledged features; only guest memory, rings,
 * connection and the backend's descriptors are stand-ins. One thread; its priority is its helpers' too.
 */
final class DressRehearsal implements AutoCloseable {
    private static final int STREAM = 1;
    private static final String NAME = "rehearsal";
    private static final long TYPICAL = VirtioNet.VERSION_1 | VirtioNet.MRG_RXBUF | VirtioNet.EVENT_IDX | VirtioNet.INDIRECT_DESC
            | VirtioNet.CSUM | VirtioNet.GUEST_CSUM | VirtioNet.HOST_TSO4 | VirtioNet.HOST_TSO6 | VirtioNet.GUEST_TSO4
            | VirtioNet.GUEST_TSO6;
    private static final int LEAST_FRAMES = 20_000;
    private static final int ROUNDS_A_CYCLE = 10;
    private static final int MOVES_A_CYCLE = 10;
    private static final int CYCLES_AGAIN = 1;
    private static final int MOVES_AGAIN = 3;
    private static final int ROUNDS_AGAIN = 4;
    /** A cycle that is less than a tenth faster than the best one so far counts as no faster. */
    private static final double FASTER = 0.9;
    private static final int CYCLES_WITHOUT_GAIN = 3;
    private static final long CALL_NANOS = TimeUnit.SECONDS.toNanos(2);

    private final NicImage image;
    private final boolean loads;
    private final Environment env;
    private final List<Runnable> closers = new ArrayList<>();
    private final RehearsalDriver driver;
    private final RehearsalTraffic traffic;
    private final NicBlockMemory block;
    private final Fd vmm;
    private final DeviceState device;
    private long deadlineNanos;
    private boolean done;
    private long frames;
    private long bestFrame = Long.MAX_VALUE;
    private long bestMove = Long.MAX_VALUE;

    /**
     * Prepares one of a NIC that there is.
     *
     * @param image of the NIC; its descriptors are not used, it may be closed
     * @param real what the real NIC lives in
     * @throws Exception something cannot be done, as it perhaps cannot for the real NIC
     */
    static DressRehearsal of(NicImage image, Environment real) throws Exception {
        Slots slots = image.backend().isPresent()
                ? real.slots().twin(NicImages.options(NicImages.require(image, "nic"), "option.").getOrDefault("netdev", ""))
                : new Slots(real.fds());
        return new DressRehearsal(image, real, slots);
    }

    /**
     * Prepares one of a NIC as there may be one.
     *
     * @param real what it would live in
     * @throws Exception no descriptor or memory left
     */
    static DressRehearsal ofAny(Environment real) throws Exception {
        Section nic = Section.builder("nic").flag("backend-transfer", true).text("option.id", NAME).text("option.netdev", NAME)
                .text("option.socket", "none").build();
        Section device = Section.builder("device").number("features", TYPICAL).number("protocol-features", 0).number("status", 0)
                .number("mtu", 0).number("pairs", 1).build();
        try (NicImage image = NicImage.of(NAME, NicImages.FORMAT.writes().newest(), 1, List.of(nic, device),
                StandInBackend.state(real.fds()))) {
            return new DressRehearsal(image, real, Slots.of(NAME, new StandInBackend(TYPICAL), real.fds()));
        }
    }

    private DressRehearsal(NicImage image, Environment real, Slots slots) throws Exception {
        this.image = image;
        this.loads = image.backend().isPresent();
        try {
            Watchdog watchdog = new Watchdog();
            closers.add(watchdog::close);
            Worker worker = new Worker("vireo-rehearsal", real.fds(), watchdog, Worker.Urgency.INHERITED);
            closers.add(worker::close);
            ExecutorService executor = Executors.newCachedThreadPool(Thread.ofPlatform().daemon().name("vireo-rehearsal-", 0).factory());
            closers.add(executor::shutdown);
            env = real.twin(slots, worker, executor);
            Section d = NicImages.require(image, "device");
            driver = new RehearsalDriver(real.fds(), d.number("features"));
            closers.add(driver::close);
            traffic = new RehearsalTraffic(driver);
            block = NicBlockMemory.create(real.fds(), NAME);
            closers.add(block::close);
            Fd[] pair = UnixSockets.pair(real.fds(), STREAM, true, "rehearsal VMM");
            vmm = pair[0];
            closers.add(pair[0]::close);
            closers.add(pair[1]::close);
            List<RingState> rings = new ArrayList<>(List.of(driver.ring(0), driver.ring(1)));
            while (rings.size() < 2 * d.number("pairs")) {
                rings.add(RingState.NEW);
            }
            device = new DeviceState(d.number("features"), d.number("protocol-features"), (int) d.number("status"), (int) d.number("mtu"),
                    driver.memory(), List.copyOf(rings));
        } catch (Exception e) {
            close();
            throw e;
        }
    }

    /**
     * Rehearses until it is fast; when that was done, a few times, since caches forget.
     *
     * @param deadline until when, as of {@link System#nanoTime()}
     * @return what was done, for the log
     * @throws Exception something cannot be done, as it perhaps cannot for the real NIC
     */
    String run(long deadline) throws Exception {
        deadlineNanos = deadline;
        if (done) {
            for (int i = 0; i < CYCLES_AGAIN && System.nanoTime() < deadline; i++) {
                cycle(MOVES_AGAIN, ROUNDS_AGAIN);
            }
            return "done before";
        }
        long begin = System.nanoTime();
        int cycles = 0;
        int withoutGain = 0;
        // what another NIC has rehearsed leaves little to do
        int least = env.rehearsed().get() ? LEAST_FRAMES / 4 : LEAST_FRAMES;
        while (System.nanoTime() < deadline && (frames < least || withoutGain < CYCLES_WITHOUT_GAIN)) {
            withoutGain = cycle(MOVES_A_CYCLE, ROUNDS_A_CYCLE) ? 0 : withoutGain + 1;
            cycles++;
        }
        done = true;
        env.rehearsed().set(true);
        long millis = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - begin);
        return cycles * (MOVES_A_CYCLE + 1) + " handovers, " + frames + " frames, " + millis + " ms; best: " + bestMove / 1_000
                + " us a handover, " + bestFrame + " ns a frame";
    }

    /** This process has rehearsed another NIC before. */
    void known() {
        done = true;
    }

    /** Once from one process to the next; returns whether it was faster than ever. */
    private boolean cycle(int moves, int rounds) throws Exception {
        try (StandIns standIns = loads ? StandIns.of(image.backend().orElseThrow(), env.fds()) : null;
                NicImage twin = NicImages.twin(image, device, block.file(), vmm, loads ? standIns.state() : null)) {
            ReceivedNic in = ReceivedNic.build(twin, null, loads, deadlineNanos, env, nic -> { }, () -> { });
            try {
                for (int i = 0; i < moves; i++) {
                    in.take();
                    in.giveBack();
                }
                long t0 = System.nanoTime();
                in.take();
                long t1 = System.nanoTime();
                long moved = loads ? traffic.move(rounds, standIns.farEnds().getFirst().number(), () -> goesOn(in.nic())) : 0;
                long each = (System.nanoTime() - t1) / Math.max(1, moved);
                frames += loads ? moved : LEAST_FRAMES;
                in.own();
                SourceNic out = new SourceNic(in.nic(), () -> { });
                out.begin(image.version(), false, NicImage::close).close();
                for (int i = 0; i < moves; i++) {
                    out.freeze(System.nanoTime() + CALL_NANOS);
                    out.resume();
                }
                long t2 = System.nanoTime();
                out.freeze(System.nanoTime() + CALL_NANOS);
                long move = System.nanoTime() - t2 + t1 - t0;
                boolean faster = each < bestFrame * FASTER || move < bestMove * FASTER;
                bestFrame = Math.min(bestFrame, each);
                bestMove = Math.min(bestMove, move);
                return faster;
            } finally {
                in.nic().close(Disposal.LEAVE);
            }
        }
    }

    private boolean goesOn(Nic nic) {
        return System.nanoTime() < deadlineNanos && !nic.failed();
    }

    @Override
    public void close() {
        closers.reversed().forEach(Runnable::run);
    }
}
