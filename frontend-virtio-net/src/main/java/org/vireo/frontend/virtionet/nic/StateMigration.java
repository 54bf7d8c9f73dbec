// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.io.IOException;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.frontend.virtionet.nic.Actor.Urgency;
import org.vireo.frontend.virtionet.session.DeviceState;
import org.vireo.frontend.virtionet.session.RefusedException;
import org.vireo.frontend.virtionet.session.StateRequests;
import org.vireo.frontend.virtionet.session.StateStream;
import org.vireo.net.api.DeviceStatePort;
import org.vireo.net.api.Fd;
import org.vireo.net.api.NetdevException;
import org.vireo.vhostuser.DeviceStateTransfer;

/**
 * A NIC's state on its way to or from a VMM that migrates its VM. One transfer at a time; nothing of it waits for the VMM's pipe but for a
 * moment in {@link #check}. What was loaded takes effect there. A transfer is this process's: whoever takes the NIC over refuses the check,
 * and the VMM begins again. Of the NIC's actor.
 */
final class StateMigration implements StateRequests {
    /** Most bytes of a state. */
    static final int MOST_BYTES = 16 << 20;

    private static final Logger LOG = LoggerFactory.getLogger(StateMigration.class);
    private static final long LIMIT_SECONDS = 30;
    /** The VMM closes its end before it asks; another process of it may be a little later. */
    private static final int PATIENCE_MILLIS = 500;
    private static final byte[] NONE = {};

    private final Nic nic;
    private Transfer current;
    /** Whether the network is to learn where the guest is, as soon as its rings run. */
    private boolean announces;

    /** A transfer. */
    private record Transfer(StateStream stream, boolean saves, ScheduledFuture<?> limit) {
        void end(String why) {
            limit.cancel(false);
            stream.fail(why);
        }

        @Override
        public String toString() {
            return saves ? "saving its state" : "loading a state";
        }
    }

    StateMigration(Nic nic) {
        this.nic = nic;
    }

    @Override
    public long begin(DeviceState now, DeviceStateTransfer what, Fd fd) {
        end("the VMM begins anew");
        try {
            requireStopped(now, "SET_DEVICE_STATE_FD");
            if (what.direction() != DeviceStateTransfer.SAVE && what.direction() != DeviceStateTransfer.LOAD
                    || what.phase() != DeviceStateTransfer.STOPPED) {
                throw new RefusedException("SET_DEVICE_STATE_FD: direction " + Integer.toUnsignedString(what.direction()) + ", phase "
                        + Integer.toUnsignedString(what.phase()) + ": known are 0 (save) and 1 (load), and phase 0 (stopped)");
            }
            StateStream.require(fd);
            boolean saves = what.direction() == DeviceStateTransfer.SAVE;
            start(saves ? StateStream.save(fd, SavedDevice.of(nic, now, savePort()).encode()) : StateStream.load(fd, MOST_BYTES), saves);
            return BEGUN;
        } catch (RefusedException | NetdevException | IOException e) {
            LOG.warn("NIC {}: its state is not moved: {}", nic.id(), e.getMessage());
            fd.close();
            return REFUSED;
        }
    }

    private void start(StateStream stream, boolean saves) throws IOException {
        ScheduledFuture<?> limit = nic.environment().timer().schedule(() -> nic.actor().post(Urgency.QUERY, () -> {
            if (current != null && current.stream == stream) {
                end("it was not over after " + LIMIT_SECONDS + " s");
            }
        }), LIMIT_SECONDS, TimeUnit.SECONDS);
        try {
            stream.begin(nic.environment().poller(), () -> nic.actor().post(Urgency.VMM_MESSAGE, stream::advance));
        } catch (IOException e) {
            limit.cancel(false);
            stream.fail(e.getMessage());
            throw e;
        }
        current = new Transfer(stream, saves, limit);
    }

