// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.frontend.virtionet.nic.RehearsalStage.Times;
import org.vireo.frontend.virtionet.rehearsal.StandInBackend;
import org.vireo.frontend.virtionet.slot.Slots;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.Section;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.NicImage;
import org.vireo.vhostuser.VirtioNet;

/**
 * Takes a twin of a NIC, serves a driver with it, gives it back and hands it on, again and again until that is fast. Code that runs for
 * the first time is loaded, linked and interpreted: 20 to 50 times slower than compiled code, which a frozen guest would wait for. So
 * this is the same code on the same path, with the real backend and exactly the acknowledged features, on a {@link RehearsalStage}.
 * One thread runs it; any may close it.
 */
final class DressRehearsal implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(DressRehearsal.class);
    private static final String NAME = "rehearsal";
    private static final long TYPICAL = VirtioNet.VERSION_1 | VirtioNet.MRG_RXBUF | VirtioNet.EVENT_IDX | VirtioNet.INDIRECT_DESC
            | VirtioNet.CSUM | VirtioNet.GUEST_CSUM | VirtioNet.HOST_TSO4 | VirtioNet.HOST_TSO6 | VirtioNet.GUEST_TSO4
            | VirtioNet.GUEST_TSO6;
    private static final int LEAST_FRAMES = 20_000;
    /** Where there is no port no frames move. */
    private static final int LEAST_LIVES = 10;
    private static final int ROUNDS = 10;
    private static final int MOVES = 10;
    private static final int MOVES_AGAIN = 3;
    private static final int ROUNDS_AGAIN = 4;
    /** What is less than a tenth faster than the best so far counts as no faster. */
    private static final double FASTER = 0.9;
    private static final int LIVES_WITHOUT_GAIN = 3;
    private static final int VMM_CHANGES = 10;
    private static final long END_NANOS = TimeUnit.SECONDS.toNanos(5);
    private static final int LOOK_MILLIS = 100;

    private final Environment env;
    private final Callable<RehearsalStage> maker;
    /** Whether a guest goes from one VMM to another, too. */
    private final boolean changesVmm;
    private RehearsalStage stage;
    private boolean running;
    private volatile boolean closed;
    private boolean done;
    private long frames;
    private long bestFrame = Long.MAX_VALUE;
    private long bestMove = Long.MAX_VALUE;

    private DressRehearsal(Environment env, boolean changesVmm, Callable<RehearsalStage> maker) {
        this.env = env;
        this.changesVmm = changesVmm;
        this.maker = maker;
    }

    /**
     * One of a NIC that there is. Nothing is made before {@link #run}.
     *
     * @param image of the NIC; its descriptors are not used, it may be closed
     * @param real what the NIC lives in
     */
    static DressRehearsal of(NicImage image, Environment real) {
        return new DressRehearsal(real, false, () -> {
            String netdev = NicImages.options(NicImages.require(image, "nic"), "option.").getOrDefault("netdev", "");
            if (netdev.isEmpty()) {
                return new RehearsalStage(image, real, new Slots(real.fds()));
            }
            // a backend that stays behind has no state to make stand-ins of
            return image.backend().isEmpty() ? typical(real, NicImages.require(image, "device").number("features"))
                    : new RehearsalStage(image, real, real.slots().twin(netdev));
        });
    }

    /**
     * One of a NIC of this process whose backend is to be replaced.
     *
     * @param image of the NIC, with the state that the new backend loads; its descriptors are not used, it may be closed
     * @param real what the NIC lives in
     * @param with netdevs whose backend is the new one
     */
    static DressRehearsal of(NicImage image, Environment real, Slots with) {
        return new DressRehearsal(real, false, () -> new RehearsalStage(image, real, with));
    }

    /**
     * One of a NIC as there may be one; where two NICs name one netdev its guest changes its VMM, too.
     *
     * @param real what it would live in
     */
    static DressRehearsal ofAny(Environment real) {
        return new DressRehearsal(real, true, () -> typical(real, TYPICAL));
    }

    /** With a stand-in for the backend too, one pair, and what the guest acknowledged, if there is one. */
    private static RehearsalStage typical(Environment real, long acknowledged) throws Exception {
        long features = acknowledged == 0 ? TYPICAL : acknowledged & ~(VirtioNet.MQ | VirtioNet.MTU);
        Section nic = Section.builder("nic").flag("backend-transfer", true).text("option.id", NAME).text("option.netdev", NAME)
                .text("option.socket", "none").build();
        Section device = Section.builder("device").number("features", features).number("protocol-features", 0).number("status", 0)
                .number("mtu", 0).number("pairs", 1).build();
        try (NicImage image = NicImage.of(NAME, NicImages.FORMAT.writes().newest(), 1, List.of(nic, device),
                StandInBackend.state(real.fds()))) {
            return new RehearsalStage(image, real, Slots.of(NAME, new StandInBackend(features), real.fds()));
        }
    }

    /** This process has rehearsed another NIC before: a short one is enough. */
    void known() {
        done = true;
    }

    /**
     * Rehearses until it is fast; when that was done, a short one, since caches forget.
     *
     * @param deadlineNanos until when, as of {@link System#nanoTime()}
     * @return what was done, for the log
     * @throws Exception something cannot be done, as it perhaps cannot for the real NIC; or it was closed
     */
    String run(long deadlineNanos) throws Exception {
        open();
        try {
            if (done) {
                stage.life(MOVES_AGAIN, ROUNDS_AGAIN, () -> goesOn(deadlineNanos));
                return "done before";
            }
            return untilFast(deadlineNanos);
        } finally {
            leave();
        }
    }

    /** As {@link #run}, for a NIC that goes on also without: what cannot be done is logged, and told in the report. */
    String report(String nic, long deadlineNanos) {
        try {
            return run(deadlineNanos);
        } catch (Exception e) {
            if (closed) {
                LOG.debug("NIC {}: rehearsal ended early, with what was rehearsed", nic);
                return "ended early: " + e.getMessage();
            }
            LOG.warn("NIC {}: rehearsal ended early: {}", nic, e.getMessage(),
                    e instanceof NicException || e instanceof NetdevException ? null : e);
            return "ended early: " + e.getMessage();
        }
    }

    private synchronized void open() throws Exception {
        if (closed) {
            throw new NicException("the rehearsal is over");
        }
        if (stage == null) {
            stage = maker.call();
        }
        running = true;
    }

    private synchronized void leave() {
        running = false;
        notifyAll();
        if (closed) {
            release();
        }
    }

    private String untilFast(long deadlineNanos) throws Exception {
        long began = System.nanoTime();
        int lives = 0;
        int withoutGain = 0;
        // what another NIC has rehearsed leaves little to do
        int least = env.rehearsed().get() ? LEAST_FRAMES / 4 : LEAST_FRAMES;
        while (goesOn(deadlineNanos) && !done) {
            Times t = stage.life(MOVES, ROUNDS, () -> goesOn(deadlineNanos));
            if (!goesOn(deadlineNanos)) {
                // it was cut short, and says nothing about how fast it would be
                break;
            }
            boolean faster = t.frameNanos() < bestFrame * FASTER || t.moveNanos() < bestMove * FASTER;
            bestFrame = Math.min(bestFrame, t.frameNanos());
            bestMove = Math.min(bestMove, t.moveNanos());
            frames += t.frames();
            lives++;
            withoutGain = faster ? 0 : withoutGain + 1;
            boolean enough = frames >= least || frames == 0 && lives >= LEAST_LIVES;
            done = enough && withoutGain >= LIVES_WITHOUT_GAIN;
        }
        if (done) {
            env.rehearsed().set(true);
        }
        long millis = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - began);
        String best = lives == 0 ? "" : "; best: " + bestMove / 1_000 + " us a handover, " + bestFrame + " ns a frame";
        String early = done ? "" : "; ended before it was fast";
        return lives * (MOVES + 1) + " handovers, " + frames + " frames, " + millis + " ms" + best + early
                + (changesVmm && done && env.slots().areShared() ? "; " + changeVmm(deadlineNanos) : "");
    }

    private String changeVmm(long deadlineNanos) throws Exception {
        long best = Long.MAX_VALUE;
        try (VmmChangeStage s = new VmmChangeStage(env, TYPICAL)) {
            for (int without = 0; without < LIVES_WITHOUT_GAIN && goesOn(deadlineNanos);) {
                long now = s.change(VMM_CHANGES, () -> goesOn(deadlineNanos));
                without = now < best * FASTER ? 0 : without + 1;
                best = Math.min(best, now);
            }
            return s.changes() + " changes of VMM" + (s.changes() == 0 ? "" : "; best: " + best / 1_000 + " us");
        }
    }

    private boolean goesOn(long deadlineNanos) {
        return !closed && System.nanoTime() - deadlineNanos < 0;
    }

    /** Ends it: at once, or if it runs after a life more. */
    @Override
    public synchronized void close() {
        closed = true;
        if (!running) {
            release();
        }
    }

    /** Closes it and waits until it has ended, also if this thread is interrupted; some seconds at most. */
    synchronized void end() {
        close();
        long deadline = System.nanoTime() + END_NANOS;
        boolean interrupted = false;
        while (running && System.nanoTime() - deadline < 0) {
            try {
                wait(LOOK_MILLIS);
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private void release() {
        if (stage != null) {
            stage.close();
            stage = null;
        }
    }
}
