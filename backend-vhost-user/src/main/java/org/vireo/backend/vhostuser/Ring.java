// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import org.vireo.net.api.Fd;
import org.vireo.net.api.RingPosition;

/** A ring as it is to be, whether a back-end is there or not. With the port's lock. */
final class Ring {
    final int index;
    /** What it was started with; null: it is stopped. */
    Kept.Vring spec;
    Fd call;
    boolean enabled;
    /** Whether the back-end that is connected now has it. */
    boolean running;
    /** Where it goes on when it runs next; null: where the memory it shares with the back-end says. */
    RingPosition position;
    /** Where it began when it was started last; null: nobody here started it. */
    RingPosition told;
    /** Whether its position is the other side's to tell: a former owner may have left it running. Until it is started first. */
    boolean foreign;

    Ring(int index) {
        this.index = index;
    }

    /** What it was started with is used no more. */
    void forget() {
        if (spec != null) {
            spec.close();
            spec = null;
        }
        call(null);
    }

    /** Has another call descriptor, its own. */
    void call(Fd own) {
        Kept.close(call);
        call = own;
    }

    /** Whether its position is not what somebody said, but what the back-end made of it. */
    boolean isForeignNext() {
        return running || foreign || spec != null && position == null;
    }

    /** The back-end that had it has gone. */
    void lost() {
        if (running) {
            running = false;
            position = null;
        }
        if (foreign) {
            position = null;
        }
    }

    @Override
    public String toString() {
        return "ring " + index;
    }
}
