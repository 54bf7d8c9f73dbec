// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.handover.wire.Channel;
import org.vireo.handover.wire.Message;
import org.vireo.handover.wire.RecordType;
import org.vireo.handover.wire.WireException;
import org.vireo.net.api.Section;
import org.vireo.net.api.nic.IncomingNic;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.Ownership.Phase;
import org.vireo.posix.linux.Poll;
import org.vireo.posix.linux.UnixSockets;

/**
 * The target of a handover, after the greeting: prepares what it is given, watches the words, takes. One thread; what may block
 * once a NIC is owned runs on another.
 */
class TargetSession {
    /** How often the words are looked at though nothing has been heard. */
    static final long LOOK_AGAIN_NANOS = 20 * Deadlines.NANOS;

    private static final Logger LOG = LoggerFactory.getLogger(TargetSession.class);

    private final Context context;
    private final Channel channel;
    private final Peer peer;
    private final Cancel cancel;
    private final Report report;
    private final Parameters parameters;
    private final Map<String, TargetNic> nics = new LinkedHashMap<>();
    private final ExecutorService settling = Executors.newSingleThreadExecutor(
            Thread.ofPlatform().daemon().name("handover-settling").factory());
    private boolean open = true;
    private boolean ordered;
    private String ended = "";
    private int taken;
    private long lastRecord = System.nanoTime();
    private boolean warm;
    private boolean peerDead;

    /**
     * A session.
     *
     * @param context what it runs in
     * @param channel after the greeting
     * @param peer the source; both are closed at the end of {@link #run()}
     * @param cancel ends it
     * @param report says what became of each NIC
     * @param parameters the same on both sides
     */
    TargetSession(Context context, Channel channel, Peer peer, Cancel cancel, Report report, Parameters parameters) {
        this.context = context;
        this.channel = channel;
        this.peer = peer;
        this.cancel = cancel;
        this.report = report;
        this.parameters = parameters;
    }

    Deadlines deadlines() {
        return context.deadlines();
    }

    Peer peer() {
        return peer;
    }

    Context context() {
        return context;
    }

    /** Whether the channel may still bring records. */
    boolean isOpen() {
        return open;
    }

    /** Whether an owner that stands still is fenced. */
    boolean fences() {
        return false;
    }

    /** After how long to look at a word again at the latest. */
    long lookAgainNanos() {
        return LOOK_AGAIN_NANOS;
    }

    /** How many NICs were taken. Of the session's thread. */
    int taken() {
        return taken;
    }

    /** How many are prepared. Of the session's thread. */
    Collection<TargetNic> nics() {
        return nics.values();
    }

    /** Runs until the channel is at its end and no NIC is watched any more. */
    void run() {
        report.status("active");
        try {
            while (open || !nics.isEmpty()) {
                long wait = advance();
                if (open || !nics.isEmpty()) {
                    pump(wait);
                }
            }
        } finally {
            nics.values().forEach(n -> n.close("unexpected end"));
            settle();
            channel.close();
            peer.close();
        }
        if (ended.isEmpty()) {
            report.end("completed", "");
        } else {
            report.end(cancel.asked() ? "cancelled" : "failed", ended);
        }
        if (!context.rehearsal()) {
            summarise(ended);
        }
    }

    /** Says in the log how it ended. */
    void summarise(String why) {
        LOG.info("handover from {}: {} taken{}", peer, Report.nics(taken), why.isEmpty() ? "" : "; " + why);
    }

