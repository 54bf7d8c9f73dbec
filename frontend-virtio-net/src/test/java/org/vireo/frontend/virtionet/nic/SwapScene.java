// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.vireo.guest.GuestNic;
import org.vireo.testsupport.Await;

/** The NIC "a" and its first backend, of netdev "neta", which is to be replaced: what all tests of that begin with. */
abstract class SwapScene {
    Harness h;
    FakeNetwork net;
    FakeBackend first;
    GuestNic guest;

    @BeforeEach
    final void open() throws Exception {
        h = new Harness(1);
        net = h.network(1);
        first = new FakeBackend(net);
    }

    @AfterEach
    final void close() {
        h.close();
    }

    /** From now on the first one serves a guest. */
    final void serve(String... nicOptions) throws Exception {
        h.nic("a", nicOptions);
        guest = h.guest("a", GuestNic.options());
        net.passBothWays(guest, 1);
    }

    final long happened(String event) {
        return h.events.stream().filter(e -> e.startsWith(event + " a ")).count();
    }

    final void awaitEvents(String event, long count) {
        Await.until(Harness.LIMIT, count + " x " + event, () -> happened(event) >= count);
    }
}
