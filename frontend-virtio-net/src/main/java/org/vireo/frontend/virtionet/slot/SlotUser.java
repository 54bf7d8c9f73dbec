// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.slot;

import java.util.Optional;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;

/** The NIC that uses a slot. Calls come on any thread. */
public interface SlotUser {
    /**
     * The NIC's id.
     *
     * @return the id
     */
    String id();

    /**
     * Its queue pairs.
     *
     * @return at least 1
     */
    int pairs();

    /**
     * What its guest would miss with another port.
     *
     * @param port of the netdev
     * @return virtio features that the guest acknowledged and the NIC would not have, 0: none
     */
    long missing(OpenedPort port);

    /**
     * Whether it has its backend open, or will open one that comes: it does not wait for another process.
     *
     * @return whether
     */
    boolean opens();

    /**
     * Whether it is over with it, but what it holds is not free yet: a thread hangs in its backend, perhaps.
     *
     * @return whether
     */
    boolean ended();

    /** Another NIC's rings run, and want the port that this one holds; must only post. */
    void portWanted();

    /**
     * It holds the netdev now, with its port if there is one; must only post.
     *
     * @param use how it was used before
     */
    void portGiven(PortUse use);

    /** A backend came that could serve; must only post. */
    void backendArrived();

    /** The backend that serves leaves: when this returns, the NIC has parked the port. Blocks, with a deadline of its own. */
    void backendLeaving();

    /**
     * The port said that it is broken; must only post.
     *
     * @param why the reason
     * @param serves whether its backend still serves, to be asked once, when it is handled
     */
    void portFailed(Exception why, BooleanSupplier serves);

    /**
     * The port's link changed; must only post.
     *
     * @param latest how it is now, to be asked when it is handled; empty: the port has ended
     */
    void portLink(Supplier<Optional<PortLink>> latest);

    /**
     * What the port's state was when it was saved it is no more; must only post.
     *
     * @param serves whether its backend still serves, to be asked once, when it is handled
     */
    void portStateChanged(BooleanSupplier serves);

    /**
     * A backend that could have served cannot be used; must only post.
     *
     * @param why the reason
     */
    void backendUnusable(String why);
}
