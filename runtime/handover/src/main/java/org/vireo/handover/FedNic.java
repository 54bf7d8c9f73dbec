// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import org.vireo.handover.wire.WireException;
import org.vireo.net.api.nic.NicBlock;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.NicFollower;
import org.vireo.net.api.nic.NicImage;
import org.vireo.net.api.nic.TransferableNic;

/** One NIC of this process that a standby is fed with. Changes come from the NIC's actor; all else is of the session's thread. */
final class FedNic implements NicFollower {
    /** Where the standby is with it. */
    enum State { PREPARING, PREPARED, REFUSED }

    private final FeedSession session;
    private final TransferableNic nic;
    private final NicBlock block;
    private final ChangeRelay changes;
    private final Refusals refusals;
    private volatile String lost;
    private volatile State state = State.PREPARING;
    private volatile String why;

    /**
     * A NIC that is about to be offered.
     *
     * @param session tells the standby
     * @param nic the NIC
     * @param refusals what came of earlier offers
     */
    FedNic(FeedSession session, TransferableNic nic, Refusals refusals) {
        this.session = session;
        this.nic = nic;
        this.refusals = refusals;
        block = nic.block();
        why = refusals.why();
        changes = new ChangeRelay(session::feed);
    }

    String id() {
        return nic.id();
    }

    /** Whether this is the very NIC, not another one of its id. */
    boolean is(TransferableNic other) {
        return other.block() == block;
    }

    State state() {
        return state;
    }

    /** For people: what is offered again after a refusal counts as refused until the standby has it. Any thread. */
    State told() {
        return state == State.PREPARING && !why.isEmpty() ? State.REFUSED : state;
    }

    /** Why the standby refused it, or an empty text: it has it, or has not answered yet. Any thread. */
    String why() {
        return why;
    }

    /** For how long it is not to be offered again; 0 or less: now. Only of one that was refused. */
    long leftNanos(long now) {
        return refusals.leftNanos(now);
    }

    /** Whether the standby has had it for a while, after refusals; once only. */
    boolean overcame(long now) {
        return state == State.PREPARED && refusals.overcome(now);
    }

    /** Why it cannot be fed any more, or null. */
    String lost() {
        return lost;
    }

    /**
     * Takes the picture and sends it, and what changed meanwhile.
     *
     * @param version the image's
     * @throws NicException it cannot be followed now
     * @throws WireException the channel broke
     */
    void begin(int version) throws NicException, WireException {
        try (NicImage image = nic.follow(version, this)) {
            session.sendPrepare(image);
        }
        changes.prepareSent();
    }

    @Override
    public void change(NicImage change) {
        changes.change(change);
    }

    @Override
    public void lost(String reason) {
        lost = reason;
        session.changed();
    }

    void prepared() {
        if (state == State.PREPARING) {
            state = State.PREPARED;
            why = "";
            refusals.prepared(System.nanoTime());
        }
    }

    /**
     * The standby does not have it.
     *
     * @return whether that is news
     */
    boolean refused(String reason) {
        why = reason;
        state = State.REFUSED;
        end();
        return refusals.refused(reason, System.nanoTime());
    }

    /** Nothing more is sent of it. */
    void end() {
        changes.end();
        nic.end();
    }
}