    private static void requireStopped(DeviceState now, String request) throws RefusedException {
        for (int i = 0; i < now.rings().size(); i++) {
            if (now.rings().get(i).started()) {
                throw new RefusedException(request + ": ring " + i + " is started; stop all with GET_VRING_BASE first");
            }
        }
    }

    @Override
    public Checked check(DeviceState now) {
        Transfer t = current;
        current = null;
        try {
            if (t == null) {
                throw new RefusedException("nothing was saved or loaded here, or rings were started since; after a handover of this NIC the"
                        + " VMM has to begin again");
            }
            requireStopped(now, "CHECK_DEVICE_STATE");
            t.stream.await(t.saves ? 0 : PATIENCE_MILLIS);
            if (!t.stream.isEnded()) {
                throw new RefusedException(t.saves ? "only " + t.stream.moved() + " bytes of it were read"
                        : "no end came after " + t.stream.moved() + " bytes of it: the VMM has to close what it writes to");
            }
            if (t.stream.trouble() != null) {
                throw new RefusedException(t.stream.trouble());
            }
            DeviceState next = t.saves ? now : load(now, t.stream.state());
            LOG.info("NIC {}: its state of {} bytes was {}", nic.id(), t.stream.moved(), t.saves ? "saved" : "loaded");
            return new Checked(next, 0);
        } catch (RefusedException | NetdevException e) {
            LOG.warn("NIC {}: {}: {}", nic.id(), t == null ? "CHECK_DEVICE_STATE" : t.toString(), e.getMessage());
            return new Checked(now, 1);
        } finally {
            if (t != null) {
                t.end("it was checked");
            }
        }
    }

    private DeviceState load(DeviceState now, byte[] state) throws RefusedException, NetdevException {
        SavedDevice d = SavedDevice.decode(state);
        DeviceState next = d.fit(nic, now);
        loadPort(d.port());
        // with another mac than this NIC's it would have been refused
        announces = !d.mac().isEmpty();
        return next;
    }

    private byte[] savePort() throws NetdevException {
        PortBinding b = nic.binding();
        if (b == null || b.lent() == null) {
            return NONE;
        }
        return b.slot().served().rings("save the device's state",
                p -> p instanceof DeviceStatePort d && d.hasDeviceState() ? d.saveDeviceState(MOST_BYTES / 2) : NONE);
    }

    private void loadPort(byte[] state) throws RefusedException, NetdevException {
        if (state.length == 0) {
            return;
        }
        PortBinding b = nic.binding();
        if (b != null && b.port() == null) {
            // the VM comes from the other NIC of this netdev: whoever has the rings has the state already
            LOG.info("NIC {}: another NIC has its port, which keeps its state of {} bytes", nic.id(), state.length);
            return;
        }
        if (b == null || b.lent() == null) {
            throw new RefusedException("whoever had the rings has " + state.length + " bytes of state, which this NIC's netdev cannot load:"
                    + " it needs one that gives the rings away, as at the source");
        }
        b.slot().served().rings("load the device's state", p -> {
            if (!(p instanceof DeviceStatePort d) || !d.hasDeviceState()) {
                throw new NetdevException("netdev " + b.slot().id() + ": whoever has the rings has no state here, at the source it had "
                        + state.length + " bytes");
            }
            d.loadDeviceState(state);
            return null;
        });
    }

    /** Something about the device has changed. */
    void follow(DeviceState now) {
        if (!now.running()) {
            return;
        }
        end("rings were started");
        if (announces && now.rings().get(0).enabled() && now.rings().get(1).started()) {
            // else its port comes a moment later, perhaps
            announces = nic.vmm().announce(nic.options().mac()).isPresent();
        }
    }

    /** Whoever asked for it has gone. */
    void forget(String why) {
        end(why);
        announces = false;
    }

    private void end(String why) {
        Transfer t = current;
        current = null;
        if (t != null) {
            LOG.warn("NIC {}: {}: given up: {}", nic.id(), t, why);
            t.end(why);
        }
    }
}
