// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import org.vireo.net.api.NetPort;
import org.vireo.net.api.NetdevException;

/** A guest in front of a port: frames both ways, whichever way the port has them. So most rules are the same for all ports. */
abstract class KitGuest {
    private final NetPort port;
    private final KitContext context;
    private final int pairs;
    private boolean closed;
    private boolean quiet;

    KitGuest(NetPort port, KitContext context, int pairs) {
        this.port = port;
        this.context = context;
        this.pairs = pairs;
    }

    final NetPort port() {
        return port;
    }

    final KitContext context() {
        return context;
    }

    final int pairs() {
        return pairs;
    }

    final boolean isClosed() {
        return closed;
    }

    final void close(NetPort.Disposal how) {
        closed = true;
        context.closed();
        port.close(how);
    }

    /** Its port's threads stand still while its state moves, as ThreadedPort says, until this guest uses it again. */
    final void quiesce() throws NetdevException {
        if (!closed && !quiet) {
            TckSupport.quiesce(port);
            quiet = true;
        }
    }

    /** They go on. */
    final void goOn() {
        if (quiet) {
            TckSupport.resume(port);
            quiet = false;
        }
    }

    /** After the close: what was the guest's goes. */
    void forget() {
        // most have nothing
    }

    /** Brings the port to what a guest without offloads wants that uses all pairs. */
    abstract void begin() throws Exception;

    /** Transmits numbered frames: waits where there is no room. */
    abstract void transmit(int pair, int first, int last) throws Exception;

    /** The frames that the guest receives: all of these numbers, each once, on each pair in order. */
    abstract void expectReceived(int first, int last) throws Exception;

    /** Takes its hands off the port, so that another one may go on. */
    abstract void still() throws Exception;

    /** The same guest in front of a loaded port: with the first frame it moves there. */
    abstract KitGuest before(NetPort loaded, KitContext with);
}
