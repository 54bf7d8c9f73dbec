// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.util.ArrayList;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentSkipListMap;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.handover.FedNic.State;
import org.vireo.handover.wire.Channel;
import org.vireo.handover.wire.Message;
import org.vireo.handover.wire.RecordType;
import org.vireo.handover.wire.WireException;
import org.vireo.net.api.Section;
import org.vireo.net.api.nic.NicBlock;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.NicImage;
import org.vireo.net.api.nic.TransferableNic;
import org.vireo.posix.linux.Poll;

/**
 * Feeds one standby: prepares all NICs of this process there, those that come later too, and tells each change before it takes effect. What
 * the standby refuses is offered again, with a picture of then. A standby that lags, hangs or breaks a rule is expelled: the NICs go on.
 * One thread; changes come from the NICs' actors.
 */
final class FeedSession {
    private static final Logger LOG = LoggerFactory.getLogger(FeedSession.class);
    private static final long PING_NANOS = 1_000 * Deadlines.NANOS;

    private final Context context;
    private final Channel channel;
    private final Peer peer;
    private final Cancel cancel;
    private final Wake wake;
    private final int version;
    private boolean look = true;
    private final Map<String, FedNic> nics = new LinkedHashMap<>();
    private final Map<NicBlock, Refusals> refusals = new IdentityHashMap<>();
    /** NICs that nobody can follow now, and why. */
    private final Map<String, String> unfollowed = new ConcurrentSkipListMap<>();
    private final long since = System.currentTimeMillis();
    private volatile String broken;
    private volatile boolean synced;
    private long lastHeard = System.nanoTime();
    private long lastPing = System.nanoTime();

    /**
     * A session.
     *
     * @param context what it runs in
     * @param channel after the greeting; closed by the caller
     * @param peer the standby; closed by the caller
     * @param cancel ends it
     * @param wake wakes it; {@link #changed()} is called when NICs may have come or gone
     */
    FeedSession(Context context, Channel channel, Peer peer, Cancel cancel, Wake wake) {
        this.context = context;
        this.channel = channel;
        this.peer = peer;
        this.cancel = cancel;
        this.wake = wake;
        version = context.nics().imageFormat().writes().newest();
    }

    Peer peer() {
        return peer;
    }

    /** Whether the standby had all that there was. Any thread. */
    boolean isReady() {
        return synced;
    }

    /** The NICs of this process that the standby does not have. Any thread. */
    List<String> without() {
        List<String> ids = new ArrayList<>(unfollowed.keySet());
        all().stream().filter(n -> n.state() != State.PREPARED && !ids.contains(n.id())).forEach(n -> ids.add(n.id()));
        return ids;
    }

    /** NICs may have come or gone. Any thread. */
    void changed() {
        wake.now();
    }

    /** Asks for the end. Any thread. */
    void end(String why) {
        cancel.now(why);
    }

    /**
     * Feeds until the standby is gone or expelled, or this is cancelled.
     *
     * @return why it ended
     */
    String run() {
        try {
            while (true) {
                if (look) {
                    look = false;
                    follow();
                }
                sync();
                String why = over();
                if (why != null) {
                    return why;
                }
                pump();
            }
        } finally {
            synchronized (nics) {
                nics.values().forEach(FedNic::end);
                nics.clear();
            }
        }
    }

    private String over() {
        if (cancel.asked()) {
            tell(RecordType.END, "", cancel.why());
            return cancel.why();
        }
        if (broken != null) {
            return broken;
        }
        long silence = System.nanoTime() - lastHeard;
        boolean prepares = all().stream().anyMatch(n -> n.state() == State.PREPARING);
        int limit = prepares ? context.deadlines().prepare() : context.deadlines().silence();
        return silence > limit * Deadlines.NANOS ? "expelled: it says nothing for " + limit + " ms" : null;
    }

    private List<FedNic> all() {
        synchronized (nics) {
            return new ArrayList<>(nics.values());
        }
    }

