// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.session;

import org.vireo.net.api.Fd;
import org.vireo.vhostuser.DeviceStateTransfer;
import org.vireo.vhostuser.Message;

/**
 * A VMM that migrates its VM takes the device's state along: SET_DEVICE_STATE_FD and CHECK_DEVICE_STATE ("Migrating back-end state" in the
 * vhost-user specification). Both have an answer of their own, which says a refusal too. Used by the NIC's actor.
 */
public interface StateRequests {
    /** Answer to SET_DEVICE_STATE_FD: what the VMM gave is used. */
    long BEGUN = Message.NO_DESCRIPTOR;
    /** Answer to SET_DEVICE_STATE_FD: refused, and no descriptor comes along. */
    long REFUSED = Message.NO_DESCRIPTOR | 1;

    /**
     * The state after CHECK_DEVICE_STATE.
     *
     * @param next what was told of the device, with what was loaded
     * @param answer 0: all is well; else it is refused, and the state is the former one
     */
    record Checked(DeviceState next, long answer) { }

    /**
     * Begins to save or to load.
     *
     * @param now what was told of the device
     * @param what which way
     * @param fd a pipe or a socket, owned from then on
     * @return {@link #BEGUN} or {@link #REFUSED}
     */
    long begin(DeviceState now, DeviceStateTransfer what, Fd fd);

    /**
     * Whether what was begun has come to its end; what came is loaded now.
     *
     * @param now what was told of the device
     * @return the answer
     */
    Checked check(DeviceState now);
}
