// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import org.vireo.frontend.virtionet.block.NicBlockMemory;
import org.vireo.frontend.virtionet.rehearsal.RehearsalDriver;
import org.vireo.frontend.virtionet.rehearsal.RehearsalTraffic;
import org.vireo.frontend.virtionet.rehearsal.StandIns;
import org.vireo.frontend.virtionet.session.DeviceState;
import org.vireo.frontend.virtionet.session.RingState;
import org.vireo.frontend.virtionet.slot.Slots;
import org.vireo.net.api.Fd;
import org.vireo.net.api.NetPort.Disposal;
import org.vireo.net.api.Section;
import org.vireo.net.api.nic.NicImage;
import org.vireo.posix.linux.UnixSockets;

/**
 * Stand-ins for what is around a NIC: a driver with its memory and rings, a VMM's connection and a NIC block. On it a NIC that is like
 * the one of an image lives through what a NIC lives through. One thread.
 */
final class RehearsalStage implements AutoCloseable {
    private static final int STREAM = 1;
    private static final long CALL_NANOS = TimeUnit.SECONDS.toNanos(2);
    /** A life that has begun comes to its end, also at the lowest priority. */
    private static final long LOAD_NANOS = TimeUnit.SECONDS.toNanos(10);

    private final NicImage image;
    private final boolean loads;
    private final Environment env;
    private final List<Runnable> closers = new ArrayList<>();
    private final RehearsalDriver driver;
    private final RehearsalTraffic traffic;
    private final NicBlockMemory block;
    private final Fd vmm;
    private final DeviceState device;

    /**
     * How fast a life was.
     *
     * @param frames moved
     * @param frameNanos for each of them
     * @param moveNanos for stopping here and starting there
     */
    record Times(long frames, long frameNanos, long moveNanos) { }

    /**
     * A stage.
     *
     * @param image of the NIC; its descriptors are not used, it may be closed
     * @param real what the NIC lives in
     * @param slots netdevs whose backend takes stand-ins
     * @throws Exception no descriptor or memory left, or the image is not whole
     */
    RehearsalStage(NicImage image, Environment real, Slots slots) throws Exception {
        this.image = image;
        this.loads = image.backend().isPresent();
        try {
            RehearsalThreads threads = new RehearsalThreads(real, slots);
            closers.add(threads::close);
            env = threads.environment();
            Section d = NicImages.require(image, "device");
            driver = new RehearsalDriver(real.fds(), d.number("features"));
            closers.add(driver::close);
            traffic = new RehearsalTraffic(driver);
            block = NicBlockMemory.create(real.fds(), "rehearsal");
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
                    driver.memory(), null, null, List.copyOf(rings), null);
        } catch (Exception e) {
            close();
            throw e;
        }
    }

    /**
     * A NIC's life: built from its image, taken and given back, taken again and serving its driver, frozen and resumed, frozen and let go.
     * One that is not wanted any more is a short one.
     *
     * @param moves how often it is given back, and resumed
     * @param rounds of traffic
     * @param goesOn whether it is still wanted
     * @return how fast it was
     * @throws Exception something cannot be done
     */
    Times life(int moves, int rounds, BooleanSupplier goesOn) throws Exception {
        try (StandIns standIns = loads ? StandIns.of(image.backend().orElseThrow(), env.fds()) : null;
                NicImage twin = NicImages.twin(image, device, block.file(), vmm, loads ? standIns.state() : null)) {
            ReceivedNic in = ReceivedNic.build(twin, null, loads, System.nanoTime() + LOAD_NANOS, env, nic -> { }, () -> { });
            try {
                for (int i = 0; i < moves && goesOn.getAsBoolean(); i++) {
                    in.take();
                    in.giveBack();
                }
                long began = System.nanoTime();
                in.take();
                long taken = System.nanoTime();
                BooleanSupplier serves = () -> goesOn.getAsBoolean() && !in.nic().failed();
                // who has the rings moves frames elsewhere
                boolean framesMove = loads && in.nic().binding().lent() == null;
                long moved = framesMove ? traffic.move(rounds, standIns.farEnds().getFirst().number(), serves) : 0;
                long each = (System.nanoTime() - taken) / Math.max(1, moved);
                in.own();
                SourceNic out = new SourceNic(in.nic(), () -> { });
                out.begin(image.version(), false, false, NicImage::close).close();
                for (int i = 0; i < moves && goesOn.getAsBoolean(); i++) {
                    out.freeze(System.nanoTime() + CALL_NANOS);
                    out.resume();
                }
                long last = System.nanoTime();
                out.freeze(System.nanoTime() + CALL_NANOS);
                return new Times(moved, each, System.nanoTime() - last + taken - began);
            } finally {
                in.nic().close(Disposal.LEAVE);
            }
        }
    }

    @Override
    public void close() {
        closers.reversed().forEach(Runnable::run);
    }
}
