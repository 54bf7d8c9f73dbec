// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.frontend.virtionet.device.RingEngine;
import org.vireo.frontend.virtionet.memory.MappedRegion;
import org.vireo.frontend.virtionet.nic.Actor.Urgency;
import org.vireo.frontend.virtionet.ring.MalformedRingException;
import org.vireo.frontend.virtionet.session.DeviceState;
import org.vireo.frontend.virtionet.worker.StuckException;
import org.vireo.net.api.Fd;
import org.vireo.posix.linux.EventFd;

/**
 * What a NIC does when one of its pairs breaks: finds out whether guest, VMM or backend is at fault, and stops what it cannot go on with;
 * of a backend that holds its thread the NIC dies. Workers' calls are posted to the NIC's actor; the rest is the actor's, but for
 * {@link #isDead}.
 */
final class NicFaults implements RingEngine.Listener {
    private static final Logger LOG = LoggerFactory.getLogger(NicFaults.class);

    private final Nic nic;
    private volatile boolean dead;

    NicFaults(Nic nic) {
        this.nic = nic;
    }

    /** Whether a thread was held: the NIC does not come back. Any thread. */
    boolean isDead() {
        return dead;
    }

    @Override
    public void broken(int pair, Throwable reason) {
        nic.actor().post(Urgency.DISCONNECT, () -> pairBroken(pair, reason));
    }

    private void pairBroken(int pair, Throwable reason) {
        DeviceState device = nic.state();
        boolean log = reason instanceof InternalError && (nic.engine().isLogTruncated() || device.log() != null && !device.log().intact());
        nic.rings().broken(pair);
        if (reason instanceof StuckException e) {
            stuck(e);
            return;
        }
        if (!nic.alive()) {
            return;
        }
        signalError(device, pair);
        MappedRegion truncated = reason instanceof InternalError ? device.memory().truncated() : null;
        if (truncated != null) {
            nic.rings().halt();
            nic.fail("guest memory was truncated: " + truncated.spec());
        } else if (log) {
            nic.rings().halt();
            nic.fail("the VMM's log of written pages was truncated: " + device.log());
        } else if (reason instanceof InternalError && device.inflight() != null && !device.inflight().intact()) {
            nic.rings().halt();
            nic.fail("the VMM's memory was truncated: " + device.inflight());
        } else if (reason instanceof MalformedRingException) {
            nic.rings().halt();
            nic.fail(reason.getMessage());
        } else {
            nic.rings().stopAll();
            nic.backend().broken(reason);
        }
    }

    private static void signalError(DeviceState device, int pair) {
        for (int i = 2 * pair; i < 2 * pair + 2; i++) {
            Fd error = device.rings().get(i).error();
            if (error != null) {
                EventFd.signal(error.number());
            }
        }
    }

    /** A thread did not come back from the backend: from now on it may do with this NIC's memory and descriptors what it wants. */
    private void stuck(StuckException reason) {
        if (reason.inside()) {
            nic.aftermath().threadInside();
        }
        if (!nic.alive()) {
            return;
        }
        dead = true;
        nic.aftermath().revoke(nic.state());
        nic.feed().abort(reason.getMessage());
        nic.fail(reason.getMessage() + (nic.backend() == null ? "" : nic.backend().servedBy()));
        nic.rings().stopAll();
        if (nic.binding() != null) {
            nic.binding().forget();
        }
        nic.vmm().disconnect("the NIC has failed");
    }

    @Override
    public void threadReturned() {
        nic.actor().post(Urgency.QUERY, () -> {
            LOG.info("NIC {}: the thread that its backend held has come back", nic.id());
            nic.aftermath().threadBack();
        });
    }
}
