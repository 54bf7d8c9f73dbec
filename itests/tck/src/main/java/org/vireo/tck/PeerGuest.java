// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

/**
 * A guest whose port is in another process. Frames of a port that has them pass that process; of one that takes rings the driver stays
 * here, as in a VM, and that process tells the port of them.
 */
final class PeerGuest {
    private final PeerProcess peer;
    private final KitGuest guest;
    private boolean told;

    PeerGuest(PeerProcess peer, KitGuest guest) {
        this.peer = peer;
        this.guest = guest;
    }

    private RingGuest rings() throws Exception {
        if (!(guest instanceof RingGuest r)) {
            return null;
        }
        if (!told) {
            r.quiesce();
            peer.tell(WiredRings.of(r.driver()));
            peer.does("rings " + r.positions());
            told = true;
        }
        return r;
    }

    void transmit(int first, int last) throws Exception {
        RingGuest r = rings();
        if (r == null) {
            peer.does("transmit " + first + " " + last);
        } else {
            r.driver().transmit(0, first, last);
        }
    }

    void expectReceived(int first, int last) throws Exception {
        RingGuest r = rings();
        if (r == null) {
            peer.does("receive " + first + " " + last);
        } else {
            r.driver().expectReceived(guest.pairs(), first, last);
        }
    }

    void apply() {
        peer.does("apply");
    }

    /** It takes its hands off the port, and leaves it. */
    void leave() {
        if (told) {
            peer.does("stop");
            ((RingGuest) guest).positions(peer.says("stopped "));
        }
        peer.does("leave");
    }
}
