// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.io.IOException;
import java.util.ArrayList;
import java.util.concurrent.FutureTask;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.BooleanSupplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.handover.wire.Channel;
import org.vireo.handover.wire.Message;
import org.vireo.handover.wire.WireException;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.Nics;
import org.vireo.net.api.nic.TransferableNic;
import org.vireo.posix.linux.NativeHeap;
import org.vireo.posix.linux.UnixSockets;

/**
 * A whole handover inside this process, of NICs that do nothing: so the classes of both sides, those of a rollback too, are loaded
 * and warm before a real NIC is frozen. Once a process.
 */
final class Rehearsal {
    private static final Logger LOG = LoggerFactory.getLogger(Rehearsal.class);
    private static final int NICS = 5;
    private static final int TIMES = 8;
    private static final int NICS_AGAIN = 1;
    private static final Deadlines PATIENT =
            new Deadlines(5_000, 5_000, 5_000, 5_000, 5_000, 10_000, 10_000, 10_000, 50, 5_000, 5_000, 10_000, 100, 2_000, 1_000);
    private static final AtomicBoolean DONE = new AtomicBoolean();

    private Rehearsal() {
    }

    /** One that runs. */
    static final class Running implements AutoCloseable {
        private static final int END_MILLIS = 10_000;

        private final AtomicBoolean ends;
        private final Thread thread;

        private Running(AtomicBoolean ends, Thread thread) {
            this.ends = ends;
            this.thread = thread;
        }

        /** Ends it, and waits for that: its code must not outlive its bundle. */
        @Override
        public void close() {
            ends.set(true);
            thread.interrupt();
            join(thread, END_MILLIS);
        }
    }

    /** Begins one of all that a handover needs, at the lowest priority. */
    static Running start(Fds fds, Nics nics, Deadlines deadlines) {
        AtomicBoolean ends = new AtomicBoolean();
        return new Running(ends, Quietly.thread("handover-rehearsal", () -> {
            try {
                run(fds, ends::get);
                if (!ends.get()) {
                    LOG.debug("rehearsal: {}", nics.rehearse(Deadlines.in(deadlines.prepare())));
                    NativeHeap.trim();
                }
            } catch (NicException | IOException e) {
                if (!ends.get()) {
                    LOG.info("rehearsal ended early: {}; a freeze may take longer", e.getMessage());
                }
            }
        }));
    }

    /**
     * Begins one of the source's side, and the NIC's own, at low priority.
     *
     * @param deadlineNanos until when: however busy the machine is, a NIC does not wait longer to be fast
     */
    static FutureTask<String> start(Fds fds, TransferableNic nic, long deadlineNanos) {
        return Quietly.start("handover-rehearsal", () -> {
            run(fds, deadlineNanos);
            return nic.rehearse(deadlineNanos);
        });
    }

    /** Runs one, unless that was done; no longer than the deadline says. */
    static void run(Fds fds, long deadlineNanos) throws IOException {
        run(fds, () -> System.nanoTime() - deadlineNanos >= 0);
    }

    private static void run(Fds fds, BooleanSupplier ends) throws IOException {
        if (!DONE.compareAndSet(false, true)) {
            return;
        }
        long began = System.nanoTime();
        for (int i = 0; i < TIMES && !ends.getAsBoolean(); i++) {
            handOver(fds, NICS);
        }
        LOG.debug("rehearsal of the handover: {} ms", (System.nanoTime() - began) / Deadlines.NANOS);
    }

    /** A short one: processors forget what they do not use. */
    static void again(Fds fds) {
        try {
            handOver(fds, NICS_AGAIN);
        } catch (IOException e) {
            LOG.warn("rehearsal of the handover: {}; the freeze may take longer", e.toString());
        }
    }

    /** Hands stand-ins over; with several, the last one's target fails after it took. */
    private static void handOver(Fds fds, int count) throws IOException {
        Report report = new Report("source", (name, data) -> { });
        StandIns nics = new StandIns(fds, count);
        Context context = new Context(nics, fds, PATIENT, (name, data) -> { }, true);
        Fd[] pair = UnixSockets.pair(fds, 1, false, "rehearsal of the handover");
        Channel mine = new Channel(pair[0], fds);
        Channel other = new Channel(pair[1], fds);
        Thread target = Thread.ofPlatform().daemon().name("handover-rehearsal-target").start(() -> target(context, other));
        try (Cancel never = new Cancel(fds)) {
            new SourceSession(context, mine, never, report, Parameters.STANDARD).run(new ArrayList<>(nics.transferable()));
        } finally {
            join(target, PATIENT.prepare());
        }
    }

    /** Also if this thread is interrupted: what it waits for ends by itself. */
    private static void join(Thread thread, int millis) {
        long deadline = Deadlines.in(millis);
        boolean interrupted = false;
        while (thread.isAlive() && System.nanoTime() < deadline) {
            try {
                thread.join(Math.max(1, (deadline - System.nanoTime()) / Deadlines.NANOS));
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private static void target(Context context, Channel channel) {
        try (Cancel never = new Cancel(context.fds()); channel) {
            Message hello = channel.receive(Deadlines.in(PATIENT.hello())).orElseThrow(() -> new WireException("no HELLO"));
            Peer peer = Greeting.hear(hello, context, "source", Parameters.STANDARD, (int) ProcessHandle.current().pid()).process();
            Greeting.say(channel, context, "target", Parameters.STANDARD);
            new TargetSession(context, channel, peer, never, new Report("target", context.events()), Parameters.STANDARD).run();
        } catch (HandoverException | IOException | RuntimeException e) {
            LOG.warn("rehearsal of the handover: {}; the first NIC's freeze may take longer", e.toString());
        }
    }
}
