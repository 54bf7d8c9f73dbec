// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import org.vireo.net.api.NetdevException;

/**
 * Somebody who had the guest's rings may still touch them, so no other port gets them yet ({@link LentRings#requireLetGo}). Nothing is
 * wrong with that other port.
 */
final class RingsHeldException extends NetdevException {
    private static final long serialVersionUID = 1L;

    /**
     * A refusal.
     *
     * @param message who, and what to do
     */
    RingsHeldException(String message) {
        super(message);
    }
}
