// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.vireo.net.api.nic.NicImage;

/**
 * A NIC's changes on their way to whoever follows it: what comes before PREPARE was sent waits for that, what comes after the end is
 * dropped. Changes come from the NIC's actor, all else from the session's thread.
 */
final class ChangeRelay {
    private final Consumer<NicImage> send;
    /** What came before PREPARE was sent; null afterwards. */
    private List<NicImage> early = new ArrayList<>();
    private boolean ended;

    /**
     * A relay before PREPARE.
     *
     * @param send sends a change and closes it
     */
    ChangeRelay(Consumer<NicImage> send) {
        this.send = send;
    }

    /** A change, before it takes effect: when this returns it has been sent, if it is to be at all. */
    synchronized void change(NicImage change) {
        if (ended) {
            change.close();
        } else if (early != null) {
            early.add(change);
        } else {
            send.accept(change);
        }
    }

    /** PREPARE was sent: changes follow. */
    synchronized void prepareSent() {
        early.forEach(send);
        early = null;
    }

    /** No more changes are sent. */
    synchronized void end() {
        ended = true;
        if (early != null) {
            early.forEach(NicImage::close);
            early = null;
        }
    }
}