    private void settle() {
        settling.shutdown();
        try {
            if (!settling.awaitTermination(deadlines().prepare(), TimeUnit.MILLISECONDS)) {
                LOG.error("a NIC taken over from {} does not settle in", peer);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private long advance() {
        long wait = Long.MAX_VALUE;
        for (TargetNic n : order(nics.values())) {
            wait = Math.min(wait, n.advance());
        }
        nics.values().removeIf(TargetNic::isDone);
        return wait;
    }

    /** In which order NICs are looked at. */
    Collection<TargetNic> order(Collection<TargetNic> all) {
        return all;
    }

    private void pump(long waitNanos) {
        long silence = lastRecord + deadlines().silence() * Deadlines.NANOS - System.nanoTime();
        long wait = open ? Math.min(waitNanos, silence) : waitNanos;
        int millis = (int) Math.min(1_000, Math.max(1, wait / Deadlines.NANOS));
        // a dead source's channel ends before its death can be seen
        int bits = Poll.readable(millis, open ? channel.number() : -1, cancel.number(), open || peerDead ? -1 : peer.number());
        if ((bits & 1) != 0) {
            read();
        } else if (open && silence <= 0) {
            lastRecord = System.nanoTime();
            silent();
        }
        peerDead |= (bits & 4) != 0;
        if (cancel.asked() && open) {
            tell(RecordType.REFUSED, "", cancel.why());
            end(cancel.why(), true);
        }
    }

    /** Nothing came for as long as the deadlines say. */
    void silent() {
        end("the source says nothing for " + deadlines().silence() + " ms", true);
    }

    private void read() {
        try {
            do {
                Optional<Message> m = channel.receive(Deadlines.in(deadlines().record()));
                lastRecord = System.nanoTime();
                if (m.isPresent()) {
                    try (Message message = m.get()) {
                        handle(message);
                    }
                }
            } while (open && Poll.readable(0, channel.number()) != 0);
        } catch (WireException.Ended e) {
            end(nics.isEmpty() ? "" : "the source closed the channel", false);
        } catch (WireException e) {
            LOG.warn("handover from {}: {}", peer, e.getMessage());
            tell(RecordType.REFUSED, "", e.getMessage());
            end(e.getMessage(), false);
        }
    }

    /**
     * No more records. A NIC that was taken goes on. One that was not is let go at once if the end was said or comes from here,
     * else when its owner is seen to live on; if its owner dies, so that the end was its death, the NIC is taken.
     */
    private void end(String why, boolean said) {
        open = false;
        ordered = said;
        if (ended.isEmpty()) {
            ended = why;
        }
        for (TargetNic n : nics.values()) {
            n.orphaned();
            if (ordered && !n.isTaken() && n.word().phase() == Phase.OWNED) {
                n.close(why);
            }
        }
        nics.values().removeIf(TargetNic::isDone);
    }

    private void handle(Message m) throws WireException {
        switch (m.type()) {
            case PREPARE -> prepare(m);
            case CHANGE -> change(m);
            case OFFER, DROPPED -> {
                // only wakes: the word is looked at after this
            }
            case END, REFUSED -> end(m.text("why"), true);
            default -> other(m);
        }
    }

    /** A record that is none of a handover. */
    void other(Message m) throws WireException {
        throw new WireException("the source sent " + m.type() + ", which only a target may send or which comes too late");
    }

    /** One NIC is not fed any more, though the channel goes on. */
    void gone(String id, String why) {
        TargetNic n = nics.get(id);
        if (n != null) {
            n.orphaned();
            if (!n.isTaken() && n.word().phase() == Phase.OWNED && !n.isOwnerDead()) {
                n.close(why);
                // it may be prepared anew by the very next record
                nics.remove(id);
            }
        }
    }

    private void prepare(Message m) throws WireException {
        String id = m.nic();
        TargetNic former = nics.get(id);
        if (former != null && former.isOrphaned() && !former.isTaken()) {
            // it went, and came back to who feeds this process, before that was seen here
            former.close("it is prepared anew");
            nics.remove(id);
        } else if (former != null) {
            throw new WireException("NIC " + id + " twice");
        }
        long began = System.nanoTime();
        long deadline = Deadlines.in(deadlines().prepare());
        IncomingNic nic;
        try {
            nic = context.nics().prepare(m.image(), parameters.backendTransfer(), deadline);
        } catch (NicException | RuntimeException e) {
            refuse(id, e instanceof NicException ? e.getMessage() : "unexpected: " + e, e);
            return;
        }
        long built = System.nanoTime();
        String rehearsal;
        try {
            rehearsal = getReady(nic, deadline);
        } catch (Exception e) {
            nic.close();
            refuse(id, "its rehearsal failed: " + (e.getMessage() == null ? e : e.getMessage()), e);
            return;
        }
        nics.put(id, new TargetNic(this, nic));
        long end = System.nanoTime();
        nowPrepared(id);
        report.anew(id);
        report.nic(id, "prepare-micros", (built - began) / 1_000);
        report.nic(id, "rehearse-micros", (end - built) / 1_000);
        report.nic(id, "rehearsal", rehearsal);
        send(Message.of(RecordType.PREPARED, Message.about(RecordType.PREPARED, id)
                .number("seq", nic.seq()).number("slot", nic.block().self())
                .number("prepare-micros", (built - began) / 1_000).number("rehearse-micros", (end - built) / 1_000)
                .text("rehearsal", rehearsal).build()));
    }

    /**
     * Until it is fast, at low priority, if the machine lets that happen soon; then the garbage that this made is collected, unless
     * that would stop other NICs.
     */
    String getReady(IncomingNic nic, long deadline) throws Exception {
        if (context.rehearsal()) {
            return nic.rehearse(deadline);
        }
        long quiet = Math.min(deadline, Deadlines.in(deadlines().rehearsal()));
        String text = Quietly.await(Quietly.start("handover-rehearsal", () -> {
            if (!warm) {
                Rehearsal.run(context.fds(), quiet);
            }
            return nic.rehearse(quiet);
        }), deadline);
        warm = true;
        if (context.nics().transferable().isEmpty()) {
            System.gc();
        }
        // once more, at this thread's own priority: the offer follows at once
        Rehearsal.again(context.fds());
        nic.rehearse(Math.min(deadline, Deadlines.in(deadlines().freeze())));
        return text;
    }

    private void refuse(String id, String why, Exception e) {
        if (isNews(id, why)) {
            LOG.warn("nic {}: refused, offered by {}: {}", id, peer, why, e instanceof NicException ? null : e);
            report.result(id, "refused", why);
        }
        tell(RecordType.REFUSED, id, why);
    }

    /** Whether nobody has been told yet that a NIC is refused for this reason. */
    boolean isNews(String id, String why) {
        return true;
    }

    /** A NIC is prepared, whatever came of earlier offers. */
    void nowPrepared(String id) {
        // there is one offer only
    }

    private void change(Message m) throws WireException {
        TargetNic n = nics.get(m.nic());
        if (n == null) {
            // refused or given up here; the source has not read that yet
            return;
        }
        try {
            n.nic().change(m.image());
        } catch (NicException | RuntimeException e) {
            String why = e instanceof NicException ? e.getMessage() : "unexpected: " + e;
            nics.remove(n.id());
            n.close(why);
            tell(RecordType.FAILED, n.id(), why);
            return;
        }
        send(Message.of(RecordType.PREPARED, Message.about(RecordType.PREPARED, n.id())
                .number("seq", n.nic().seq()).number("slot", n.nic().block().self()).build()));
    }

    /** Whether all that came has been read. */
    boolean isDrained() {
        return !open || Poll.readable(0, channel.number()) == 0;
    }

    void sendRunning(String nic, long tookNanos, long takeMicros) {
        send(Message.of(RecordType.RUNNING, Message.about(RecordType.RUNNING, nic).number("took-nanos", tookNanos)
                .number("take-micros", takeMicros).build()));
        report.nic(nic, "take-micros", takeMicros);
    }

    void sendFailed(String nic, String why) {
        tell(RecordType.FAILED, nic, why);
    }

    private void tell(RecordType type, String nic, String why) {
        send(Message.of(type, Message.about(type, nic).text("why", why).build()));
    }

    void send(Message m) {
        if (!open) {
            return;
        }
        try {
            channel.send(m, Deadlines.in(deadlines().record()));
        } catch (WireException e) {
            // what was to be said may be in the word, or not: so nobody waits for it, both sides read the channel's end
            LOG.debug("handover from {}: {}", peer, e.getMessage());
            UnixSockets.shutdown(channel.socket());
        }
    }

    /** The word says OWNED by this process. */
    void own(TargetNic n) {
        taken++;
        settling.execute(() -> {
            long began = System.nanoTime();
            String why = "";
            try {
                n.nic().own();
            } catch (RuntimeException | LinkageError e) {
                LOG.error("nic {}: taken over from {}, but its connection is not in use", n.id(), peer, e);
                why = e.toString();
            }
            long micros = (System.nanoTime() - began) / 1_000;
            Section.Builder b = Message.about(RecordType.OWNING, n.id()).number("own-micros", micros);
            send(Message.of(RecordType.OWNING, (why.isEmpty() ? b : b.text("why", why).optional("why")).build()));
            report.nic(n.id(), "own-micros", micros);
            report.result(n.id(), "owned", why);
            if (!context.rehearsal()) {
                LOG.info("nic {}: taken over from {}: {}", n.id(), peer, n.word());
            }
        });
    }

    void notTaken(String id, String why) {
        report.result(id, "not-taken", why);
        if (!context.rehearsal()) {
            LOG.info("nic {}: not taken from {}: {}", id, peer, why);
        }
    }

    /** A NIC kills who serves it. */
    void poisoned(String id, String why) {
        LOG.error("NIC {}: {}. Its guest or its backend does that; add it again when that is mended", id, why);
        context.events().accept("NIC_POISONED", Map.of("nic", id, "reason", why));
    }

    void warn(String what) {
        LOG.warn(what);
    }
}