    /** Makes what is fed the same as what there is. */
    private void follow() {
        Map<String, TransferableNic> there = new LinkedHashMap<>();
        context.nics().transferable().forEach(n -> there.put(n.id(), n));
        refusals.keySet().removeIf(b -> there.values().stream().noneMatch(t -> t.block() == b));
        unfollowed.keySet().retainAll(there.keySet());
        for (FedNic n : all()) {
            String why = whyAnew(n, there.get(n.id()));
            if (why != null) {
                n.end();
                synchronized (nics) {
                    nics.remove(n.id());
                }
                // also after a refusal: it may have been the answer to an offer before the last one, which the standby has
                tell(RecordType.GONE, n.id(), why);
            }
        }
        for (TransferableNic t : there.values()) {
            if (!nics.containsKey(t.id()) && broken == null) {
                begin(t);
            }
        }
    }

    /** Why a NIC is not fed any more as it was, or null. */
    private String whyAnew(FedNic n, TransferableNic now) {
        if (now == null || !n.is(now)) {
            return "it has ended, or moved";
        }
        if (n.state() == State.REFUSED) {
            return isDue(n) ? "it is offered again" : null;
        }
        return n.lost();
    }

    /** Who waits until the standby is ready waits for no second offer. */
    private boolean isDue(FedNic n) {
        return synced && n.state() == State.REFUSED && n.leftNanos(System.nanoTime()) <= 0;
    }

    private void begin(TransferableNic t) {
        FedNic n = new FedNic(this, t, refusals.computeIfAbsent(t.block(),
                b -> new Refusals(context.deadlines().again() * Deadlines.NANOS)));
        synchronized (nics) {
            nics.put(n.id(), n);
        }
        try {
            n.begin(version);
            unfollowed.remove(n.id());
        } catch (NicException e) {
            // told when its state changes
            LOG.debug("NIC {}: no standby now: {}", n.id(), e.getMessage());
            unfollowed.put(n.id(), e.getMessage());
            n.end();
            synchronized (nics) {
                nics.remove(n.id());
            }
        } catch (WireException e) {
            broken = e.getMessage();
        }
    }

    private void sync() {
        if (!synced && broken == null && all().stream().noneMatch(n -> n.state() == State.PREPARING)) {
            synced = true;
            send(Message.of(RecordType.SYNCED, Section.builder(RecordType.SYNCED.name()).number("nics", nics.size()).build()));
            long has = all().stream().filter(n -> n.state() == State.PREPARED).count();
            List<String> without = without();
            LOG.info("standby {} is ready: {}{}", peer, Report.nics(has),
                    without.isEmpty() ? "" : ", without " + String.join(", ", without));
            Map<String, Object> data = new LinkedHashMap<>(Map.of("pid", peer.pid(), "nics", nics.size()));
            if (!without.isEmpty()) {
                data.put("without", without);
            }
            context.events().accept("STANDBY_READY", data);
        }
    }

    private void pump() {
        long now = System.nanoTime();
        if (now - lastPing >= PING_NANOS) {
            lastPing = now;
            // what could not be followed may be so now
            look = true;
            send(Message.of(RecordType.PING, Section.builder(RecordType.PING.name()).build()));
        }
        int millis = (int) Math.max(1, waitNanos() / Deadlines.NANOS + 1);
        int bits = Poll.readable(millis, channel.number(), cancel.number(), wake.number(), peer.number());
        if ((bits & 4) != 0) {
            wake.clear();
            look = true;
        }
        if ((bits & 1) != 0) {
            read();
        }
        if ((bits & 8) != 0) {
            broken = "it is dead";
        }
        look |= all().stream().anyMatch(this::isDue);
        all().stream().filter(n -> n.overcame(System.nanoTime())).forEach(this::tellHas);
    }

