// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.stream.Collectors;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.handover.wire.Channel;
import org.vireo.handover.wire.Message;
import org.vireo.handover.wire.RecordType;
import org.vireo.handover.wire.WireException;
import org.vireo.net.api.Section;
import org.vireo.net.api.nic.IncomingNic;
import org.vireo.net.api.nic.NicException;
import org.vireo.posix.linux.Threads;

/**
 * A standby, after the greeting: the target of a handover that comes when its source is dead. What it is given it keeps ready, for as
 * long as the active process feeds it; when that dies it takes. Rehearsals run beside, so that a death is noticed at once.
 */
class StandbySession extends TargetSession {
    private static final Logger LOG = LoggerFactory.getLogger(StandbySession.class);
    private static final long LOOK_AGAIN_FED_NANOS = 500 * Deadlines.NANOS;
    private static final long LOOK_AT_HEARTBEAT_NANOS = 250 * Deadlines.NANOS;

    private final Runnable synced;
    private final boolean fences;
    private final ExecutorService rehearsals = Executors.newSingleThreadExecutor(Thread.ofPlatform().daemon().name("standby-rehearsal")
            .factory());
    /** Of NICs that were refused, why: they are offered again and again. */
    private final Map<String, String> refused = new HashMap<>();
    private boolean warned;

    /**
     * A session.
     *
     * @param context what it runs in
     * @param channel after the greeting
     * @param peer the active process; both are closed at the end of {@link #run()}
     * @param cancel ends it
     * @param report says what became of each NIC
     * @param fences whether an active process that stands still is fenced
     * @param synced told when all NICs that there are have been prepared, or refused
     */
    StandbySession(Context context, Channel channel, Peer peer, Cancel cancel, Report report, boolean fences,
            Runnable synced) {
        super(context, channel, peer, cancel, report, Parameters.STANDARD);
        this.fences = fences;
        this.synced = synced;
    }

    @Override
    void run() {
        try {
            super.run();
        } finally {
            // one that runs ends when its NIC is owned or closed
            rehearsals.shutdown();
        }
    }

    @Override
    String getReady(IncomingNic nic, long deadline) {
        rehearsals.execute(() -> {
            Threads.nicest();
            LOG.debug("NIC {}: rehearsal: {}", nic.id(), nic.rehearse(Deadlines.in(deadlines().rehearsal())));
        });
        return "beside";
    }

    @Override
    boolean isNews(String id, String why) {
        return !why.equals(refused.put(id, why));
    }

    @Override
    void nowPrepared(String id) {
        refused.remove(id);
    }

    @Override
    void other(Message m) throws WireException {
        switch (m.type()) {
            case PING -> send(Message.of(RecordType.PONG, Section.builder(RecordType.PONG.name()).build()));
            case GONE -> gone(m.nic(), m.text("why"));
            case SYNCED -> synced.run();
            default -> super.other(m);
        }
        warned = false;
    }

    @Override
    void gone(String id, String why) {
        boolean ended = nics().stream().anyMatch(n -> n.id().equals(id) && n.isClosed());
        super.gone(id, why);
        if (ended) {
            forget(id);
        }
    }

    /** A NIC that was deleted is gone here too, where it waited. */
    private void forget(String id) {
        try {
            context().nics().remove(id);
        } catch (NicException e) {
            LOG.debug("NIC {}: did not wait here: {}", id, e.getMessage());
        }
    }

    /** A NIC that ends processes does not start again by itself, not from its configuration either. */
    @Override
    void poisoned(String id, String why) {
        super.poisoned(id, why);
        forget(id);
    }

    /** The NIC that the dead process was in comes last: it may have been the reason. */
    @Override
    Collection<TargetNic> order(Collection<TargetNic> all) {
        if (isOpen()) {
            return all;
        }
        Map<Boolean, List<TargetNic>> entered = all.stream().collect(Collectors.partitioningBy(TargetNic::wasEntered));
        List<TargetNic> order = new ArrayList<>(entered.get(false));
        order.addAll(entered.get(true));
        return order;
    }

    @Override
    boolean fences() {
        return fences;
    }

    /** It may be stopped, or hang: it owns its NICs until it is dead or fenced, and until then nobody else may serve them. */
    @Override
    void silent() {
        if (!warned && !fences) {
            warned = true;
            LOG.warn("{} says nothing for {} ms: if it hangs, its NICs hang until it is killed", peer(), deadlines().silence());
        }
    }

    @Override
    long lookAgainNanos() {
        return !isOpen() ? super.lookAgainNanos() : fences ? LOOK_AT_HEARTBEAT_NANOS : LOOK_AGAIN_FED_NANOS;
    }

    @Override
    void summarise(String why) {
        LOG.info("standby of {}: ended, {} taken{}", peer(), Report.nics(taken()), why.isEmpty() ? "" : "; " + why);
    }
}
