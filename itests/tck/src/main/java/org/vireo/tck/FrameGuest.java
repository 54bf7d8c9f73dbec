// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import org.vireo.net.api.FramePort;
import org.vireo.net.api.NetPort;

/** In front of a port whose frames pass the frontend: the guest is the frontend. */
final class FrameGuest extends KitGuest {
    private final FramePort port;

    FrameGuest(FramePort port, KitContext context, int pairs) {
        super(port, context, pairs);
        this.port = port;
    }

    @Override
    void begin() throws Exception {
        port.apply(TckSupport.settings(port, pairs()));
    }

    @Override
    void transmit(int pair, int first, int last) throws Exception {
        goOn();
        TckSupport.transmit(port.queue(pair), TckSupport.header(port), first, last);
    }

    @Override
    void expectReceived(int first, int last) throws Exception {
        goOn();
        TckSupport.expectReceived(port, pairs(), first, last);
    }

    @Override
    void still() {
        // its queues are quiet when they are not called
    }

    @Override
    KitGuest before(NetPort loaded, KitContext with) {
        return new FrameGuest((FramePort) loaded, with, pairs());
    }
}
