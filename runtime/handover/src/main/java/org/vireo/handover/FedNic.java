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
    private volatile String lost;
    private volatile State state = State.PREPARING;
    private volatile String why = "";

    FedNic(FeedSession session, TransferableNic nic) {
        this.session = session;
        this.nic = nic;
        block = nic.block();
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

    String why() {
        return why;
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
        }
    }

    void refused(String reason) {
        state = State.REFUSED;
        why = reason;
        end();
    }

    /** Nothing more is sent of it. */
    void end() {
        changes.end();
        nic.end();
    }
}
