// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api.nic;

import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.osgi.annotation.versioning.ProviderType;
import org.vireo.net.api.StateFormat;

/** The NICs of this process: a service of the frontend. Any thread; calls may block for a few seconds. */
@ProviderType
public interface Nics {
    /**
     * Makes a NIC. Options as of the command line: id, netdev, socket, server, reconnect-ms, mac, mtu, queues, socket-mode,
     * socket-group, machine, backend-transfer and the offload switches.
     *
     * @param options names and values
     * @param awaiting whether it waits for its state from another process: then nothing is opened or bound
     * @throws NicException an option is wrong, the id is taken, the netdev does not open, the socket is taken; nothing is left
     */
    void add(Map<String, String> options, boolean awaiting) throws NicException;

    /**
     * Checks a NIC's options, and makes nothing.
     *
     * @param options names and values, as of {@link #add}
     * @return with the defaults of those that are not given, as {@link NicStatus#options} tells them
     * @throws NicException an option is wrong
     */
    Map<String, String> check(Map<String, String> options) throws NicException;

    /**
     * Deletes a NIC in whatever state: its id, socket and port are free when this returns.
     *
     * @param id its id
     * @throws NicException there is none of this id, or it is in a handover
     */
    void remove(String id) throws NicException;

    /**
     * The NICs. No backend is asked, so that this does not wait: the counters are the NICs' own.
     *
     * @return a snapshot in the order of their making
     */
    List<NicStatus> list();

    /**
     * The NICs, their counters with those of their ports, whose names begin with "port-". Asks each backend, and goes without one that
     * does not answer within two seconds.
     *
     * @return as {@link #list()}
     */
    List<NicStatus> measure();

    /**
     * The netdevs that have a backend or a NIC.
     *
     * @return a snapshot
     */
    List<NetdevStatus> netdevs();

    /**
     * Waits for a netdev's backend and checks its configuration.
     *
     * @param netdev its id
     * @param deadlineNanos until when
     * @throws NicException none came, or its configuration is wrong
     */
    void awaitNetdev(String netdev, long deadlineNanos) throws NicException;

    /**
     * Waits until no backend serves a netdev any more, whose configuration has been removed: one of this id that is added then is not
     * taken for the former one.
     *
     * @param netdev its id
     * @param deadlineNanos until when; afterwards it returns all the same
     */
    void awaitNetdevGone(String netdev, long deadlineNanos);

    /**
     * Another configuration of a netdev, of the same type or of another one, goes on with what the netdev has open, under a running guest;
     * or, if no NIC uses the netdev, will open it. Its service is there, or comes within the time.
     *
     * @param netdev its id
     * @param type the type of the new one
     * @param revision its number, higher than that of the one that serves
     * @param deadlineNanos until when, as of {@link System#nanoTime()}
     * @throws NicException it cannot, and why; the former one goes on
     */
    void swap(String netdev, String type, int revision, long deadlineNanos) throws NicException;

    /**
     * The NICs that this process owns and could hand over, in the order of their making.
     *
     * @return a snapshot
     */
    List<TransferableNic> transferable();

    /**
     * A NIC that this process owns and could hand over.
     *
     * @param id its id
     * @return the NIC, if there is one
     */
    Optional<TransferableNic> transferable(String id);

    /**
     * The NICs of this process that another one fences: their words name this process as the one that has to let go.
     *
     * @return a snapshot
     */
    List<TransferableNic> fenced();

    /**
     * Tells when {@link #transferable()} may have changed: a NIC came or went, or can be followed again after it was lost.
     *
     * @param changed called on any thread; must only post
     * @return ends it
     */
    Registration watch(Runnable changed);

    /**
     * Makes the NICs that wait for their state start without: nobody has it.
     *
     * @return why some do not start; empty if all do
     */
    List<String> startAwaiting();

    /** Something that was asked for and can be ended. */
    @ProviderType
    interface Registration extends AutoCloseable {
        @Override
        void close();
    }

    /**
     * Builds a NIC of another process's, beside it: maps its memory, loads its backend, touches nothing that is in use.
     *
     * @param image the whole NIC. It is closed by the callee, also if this throws
     * @param backendTransfer whether the operation asks for the backend's state to travel
     * @param deadlineNanos until when
     * @return the NIC, prepared
     * @throws NicException it cannot work here, and why; nothing is left
     */
    IncomingNic prepare(NicImage image, boolean backendTransfer, long deadlineNanos) throws NicException;

    /**
     * Runs the code of a handover, with a NIC that nobody has, until it is fast: so that less is to be rehearsed when one comes. An
     * interrupt of the calling thread ends it early.
     *
     * @param deadlineNanos until when
     * @return a short report: handovers, frames and time
     * @throws NicException it cannot, for want of descriptors or memory for instance, or was interrupted; nothing is left
     */
    String rehearse(long deadlineNanos) throws NicException;

    /**
     * The versions of {@link NicImage} that are written and read.
     *
     * @return the format
     */
    StateFormat imageFormat();
}