    private long waitNanos() {
        long now = System.nanoTime();
        long ping = lastPing + PING_NANOS - now;
        return !synced ? ping
                : all().stream().filter(n -> n.state() == State.REFUSED).mapToLong(n -> n.leftNanos(now)).reduce(ping, Math::min);
    }

    private void tellHas(FedNic n) {
        LOG.info("NIC {}: standby {} has it now", n.id(), peer);
        context.events().accept("STANDBY_PREPARED", Map.of("pid", peer.pid(), "nic", n.id()));
    }

    private void read() {
        try {
            do {
                Optional<Message> m = channel.receive(Deadlines.in(context.deadlines().record()));
                lastHeard = System.nanoTime();
                if (m.isPresent()) {
                    try (Message message = m.get()) {
                        handle(message);
                    }
                }
            } while (broken == null && Poll.readable(0, channel.number()) != 0);
        } catch (WireException e) {
            broken = e.getMessage();
        }
    }

    private void handle(Message m) throws WireException {
        if (m.type() == RecordType.PONG) {
            return;
        }
        if (m.type() == RecordType.REFUSED && m.nic().isEmpty()) {
            broken = "it ends: " + m.text("why");
            return;
        }
        FedNic n = nics.get(m.nic());
        switch (m.type()) {
            case PREPARED -> {
                if (n != null) {
                    n.prepared();
                }
            }
            case REFUSED, FAILED -> {
                if (n != null && n.state() != State.REFUSED) {
                    refused(n, m.text("why"));
                }
            }
            default -> throw new WireException("the standby sent " + m.type() + ", which only an active process may send");
        }
    }

    private void refused(FedNic n, String why) {
        if (n.refused(why)) {
            LOG.warn("NIC {}: standby {} does not have it, and is offered it again: {}", n.id(), peer, why);
            context.events().accept("STANDBY_REFUSED", Map.of("pid", peer.pid(), "nic", n.id(), "reason", why));
        } else {
            LOG.debug("NIC {}: standby {} still does not have it: {}", n.id(), peer, why);
        }
    }

    void sendPrepare(NicImage image) throws WireException {
        channel.send(Message.of(RecordType.PREPARE, image), Deadlines.in(context.deadlines().change() * 5));
    }

    /** On a NIC's actor, whose VMM waits: so not for long. */
    void feed(NicImage change) {
        try (change) {
            if (broken == null) {
                channel.send(Message.of(RecordType.CHANGE, change), Deadlines.in(context.deadlines().change()));
            }
        } catch (WireException | RuntimeException e) {
            broken = "expelled: " + e.getMessage();
            wake.now();
        }
    }

    private void tell(RecordType type, String nic, String why) {
        send(Message.of(type, Message.about(type, nic).text("why", why).build()));
    }

    private void send(Message m) {
        if (broken != null) {
            return;
        }
        try {
            channel.send(m, Deadlines.in(context.deadlines().change()));
        } catch (WireException e) {
            broken = "expelled: " + e.getMessage();
        }
    }

    /** As query-standby tells it. Any thread. */
    Map<String, Object> toMap() {
        Map<String, Object> m = new LinkedHashMap<>();
        m.put("pid", peer.pid());
        m.put("since", since);
        m.put("ready", synced);
        List<Map<String, Object>> list = new ArrayList<>();
        // what is being tried again is in both
        Map<String, String> no = new LinkedHashMap<>(unfollowed);
        all().stream().filter(n -> !no.containsKey(n.id())).forEach(n -> list.add(told(n.id(), n.told().name().toLowerCase(Locale.ROOT),
                n.why())));
        no.forEach((id, why) -> list.add(told(id, "unavailable", why)));
        m.put("nics", list);
        return m;
    }

    private static Map<String, Object> told(String id, String state, String why) {
        Map<String, Object> one = new LinkedHashMap<>(Map.of("id", id));
        one.put("state", state);
        if (!why.isEmpty()) {
            one.put("why", why);
        }
        return one;
    }
}
