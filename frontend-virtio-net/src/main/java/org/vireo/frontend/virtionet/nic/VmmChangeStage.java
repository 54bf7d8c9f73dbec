// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import org.vireo.frontend.virtionet.block.NicBlockMemory;
import org.vireo.frontend.virtionet.nic.Actor.Urgency;
import org.vireo.frontend.virtionet.rehearsal.RehearsalDriver;
import org.vireo.frontend.virtionet.rehearsal.RehearsalTraffic;
import org.vireo.frontend.virtionet.rehearsal.RehearsalVmm;
import org.vireo.frontend.virtionet.rehearsal.StandInBackend;
import org.vireo.frontend.virtionet.slot.Slots;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.Fd;
import org.vireo.net.api.NetPort.Disposal;
import org.vireo.posix.linux.UnixSockets;

/**
 * Two NICs of one netdev with a stand-in for its backend, and a VMM for each: a guest goes from one VMM to the other and back. One thread.
 */
final class VmmChangeStage implements AutoCloseable {
    private static final String NETDEV = "rehearsal";
    private static final int STREAM = 1;
    private static final long CALL_MILLIS = 10_000;
    private static final long LOAD_NANOS = TimeUnit.MILLISECONDS.toNanos(CALL_MILLIS);
    private static final int VMMS = 2;

    private final List<Runnable> closers = new ArrayList<>();
    private final List<RehearsalVmm> vmms = new ArrayList<>();
    private int changes;
    private List<Integer> bases = List.of(0, 0);

    /**
     * A stage, with the guest at the first VMM.
     *
     * @param real what NICs live in that are no rehearsal
     * @param features that the guest acknowledges
     * @throws Exception no descriptor or memory left
     */
    VmmChangeStage(Environment real, long features) throws Exception {
        try {
            RehearsalThreads threads = new RehearsalThreads(real, Slots.of(NETDEV, new StandInBackend(features), real.fds()));
            closers.add(threads::close);
            RehearsalDriver driver = new RehearsalDriver(real.fds(), features);
            closers.add(driver::close);
            // buffers are posted; what stops and starts has something to give back and to look at
            new RehearsalTraffic(driver);
            for (int i = 0; i < VMMS; i++) {
                vmms.add(new RehearsalVmm(real.fds(), connect(threads.environment(), NETDEV + i), driver));
            }
            for (RehearsalVmm v : vmms) {
                v.negotiate(features);
            }
            vmms.getFirst().start(bases);
        } catch (Exception e) {
            close();
            throw e;
        }
    }

    /** A NIC; returns its VMM's end of the connection. */
    private Fd connect(Environment env, String id) throws Exception {
        Fd[] pair = UnixSockets.pair(env.fds(), STREAM, true, "rehearsal VMM");
        closers.add(pair[0]::close);
        closers.add(pair[1]::close);
        Nic nic = new Nic(NicOptions.parse(Map.of("id", id, "netdev", NETDEV, "socket", "none")), env,
                NicBlockMemory.create(env.fds(), id));
        closers.add(() -> nic.close(Disposal.RELEASE));
        nic.actor().call(Urgency.UNBIND, CALL_MILLIS, () -> {
            nic.binding().slot().users().add(nic.backend());
            if (nic.binding().slot().shared() == null) {
                try (BackendState state = StandInBackend.state(env.fds())) {
                    nic.binding().load(state, null, System.nanoTime() + LOAD_NANOS);
                }
            }
            nic.ready();
            return nic.vmm().connected(pair[1]);
        });
        return pair[0];
    }

    /**
     * The guest goes to the other VMM, and on, and on.
     *
     * @param times how often at most
     * @param goesOn whether it is still wanted
     * @return nanoseconds from asking a VMM to stop to running at the other one, least of all
     * @throws Exception something cannot be done
     */
    long change(int times, BooleanSupplier goesOn) throws Exception {
        long best = Long.MAX_VALUE;
        for (int i = 0; i < times && goesOn.getAsBoolean(); i++) {
            long began = System.nanoTime();
            bases = vmms.get(changes % VMMS).stop();
            changes++;
            vmms.get(changes % VMMS).start(bases);
            best = Math.min(best, System.nanoTime() - began);
        }
        return best;
    }

    /** How often the guest has changed its VMM. */
    int changes() {
        return changes;
    }

    @Override
    public void close() {
        closers.reversed().forEach(Runnable::run);
    }
}
