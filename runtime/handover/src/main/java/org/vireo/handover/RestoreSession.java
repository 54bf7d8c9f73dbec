// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import org.vireo.handover.wire.Channel;

/** A standby of a process that was dead before it began: nothing is taken before all has been read, so that each NIC gets its changes. */
final class RestoreSession extends StandbySession {
    /**
     * A session.
     *
     * @param context what it runs in
     * @param channel brings what was stored
     * @param peer whoever has died
     * @param cancel ends it
     * @param report says what became of each NIC
     */
    RestoreSession(Context context, Channel channel, Peer peer, Cancel cancel, Report report) {
        super(context, channel, peer, cancel, report, false, () -> { });
    }

    @Override
    boolean isDrained() {
        return !isOpen();
    }
}
