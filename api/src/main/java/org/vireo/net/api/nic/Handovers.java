// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api.nic;

import java.util.List;
import java.util.Map;
import org.osgi.annotation.versioning.ConsumerType;
import org.osgi.annotation.versioning.ProviderType;

/** Moves NICs between processes: a service of the handover. Any thread. */
@ProviderType
public interface Handovers {
    /**
     * Begins to move NICs to another process, in the background; one at a time in a process.
     *
     * @param uri {@code unix:PATH} of the target
     * @param nics their ids; empty for all
     * @throws NicException wrong address, unknown NIC, another handover under way
     */
    void start(String uri, List<String> nics) throws NicException;

    /**
     * Does all of a handover that comes before a NIC stops: both sides agree, the target gets each NIC ready; then it lets them be. How it
     * went tells {@link #status()}.
     *
     * @param uri {@code unix:PATH} of the target
     * @param nics their ids; empty for all
     * @throws NicException wrong address, unknown NIC, another handover under way
     */
    void check(String uri, List<String> nics) throws NicException;

    /** Cancels the handover under way: NICs that have not moved stay. Does nothing if there is none. */
    void cancel();

    /**
     * Listens for a source, and takes what it hands over. Stays until another address is given or the process ends.
     *
     * @param uri {@code unix:PATH}
     * @throws NicException the socket is taken, or the address is wrong
     */
    void listen(String uri) throws NicException;

    /**
     * Sets whether the backends' states travel. Default on.
     *
     * @param on whether
     */
    void backendTransfer(boolean on);

    /**
     * Whether the backends' states travel.
     *
     * @return whether
     */
    boolean backendTransfer();

    /**
     * Sets whether a backend whose state does not travel is closed by the source before the target opens its own: for what only one
     * process can have open. The guest is without network from one to the other. Default off.
     *
     * @param on whether
     */
    void breakBeforeMake(boolean on);

    /**
     * Whether the source closes before the target opens.
     *
     * @return whether
     */
    boolean breakBeforeMake();

    /**
     * The last handover, or the one under way, as query-migrate tells it.
     *
     * @return status ({@code none}, {@code setup}, {@code active}, {@code completed}, {@code failed}, {@code cancelled}),
     *     error-desc, and for each NIC what became of it, with the times of its phases; values are String, Long, Boolean, List, Map
     */
    Map<String, Object> status();

    /**
     * Joins those who stand by for one another at a socket. The first one is active: it listens there, and its NICs are known to the
     * others, its standbys, at any moment; when it dies one of them goes on with them and is the active one. NICs that wait for their state
     * wait as long as somebody else is active, and start when this process is and nobody had them. Returns when it is settled which of it
     * this process is, as a standby when all NICs that there are have been prepared or refused; or after half a minute. What is refused is
     * offered again.
     *
     * @param uri {@code unix:PATH}, or {@code unix:PATH,fence=auto}: then, as a standby, this process fences an active one that stands
     *     still for two seconds, and ends it if it does not let go
     * @param begins whether this process may be the first; else it waits for an active one
     * @param listener told when this process becomes active
     * @throws NicException wrong address, it stands by already, the folder cannot be made
     */
    void standBy(String uri, boolean begins, StandbyListener listener) throws NicException;

    /**
     * What {@link #standBy} has come to, as query-standby tells it.
     *
     * @return role ({@code none}, {@code waiting}, {@code standby}, {@code active}), socket, fence ({@code auto}, {@code off}), and what
     *     is known of the others
     */
    Map<String, Object> standbyStatus();

    /**
     * Goes on with the NICs that an earlier process left in the service manager's descriptor store (sd_notify(3)), if it passed any to this
     * one. Each is taken or let be, as the rules of a handover say of a source that is dead. To be called once, before NICs start.
     *
     * @return how many were taken; why others were not is in the log
     * @throws NicException there is no service manager that this process could talk to, or no descriptor left
     */
    int restore() throws NicException;

    /**
     * Keeps the NICs of this process in the service manager's descriptor store from now on, or no more. While they are kept, this process
     * leaves them there when it ends, in good order too: whoever is started next goes on with them, and VMMs keep their connections.
     *
     * @param on whether; off removes them from the store, and when this returns they are gone from it
     * @throws NicException there is no service manager that this process could talk to, or no descriptor left
     */
    void keep(boolean on) throws NicException;

    /** Told of the role of this process among those who stand by for one another. */
    @ConsumerType
    @FunctionalInterface
    interface StandbyListener {
        /**
         * This process is the active one now. Called once, on any thread.
         *
         * @param problems why NICs that waited do not start
         */
        void active(List<String> problems);

        /** A standby has taken the last NIC of this process, which stood still: it had better end. Called once, on any thread. */
        default void fenced() {
        }
    }
}
