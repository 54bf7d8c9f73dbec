// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.slot;

import java.util.concurrent.TimeUnit;
import java.util.function.BiConsumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.PortSettings;
import org.vireo.net.api.StateTransferException;
import org.vireo.net.api.VringPort;

/**
 * Calls to the port that serves a netdev, whichever that is at the moment, on its backend's thread and with a deadline. By the NIC that
 * holds the netdev only, one at a time.
 */
public final class ServedPort {
    private static final Logger LOG = LoggerFactory.getLogger(ServedPort.class);
    private static final long CONTROL_NANOS = TimeUnit.SECONDS.toNanos(2);
    /** Guests wait meanwhile. */
    private static final long QUIESCE_NANOS = TimeUnit.MILLISECONDS.toNanos(200);

    private final NetdevSlot slot;

    ServedPort(NetdevSlot slot) {
        this.slot = slot;
    }

    /**
     * Saves the port's state.
     *
     * @param deadlineNanos until when
     * @return the state; the caller closes it
     * @throws NetdevException it cannot be saved
     */
    public BackendState save(long deadlineNanos) throws NetdevException {
        NetdevSlot.Service s = slot.service();
        if (s.port() == null) {
            throw new StateTransferException("netdev " + slot.id() + ": is not open");
        }
        return slot.maker().save(s.of(), s.port(), deadlineNanos);
    }

    /**
     * Brings the port to what was negotiated.
     *
     * @param settings the settings
     * @throws NetdevException the backend refuses
     */
    public void apply(PortSettings settings) throws NetdevException {
        NetdevSlot.Service s = slot.service();
        if (s.port() != null) {
            calls(s).run("apply", s.of().bundle(), System.nanoTime() + CONTROL_NANOS, () -> s.port().apply(settings));
        }
    }

    private BackendCalls calls(NetdevSlot.Service s) {
        return slot.maker().calls(s.of());
    }

    /**
     * A call to a port that takes the rings.
     *
     * @param <T> what it gives
     */
    @FunctionalInterface
    public interface RingCall<T> {
        /**
         * The call.
         *
         * @param port the port
         * @return its result
         * @throws NetdevException it refuses
         */
        T of(VringPort port) throws NetdevException;
    }

    /**
     * Calls a port that takes the rings.
     *
     * @param <T> what it gives
     * @param what the method, for messages
     * @param call the call
     * @return its result
     * @throws NetdevException it refuses, or did not return in time, or does not serve any more
     */
    public <T> T rings(String what, RingCall<T> call) throws NetdevException {
        NetdevSlot.Service s = slot.service();
        if (!(s.port() instanceof VringPort p)) {
            throw new NetdevException("netdev " + slot.id() + ": the backend that had the rings does not serve any more");
        }
        return calls(s).call(what, s.of().bundle(), System.nanoTime() + CONTROL_NANOS, () -> call.of(p));
    }

    /**
     * Stops the threads of the backend that serves, if it has any, so that nothing of it touches what the port has open. The port's queues
     * are quiet.
     *
     * @throws NetdevException it cannot, or not in time: {@link #resume} is due
     */
    public void quiesce() throws NetdevException {
        NetdevSlot.Service s = slot.service();
        slot.maker().threads().quiesce(s.of(), s.port(), System.nanoTime() + QUIESCE_NANOS);
    }

    /**
     * Undoes {@link #quiesce} of the port that serves, if anything is to be undone, before its queues are called.
     *
     * @throws NetdevException the port is of no use any more
     */
    public void resume() throws NetdevException {
        NetdevSlot.Service s = slot.service();
        slot.maker().threads().resume(s.of(), s.port());
    }

    /**
     * Counters that only the backend has.
     *
     * @param to takes them
     */
    public void statistics(BiConsumer<String, Long> to) {
        NetdevSlot.Service s = slot.service();
        if (s.port() != null) {
            try {
                slot.maker().statistics(s.of(), s.port(), System.nanoTime() + CONTROL_NANOS).forEach(to);
            } catch (NetdevException e) {
                LOG.warn("netdev {}: {}", slot.id(), e.getMessage());
            }
        }
    }
}
