// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.io.IOException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.frontend.virtionet.block.NicBlockMemory.SessionPhase;
import org.vireo.frontend.virtionet.device.EngineException;
import org.vireo.frontend.virtionet.session.DeviceState;
import org.vireo.frontend.virtionet.session.Session;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.nic.Ownership;

/**
 * Whose a NIC is: this process serves it, lets go of it, gets it back, or takes it from another process. Of the NIC's actor; who may do
 * what is said by the ownership word, at which this does not look.
 */
final class Custody {
    private static final Logger LOG = LoggerFactory.getLogger(Custody.class);

    private final Nic nic;
    private boolean owner = true;
    private boolean frozen;

    Custody(Nic nic) {
        this.nic = nic;
    }

    boolean isOwner() {
        return owner;
    }

    boolean isFrozen() {
        return frozen;
    }

    /** Whether this process may use the VMM's connection. */
    boolean isServing() {
        return owner && !frozen;
    }

    /** Stops everything at a message boundary; nobody of this process reads port, rings or connection any more. */
    void freeze(long deadlineNanos) throws EngineException, NetdevException {
        frozen = true;
        if (nic.session() != null) {
            nic.session().deafen();
        }
        nic.endpoint().deafen();
        nic.rings().freeze(deadlineNanos);
        if (nic.binding() == null || nic.binding().port() == null) {
            return;
        }
        if (nic.block().ownership().filter(o -> o.holder() != nic.block().self()).isPresent()) {
            // fenced: there is no way back
            standStill();
        } else {
            nic.binding().slot().served().quiesce();
        }
    }

    /** Goes on after {@link #freeze}. */
    void thaw() {
        frozen = false;
        if (nic.block().ownership().filter(o -> o.phase() == Ownership.Phase.TAKEN && o.peer() == Ownership.NONE).isPresent()) {
            // whom it was offered to took it and died: nobody knows how far that came
            try {
                nic.rings().succeed(nic.state());
            } catch (EngineException e) {
                nic.rings().halt();
                nic.fail(e.getMessage());
            }
        }
        if (nic.backend() != null && nic.backend().resume()) {
            nic.backend().reopen();
        }
        nic.resumeRings();
        converse();
        if (nic.backend() != null) {
            // what came, or left, while nothing could be done
            nic.backend().backendArrived();
            nic.backend().ringsChanged();
        }
    }

    /**
     * Goes on with the VMM where this process, or one that died, stopped. A message that was being handled is handled again, since it was
     * only peeked at.
     */
    private void converse() {
        SessionPhase phase = nic.block().session();
        nic.block().session(SessionPhase.IDLE, 0);
        if (nic.session() != null && phase == SessionPhase.REPLYING) {
            nic.vmm().disconnect("the process before died while it answered: nobody knows whether the answer was sent");
            return;
        }
        try {
            if (nic.session() != null) {
                nic.session().listen(nic.environment().poller());
            }
            if (nic.reachable()) {
                nic.endpoint().start(nic.session() != null);
            }
        } catch (IOException e) {
            LOG.warn("NIC {}: {}", nic.id(), e.getMessage());
        }
        nic.link().tell();
        nic.refresh();
    }

    /** Makes this a NIC that another process owns, as told by its image. */
    void receive(DeviceState received, Session with) {
        nic.awaiting();
        owner = false;
        nic.vmm().adopt(received);
        nic.vmm().adopt(with);
        nic.link().ofPort();
        nic.link().toldElsewhere();
        nic.refresh();
    }

    /** The state of a NIC that another process owns has changed. */
    void update(DeviceState received) {
        DeviceState former = nic.state();
        nic.vmm().adopt(received);
        nic.rings().whenQuiet(() -> received.closeReplaced(former));
        if (nic.binding() != null) {
            nic.binding().appliedElsewhere();
        }
    }

    /** The connection of a NIC that another process owns is another one, or has ended. */
    void update(Session with) {
        nic.vmm().adopt(with);
        nic.refresh();
    }

    void startTaken() throws EngineException, NetdevException {
        if (nic.binding() != null && nic.binding().port() != null) {
            nic.binding().slot().served().resume();
            nic.binding().settle(nic.state());
        }
        if (nic.block().ownership().filter(o -> o.peer() != Ownership.NONE).isEmpty()) {
            // a process that died can have written, and not logged, where nobody knows; one that offers its NIC has logged all
            nic.rings().succeed(nic.state());
        }
        nic.rings().resume(nic.state());
        nic.feed().taken();
    }

    void stopTaken() throws EngineException {
        nic.rings().stopSurely();
        if (nic.binding() != null && nic.binding().port() != null) {
            standStill();
        }
    }

    /** Another process goes on with what the port has open: whatever of it does not stand still is closed. */
    private void standStill() {
        try {
            nic.binding().slot().served().quiesce();
        } catch (NetdevException e) {
            LOG.warn("NIC {}: its backend's port is closed here, since it does not stand still: {}", nic.id(), e.getMessage());
            nic.binding().breakOff();
        }
    }

    /**
     * The NIC is this process's.
     *
     * @param ahead whether the predecessor died when it had announced a change that it had not brought into effect: then it is ours
     */
    void own(boolean ahead) {
        owner = true;
        nic.endpoint().own();
        if (ahead) {
            nic.block().seq(nic.block().nextSeq());
        }
        try {
            if (nic.binding() != null && nic.state().running()) {
                nic.binding().follow(nic.state());
            }
            nic.block().features(nic.vmm().offered(), nic.state().features());
        } catch (NetdevException | EngineException e) {
            nic.fail(e.getMessage());
        }
        converse();
        if (nic.binding() != null) {
            try {
                nic.binding().confirm();
            } catch (NetdevException e) {
                nic.backend().broken(e);
            }
            nic.backend().swap().look();
            nic.backend().ringsChanged();
        }
    }
}
