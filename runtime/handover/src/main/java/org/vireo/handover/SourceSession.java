// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.io.IOException;
import java.lang.management.GarbageCollectorMXBean;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.FutureTask;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.handover.wire.Channel;
import org.vireo.handover.wire.Message;
import org.vireo.handover.wire.RecordType;
import org.vireo.handover.wire.WireException;
import org.vireo.net.api.Section;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.NicImage;
import org.vireo.net.api.nic.TransferableNic;
import org.vireo.posix.linux.Poll;

/** The source of a handover, on a connected channel: greets, prepares all NICs, then commits one after the other. One thread. */
final class SourceSession {
    private static final Logger LOG = LoggerFactory.getLogger(SourceSession.class);

    private static final long LOOK_NANOS = 20 * Deadlines.NANOS;

    private final Context context;
    private final Channel channel;
    private final Cancel cancel;
    private final Report report;
    private final Parameters parameters;
    private final Map<String, SourceNic> nics = new LinkedHashMap<>();
    private Peer peer;
    private volatile String behind;
    private String broken;
    private boolean peerDead;

    SourceSession(Context context, Channel channel, Cancel cancel, Report report, Parameters parameters) {
        this.context = context;
        this.channel = channel;
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

    Cancel cancel() {
        return cancel;
    }

    Report report() {
        return report;
    }

    /** Moves NICs; the report says what became of them. Returns when all that concerns this handover is closed. */
    void run(List<TransferableNic> all) {
        run(all, true);
    }

    /**
     * Moves NICs, or only sees whether they could move.
     *
     * @param moves whether they move
     */
    void run(List<TransferableNic> all, boolean moves) {
        String why = "";
        report.status("setup");
        try {
            int version = greet();
            report.status("active");
            for (TransferableNic n : all) {
                prepare(n, version, moves && !context.rehearsal());
            }
            for (SourceNic n : nics.values()) {
                if (moves) {
                    commit(n);
                } else {
                    n.end(SourceNic.Result.READY, "");
                    tellResult(n);
                }
            }
        } catch (HandoverException | IOException e) {
            why = e.getMessage();
        } catch (RuntimeException e) {
            LOG.error("handover", e);
            why = "unexpected: " + e;
        }
        finish(all, why);
    }

    private int greet() throws HandoverException, IOException {
        Greeting.checkUser(channel.socket());
        Greeting.say(channel, context, "source", parameters);
        Message m = firstRecord();
        try {
            Greeting.Other target = Greeting.hearAnswer(m, context, "target", parameters);
            peer = target.process();
            return target.version();
        } catch (HandoverException e) {
            tell(RecordType.REFUSED, "", e.getMessage());
            throw e;
        }
    }

    private Message firstRecord() throws WireException, HandoverException {
        long deadline = Deadlines.in(deadlines().hello());
        while (true) {
            if (cancel.asked()) {
                throw new HandoverException(cancel.why());
            }
            Optional<Message> m = channel.receive(deadline);
            if (m.isPresent()) {
                return m.get();
            }
        }
    }

    private void prepare(TransferableNic transferable, int version, boolean rehearses) throws HandoverException, WireException {
        SourceNic n = new SourceNic(this, transferable);
        nics.put(n.id(), n);
        long began = System.nanoTime();
        try (NicImage image = transferable.begin(version, parameters.backendTransfer(), parameters.breakBeforeMake(), n.follower())) {
            channel.send(Message.of(RecordType.PREPARE, image), Deadlines.in(deadlines().record()));
            n.opened(parameters.breakBeforeMake() && image.backend().isEmpty());
        } catch (NicException e) {
            n.unfeed();
            nics.remove(n.id());
            throw new HandoverException(named(transferable.id(), e.getMessage()), e);
        }
        FutureTask<String> rehearsal = rehearses
                ? Rehearsal.start(context.fds(), transferable, Deadlines.in(deadlines().rehearsal())) : null;
        await(() -> n.isPrepared() || n.failure() != null, deadlines().prepare(), "NIC " + n.id() + ": the target does not get it ready");
        if (n.failure() != null) {
            throw new HandoverException(named(n.id(), n.failure()));
        }
        if (rehearsal != null) {
            awaitRehearsal(n.id(), rehearsal);
            // the counters' classes are loaded now and not in the freeze
            collections();
        }
        report.nic(n.id(), "prepare-micros", (System.nanoTime() - began) / 1_000);
    }

    /** A reason from a frontend names the NIC already, one from the channel does not. */
    private static String named(String id, String why) {
        String name = "NIC " + id + ": ";
        return why.startsWith(name) ? why : name + why;
    }

    private void awaitRehearsal(String nic, FutureTask<String> rehearsal) throws HandoverException {
        long deadline = Deadlines.in(deadlines().prepare());
        while (!rehearsal.isDone() && trouble() == null && System.nanoTime() < deadline) {
            pump(LOOK_NANOS, -1);
        }
        if (trouble() != null) {
            throw new HandoverException(trouble());
        }
        try {
            report.nic(nic, "source-rehearsal", Quietly.await(rehearsal, System.nanoTime()));
        } catch (Exception e) {
            LOG.warn("NIC {}: rehearsal of the handover: {}; its freeze may take longer", nic, e.toString());
        }
    }

    private void commit(SourceNic n) throws HandoverException {
        checkCancelled();
        if (!context.rehearsal()) {
            Rehearsal.again(context.fds());
            n.nic().rehearse(Deadlines.in(deadlines().freeze()));
        }
        long collections = collections();
        n.commit();
        report.nic(n.id(), "collections", collections() - collections);
        if (n.result() != SourceNic.Result.MOVED) {
            tellResult(n);
            throw new HandoverException(named(n.id(), n.reason()));
        }
        tellResult(n);
    }

    private void tellResult(SourceNic n) {
        report.result(n.id(), n.result().name().toLowerCase(Locale.ROOT), n.reason());
        if (context.rehearsal()) {
            return;
        }
        if (n.result() == SourceNic.Result.READY) {
            LOG.info("nic {}: {} could take it", n.id(), peer);
        } else if (n.result() == SourceNic.Result.MOVED) {
            LOG.info("nic {}: handed over to {}, frozen for {} us", n.id(), peer, report.nic(n.id()).get("freeze-micros"));
        } else {
            LOG.warn("nic {}: {} in the handover to {}: {}", n.id(), n.result(), peer, n.reason());
        }
    }

    private long collections() {
        return context.rehearsal() ? 0
                : ManagementFactory.getGarbageCollectorMXBeans().stream().mapToLong(GarbageCollectorMXBean::getCollectionCount).sum();
    }

    private void checkCancelled() throws HandoverException {
        if (cancel.asked()) {
            throw new HandoverException(cancel.why());
        }
    }

    private void finish(List<TransferableNic> all, String why) {
        List<String> moved = new ArrayList<>();
        List<String> stayed = new ArrayList<>();
        for (SourceNic n : nics.values()) {
            if (n.result() == null) {
                n.end(SourceNic.Result.STAYED, why);
                tellResult(n);
            }
        }
        for (TransferableNic t : all) {
            SourceNic n = nics.get(t.id());
            (n != null && n.result() == SourceNic.Result.MOVED ? moved : stayed).add(t.id());
        }
        if (broken == null) {
            tell(RecordType.END, "", why);
        }
        channel.close();
        if (peer != null) {
            peer.close();
        }
        if (why.isEmpty()) {
            report.end("completed", "");
        } else {
            String lists = all.size() < 2 ? "" : "; moved: " + names(moved) + ", stayed: " + names(stayed);
            report.end(cancel.asked() && !stayed.isEmpty() ? "cancelled" : "failed", why + lists);
        }
    }

    private static String names(List<String> list) {
        return list.isEmpty() ? "none" : list.stream().collect(Collectors.joining(" "));
    }

    /**
     * Passes a change on before it takes effect, so that the target is not behind if this process dies. On a NIC's actor, whose VMM
     * waits: not for long.
     */
    void feed(NicImage change) {
        try (change) {
            if (behind == null) {
                channel.send(Message.of(RecordType.CHANGE, change), Deadlines.in(deadlines().change()));
            }
        } catch (WireException | RuntimeException e) {
            behind = "the target lags: " + e.getMessage();
        }
    }

    void peerDied() {
        peerDead = true;
    }

    boolean isPeerDead() {
        return peerDead;
    }

    /** Whether the channel is at its end, or of no use any more. */
    boolean isCutOff() {
        return broken != null;
    }

    /** Why this handover cannot go on, or null. */
    String trouble() {
        if (cancel.asked()) {
            return cancel.why();
        }
        if (peerDead) {
            return "the target, " + peer + ", is dead";
        }
        return broken != null ? broken : behind;
    }

    void await(BooleanSupplier condition, int millis, String otherwise) throws HandoverException {
        long deadline = Deadlines.in(millis);
        while (!condition.getAsBoolean()) {
            String trouble = trouble();
            if (trouble != null) {
                throw new HandoverException(trouble);
            }
            long left = deadline - System.nanoTime();
            if (left <= 0) {
                throw new HandoverException(otherwise + " (" + millis + " ms)");
            }
            pump(left, -1);
        }
    }

    /**
     * Waits for something to happen, and reads what the target says.
     *
     * @param waitNanos at most
     * @param vmm a descriptor to watch too, or -1
     * @return whether that descriptor is readable
     */
    boolean pump(long waitNanos, int vmm) {
        int millis = (int) Math.min(1_000, Math.max(1, waitNanos / Deadlines.NANOS));
        int bits = Poll.readable(millis, broken == null ? channel.number() : -1, cancel.number(), peerDead ? -1 : peer.number(), vmm);
        if ((bits & 1) != 0) {
            read();
        }
        if ((bits & 4) != 0) {
            peerDead = true;
        }
        return (bits & 8) != 0;
    }

    private void read() {
        try {
            do {
                Optional<Message> m = channel.receive(Deadlines.in(deadlines().record()));
                if (m.isPresent()) {
                    try (Message message = m.get()) {
                        handle(message);
                    }
                }
            } while (Poll.readable(0, channel.number()) != 0);
        } catch (WireException | HandoverException e) {
            broken = e.getMessage();
        }
    }

    private void handle(Message m) throws WireException, HandoverException {
        if (m.type() == RecordType.REFUSED && m.nic().isEmpty()) {
            throw new HandoverException("refused by the target: " + m.text("why"));
        }
        SourceNic n = nics.get(m.nic());
        if (n == null) {
            throw new HandoverException("the target speaks of a NIC \"" + m.nic() + "\" that it was not given");
        }
        switch (m.type()) {
            case PREPARED -> {
                if (!n.isPrepared() && m.head().has("rehearsal")) {
                    report.nic(n.id(), "rehearsal", m.text("rehearsal"));
                    report.nic(n.id(), "target-prepare-micros", m.number("prepare-micros"));
                    report.nic(n.id(), "rehearse-micros", m.number("rehearse-micros"));
                }
                n.prepared(m.number("seq"), m.number("slot"));
            }
            case REFUSED, FAILED -> n.failed(m.text("why"));
            case RUNNING -> {
                n.targetRuns(m.number("took-nanos"), m.number("take-micros"));
            }
            case OWNING -> {
                n.targetOwns();
                report.nic(n.id(), "own-micros", m.number("own-micros"));
                if (m.head().has("why")) {
                    report.nic(n.id(), "own-error", m.text("why"));
                }
            }
            default -> throw new HandoverException("the target sent " + m.type() + ", which only a source may send");
        }
    }

    void sendOffer(String nic, long seq) {
        send(Message.of(RecordType.OFFER, Message.about(RecordType.OFFER, nic).number("seq", seq).build()));
    }

    void sendDropped(String nic) {
        send(Message.of(RecordType.DROPPED, Message.about(RecordType.DROPPED, nic).build()));
    }

    private void tell(RecordType type, String nic, String why) {
        Section.Builder b = Message.about(type, nic).text("why", why);
        send(Message.of(type, b.build()));
    }

    private void send(Message m) {
        if (broken != null) {
            return;
        }
        try {
            channel.send(m, Deadlines.in(deadlines().freeze()));
        } catch (WireException e) {
            broken = e.getMessage();
        }
    }

    void warn(String what) {
        LOG.warn(what);
    }
}
