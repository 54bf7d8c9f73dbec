// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.handover.WordRules.Decision;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.TransferableNic;

/**
 * A NIC of this process that a standby has fenced, since this process stood still: it lets go, and watches on until somebody serves the
 * NIC; if the one that fenced dies it is this process again. One thread.
 */
final class FencedNic {
    private static final Logger LOG = LoggerFactory.getLogger(FencedNic.class);

    /** What became of it. */
    enum End { GONE, BACK }

    private final TransferableNic nic;
    private final Deadlines deadlines;
    private final LooseNic loose;
    private final WordWatch watch;
    private End end;

    private FencedNic(TransferableNic nic, Peer peer, Deadlines deadlines) {
        this.nic = nic;
        this.deadlines = deadlines;
        loose = new LooseNic(nic, peer, deadlines, LOG::warn);
        watch = new WordWatch(nic.block(), deadlines, loose::gather);
        // who fenced does not feed this process
        loose.cutOff();
    }

    /**
     * Lets go of port and rings.
     *
     * @throws NicException they are in use still; may be tried again, as long as this process lives
     */
    static FencedNic stop(TransferableNic nic, Peer peer, Deadlines deadlines) throws NicException {
        nic.freeze(Deadlines.in(deadlines.freeze()));
        return new FencedNic(nic, peer, deadlines);
    }

    String id() {
        return nic.id();
    }

    /** What became of it, or null: not known yet. */
    End end() {
        return end;
    }

    /**
     * Does what the word lets it do.
     *
     * @return after how many nanoseconds to look again at the latest
     */
    long advance() {
        while (end == null) {
            Decision d = watch.step();
            switch (d.act()) {
                case WAIT -> {
                    return d.waitNanos();
                }
                case TAKE -> loose.takeBack();
                case RUN, FENCE, YIELD, DROP -> {
                    // the word has changed: look on
                }
                case STOP_READING -> loose.stopReading();
                case KILL -> {
                    loose.kill();
                    return deadlines.freeze() * Deadlines.NANOS;
                }
                case RESUME, OWN -> {
                    loose.resume();
                    end = End.BACK;
                }
                case LET_GO, GIVE_BACK -> {
                    nic.letGo();
                    end = End.GONE;
                }
                default -> throw new IllegalStateException(d.toString());
            }
        }
        return 0;
    }
}
