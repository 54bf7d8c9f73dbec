// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.io.IOException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.frontend.virtionet.session.DeviceState;
import org.vireo.net.api.NetPort.Disposal;

/**
 * What cannot be released while a thread is inside the NIC's backend: guest memory, descriptors, the port, the block. A late call would
 * hit what got the same address or the same number since. Used by the NIC's actor, but for {@link #awaitReleased}.
 */
final class Aftermath {
    private static final Logger LOG = LoggerFactory.getLogger(Aftermath.class);
    private static final long RELEASE_MILLIS = 1_000;

    private final Nic nic;
    private final DeviceRings rings;
    private final CountDownLatch released = new CountDownLatch(1);
    private int threadsInside;
    private DeviceState kept;
    private Disposal ending;

    Aftermath(Nic nic, DeviceRings rings) {
        this.nic = nic;
        this.rings = rings;
    }

    void threadInside() {
        threadsInside++;
    }

    void threadBack() {
        threadsInside--;
        proceed();
    }

    /** From now on a call in progress finds memory of zeros where the guest's was. */
    void revoke(DeviceState state) {
        try {
            state.memory().revoke();
        } catch (IOException e) {
            LOG.error("NIC {}: {}", nic.id(), e.getMessage());
        }
    }

    /** Closes a state as soon as no thread can use it. */
    void keep(DeviceState state) {
        kept = state;
        proceed();
    }

    /** The NIC has ended: gives port and block back as soon as no thread can use them. */
    void end(Disposal how) {
        ending = how;
        if (threadsInside > 0) {
            LOG.warn("NIC {}: netdev {} is kept until the thread that its backend holds is back", nic.id(), nic.options().netdev());
        }
        proceed();
    }

    private void proceed() {
        if (threadsInside > 0) {
            return;
        }
        if (kept != null) {
            rings.whenQuiet(kept::close);
            kept = null;
        }
        if (ending != null) {
            Disposal how = ending;
            ending = null;
            rings.whenQuiet(() -> release(how));
        }
    }

    private void release(Disposal how) {
        if (nic.slot() != null) {
            nic.slot().release(nic.backend(), how);
            nic.environment().slots().giveBack(nic.slot());
        }
        nic.block().close();
        released.countDown();
    }

    /** Waits until what the NIC held is free: no worker uses it any more. One that hangs is not waited for. */
    void awaitReleased() {
        try {
            if (!released.await(RELEASE_MILLIS, TimeUnit.MILLISECONDS)) {
                LOG.warn("NIC {}: a worker still uses what it held; that is free when it does no more", nic.id());
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
