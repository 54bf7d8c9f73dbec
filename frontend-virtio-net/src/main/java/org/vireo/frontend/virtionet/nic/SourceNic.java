// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.io.IOException;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import org.vireo.frontend.virtionet.device.EngineException;
import org.vireo.frontend.virtionet.nic.Actor.Urgency;
import org.vireo.frontend.virtionet.slot.NetdevSlot;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.NetPort.Disposal;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.nic.NicBlock;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.NicFollower;
import org.vireo.net.api.nic.NicImage;
import org.vireo.net.api.nic.TransferableNic;

/** A NIC of this process on its way to another one. */
final class SourceNic implements TransferableNic {
    private static final long SAVE_NANOS = TimeUnit.SECONDS.toNanos(2);
    private static final long CALL_MILLIS = 5000;

    private final Nic nic;
    private final Runnable gone;
    private volatile DressRehearsal rehearsal;
    private volatile NicFeed.Following following;
    private volatile boolean breaks;
    /** Whether the backend's state went along. */
    private volatile boolean sent;

    SourceNic(Nic nic, Runnable gone) {
        this.nic = nic;
        this.gone = gone;
    }

    @Override
    public String id() {
        return nic.id();
    }

    @Override
    public NicBlock block() {
        return nic.block();
    }

    @Override
    public NicImage begin(int version, boolean backendTransfer, boolean breakBeforeMake, NicFollower follower) throws NicException {
        return call(() -> {
            if (nic.feed().inHandover()) {
                throw new NicException("NIC " + id() + ": is in a handover already");
            }
            boolean transfers = backendTransfer && nic.options().backendTransfer();
            boolean closes = breakBeforeMake && !transfers && nic.binding() != null && !nic.waitsForPort();
            if (closes && nic.feed().hasStandby()) {
                throw new NicException("NIC " + id() + ": a standby, or the descriptor store, has its backend's descriptors, so"
                        + " break-before-make would not free netdev " + nic.options().netdev() + ": end that first");
            }
            NicImage image = picture(version, transfers, closes);
            breaks = closes;
            if (nic.binding() != null) {
                nic.binding().breaks(closes);
            }
            rehearsal = DressRehearsal.of(image, nic.environment());
            if (nic.environment().rehearsed().get()) {
                rehearsal.known();
            }
            following = nic.feed().begin(follower, true);
            return image;
        });
    }

    @Override
    public NicImage follow(int version, NicFollower follower) throws NicException {
        return call(() -> {
            if (nic.binding() != null && !nic.options().backendTransfer()) {
                throw new NicException("NIC " + id() + ": backend-transfer is off, so a standby cannot have its backend's descriptors");
            }
            if (nic.binding() != null && nic.binding().breaks()) {
                throw new NicException("NIC " + id() + ": is in a handover with break-before-make, after which its backend is another one");
            }
            NicImage image = picture(version, true, false);
            following = nic.feed().begin(follower, false);
            return image;
        });
    }

    private NicImage picture(int version, boolean withBackend, boolean closes) throws NicException, NetdevException, IOException {
        if (!NicImages.FORMAT.writes().contains(version)) {
            throw new NicException("NIC " + id() + ": image version " + version + " cannot be written");
        }
        if (!nic.alive() || nic.failed()) {
            throw new NicException("NIC " + id() + ": is " + nic.nicState() + ", it cannot be handed over");
        }
        if (nic.binding() != null && nic.binding().port() == null && !nic.waitsForPort()) {
            throw new NicException("NIC " + id() + ": netdev " + nic.options().netdev() + " has no backend now");
        }
        sent = nic.binding() != null && nic.binding().port() != null && withBackend;
        return NicImages.whole(nic, sent ? save() : null, closes);
    }

    private BackendState save() throws NetdevException {
        NetdevSlot slot = nic.binding().slot();
        if (!slot.swap().stable()) {
            throw new NetdevException("netdev " + slot.id() + ": the state of its backend changes with the frames (LIVE): it can move to"
                    + " another backend in this process, not to another process (" + slot.servedBy() + ")");
        }
        return slot.served().save(System.nanoTime() + SAVE_NANOS);
    }

    @Override
    public String rehearse(long deadlineNanos) {
        return rehearsal.report(id(), deadlineNanos);
    }

    @Override
    public void freeze(long deadlineNanos) throws NicException {
        named(() -> nic.actor().callHere(Urgency.HANDOVER, CALL_MILLIS, () -> {
            if (following != null && following.aborted() != null) {
                throw new NicException("NIC " + id() + ": " + following.aborted());
            }
            if (nic.custody().isFrozen()) {
                throw new NicException("NIC " + id() + ": stands still already, for a handover or since a standby fenced it");
            }
            try {
                nic.custody().freeze(deadlineNanos);
                requireSaved();
            } catch (EngineException | NetdevException e) {
                nic.custody().thaw();
                throw e;
            }
            if (breaks) {
                nic.binding().breakOff();
            }
            return null;
        }));
    }

    /** Its backend may have had a last word while it came to a stand. */
    private void requireSaved() throws NetdevException {
        if (sent && nic.binding().port() != null && nic.binding().port().isStateChanged()) {
            throw new NetdevException("netdev " + nic.options().netdev() + ": its backend's state has changed since it was sent"
                    + nic.backend().linkWhy() + "; hand the NIC over again");
        }
    }

    @Override
    public int connection() {
        return nic.session() == null ? -1 : nic.session().socket().number();
    }

    @Override
    public void resume() {
        nic.actor().post(Urgency.HANDOVER, nic.custody()::thaw);
    }

    @Override
    public void end() {
        NicFeed.Following f = following;
        if (f != null) {
            nic.actor().post(Urgency.HANDOVER, () -> {
                nic.feed().end(f);
                if (breaks) {
                    nic.binding().breaks(false);
                }
                if (nic.backend() != null) {
                    // what another NIC wanted meanwhile
                    nic.backend().ringsChanged();
                }
            });
        }
        endRehearsal();
    }

    private void endRehearsal() {
        DressRehearsal r = rehearsal;
        if (r != null) {
            r.close();
        }
    }

    @Override
    public void letGo() {
        nic.close(Disposal.LEAVE);
        gone.run();
        endRehearsal();
    }

    private <T> T call(Callable<T> what) throws NicException {
        return named(() -> nic.actor().call(Urgency.HANDOVER, CALL_MILLIS, what));
    }

    private <T> T named(Callable<T> what) throws NicException {
        try {
            return what.call();
        } catch (NicException e) {
            throw e;
        } catch (NetdevException | EngineException | IOException e) {
            throw new NicException("NIC " + id() + ": " + e.getMessage(), e);
        } catch (Exception e) {
            throw new NicException("NIC " + id() + ": " + e, e);
        }
    }
}
